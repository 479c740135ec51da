"""Films at validation: what came, and what the model dreams of it from its first moment on."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from unified.errors import check_numbers
from unified.model.batch import Batch
from unified.model.model import UnifiedModel
from unified.model.spec import ACTION
from unified.model.stream import VIDEO
from unified.report.strips import to_film
from unified.report.video import Film, enlarge, error_map, side_by_side, stack
from unified.rollout.dreams.dream import dream_film
from unified.training.callbacks.dashboard import add_film

FRAMES_PER_SECOND = 2.0


class Films(pl.Callback):
    """Logs films of the first held-out windows at validation: truth, dream and their difference.

    Args:
        every_n_validations: 0 logs none.
        rows: windows in the film, one under the other.
        num_steps: denoise steps.
    """

    def __init__(self, every_n_validations: int = 1, rows: int = 3, num_steps: int = 4):
        check_numbers(prefix="films.", least=0, every_n_validations=every_n_validations)
        check_numbers(prefix="films.", least=1, rows=rows, num_steps=num_steps)
        self.every_n_validations, self.rows, self.num_steps = every_n_validations, rows, num_steps
        self._validations = 0

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if batch_idx or trainer.sanity_checking or not trainer.is_global_zero or not isinstance(batch, Batch):
            return
        self._validations += 1
        if not self.every_n_validations or self._validations % self.every_n_validations:
            return
        model: UnifiedModel = pl_module.model  # pyright: ignore[reportAssignmentType]
        first = batch.select(torch.arange(min(self.rows, len(batch)), device=batch.images.device))
        for name, query in getattr(pl_module, "queries", {}).items():
            if VIDEO in query.wanted and set(query.given) <= {ACTION} and model.history.has_learned(name):
                dream = dream_film(model, first.window(0, 0), first.between[ACTION], query, num_steps=self.num_steps)
                film = comparison(first, dream)
                add_film(trainer, f"film/{name}", film, FRAMES_PER_SECOND, trainer.global_step)


def comparison(batch: Batch, imagined: Tensor, size: int = 128) -> Film:
    """Truth, dream and difference side by side, one row a window, the first camera; they begin at the same moment."""
    rows: list[Film] = []
    for index in range(len(batch)):
        truth = to_film(batch.images[index, :, 0])
        dream = to_film(torch.cat([batch.images[index, :1, 0].cpu(), imagined[index, :, 0]]))
        parts = [truth, dream, error_map(truth, dream)]
        rows.append(side_by_side([enlarge(part, size) for part in parts], ["truth", "dream", "difference x3"]))
    return stack(rows)
