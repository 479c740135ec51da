"""A task and a schedule of one's own, named by class path: their options are kept, and what they compute is logged."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from tasks.world_action import WorldAction
from unified.model.batch import Batch
from unified.training.checkpoints import list_checkpoints, read_checkpoint
from unified.training.cli import main
from unified.training.schedule import Schedule


class Penalised(WorldAction):
    """Adds a number to the loss."""

    def __init__(self, penalty: float = 100.0, names: tuple[str, ...] = ("a",), **options: Any):
        super().__init__(**options)
        self.penalty = penalty

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) + self.penalty


@dataclass(frozen=True)
class Halving(Schedule):
    """The rate of `Schedule`, halved so many times."""

    times: int = 1

    def factor(self, global_step: int, progress: float) -> float:
        return super().factor(global_step, progress) / 2**self.times


def test_options_of_a_task_and_a_schedule_of_ones_own_are_kept(
    write_config: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schedule = {"class_path": f"{__name__}.Halving", "init_args": {"times": 3, "warmup_steps": 0, "flat": 1.0}}
    config = write_config(
        model={"class_path": f"{__name__}.Penalised", "init_args": {"penalty": 50.0, "schedule": schedule}},
        trainer={"max_steps": 2, "limit_val_batches": 0, "log_every_n_steps": 1},
    )
    fit = ["fit", "-c", str(config), "--run_dir", str(tmp_path / "run")]
    assert main(fit) == 0
    options = read_checkpoint(list_checkpoints(tmp_path / "run")[-1])["hyper_parameters"]
    assert (options["penalty"], options["names"], options["queries"]) == (50.0, ["a"], None)
    assert options["schedule"]["init_args"] == {"warmup_steps": 0, "flat": 1.0, "times": 3}
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert rows[0]["train/loss"] > 50
    assert rows[0]["lr/0_muon"] == pytest.approx(0.02 / 8)
    assert main([*fit, "--ckpt_path", "last", "--trainer.max_steps", "4", "--model.penalty", "7.0"]) == 0
    assert "penalty: 50.0 in the checkpoint, 7.0 now" in capsys.readouterr().out
