"""Stops a run before a loss, gradient or weight that is not finite can spoil what is saved."""

import json
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch
from safetensors.torch import save_file
from torch import Tensor

from unified.atomic import atomic_path
from unified.errors import UserError
from unified.training.callbacks.checkpointing import run_dir
from unified.training.checkpoints import list_checkpoints, tensors_of


class FiniteGuard(pl.Callback):
    """Checks loss and gradient norm before every update, and the weights after it.

    If one is not finite the run ends with an error; nothing is saved any more, so the last checkpoint stays, and the
    batch is stored under `<run>/not_finite/`. Logs `train/grad_norm`.
    """

    def __init__(self) -> None:
        self._batch: Any = None
        self._loss: Tensor | None = None
        self._step = 0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._batch = batch

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        self._loss = loss.detach()
        self._step = trainer.global_step

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        assert self._loss is not None
        gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        # A gradient scaler (16-mixed) skips steps whose gradient overflows; that is its way to find its scale.
        is_scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        is_fine = bool(torch.isfinite(self._loss if is_scaled else self._loss + norm))
        if trainer.world_size > 1:
            is_fine = trainer.strategy.reduce_boolean_decision(is_fine, all=True)
        if not is_fine:
            what = "gradient" if torch.isfinite(self._loss) and not torch.isfinite(norm) else "loss"
            self._stop(trainer, f"the {what} is not finite ({self._where(pl_module)}). Nothing was updated")
        if (self._step + 1) % max(trainer.log_every_n_steps, 1) == 0:  # pyright: ignore[reportAttributeAccessIssue]
            pl_module.log("train/grad_norm", norm)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        is_updated = trainer.global_step > self._step
        if is_updated and not torch.isfinite(torch.nn.utils.get_total_norm(pl_module.parameters())):
            self._stop(trainer, "the weights are not finite after the update. They were not saved")

    def _stop(self, trainer: pl.Trainer, fault: str) -> NoReturn:
        path = run_dir(trainer) / "not_finite" / f"step-{self._step:08d}-rank{trainer.global_rank}.safetensors"
        store_batch(self._batch, path)
        saved = list_checkpoints(run_dir(trainer))
        resume = f"the last good checkpoint is {saved[-1]}" if saved else "there is no earlier checkpoint"
        raise UserError(
            f"Step {self._step}: {fault}; {resume}; the batch is in {path}. "
            "Remove bad data, or lower the learning rate."
        )

    def _where(self, pl_module: pl.LightningModule) -> str:
        for name, tensor in tensors_of(self._batch):
            bad = ~torch.isfinite(tensor)
            if tensor.is_floating_point() and bad.any():
                rows = torch.nonzero(bad.flatten(1).any(dim=1)).flatten().tolist() if tensor.ndim > 1 else []
                return f"input {name} is not finite in rows {rows[:8]}"
        for (query, stream), (rows, losses) in getattr(pl_module, "row_losses", {}).items():
            bad = rows[~torch.isfinite(losses)]
            if len(bad):
                return f"all inputs are finite; query {query}, stream {stream}, rows {bad.tolist()[:8]}"
        return "all inputs and losses of single rows are finite"


def store_batch(batch: Any, path: Path) -> None:
    """Write a batch's tensors as safetensors, with its instructions in the metadata."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors_of(batch)}
    task = getattr(batch, "task", ())
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"task": json.dumps(list(task))})
