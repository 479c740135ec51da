"""When a run saves itself: every so many steps, at the end, and when somebody wants it to stop."""

import signal
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from unified.errors import UserError, check_numbers
from unified.training.callbacks.average import averaged_weights
from unified.training.checkpoints import list_checkpoints, step_path

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interrupted(SystemExit):
    """Somebody asked the run to stop; everything is saved. The exit status is 128 plus the signal."""

    def __init__(self, signum: int, checkpoint: Path | None):
        super().__init__(128 + signum)
        self.signum, self.checkpoint = signum, checkpoint


class Checkpointing(Checkpoint):
    """Saves checkpoints of the whole training state and, beside them, the averaged model for use elsewhere.

    Ctrl-C, SIGTERM and a terminal that closes (SIGHUP) end the run after the current step, with a checkpoint; a second
    Ctrl-C ends it at once. A signal that is ignored, as `nohup` has it, stays so.

    Args:
        every_n_steps: optimiser steps between checkpoints; 0: only when the run ends.
        keep: how many of the latest to keep; -1 keeps all.
        export: write `<run>/pretrained` with every checkpoint (`UnifiedModel.from_pretrained` reads it).
    """

    def __init__(self, every_n_steps: int = 1000, keep: int = 2, export: bool = True):
        super().__init__()
        check_numbers(prefix="checkpoints.", least=0, every_n_steps=every_n_steps)
        if keep != -1 and keep < 1:
            raise UserError(f"checkpoints.keep must be at least 1, or -1 to keep all, got {keep}.")
        self.every_n_steps, self.keep, self.export = every_n_steps, keep, export
        self._signal: int | None = None
        self._handlers: dict[int, Any] = {}
        self._saved_step = self._exported_step = -1

    # ------------------------------------------------------------------ signals

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signals from Lightning, whose handlers save nothing and exit with 0 or 1."""

        def remember(signum: int, frame: Any) -> None:
            if self._signal == signal.SIGINT == signum:
                raise Interrupted(signum, None)
            self._signal = signum
            launcher = trainer.strategy.launcher
            if signum == signal.SIGTERM and launcher is not None:
                launcher.kill(signum)  # the other ranks, which nobody else tells

        numbers = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        self._handlers = {number: signal.signal(number, remember) for number in numbers}

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._handlers = {}

    # ------------------------------------------------------------------ saving

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time, and stop if somebody asked for it."""
        step = trainer.global_step
        signum = self._agreed_signal(trainer)
        is_last = trainer.should_stop or step == trainer.max_steps or self._is_end_of_last_epoch(trainer)
        is_due = self.every_n_steps > 0 and step % self.every_n_steps == 0
        is_new = step != self._saved_step and self._is_step_complete(trainer, batch_idx)
        if is_new and (is_due or is_last or signum is not None):
            self.save(trainer, pl_module)
        if signum is not None:
            # Lightning logs a step only after this hook, and this is where the run ends.
            trainer._logger_connector.update_train_step_metrics()  # pyright: ignore[reportPrivateUsage]
            raise Interrupted(signum, step_path(run_dir(trainer), self._saved_step) if self._saved_step >= 0 else None)

    def save(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the training state, then the pretrained folder, then remove what is too old."""
        if trainer.fast_dev_run:  # pyright: ignore[reportAttributeAccessIssue]
            return
        folder = run_dir(trainer)
        trainer.save_checkpoint(step_path(folder, trainer.global_step))
        self._saved_step = trainer.global_step
        if trainer.is_global_zero:
            self._export(trainer, pl_module)
            for path in list_checkpoints(folder)[: -self.keep] if self.keep > 0 else []:
                path.unlink()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Export what a run resumed at its end was killed before exporting."""
        if trainer.is_global_zero and self._exported_step != trainer.global_step and not trainer.fast_dev_run:  # pyright: ignore[reportAttributeAccessIssue]
            self._export(trainer, pl_module)

    def _export(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.export:
            export_pretrained(trainer, pl_module)
            self._exported_step = trainer.global_step

    def state_dict(self) -> dict[str, Any]:
        return {"saved_step": self._saved_step}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._saved_step = state_dict["saved_step"]

    def _agreed_signal(self, trainer: pl.Trainer) -> int | None:
        if trainer.world_size == 1:
            return self._signal
        is_asked = trainer.strategy.reduce_boolean_decision(self._signal is not None, all=False)
        return (self._signal or signal.SIGTERM) if is_asked else None

    def _is_step_complete(self, trainer: pl.Trainer, batch_idx: int) -> bool:
        # Half-accumulated gradients are not part of a checkpoint.
        return (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or bool(trainer.is_last_batch)

    def _is_end_of_last_epoch(self, trainer: pl.Trainer) -> bool:
        return bool(trainer.is_last_batch) and trainer.current_epoch + 1 == trainer.max_epochs


def run_dir(trainer: pl.Trainer) -> Path:
    """The folder of a run, where everything that it writes lies."""
    return Path(trainer.default_root_dir)


def export_pretrained(trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
    """Write the averaged model to `<run>/pretrained`, if the task trains one that can be exported."""
    model = getattr(pl_module, "model", None)
    if not hasattr(model, "save_pretrained"):
        return
    average = averaged_weights(trainer)
    with average.averaged(pl_module) if average else nullcontext():
        model.save_pretrained(run_dir(trainer) / "pretrained")  # pyright: ignore[reportOptionalMemberAccess]
