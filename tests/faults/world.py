"""A folder with one of everything that commands read: recordings, foreign data sets, a trained run, a suite."""

import contextlib
import copy
import importlib
import io
import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.data.recordings import record
from tests.data.strangers import write_stand_ins
from tests.faults.forks import run_command
from tests.training.conftest import CONFIG

SUITE = {
    "name": "one",
    "env_kwargs": {"cameras": ["corner2"], "image_size": 16},
    "max_env_steps": 4,
    "episodes_per_task": 1,
    "first_seed": {"train": 0, "test": 100},
    "tasks": [{"env_id": "sims:MetaWorld-reach-v3", "group": "easy"}],
}
RECORD = ("record", "--suite", "suite.yaml", "--policy", "random", "--keep-failures", "--workers", "1")
FIT = ("fit", "-c", "run.yaml", "--run_dir", "run")
WARM = (
    *("gymnasium", "metaworld", "sims", "unified.commands.evaluate", "unified.judging.evaluation"),
    *(
        "unified.judging.open_loop",
        "unified.report.strips",
        "unified.rollout.recording.record",
        "unified.training.lightning",
    ),
)
EVALUATE = ("evaluate", "--policy", "random", "--suite", "suite.yaml", "--workers", "0", "--films", "0")


def warm_up(world: Path) -> None:
    """Write a world, and import what commands import: once for all forks."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["HF_HUB_OFFLINE"] = "1"
    from unified.cli import main
    from unified.rollout.rendering import configure_rendering

    configure_rendering(announce=False)
    for name in WARM:
        importlib.import_module(name)
    build_world(world)
    with contextlib.chdir(world), contextlib.redirect_stdout(io.StringIO()):
        assert main([*FIT[:-1], "new", "--print-model"]) == 0


def build_world(folder: Path) -> Path:
    """Write it all: set, robot_franka_usb, driving_rc_car, suite.yaml, run.yaml, run, sim, judged; its folder."""
    folder.mkdir(parents=True)
    record(folder / "set", lengths=(9, 8, 9), size=(16, 16), provenance={"embodiment": "toy", "is_demonstration": True})
    write_stand_ins(folder, episodes=2, rows=40)
    (folder / "suite.yaml").write_text(yaml.safe_dump(SUITE))
    config: dict[str, Any] = copy.deepcopy(CONFIG)
    config["data"] |= {"sources": [{"root": "set"}], "val_batches": 1}
    config["trainer"] |= {"max_steps": 1, "val_check_interval": 1}
    config["checkpoints"] = {"every_n_steps": 1}
    (folder / "run.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    commands = (FIT, (*RECORD, "--episodes", "1", "--output", "sim"), (*EVALUATE, "--output", "judged"))
    for argv in commands:
        made = run_command(argv, folder, 300)
        assert made.status == 0, f"{argv}: {made}"
    return folder


def copy_world(world: Path, target: str, folder: Path) -> None:
    """Links to a prepared folder's entries, and a real copy of the part that will be damaged."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    part = target.split("/")[0]
    for entry in world.iterdir():
        if entry.name != part:
            (folder / entry.name).symlink_to(entry)
        elif entry.is_dir():
            shutil.copytree(entry, folder / part)
        else:
            shutil.copy2(entry, folder / part)
