"""Exponential moving average of the weights: validation, films, judging and export use it."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from unified.errors import check_numbers


class AveragedWeights(WeightAveraging):
    """Keeps averaged weights; they stand in for the trained ones during validation and after the end.

    Args:
        decay: share of the old average that stays at each step; during the first steps less, min(decay, (s+1)/(s+20)),
            so that short runs do not average in their random start.
    """

    def __init__(self, decay: float = 0.999):
        check_numbers(prefix="ema.", least=0, below=1, decay=decay)
        super().__init__(use_buffers=False, multi_avg_fn=self._average)
        self.decay = decay
        self._is_swapped = False

    def _average(self, averages: Any, current: Any, num_averaged: Tensor | int) -> None:
        step = self._latest_update_step
        decay = min(self.decay, (step + 1) / (step + 20))
        torch._foreach_lerp_(list(averages), list(current), 1 - decay)

    @contextmanager
    def averaged(self, module: pl.LightningModule) -> Generator[None]:
        """Let `module` hold the averaged weights inside the block."""
        if self._average_model is None or self._is_swapped:
            yield
            return
        self._swap_models(module)
        try:
            yield
        finally:
            self._swap_models(module)

    def _swap_models(self, pl_module: pl.LightningModule) -> None:
        super()._swap_models(pl_module)
        self._is_swapped = not self._is_swapped

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Give the trained weights back if validation broke off, so that nobody saves the average in their place."""
        if self._is_swapped:
            self._swap_models(pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._average_model is not None:
            super().on_train_end(trainer, pl_module)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # Outside of fit the state_dict, which holds the average, is what is wanted.
        if self._average_model is not None:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self._average_model is not None:
            super().on_save_checkpoint(trainer, pl_module, checkpoint)


def averaged_weights(trainer: pl.Trainer) -> AveragedWeights | None:
    """The run's average, if it keeps one."""
    return next((item for item in trainer.callbacks if isinstance(item, AveragedWeights)), None)  # pyright: ignore[reportAttributeAccessIssue]
