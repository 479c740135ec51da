"""How far a run is, and its learning rate over it: warm-up, flat, straight line to zero.

A run is measured by its optimiser steps, or by the clock when it was given a time and not a number of steps. Short runs
live from the last part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from unified.errors import check_numbers


def run_progress(trainer: pl.Trainer, global_step: int) -> float:
    """Share of the run that is done, 0 to 1; with both `max_steps` and `max_time`, of the limit that is nearer."""
    shares = [0.0]
    timer = next((callback for callback in trainer.callbacks if isinstance(callback, Timer)), None)  # pyright: ignore[reportAttributeAccessIssue]
    if trainer.max_steps > 0:
        shares.append(global_step / trainer.max_steps)
    if timer is not None and timer.time_remaining() is not None:
        elapsed = timer.time_elapsed()
        budget = elapsed + (timer.time_remaining() or 0.0)
        # Clocks differ between processes, and a rate that differs would let their weights drift apart.
        shares.append(trainer.strategy.broadcast(elapsed / budget))
    if len(shares) == 1 and trainer.max_epochs not in (None, -1):
        shares.append(global_step / max(trainer.estimated_stepping_batches, 1))
    return min(1.0, max(shares))


@dataclass(frozen=True)
class Schedule:
    """Shape of the learning rate.

    Attributes:
        warmup_steps: optimiser steps from near zero to the full rate.
        flat: share of the run after which the rate falls in a straight line to zero; 1 never falls.
    """

    warmup_steps: int = 100
    flat: float = 0.4

    def __post_init__(self) -> None:
        check_numbers(prefix="schedule.", least=0, warmup_steps=self.warmup_steps)
        check_numbers(prefix="schedule.", least=0, most=1, flat=self.flat)

    def factor(self, global_step: int, progress: float) -> float:
        """Share of the full learning rate at this optimiser step, `progress` (0 to 1) into the run."""
        warmup = min(1.0, (global_step + 1) / max(self.warmup_steps, 1))
        left = 1.0 if self.flat == 1 else min(1.0, max(0.0, (1 - progress) / (1 - self.flat)))
        return warmup * left


class ProgressSchedule(LRScheduler):
    """Sets every group's rate to its own times `Schedule.factor`.

    Args:
        optimizer: what to steer.
        schedule: the shape.
        progress: how far the run is, from 0 to 1, given the number of optimiser steps done. It may depend on the clock
            (`trainer.max_time`); then a run cannot be repeated to the bit.
    """

    def __init__(self, optimizer: Optimizer, schedule: Schedule, progress: Callable[[int], float]):
        self.schedule, self.progress = schedule, progress
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The rates of all groups now."""
        factor = self.schedule.factor(self.last_epoch, self.progress(self.last_epoch))
        return [rate * factor for rate in self.base_lrs]  # pyright: ignore[reportOperatorIssue, reportReturnType]

    def state_dict(self) -> dict[str, Any]:
        """Plain values only: a checkpoint holds no code."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue at the stored step with this run's own rates, which the command line may have changed."""
        self.last_epoch = state_dict["last_epoch"]
