"""A limit in processor time, for what is to be compared on a machine that others use too."""

import time

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.trainer.states import RunningStage


class CpuTimer(Timer):
    """Lightning's `Timer`, counting the seconds that all threads of this process have computed instead of the clock's.

    Fifteen minutes then are the same number of steps whether the cores are idle or shared. Processes that read ahead
    (`data.num_workers`) are not counted.

    Args:
        duration: "days:hours:minutes:seconds", two digits each.
    """

    _start: float | None = None

    def __init__(self, duration: str):
        super().__init__(duration)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start = time.process_time()

    def time_elapsed(self, stage: str = RunningStage.TRAINING) -> float:
        """Processor time of the training, validation included, and of what it resumes, seconds."""
        return self._offset + (0.0 if self._start is None else time.process_time() - self._start)
