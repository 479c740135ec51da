"""A small real data set, and the config of a run on it that takes seconds."""

import contextlib
import copy
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.data.recordings import record
from unified.training.options import merge

CONFIG: dict[str, Any] = {
    "seed_everything": 0,
    "trainer": {
        "max_steps": 8,
        "accelerator": "cpu",
        "devices": 1,
        "log_every_n_steps": 2,
        "check_val_every_n_epoch": None,
        "val_check_interval": 4,
        "enable_progress_bar": False,
        "gradient_clip_val": 1.0,
    },
    "data": {"image_size": 16, "batch_size": 8, "num_moments": 3, "frame_stride": 2, "action_horizon": 4},
    "model": {
        "class_path": "tasks.WorldAction",
        "init_args": {
            "network": {
                "dim": 32,
                "depth": 3,
                "num_heads": 2,
                "num_registers": 1,
                "text_dropout": 0.2,
                "text": {
                    "class_path": "decoders.observation.TextEncoder",
                    "init_args": {"num_buckets": 64, "word_dim": 16},
                },
                "observation": {
                    "class_path": "decoders.observation.ObservationEncoder",
                    "init_args": {"patch_size": 8},
                },
                "decoders": {
                    "plan": {"class_path": "decoders.actions.PlanDecoder"},
                    "action": {"class_path": "decoders.actions.ActionDecoder"},
                    "video": {"class_path": "decoders.pixels.PixelDecoder", "init_args": {"patch_size": 8}},
                    "proprio": {"class_path": "decoders.proprio.ProprioDecoder"},
                },
            },
            "schedule": {"warmup_steps": 2},
        },
    },
    "checkpoints": {"every_n_steps": 4},
}


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """Demonstrations and play of one body, 16 x 16 pixels."""
    folder = tmp_path_factory.mktemp("recordings")
    for name, is_demonstration in (("demonstrations", True), ("play", False)):
        record(
            folder / name,
            lengths=(20, 15, 18),
            size=(16, 16),
            has_expert=is_demonstration,
            provenance={"embodiment": "toy", "is_demonstration": is_demonstration},
            seed=int(is_demonstration),
        )
    return [{"root": str(folder / name)} for name in ("demonstrations", "play")]


@pytest.fixture
def write_config(tmp_path: Path, sources: list[dict[str, str]]) -> Callable[..., Path]:
    """Write the config above with changes laid over it; returns the file."""

    def write(name: str = "run", **changes: Any) -> Path:
        values = copy.deepcopy(CONFIG)
        values["data"]["sources"] = sources
        merge(values, changes)
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        return path

    return write


@pytest.fixture
def unified(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `unified` as users do, as a program of its own, in `tmp_path`; none of its processes outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        root = Path(__file__).resolve().parents[2]
        path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
        process = subprocess.Popen(
            [sys.executable, "-m", "unified", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
