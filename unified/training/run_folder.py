"""A run's folder: what was run, with which versions, and every number that it logged."""

import importlib.metadata
import json
import math
import platform
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

import unified
from unified.atomic import write_text

PACKAGES = ("torch", "pytorch-lightning", "lerobot", "mujoco", "numpy")


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


class MetricsFile(Logger):
    """Appends every logged number to `<run>/metrics.jsonl`, one line a step.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path):
        super().__init__()
        self.path = folder / "metrics.jsonl"

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
