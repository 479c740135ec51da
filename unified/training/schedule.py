"""Learning rate over a run: warm-up, flat, straight line to zero. Short runs live from the last part."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


@dataclass(frozen=True)
class Schedule:
    """Shape of the learning rate.

    Attributes:
        warmup_steps: optimiser steps from near zero to the full rate.
        flat: share of the run after which the rate falls in a straight line to zero; 1 never falls.
    """

    warmup_steps: int = 100
    flat: float = 0.4

    def factor(self, global_step: int, progress: float) -> float:
        """Share of the full learning rate at this optimiser step, `progress` (0 to 1) into the run."""
        warmup = min(1.0, (global_step + 1) / max(self.warmup_steps, 1))
        left = 1.0 if self.flat >= 1 else min(1.0, max(0.0, (1 - progress) / (1 - self.flat)))
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
