"""What a study does: one command after another, each in a process and with a log of its own, none of them twice.

With `corrections` a model is trained in rounds: what is trained acts in the environments, an expert labels the states
that it reaches (`unified record --label expert`), and training goes on with these episodes among the data (DAgger,
Ross et al. 2011). `corrections: {suite: ..., episodes: [10, 20], expert_share: 0.3}` has two rounds; other keys are
options of `unified record`, and `source` says how the new episodes are used (see `unified.data.source.Source`; what it
does not say is as in the first source). Every round has the whole budget.
"""

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from unified.errors import UserError
from unified.judging.study import child
from unified.judging.study.file import Run, Study, as_words, options_of
from unified.training.options import parse

CPU_TIMER = "unified.training.callbacks.cpu_timer.CpuTimer"


@dataclass(frozen=True)
class Stage:
    """One command.

    Attributes:
        title: for people.
        folder: where it works; its log is beside it.
        done: exists as soon as it has succeeded.
        command: asked for when it starts, since it depends on what is there then.
    """

    title: str
    folder: Path
    done: Path
    command: Callable[[], list[str]]

    @property
    def log(self) -> Path:
        """What it wrote, every attempt after the other."""
        return self.folder.with_name(f"{self.folder.name}.log")

    def run(self, threads: int) -> bool:
        """Do it, unless it is done; what a killed study left running is waited for. Returns whether it did anything.

        Raises:
            UserError: if it failed, with its own words.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            # Whoever still writes to the log holds the lock: it goes with the open file to the command's processes.
            fcntl.flock(log, fcntl.LOCK_EX)
            if self.done.exists():
                return False
            environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
            status = child.run(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        if status or not self.done.exists():
            said = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["nothing"]
            reason = said[-1].removeprefix("unified: error: ")
            raise UserError(f"{self.title} ended with status {status}; the last line of {self.log}: {reason}")
        return True


def recordings(study: Study) -> Iterator[Stage]:
    """What all runs train on."""
    for name, options in study.recordings.items():
        yield _record(f"recording {name}", study.recorded(name), options)


def stages(run: Run) -> Iterator[Stage]:
    """Those of one run; each is made when those before it are done."""
    sources, before = run.sources, run.options.get("start")
    corrections = {key: value for key, value in run.options.get("corrections", {}).items() if key != "source"}
    for number, episodes in enumerate(run.rounds):
        folder = run.folder(number)
        title = run.name + (f", round {number}" if number else "")
        if number:
            assert before is not None
            before_it = sum(run.rounds[:number])  # one round may do without a seed
            seed = {"seed": corrections["seed"] + before_it} if "seed" in corrections else {}
            new = folder.with_name(f"{folder.name}-recorded")
            options = {"label": "expert", **corrections, **seed, "episodes": episodes}
            yield _record(f"{title}: recording", new, {**options, "policy": before})
            sources = [*sources, {**_source(run), "root": str(new)}]
        if number or before is None:
            command = partial(_fit, run, folder, sources, before)
            yield Stage(f"{title}: training", folder, folder / "fit.json", command)
            before = str(folder)
        for key, options in run.options.get("evaluate", {}).items():
            judged = evaluation(folder, key)
            words = options_of("evaluate", {"films": 0, "plans": 0, "baselines": "", "workers": 0, **options})
            command = partial(list, [*words, "--policy", before, "--output", str(judged)])
            yield Stage(f"{title}: {key}", judged, judged / "results.json", command)


def evaluation(folder: Path, key: str) -> Path:
    """Where a round of a run is judged."""
    return folder.with_name(f"{folder.name}-{key}")


def _record(title: str, folder: Path, options: dict[str, Any]) -> Stage:
    words = [*options_of("record", {"workers": 1, **options}), "--output", str(folder)]
    return Stage(title, folder, folder / "recording.json", lambda: [*words, *(["--resume"] if folder.exists() else [])])


def _source(run: Run) -> dict[str, Any]:
    kept = {key: value for key, value in run.sources[0].items() if key != "episodes"} if run.sources else {}
    return kept | run.options.get("corrections", {}).get("source", {})


def _fit(run: Run, folder: Path, sources: list[dict[str, Any]], before: str | None) -> list[str]:
    """Training with its budget, which begins anew in every round."""
    from unified.training.checkpoints import list_checkpoints, newest_checkpoint, read_checkpoint

    spent_steps, spent_seconds, start = 0, 0.0, []
    if before is not None:
        path = Path(before) if before.endswith(".ckpt") else newest_checkpoint(Path(before))
        stored = read_checkpoint(path, mmap=True)
        timer = stored.get("callbacks", {}).get("CpuTimer", {})
        spent_steps, spent_seconds = stored["global_step"], timer.get("time_elapsed", {}).get("train", 0.0)
        start = ["--ckpt_path", str(path)]
    if list_checkpoints(folder):
        start = ["--ckpt_path", "last"]
    trainer = parse(run.words()).resolve().get("trainer") or {}
    callbacks = [each for each in trainer.get("callbacks") or () if each.get("class_path") != CPU_TIMER]
    steps = -1
    if run.unit == "steps":
        steps = spent_steps + round(run.budget)
    else:
        callbacks.append(
            {"class_path": CPU_TIMER, "init_args": {"duration": _duration(spent_seconds + 60 * run.budget)}}
        )
    limits = {"max_steps": steps, "max_epochs": -1, "max_time": None, "callbacks": callbacks}
    given = {f"trainer.{key}": value for key, value in limits.items()}
    return [*run.words(), *as_words({**given, "data.sources": sources, "run_dir": str(folder)}), *start]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(1, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours // 24:02d}:{hours % 24:02d}:{minutes:02d}:{rest:02d}"
