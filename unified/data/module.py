"""Training and validation windows of a mixture of data sets, as a LightningDataModule."""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from unified.data.cache import Cache
from unified.data.source import Recording, Source, open_recording
from unified.data.stats import Stats, describe_stats, embodiment_stats
from unified.data.windows import BatchReader, WindowDataset, Windows, WindowSampler, WindowSource
from unified.errors import UserError, check_numbers
from unified.model.batch import Batch
from unified.model.plain import conform
from unified.model.spec import ACTION, EXPERT_ACTION, PROPRIO, DataSpec, Embodiment
from unified.model.stored.history import (
    TRAINED,
    Fingerprints,
    SourceHistory,
    check_not_changed,
    join_sources,
    judged,
    status,
)

_TRAIN, _VALIDATION = 0, 1


class WindowLoader:
    """Batches from number `position` on, `num_batches` of them an epoch.

    Not a torch DataLoader, so that Lightning injects no sampler: the batches already differ from rank to rank. Inside,
    one reads, with worker processes if asked for. `position` tells how many batches training has used; without a
    trainer the loader counts those that it gave out.
    """

    def __init__(
        self,
        reader: BatchReader,
        num_batches: int,
        num_workers: int = 0,
        position: Callable[[], int] | None = None,
        pin_memory: bool = False,
        multiprocessing_context: str | None = None,
    ) -> None:
        self.reader, self.num_batches = reader, num_batches
        self._position = position
        self._given = 0
        self._span = _Span()
        self._running: Generator[Windows] | None = None
        self._loader: DataLoader[Windows] | None = DataLoader(
            reader,  # pyright: ignore[reportArgumentType]
            batch_size=None,
            sampler=self._span,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=pin_memory,
            multiprocessing_context=multiprocessing_context if num_workers else None,
        )

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[Windows]:
        self._given = self.position()
        self._span.numbers = range(self._given, self._given + self.num_batches)
        self._running = self._read()
        return self._running

    def _read(self) -> Generator[Windows]:
        if self._loader is None:
            raise RuntimeError("This loader was closed; ask the data module for another.")
        for windows in self._loader:
            self._given += 1
            yield windows

    def close(self) -> None:
        """End the worker processes now; left to the garbage collector, each of them takes five seconds to stop."""
        if self._running is not None:
            self._running.close()
        self._running = self._loader = None

    def position(self) -> int:
        """Number of the global batch that comes next."""
        return self._given if self._position is None else self._position()

    def state_dict(self) -> dict[str, int]:
        """Where to go on; makes this loader resumable in Lightning's sense."""
        return {"position": self.position()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on there. Under a trainer its own progress, restored from the same checkpoint, decides."""
        self._given = int(state_dict["position"])


class _Span:
    """The sampler of the inner loader: batch numbers of the coming epoch."""

    numbers = range(0)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)


class WindowDataModule(pl.LightningDataModule):
    """Windows of several LeRobot data sets, mixed by weight and padded to one shape.

    Batch k of the whole run is a function of (seed, k): resuming gives the batches that would have come, and W
    processes together read the batch that one process would have read.

    Args:
        sources: the data sets; each is a block with `root` and options, see `Source`.
        image_size: height and width in pixels of every frame; one number for squares. Other sizes are scaled to it.
        num_moments: moments of a window, `frame_stride` env steps apart; 1 spares a policy that imagines nothing the
            cost of others.
        action_horizon: actions of a plan.
        columns: what is read of the data sets beside pictures, actions and states, such as `next.reward`, for streams
            that need it.
        batch_size: of all processes together.
        num_workers: processes that read ahead; reading is fast enough for most models without any.
        holdout: share of every source's episodes kept for validation, whole ones. One that is trained on in another
            source, or was before a checkpoint that is resumed, is not validated on.
        steps_per_epoch: batches in an epoch; default: as many as the training frames fill once.
        val_batches: validation batches, always the same windows.

    Attributes:
        stats: of the training episodes, by body.
        history: which episodes are trained on and which are held out, source by source.
    """

    def __init__(
        self,
        sources: list[Source],
        image_size: int | tuple[int, int] = 64,
        num_moments: int = 5,
        frame_stride: int = 4,
        action_horizon: int = 8,
        columns: Sequence[str] = (),
        batch_size: int = 64,
        num_workers: int = 0,
        holdout: float = 0.1,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        val_batches: int = 8,
    ) -> None:
        super().__init__()
        check_numbers(
            prefix="data.",
            least=1,
            image_size=min(image_size) if isinstance(image_size, Sequence) else image_size,
            num_moments=num_moments,
            frame_stride=frame_stride,
            action_horizon=action_horizon,
            batch_size=batch_size,
            val_batches=val_batches,
            steps_per_epoch=steps_per_epoch,
        )
        check_numbers(prefix="data.", least=0, num_workers=num_workers, seed=seed)
        check_numbers(prefix="data.", least=0, below=1, holdout=holdout)
        if not sources:
            raise UserError(
                "data.sources is empty: name at least one data set, for example `--data.sources '[{root: DIR}]'`."
            )
        self.batch_size, self.num_workers, self.holdout, self.seed = batch_size, num_workers, holdout, seed
        self.steps_per_epoch, self.val_batches = steps_per_epoch, val_batches
        self.roots = [source.root for source in sources]
        self._recordings = [open_recording(source, columns) for source in sources]
        self.spec = _make_spec(
            self._recordings,
            image_size=(image_size, image_size) if isinstance(image_size, int) else (image_size[0], image_size[1]),
            num_moments=num_moments,
            frame_stride=frame_stride,
            action_horizon=action_horizon,
        )
        for name in columns:
            if not self.spec.width(name):
                raise UserError(f"data.columns: no data set of data.sources has a column {name!r}.")
        self.train_windows: WindowDataset | None = None
        self.val_windows: WindowDataset | None = None
        self.stats: Stats = {}
        self.history: tuple[SourceHistory, ...] = ()
        self._caches: list[Cache] = []
        self._is_held: list[np.ndarray] = []
        self._known: list[list[Fingerprints]] = []
        self._loaders: list[WindowLoader] = []

    def prepare_data(self) -> None:
        """Decode what is not decoded yet; Lightning calls this in one process of a machine."""
        self._open_caches()

    def setup(self, stage: str | None = None) -> None:
        """Map the caches, split the episodes and compute `stats`. Calling it again does nothing."""
        if self.train_windows is not None:
            return
        self._caches = self._open_caches()
        self._known = [c.fingerprints(r.origins) for c, r in zip(self._caches, self._recordings, strict=True)]
        self._is_held = [_is_held(cache.episode_index.tolist(), self.holdout, self.seed) for cache in self._caches]
        train = [
            part
            for number, is_held in enumerate(self._is_held)
            for part in self._balanced(number, self._source(number, ~is_held))
        ]
        self.stats = embodiment_stats([(part.embodiment, _normalised(part.cache), part.frames) for part in train])
        self.train_windows = WindowDataset(train, self.spec)
        self.history = join_sources(self._histories())
        self._validate_on(self._is_held)

    def describe(self) -> str:
        """What is trained on, what is held out, and how numbers are normalised, for people."""
        lines = [
            f"{source.root}: {len(set(source.trained.values()))} episodes trained on, "
            f"{len(set(source.held_out.values()))} held out; body {source.embodiment}\n"
            for source in self.history
        ]
        return "".join(lines) + describe_stats(self.stats)

    @property
    def tasks(self) -> list[str]:
        """All instructions."""
        return [*dict.fromkeys(task for cache in self._caches for task in cache.tasks)]

    def state_dict(self) -> dict[str, Any]:
        """What was trained on and what was held out, for a run that resumes or validates from a checkpoint."""
        return {"history": [dataclasses.asdict(source) for source in self.history]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take account of what a checkpoint was trained on.

        Raises:
            UserError: if there is nothing to judge it on.
        """
        self.setup()
        earlier = conform(state_dict["history"], list[SourceHistory], "The checkpoint")
        if self.trainer is None or self.trainer.state.fn == TrainerFn.FITTING:
            self.history = join_sources([*earlier, *self.history])
            self._validate_on(self._is_held)
            return
        self.history = tuple(earlier)
        statuses = [[status(earlier, one) for one in known] for known in self._known]
        for recording, those in zip(self._recordings, statuses, strict=True):
            check_not_changed(recording.source.root, those, earlier)
        self._validate_on([np.array(judged(those)) for those in statuses])
        if self.val_windows is None:
            raise UserError(
                "The checkpoint was trained on every episode of data.sources, so none can judge it; give a recording "
                "that it does not know, or train with data.holdout above 0."
            )

    def _histories(self) -> Iterator[SourceHistory]:
        for number, (recording, is_held) in enumerate(zip(self._recordings, self._is_held, strict=True)):
            known = list(zip(self._known[number], self._caches[number].episode_index.tolist(), strict=True))
            trained, held_out = (
                {one: index for wanted, (those, index) in zip(chosen, known, strict=True) if wanted for one in those}
                for chosen in (~is_held, is_held)
            )
            yield SourceHistory(
                root=recording.source.root,
                recorded_as=recording.recorded_as,
                embodiment=recording.embodiment,
                cameras=tuple(recording.cameras),
                frame_stride=recording.source.frame_stride or self.spec.frame_stride,
                trained=trained,
                held_out=held_out,
            )

    def _validate_on(self, wanted: Sequence[np.ndarray]) -> None:
        """Take these episodes of each source for validation, but for any that is trained on."""
        chosen = [
            is_wanted & [status(self.history, one) != TRAINED for one in known]
            for known, is_wanted in zip(self._known, wanted, strict=True)
        ]
        val = [self._source(number, episodes) for number, episodes in enumerate(chosen) if episodes.any()]
        self.val_windows = WindowDataset(val, self.spec) if val else None

    def train_dataloader(self) -> WindowLoader:
        """Random windows of the training episodes."""
        self.setup()
        assert self.train_windows is not None
        frames = sum(len(source.frames) for source in self.train_windows.sources)
        steps = self.steps_per_epoch or math.ceil(frames / self.batch_size)
        return self._loader(self.train_windows, _TRAIN, steps, self._batches_trained if self.trainer else None)

    def val_dataloader(self) -> WindowLoader | list[Windows]:
        """The same windows of the held-out episodes every time; an empty list where nothing is held out."""
        self.setup()
        if self.val_windows is None:
            return []
        return self._loader(self.val_windows, _VALIDATION, self.val_batches, lambda: 0)

    def test_dataloader(self) -> WindowLoader | list[Windows]:
        """The validation windows."""
        return self.val_dataloader()

    def predict_dataloader(self) -> WindowLoader | list[Windows]:
        """The validation windows."""
        return self.val_dataloader()

    def teardown(self, stage: str) -> None:
        """Stop the worker processes; Lightning calls this when training or validation is over."""
        while self._loaders:
            self._loaders.pop().close()

    def on_after_batch_transfer(self, batch: Windows | Batch, dataloader_idx: int) -> Batch:
        """Make floats of pixels where the model is, not where the disk is."""
        return batch.to_batch() if isinstance(batch, Windows) else batch

    def _open_caches(self) -> list[Cache]:
        return [Cache.open(recording, self.spec.image_size) for recording in self._recordings]

    def _source(self, number: int, episodes: np.ndarray) -> WindowSource:
        recording, cache = self._recordings[number], self._caches[number]
        return WindowSource(
            cache=cache,
            frames=cache.rows(episodes),
            embodiment=recording.embodiment,
            frame_stride=recording.source.frame_stride or self.spec.frame_stride,
            weight=recording.source.weight,
            is_demonstration=recording.is_demonstration,
        )

    def _balanced(self, number: int, source: WindowSource) -> list[WindowSource]:
        """A source as one part an environment, of equal weights, if its block asks for it."""
        recording = self._recordings[number]
        return source.parts(recording.environments) if recording.source.balance_tasks else [source]

    def _loader(
        self, dataset: WindowDataset, stream: int, steps: int, position: Callable[[], int] | None
    ) -> WindowLoader:
        rank, world_size, on_gpu = 0, 1, False
        if self.trainer is not None:
            rank, world_size = self.trainer.global_rank, self.trainer.world_size
            on_gpu = self.trainer.strategy.root_device.type == "cuda"
        sampler = WindowSampler(dataset.sources, self.batch_size, self.seed, stream)
        reader = BatchReader(dataset, sampler, rank, world_size)
        loader = WindowLoader(
            reader, steps, self.num_workers, position, pin_memory=on_gpu and torch.cuda.is_available()
        )
        self._loaders.append(loader)
        return loader

    def _batches_trained(self) -> int:
        assert self.trainer is not None
        progress = self.trainer.fit_loop.epoch_loop.batch_progress.total
        return progress.processed  # pyright: ignore[reportAttributeAccessIssue] -- a _ProcessedTracker at run time


def _normalised(cache: Cache) -> dict[str, np.ndarray]:
    """The columns that have statistics of their own; an expert's action is normalised as what is executed."""
    return {name: values for name, values in cache.columns.items() if name != EXPERT_ACTION}


def _make_spec(recordings: Sequence[Recording], **windows: Any) -> DataSpec:
    """One entry for every body, cameras in the order of the sources.

    Raises:
        UserError: if sources that claim the same body differ in sizes or rate, or a source's stride is too long.
    """
    bodies: dict[str, Embodiment] = {}
    for recording in recordings:
        body = _body(recording)
        other = bodies.get(body.name, body)
        for what in ("action_dim", "proprio_dim", "control_dt", "columns"):
            if getattr(body, what) != getattr(other, what):
                raise UserError(
                    f"{recording.root} has {what} {getattr(body, what)}, but another source of embodiment "
                    f"{body.name!r} has {getattr(other, what)}. Give one of them another name with `embodiment:`."
                )
        every = tuple(dict.fromkeys(other.cameras + body.cameras))
        bodies[body.name] = dataclasses.replace(body, cameras=every)
        if (recording.source.frame_stride or 1) > windows["frame_stride"]:
            raise UserError(
                f"frame_stride of {recording.root} is {recording.source.frame_stride}, more than data.frame_stride "
                f"({windows['frame_stride']}); that one is the longest of all sources."
            )
    slots = tuple(dict.fromkeys(camera for body in bodies.values() for camera in body.cameras))
    return DataSpec(embodiments=tuple(bodies.values()), cameras=slots, **windows)


def _body(recording: Recording) -> Embodiment:
    columns = {name: n for name, n in recording.sizes.items() if name not in (ACTION, PROPRIO, EXPERT_ACTION)}
    sizes = (recording.sizes[ACTION], recording.sizes[PROPRIO])
    return Embodiment(recording.embodiment, *sizes, tuple(recording.cameras), 1 / recording.fps, columns)


def _is_held(episodes: Sequence[int], holdout: float, seed: int) -> np.ndarray:
    """Which episodes are held out; an episode's lot is drawn from (seed, its number) alone."""
    lots = [hashlib.sha256(f"{seed}/{index}".encode()).digest() for index in episodes]
    num_held = round(holdout * len(lots)) if len(lots) > 1 else 0
    num_held = min(max(num_held, 1 if holdout > 0 and len(lots) > 1 else 0), len(lots) - 1)
    held = set(sorted(range(len(lots)), key=lots.__getitem__)[:num_held])
    return np.array([number in held for number in range(len(lots))])
