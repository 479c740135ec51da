"""How far the run is: one bar on a terminal, plain lines where output goes anywhere else."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from unified.training.schedule import run_progress

LINE_SECONDS = 30.0


class RunProgress(ProgressBar):
    """Steps of the whole run, its loss and the time left, which a limit by the clock shortens.

    Where output is no terminal a line is written at the first step, every half minute and at the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: Progress | None = None
        self._is_enabled = True
        self._started = self._written = 0.0
        self._share = 0.0

    def disable(self) -> None:
        """For all processes but the first."""
        self._is_enabled = False

    def enable(self) -> None:
        """Show it again."""
        self._is_enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started, self._written = time.monotonic(), 0.0
        self._share = run_progress(trainer, trainer.global_step)
        console = Console(file=sys.stdout)
        if self._is_enabled and console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
            self._bar = Progress(*columns, TimeRemainingColumn(), console=console)
            self._bar.add_task("training", total=1.0)
            self._bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        share = run_progress(trainer, trainer.global_step)  # in all processes: it may compare their clocks
        now = time.monotonic()
        is_last = trainer.should_stop or trainer.global_step == trainer.max_steps
        if not self._is_enabled or (self._bar is None and now - self._written < LINE_SECONDS and not is_last):
            return
        self._written = now
        total = f" of {trainer.max_steps}" if trainer.max_steps > 0 else ""
        loss = trainer.progress_bar_metrics.get("loss")
        text = f"step {trainer.global_step}{total}" + ("" if loss is None else f", loss {float(loss):.4g}")
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=share, description=text)
            return
        done = share - self._share
        left = (now - self._started) * (1 - share) / done if done > 0 else None
        sys.stdout.write(f"{text}, {share:.0%}{'' if left is None else f', {_duration(left)} left'}\n")
        sys.stdout.flush()

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Above the bar."""
        (self._bar.console.print if self._bar is not None else sys.stdout.write)(" ".join(map(str, args)) + "\n")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"
