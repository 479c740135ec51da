import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from jsonargparse import ArgumentParser
from pytorch_lightning.callbacks import ModelCheckpoint

from tests.data.recordings import record
from unified.data.lerobot3 import layout
from unified.data.module import WindowDataModule, WindowLoader
from unified.data.source import Source
from unified.data.windows import BatchReader, Windows, WindowSampler
from unified.errors import UserError
from unified.model.batch import Batch
from unified.model.spec import ACTION

# Lightning's own: a deprecated torch call, and advice about callbacks that these tests do without.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`:UserWarning"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("module") / "arm"
    record(folder, lengths=(7, 12, 9, 8, 6, 10, 11, 5, 9, 7))
    return folder


@pytest.fixture(scope="module")
def other_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("module") / "car"
    record(folder, (5, 6), cameras=("road",), action_dim=2, proprio_dim=4, fps=20, robot="car")
    return folder


def make(*roots: Path, **options: Any) -> WindowDataModule:
    settings = {"image_size": 8, "batch_size": 4, "steps_per_epoch": 5, "val_batches": 2, "frame_stride": 2, **options}
    return WindowDataModule([Source(str(root)) for root in roots], **settings)


class Recorder(pl.LightningModule):
    """Learns a number from the actions, so that its value depends on every batch and their order."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.seen: list[float] = []
        self.validated: list[float] = []

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        assert batch.images.dtype == torch.float32
        assert batch.images.abs().max() <= 1
        self.seen.append(float(batch.ahead[ACTION].sum()))
        return ((batch.ahead[ACTION] - self.weight) ** 2).mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.validated.append(float(batch.ahead[ACTION].sum()))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.1)


def fit(
    data: WindowDataModule, steps: int, save: Path | None = None, resume: Path | None = None, **options: Any
) -> Recorder:
    model = Recorder()
    saving = ModelCheckpoint(save, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=save is not None,
        callbacks=[saving] if save else [],
        **options,
    )
    trainer.fit(model, data, ckpt_path=resume)
    return model


def test_shapes_are_known_before_anything_is_decoded(root: Path, other_root: Path):
    data = make(root, other_root)
    assert [body.name for body in data.spec.embodiments] == ["toy", "car"]
    assert data.spec.cameras == ("front", "road")
    assert (data.spec.action_dim, data.spec.proprio_dim, data.spec.image_size) == (3, 4, (8, 8))
    assert [body.control_dt for body in data.spec.embodiments] == [0.1, 0.05]
    assert data.stats == {}


def test_whole_episodes_are_held_out_and_not_in_the_statistics(root: Path):
    data = make(root, holdout=0.3)
    data.setup()
    assert data.train_windows is not None
    assert data.val_windows is not None
    (train,), (val,) = data.train_windows.sources, data.val_windows.sources
    episode = np.searchsorted(train.cache.bounds, np.arange(len(train.cache)), side="right")
    assert len(set(episode[val.frames])) == 3
    assert set(episode[val.frames]).isdisjoint(episode[train.frames])
    assert len(train.frames) + len(val.frames) == len(train.cache)
    mean = train.cache.columns[ACTION][train.frames].astype(np.float64).mean(0)
    np.testing.assert_allclose(data.stats["toy"]["action"]["mean"], mean, rtol=1e-12)


def test_balanced_environments_are_shown_equally_often_however_long_their_episodes_are(tmp_path: Path):
    record(tmp_path / "arm", lengths=(30, 5, 30, 5, 5))
    with pytest.raises(UserError, match="does not say in which environment"):
        WindowDataModule([Source(str(tmp_path / "arm"), balance_tasks=True)])
    names = ["long", "short", "long", "short", "short"]
    provenance = {"episodes": [{"env_id": name} for name in names]}
    (tmp_path / "arm" / layout.PROVENANCE).write_text(json.dumps(provenance), encoding="utf-8")
    source = Source(str(tmp_path / "arm"), weight=3.0, balance_tasks=True)
    data = WindowDataModule([source], image_size=8, batch_size=1000, holdout=0.0)
    data.setup()
    assert data.train_windows is not None
    long, short = data.train_windows.sources
    assert long.weight == short.weight == 1.5
    assert sorted([*long.frames, *short.frames]) == list(range(75))
    asked, _ = WindowSampler([long, short], 1000, seed=0).rows(0)
    assert 0.45 < asked.mean() < 0.55


@pytest.mark.filterwarnings("ignore:Total length of `list`:UserWarning")
def test_nothing_held_out_means_no_validation(root: Path):
    data = make(root, holdout=0.0)
    assert list(data.val_dataloader()) == []
    assert fit(data, steps=2).validated == []


def test_a_policy_needs_no_other_moments(root: Path):
    data = make(root, num_moments=1)
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert batch.images.shape == (4, 1, 1, 3, 8, 8)
    assert batch.between[ACTION].shape == (4, 0, 2, 3)
    with pytest.raises(UserError, match=r"data.num_moments must be at least 1, got 0"):
        make(root, num_moments=0)


def test_columns_that_are_asked_for_are_read_with_their_statistics(root: Path, other_root: Path):
    data = make(root, other_root, columns=["timestamp", "frame_index"])
    assert [body.columns for body in data.spec.embodiments] == 2 * [{"timestamp": 1, "frame_index": 1}]
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    frames, between = batch.at["frame_index"], batch.between["frame_index"]
    rate = torch.tensor([10.0, 20.0])[batch.embodiment][:, None, None]
    torch.testing.assert_close(batch.at["timestamp"], frames / rate)
    assert batch.moment_is_pad is not None
    whole = ~batch.moment_is_pad[:, 1]
    torch.testing.assert_close(between[whole, 0, 1], frames[whole, 0] + 1)
    assert data.stats["toy"]["frame_index"]["min"] == [0.0]
    with pytest.raises(UserError, match=r"data.columns: no data set of data.sources has a column 'next.reward'"):
        make(root, columns=["next.reward"])


def test_a_stride_of_a_sources_own_is_at_most_that_of_all(root: Path):
    assert WindowDataModule([Source(str(root), frame_stride=1)], frame_stride=2).spec.frame_stride == 2
    with pytest.raises(UserError, match=r"frame_stride of .* is 3, more than data.frame_stride \(2\)"):
        WindowDataModule([Source(str(root), frame_stride=3)], frame_stride=2)


def test_training_stopped_within_an_epoch_goes_on_as_if_it_had_not(root: Path, tmp_path: Path):
    whole = fit(make(root), steps=13)
    fit(make(root), steps=8, save=tmp_path)
    resumed = fit(make(root), steps=13, resume=tmp_path / "step=7.ckpt")
    assert len(set(whole.seen)) == 13
    assert resumed.seen == whole.seen[7:]
    assert torch.equal(resumed.weight, whole.weight)


@pytest.mark.parametrize("step", [5, 10])
def test_training_stopped_between_epochs_goes_on_as_if_it_had_not(root: Path, tmp_path: Path, step: int):
    whole = fit(make(root), steps=13, save=tmp_path)
    resumed = fit(make(root), steps=13, resume=tmp_path / f"step={step}.ckpt")
    assert resumed.seen == whole.seen[step:]
    assert torch.equal(resumed.weight, whole.weight)


def test_shortened_epochs_lose_no_batch(root: Path):
    assert fit(make(root), steps=9, limit_train_batches=3).seen == fit(make(root), steps=9).seen


def test_accumulated_batches_are_counted_one_by_one(root: Path, tmp_path: Path):
    whole = fit(make(root, steps_per_epoch=4), steps=4, save=tmp_path, accumulate_grad_batches=2)
    resume = tmp_path / "step=1.ckpt"
    resumed = fit(make(root, steps_per_epoch=4), steps=4, resume=resume, accumulate_grad_batches=2)
    assert len(whole.seen) == 8
    assert resumed.seen == whole.seen[2:]


def test_validation_windows_are_always_the_same(root: Path):
    model = fit(make(root, holdout=0.2), steps=10, num_sanity_val_steps=0)
    assert len(model.validated) == 4
    assert model.validated[:2] == model.validated[2:]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_worker_processes_give_the_same_batches_and_end_with_training(root: Path):
    assert fit(make(root, num_workers=2), steps=12).seen == fit(make(root), steps=12).seen
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_spawned_workers_give_the_same_batches(root: Path, other_root: Path):
    data = make(root, other_root)
    here = data.train_dataloader()
    there = WindowLoader(here.reader, 5, num_workers=2, multiprocessing_context="spawn")
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.images, other.images)
        assert one.task == other.task


def test_a_loader_goes_on_where_its_state_says(root: Path):
    data = make(root)
    loader = data.train_dataloader()
    batches = [windows.ahead[ACTION] for windows in loader]
    assert len(batches) == len(loader) == 5
    iterator = iter(data.train_dataloader())
    state: dict[str, int] = {}
    half = data.train_dataloader()
    for _ in zip(range(3), half, strict=False):
        state = half.state_dict()
    assert state == {"position": 3}
    resumed = data.train_dataloader()
    resumed.load_state_dict(state)
    assert torch.equal(next(iter(resumed)).ahead[ACTION], batches[3])
    assert torch.equal(next(iterator).ahead[ACTION], batches[0])


def test_a_second_pass_brings_new_windows(root: Path):
    loader = make(root).train_dataloader()
    first, second = ([windows.ahead[ACTION] for windows in loader] for _ in range(2))
    assert not torch.equal(torch.stack(first), torch.stack(second))


def test_a_global_batch_must_divide_among_processes(root: Path):
    whole = make(root, batch_size=5).train_dataloader().reader
    with pytest.raises(UserError, match=r"batch_size .* divide by their number \(2\), got 5; 4 would do"):
        BatchReader(whole.dataset, whole.sampler, rank=1, world_size=2)


def test_sources_of_one_body_must_agree(root: Path, other_root: Path):
    with pytest.raises(UserError, match=r"action_dim 2, but another source of embodiment 'toy' has 3.*`embodiment:`"):
        WindowDataModule([Source(str(root)), Source(str(other_root), embodiment="toy")])


def test_impossible_options_are_refused(root: Path):
    with pytest.raises(UserError, match="holdout must be at least 0 and below 1, got 1"):
        make(root, holdout=1.0)
    with pytest.raises(UserError, match=r"data.frame_stride must be at least 1, got 0"):
        make(root, frame_stride=0)
    with pytest.raises(UserError, match=r"data.sources is empty"):
        WindowDataModule([])


def test_yaml_blocks_become_sources(root: Path):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(WindowDataModule, "data")
    text = {"sources": [{"root": str(root), "weight": 2, "cameras": ["front"]}], "image_size": [8, 12], "seed": 3}
    data = parser.instantiate(parser.parse_object({"data": text}))["data"]
    assert data.spec.image_size == (8, 12)
    assert isinstance(next(iter(data.train_dataloader())), Windows)
