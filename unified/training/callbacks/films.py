"""Films at validation: what was seen, what came, and what the model said would come."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from unified.errors import check_numbers
from unified.model.batch import Batch, images_to_uint8
from unified.report.video import Film, enlarge, error_map, side_by_side, stack
from unified.training.callbacks.dashboard import add_film

FRAMES_PER_SECOND = 2.0


class Films(pl.Callback):
    """Logs films of the first held-out windows at validation: truth, prediction and their difference.

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
        if not self.every_n_validations or self._validations % self.every_n_validations or batch.video is None:
            return
        first = batch.select(torch.arange(min(self.rows, len(batch)), device=batch.video.device))
        for name, query in getattr(pl_module, "queries", {}).items():
            if "video" in query.wanted:
                generator = torch.Generator(pl_module.device).manual_seed(0)
                answer = pl_module.model.sample(first, query, num_steps=self.num_steps, generator=generator)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
                add_film(
                    trainer, f"film/{name}", comparison(first, answer["video"]), FRAMES_PER_SECOND, trainer.global_step
                )


def comparison(batch: Batch, predicted: Tensor, size: int = 128) -> Film:
    """Truth, prediction and difference side by side, one row a window, the first camera; starts at the frame of now."""
    assert batch.video is not None
    rows: list[Film] = []
    for index in range(len(batch)):
        now = batch.observation.images[index, 0, -1:]
        truth = _film(torch.cat([now, batch.video[index, 0]]))
        imagined = _film(torch.cat([now, predicted[index, 0].float()]))
        parts = [truth, imagined, error_map(truth, imagined)]
        rows.append(side_by_side([enlarge(part, size) for part in parts], ["what came", "predicted", "difference"]))
    return stack(rows)


def _film(frames: Tensor) -> Film:
    return np.ascontiguousarray(images_to_uint8(frames).movedim(-3, -1).cpu().numpy())
