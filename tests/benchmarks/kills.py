"""Kills of recording, import, training and judging, of the program and of its workers: nothing lost, nothing mixed up.

    python -m tests.benchmarks.kills [--kills 60] [--seed 0] [--only record]

Each command is killed (SIGKILL) again and again, in turn at a random moment, at a random rename of a file (where things
become true), and by the death of one of its workers; then it is started once more, at once. When it has come to its end
it must have left exactly what an undisturbed run leaves. A traceback, a hang of five minutes or any difference is a
failure, and the exit status is 1.
"""

import argparse
import contextlib
import json
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.data.imports.test_importing import write_source
from tests.data.lerobot3.test_writer import digests
from unified.judging.results import read_results

ROOT = Path(__file__).resolve().parents[2]
HANG_SECONDS = 300
ENVS = "--env sims:Screen-ClickIcon-v0 --env sims:Screen-TypeCode-v0"
RECORD = f"record {ENVS} --image-size 64 --episodes 3 --workers 2 --keep-failures --max-env-steps 50 --output"
FIT = (
    "fit -c tiny --data.sources '[{root: data}]' --data.batch_size 8 --trainer.max_steps 24 "
    "--trainer.val_check_interval 8 --checkpoints.every_n_steps 4 --run_dir"
)
EVALUATE = "evaluate --policy expert --suite two.yaml --films 2 --output"
SUITE = """
name: two
env_kwargs: {cameras: [front], image_size: 32}
max_env_steps: 25
episodes_per_task: 3
tasks: ["sims:Screen-ClickIcon-v0", "sims:Screen-TypeCode-v0"]
"""
# Kills itself at the n-th rename; audit hooks see every one, wherever it is made.
DRIVER = """
import os, signal, sys
from unified.cli import main
left = int(sys.argv[1])
def count(event, _):
    global left
    if event == "os.rename":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    sys.addaudithook(count)
    sys.exit(main(sys.argv[2:]))
"""


@dataclass(frozen=True)
class Victim:
    """A command that is killed.

    Attributes:
        command: as a user types it; the output folder is appended.
        again: what is added when something is there already.
        result: what two runs must agree on, given the output folder.
        seconds: about how long it takes, for kills at a random moment.
        renames: about how many files it renames.
    """

    command: str
    again: Callable[[Path], str]
    result: Callable[[Path], Any]
    seconds: float
    renames: int


def recorded(folder: Path) -> dict[str, str]:
    """Every byte of a dataset, but for the command and the summary of the last run."""
    files = {name: value for name, value in digests(folder).items() if name not in ("recording.json", "import.json")}
    said = json.loads((folder / "meta" / "unified.json").read_text())
    said.pop("command")
    return files | {"meta/unified.json": json.dumps(said)}


def trained(folder: Path) -> str:
    """The exported model's weights."""
    return digests(folder / "pretrained")["model.safetensors"]


def judged(folder: Path) -> list[Any]:
    """Results, of which every film is there and no other one."""
    episodes = read_results(folder)["episodes"]
    films = {episode["film"] for episode in episodes if "film" in episode}
    films |= {episode["facts"]["moment"] for episode in episodes if "moment" in episode.get("facts", {})}
    assert films == {f"films/{path.name}" for path in (folder / "films").iterdir()}, "films and results.json differ"
    return episodes


VICTIMS = {
    "record": Victim(RECORD, lambda out: "--resume" if out.exists() else "", recorded, 9, 45),
    "import": Victim("import source --output", lambda _: "", recorded, 4, 30),
    "fit": Victim(FIT, lambda out: "--ckpt_path last" if any(out.glob("checkpoints/*.ckpt")) else "", trained, 25, 40),
    "evaluate": Victim(EVALUATE, lambda _: "", judged, 8, 8),
}


def start(victim: Victim, out: Path, rename: int = 0) -> "subprocess.Popen[str]":
    """Run the command, in a folder where its inputs are."""
    words = shlex.split(f"{victim.command} {out} {victim.again(out)}")
    command = [sys.executable, str(out.parent / "driver.py"), str(rename), *words]
    environment = {**psutil.Process().environ(), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=out.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: "subprocess.Popen[str]", where: str) -> int:
    """Wait for the end, and refuse tracebacks."""
    try:
        errors = process.communicate(timeout=HANG_SECONDS)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"{where}: hangs") from None
    # Python itself complains where a worker's start is cut off by the death of the process that starts it.
    is_cut_start = process.returncode == -signal.SIGKILL and "preparation_data = reduction.pickle.load" in errors
    assert is_cut_start or "Traceback" not in errors, f"{where}: {errors[-1500:]}"
    assert process.returncode in (0, 1, -signal.SIGKILL), f"{where}: exit status {process.returncode}"
    return process.returncode


def kill_once(victim: Victim, out: Path, rng: random.Random, where: str) -> str:
    """Kill it in one of three ways; returns which, or "finished" if it was faster."""
    how = rng.choice(("moment", "rename", "worker"))
    process = start(victim, out, rng.randint(1, victim.renames) if how == "rename" else 0)
    if how != "rename":
        end = time.monotonic() + rng.uniform(0.3, 1.0) * victim.seconds
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        if process.poll() is None:
            own = psutil.Process(process.pid)
            with contextlib.suppress(psutil.Error):  # whoever has just ended need not be killed
                workers = [child for child in own.children() if "resource_tracker" not in " ".join(child.cmdline())]
                (rng.choice(workers) if how == "worker" and workers else own).kill()
    return "finished" if finish(process, where) == 0 else how


def run_series(name: str, kills: int, seed: int, folder: Path) -> dict[str, int]:
    """Kill one command so often that it has ended several times; returns how often in which way.

    Raises:
        AssertionError: if something was lost, mixed up, left hanging, or answered with a traceback.
    """
    victim, rng = VICTIMS[name], random.Random(f"{name} {seed}")
    assert finish(start(victim, folder / f"{name}-whole"), name) == 0, "the undisturbed run failed"
    whole, counts, trial = victim.result(folder / f"{name}-whole"), dict[str, int](), 0
    while sum(counts.values()) - counts.get("finished", 0) < kills:
        out, where = folder / f"{name}-{trial}", f"{name}, trial {trial} of seed {seed}"
        how = kill_once(victim, out, rng, where)
        counts[how] = counts.get(how, 0) + 1
        if how == "finished" or rng.random() < 0.2:
            assert how == "finished" or finish(start(victim, out), where) == 0, f"{where}: does not go on"
            assert victim.result(out) == whole, f"{where}: differs from the undisturbed run"
            shutil.rmtree(out)
            trial += 1
    return counts


def main() -> int:
    """Run the series and print one line a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60, help="in all (default 60)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=VICTIMS, help="one command")
    args = parser.parse_args()
    names = [args.only] if args.only else list(VICTIMS)
    failed = False
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "driver.py").write_text(DRIVER)
        (folder / "two.yaml").write_text(SUITE)
        write_source(folder / "source")
        if "fit" in names:
            assert finish(start(VICTIMS["record"], folder / "data"), "the data to train on") == 0
        for name in names:
            try:
                counts = run_series(name, -(-args.kills // len(names)), args.seed, folder)
                sys.stdout.write(f"{name:<10}{counts}\n")
            except AssertionError as error:
                failed = True
                sys.stdout.write(f"{name:<10}FAILED {error}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
