"""A limit in processor time: computing counts, waiting does not, and a resumed run goes on counting."""

import time

import pytest
import pytorch_lightning as pl
from pytorch_lightning.demos.boring_classes import BoringModel

from unified.training.callbacks.cpu_timer import CpuTimer
from unified.training.schedule import run_progress

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning", "ignore:.*does not have many workers")


class Busy(BoringModel):
    """Every step takes 40 ms, by computing or by waiting."""

    def __init__(self, computes):
        super().__init__()
        self.computes = computes
        self.shares = []

    def training_step(self, batch, batch_idx):
        end = time.perf_counter() + 0.04
        while self.computes and time.perf_counter() < end:
            pass
        time.sleep(max(0.0, end - time.perf_counter()))  # what must not be counted
        self.shares.append(run_progress(self.trainer, self.global_step))
        return super().training_step(batch, batch_idx)


def fit(model, tmp_path, max_steps):
    timer = CpuTimer("00:00:00:01")
    trainer = pl.Trainer(
        max_steps=max_steps, max_epochs=-1, callbacks=[timer], accelerator="cpu", default_root_dir=tmp_path,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(model)
    return trainer, timer


def test_a_run_that_computes_stops_and_its_progress_is_the_share_of_the_limit(tmp_path):
    model = Busy(computes=True)
    trainer, timer = fit(model, tmp_path, max_steps=500)
    assert 2 < trainer.global_step < 500  # how many fit into a second is the processor's affair
    assert timer.time_elapsed() == pytest.approx(1.0, abs=0.3)
    assert model.shares == sorted(model.shares)
    assert model.shares[-1] > 0.8


def test_a_run_that_waits_is_not_stopped(tmp_path):
    trainer, timer = fit(Busy(computes=False), tmp_path, max_steps=35)  # 1.4 s by the clock
    assert trainer.global_step == 35
    assert timer.time_elapsed() < 1.0


def test_a_resumed_run_goes_on_counting():
    timer = CpuTimer("00:00:00:10")
    timer.load_state_dict({"time_elapsed": {"train": 7.0}})
    assert timer.time_elapsed() == 7.0
    assert timer.time_remaining() == 3.0
