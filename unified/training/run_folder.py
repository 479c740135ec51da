"""A run's folder: whose it is, what was run, with which versions, and every number that it logged."""

import fcntl
import importlib.metadata
import json
import math
import os
import platform
import re
import shlex
import shutil
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

import unified
from unified.atomic import write_text
from unified.errors import UserError
from unified.training.checkpoints import list_checkpoints

PACKAGES = ("torch", "pytorch-lightning", "lerobot", "mujoco", "numpy")
FOLDER_VARIABLE = "UNIFIED_RUN_FOLDER"  # set for the processes of other devices only
LOCK, METRICS, TENSORBOARD = ".lock", "metrics.jsonl", "tensorboard"
JOBS = (  # variables of schedulers: a job's id, its place in an array of jobs
    ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"),
    ("SLURM_JOB_ID", ""),
    ("PBS_JOBID", "PBS_ARRAY_INDEX"),
    ("LSB_JOBID", "LSB_JOBINDEX"),
    ("JOB_ID", "SGE_TASK_ID"),
)


@contextmanager
def new_folder(name: str) -> Generator[Path]:
    """A folder for a new run, runs/NAME, or in a scheduler's job runs/NAME-job<id>; no other process gets it meanwhile.

    Where that is taken, holds a run or anything else, it is -2, -3, ... of it.
    """
    first = Path("runs") / f"{name}{job_suffix()}"
    for folder in (first, *(first.with_name(f"{first.name}-{number}") for number in range(2, 10_000))):
        if _may_hold_run(folder):
            with _lock(folder) as is_ours:
                if is_ours and _may_hold_run(folder):
                    yield folder
                    return
    raise UserError(f"{first} to -9999 are taken. Choose another --run_dir.")


@contextmanager
def held_folder(folder: Path) -> Generator[Path]:
    """This folder, held for one process.

    Raises:
        UserError: if another process holds it.
    """
    with _lock(folder) as is_ours:
        if not is_ours:
            raise UserError(f"Another process trains in {folder}. Wait for its end, or choose another --run_dir.")
        yield folder


def latest_folder(name: str) -> Path:
    """The folder of the run NAME that was written to last; a job of an array goes on with the one of its own place."""
    suffix = job_suffix()
    others = re.sub(r"\d+", r"\\d+", suffix, count=1) if "_" in suffix else r"(-job\d+)?"
    runs = [path for path in Path("runs").glob("*") if list_checkpoints(path)]
    for kind in filter(None, (re.escape(suffix), others)):
        found = [path for path in runs if re.fullmatch(rf"{re.escape(name)}{kind}(-\d+)?", path.name)]
        if found:
            return max(found, key=lambda path: list_checkpoints(path)[-1].stat().st_mtime)
    return Path("runs") / f"{name}{suffix}"


def job_suffix() -> str:
    """Give "-job<id>", or "-job<array>_<place>" for one of an array of jobs; empty outside of a scheduler's jobs."""
    for job, place in JOBS:
        number = re.match(r"\d+", os.environ.get(job, ""))
        if number and (job != "JOB_ID" or place in os.environ):  # others than a scheduler may set that one
            index = os.environ.get(place, "")
            return f"-job{number.group()}{f'_{index}' if index.isdigit() else ''}"
    return ""


def _may_hold_run(folder: Path) -> bool:
    """Whether a folder is new, empty or of a run that saved nothing; one of that name may be a data set."""
    if not folder.exists():
        return True
    if (folder / "command.txt").exists():
        return not list_checkpoints(folder)
    return folder.is_dir() and all(path.name == LOCK for path in folder.iterdir())


@contextmanager
def _lock(folder: Path) -> Generator[bool]:
    """Try to hold a folder, made if there is none; an empty one is removed at the end.

    The system lets go of the lock when the process ends, however that comes; children do not inherit it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    with path.open("ab") as file:
        is_ours = False
        with suppress(BlockingIOError, PermissionError, FileNotFoundError):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.path.samestat(os.fstat(file.fileno()), path.stat())  # and not one that its holder removed
        try:
            yield is_ours
        finally:
            if is_ours:
                path.unlink(missing_ok=True)
                with suppress(OSError):
                    folder.rmdir()


class SharedFolder(pl.Callback):
    """All processes write where the first one does: a cluster starts each by itself, and each would choose its own."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        trainer._default_root_dir = trainer.strategy.broadcast(trainer.default_root_dir)  # pyright: ignore[reportAttributeAccessIssue]


def describe_run(folder: Path, argv: list[str]) -> None:
    """Write versions.json (packages, machine, git commit) and append the command line to command.txt."""
    versions = {"unified": unified.__version__, "python": platform.python_version(), "machine": platform.platform()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    write_text(folder / "versions.json", json.dumps({**versions, **git_state()}, indent=2) + "\n")
    with (folder / "command.txt").open("a", encoding="utf-8") as file:
        file.write(f"unified {shlex.join(argv)}\n")


def git_state() -> dict[str, Any]:
    """Commit of this project's checkout and whether files differ from it; empty outside of a checkout."""
    root = Path(unified.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {}
    try:
        commit = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            ["git", "-C", root, "status", "--porcelain"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"git_commit": commit.stdout.strip(), "git_is_dirty": bool(changed.stdout.strip())}


def remove_metrics(folder: Path) -> None:
    """Forget what a run logged that saved nothing and so cannot go on: another one's numbers would follow its own."""
    (folder / METRICS).unlink(missing_ok=True)
    shutil.rmtree(folder / TENSORBOARD, ignore_errors=True)


class MetricsFile(Logger):
    """Appends every logged number to `<run>/metrics.jsonl`, one line a step.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path):
        super().__init__()
        self.path = folder / METRICS

    @property
    def name(self) -> str:
        """Of this logger."""
        return "metrics"

    @property
    def version(self) -> str:
        """There is one a run."""
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> Path:
        """The file."""
        return self.path

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        finite = {key: float(value) if math.isfinite(value) else None for key, value in metrics.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **finite}) + "\n")

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """They stand in config.yaml."""
