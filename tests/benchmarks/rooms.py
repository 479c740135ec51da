"""How many of our own files a reader passes: in one training step, and in `unified evaluate` before its first env step.

    python -m tests.benchmarks.rooms [--json FILE] [--files]

A file is passed once a function of it runs; files that are only imported are counted apart. `training_step` is forward
and losses; the rest of the step fetches the batch, goes backward, steps the optimizer, runs callbacks and logs.
Recording and model are small; `evaluate` steps its environment in its own process (`--workers 0`), so that all is seen.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OURS = ("unified/", "decoders/", "tasks/", "sims/")
AIMS = {"training_step": 9, "evaluate until the first env step": 35}
RECORD = "record --env sims:MetaWorld-reach-v3 --episodes 2 --cameras corner2 --output recording --workers 1"
FIT = (
    "fit -c tiny --data.sources '[{root: recording}]' --data.batch_size 8 --data.holdout 0.5 --trainer.max_steps 4 "
    "--trainer.val_check_interval 4 --run_dir run"
)
EVALUATE = "evaluate --policy run/pretrained --suite one.yaml --episodes 1 --films 0 --workers 0 --baselines expert"
SUITE = """
name: one
env_kwargs: {cameras: [corner2], image_size: 64}
max_env_steps: 4
tasks: [{env_id: "sims:MetaWorld-reach-v3"}]
"""
IMPORT = "import json, sys, unified.cli; print(json.dumps([m for m in ('torch', 'lerobot') if m in sys.modules]))"
EVENTS = sys.monitoring.events
TOOL = sys.monitoring.PROFILER_ID
IS_FUNCTION = 0x2  # CO_NEWLOCALS: code of modules and classes, which runs while they are imported, lacks it


class Watch:
    """Notes in which of our files functions start, by stage; a subclass says at which function a stage ends."""

    stage: str | None = None

    def __init__(self) -> None:
        self.calls: dict[str, dict[str, int]] = {}
        self.imported: set[str] = set()
        self.moves: dict[str, int] = {}
        self._before = ""
        sys.monitoring.use_tool_id(TOOL, "rooms")
        sys.monitoring.register_callback(TOOL, EVENTS.PY_START, self._started)
        sys.monitoring.register_callback(TOOL, EVENTS.PY_RETURN, self._returned)
        sys.monitoring.set_events(TOOL, EVENTS.PY_START | EVENTS.PY_RETURN)

    def enter(self, file: str, function: str) -> None:
        """A function of ours starts: perhaps a stage too."""

    def leave(self, file: str, function: str) -> None:
        """A function of ours returns."""

    def _started(self, code: CodeType, _: int) -> Any:
        file = own_file(code)
        if file is None:
            return sys.monitoring.DISABLE
        self.enter(file, code.co_name)
        if self.stage is None:
            return None
        if not code.co_flags & IS_FUNCTION or code.co_qualname.startswith("<"):  # or a module's own comprehension
            self.imported.add(file)
            return None
        calls = self.calls.setdefault(self.stage, {})
        calls[file] = calls.get(file, 0) + 1
        self.moves[self.stage] = self.moves.get(self.stage, 0) + (file != self._before)
        self._before = file
        return None

    def _returned(self, code: CodeType, _: int, __: object) -> Any:
        file = own_file(code)
        if file is None:
            return sys.monitoring.DISABLE
        self.leave(file, code.co_name)
        return None


class TrainingStep(Watch):
    """The second training step, and what lies between its end and the beginning of the third."""

    number = 0

    def enter(self, file: str, function: str) -> None:
        if file.startswith("tasks/") and function == "training_step":
            self.number += 1
            self.stage = "training_step" if self.number == 2 else None

    def leave(self, file: str, function: str) -> None:
        if file.startswith("tasks/") and function == "training_step" and self.number == 2:
            self.stage = "rest of the step"


class UntilFirstEnvStep(Watch):
    """From the start of the command to the first call of an environment's `step`."""

    stage = "evaluate until the first env step"

    def enter(self, file: str, function: str) -> None:
        if file.startswith("sims/") and function == "step":
            self.stage = None


def own_file(code: CodeType) -> str | None:
    """The path of a file of ours, from the repository's root."""
    name = code.co_filename.removeprefix(f"{ROOT}/")
    return name if name.startswith(OURS) else None


def watch_command(line: str, answer: Path) -> None:
    """Run a command of `unified` in this process, watched, and write down which files it passed."""
    watch = TrainingStep() if line.startswith("fit") else UntilFirstEnvStep()
    from unified.cli import main

    status = main(shlex.split(line))
    sys.monitoring.free_tool_id(TOOL)
    if status != 0:
        raise SystemExit(f"failed: unified {line}")
    only_imported = sorted(watch.imported.difference(*watch.calls.values()))
    answer.write_text(json.dumps({"passed": watch.calls, "moves": watch.moves, "only_imported": only_imported}))


def measure(folder: Path) -> dict[str, Any]:
    """Record, train and evaluate in a folder; what each passed."""
    (folder / "one.yaml").write_text(SUITE)
    run([sys.executable, "-m", "unified.cli", *shlex.split(RECORD)], folder)
    found: dict[str, Any] = {}
    for line in (FIT, EVALUATE):
        run([sys.executable, "-m", "tests.benchmarks.rooms", "--watch", line, "--json", "answer.json"], folder)
        found[line.split()[0]] = json.loads((folder / "answer.json").read_text())
    return {**found, "import_loads": json.loads(run([sys.executable, "-c", IMPORT], folder))}


def run(command: list[str], folder: Path) -> str:
    """Run a program in a folder with this repository's modules; its output."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{shlex.join(command)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def print_stages(found: dict[str, Any], with_files: bool) -> None:
    """One line a stage, and the files themselves if wanted."""
    for stage, calls in found["passed"].items():
        aim = f" (aim: {AIMS[stage]})" if stage in AIMS else ""
        print(f"{stage}: {len(calls)} files of ours{aim}, {found['moves'][stage]} moves between them")
        if with_files:
            print("\n".join(f"    {file:50s} {count:6d} calls" for file, count in sorted(calls.items())))
    if found["only_imported"]:
        print(f"only imported on the way: {len(found['only_imported'])} files")
        if with_files:
            print("\n".join(f"    {file}" for file in found["only_imported"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything as JSON")
    parser.add_argument("--files", action="store_true", help="also list the files")
    parser.add_argument("--watch", metavar="LINE", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.watch:
        return watch_command(args.watch, args.json)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    for name in ("fit", "evaluate"):
        print_stages(found[name], args.files)
    print(f"import unified.cli loads {' and '.join(found['import_loads']) or 'neither torch nor lerobot'}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))
    return None


if __name__ == "__main__":
    main()
