"""From rows of caches to training windows: moments of an episode and what lies between, for a whole batch at once."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int, UInt8
from torch import Tensor

from unified.data.cache import Cache
from unified.errors import UserError
from unified.model.batch import Batch, images_to_float, map_tensors
from unified.model.spec import ACTION, EXPERT_ACTION, PROPRIO, DataSpec

Rows = tuple[Int[np.ndarray, " row"], Int[np.ndarray, " row"]]
"""(source, frame) of every sample: position in the list of sources, row in that source's cache."""


@dataclass(frozen=True)
class WindowSource:
    """A cache and how windows are cut from it.

    Attributes:
        frames: cache rows that may be the first moment of a window.
        embodiment: its name in the `DataSpec`.
        frame_stride: env steps from one moment to the next, at most the spec's.
        weight: share of the windows, relative to the other sources'.
    """

    cache: Cache
    frames: Int[np.ndarray, " frame"]
    embodiment: str
    frame_stride: int
    weight: float = 1.0
    is_demonstration: bool = True

    def parts(self, kind_of: Sequence[str]) -> "list[WindowSource]":
        """The same frames as one part for each kind of episode, given by the data set's numbers; of equal weights."""
        episode = np.searchsorted(self.cache.bounds, self.frames, side="right") - 1
        kinds = np.array(kind_of)[self.cache.episode_index[episode]]
        found = np.unique(kinds)
        weight = self.weight / len(found)
        return [dataclasses.replace(self, frames=self.frames[kinds == kind], weight=weight) for kind in found]


@dataclass(frozen=True)
class Windows:
    """A batch as it is read and moved, pixels still uint8: a quarter of the bytes. `to_batch` makes what models get.

    Attributes:
        images: of every moment; zeros in a camera slot that the source does not have.
        The rest is as in `Batch`.
    """

    images: UInt8[Tensor, " batch moment camera height width channel"]
    at: dict[str, Float32[Tensor, " batch moment _"]]
    between: dict[str, Float32[Tensor, " batch step env_step _"]]
    ahead: dict[str, Float32[Tensor, " batch moment action_horizon _"]]
    embodiment: Int[Tensor, " batch"]
    task: tuple[str, ...]
    stride: Int[Tensor, " batch"] | None
    camera_is_pad: Bool[Tensor, " batch camera"] | None
    moment_is_pad: Bool[Tensor, " batch moment"]
    ahead_is_pad: Bool[Tensor, " batch moment action_horizon"]
    is_demonstration: Bool[Tensor, " batch"] | None

    def __len__(self) -> int:
        return self.images.shape[0]

    def to(self, device: torch.device | str) -> "Windows":
        """Move every tensor; Lightning calls this."""
        return map_tensors(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Windows":
        """Copy every tensor to page-locked memory; the data loader calls this when training on an accelerator."""
        return map_tensors(self, lambda tensor: tensor.pin_memory())

    def to_batch(self) -> Batch:
        """Pixels to float32 in [-1, 1], channels first."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return Batch(**{**values, "images": images_to_float(_channels_first(self.images))})


class WindowDataset:
    """Cuts windows out of several caches and pads them to one `DataSpec`.

    Args:
        sources: where windows are cut from.
        spec: of the model.
        num_moments: of a window; default: the spec's.
        told: number of the moment whose instruction a window is told. Plans from moments with another instruction are
            not known: they would be imitated for the wrong reason.
    """

    def __init__(
        self, sources: Sequence[WindowSource], spec: DataSpec, num_moments: int | None = None, told: int = 0
    ) -> None:
        self.sources = tuple(sources)
        self.spec, self._told = spec, told
        self.num_moments = spec.num_moments if num_moments is None else num_moments
        self._has_play = not all(source.is_demonstration for source in sources)
        self._has_gaps = any(set(source.cache.images) != set(spec.cameras) for source in sources)
        self._has_strides = any(source.frame_stride != spec.frame_stride for source in sources)

    def fetch(self, rows: Rows) -> Batch:
        """The batch of these samples, as a model gets it."""
        return self.read(rows).to_batch()

    def read(self, rows: Rows) -> Windows:
        """The same as `fetch`, before pixels become floats. Past the end of an episode its last frame repeats."""
        spec, (source, first) = self.spec, rows
        num, moments, horizon = len(first), self.num_moments, spec.action_horizon
        out: dict[str, np.ndarray] = {
            "images": np.zeros((num, moments, len(spec.cameras), *spec.image_size, 3), np.uint8),
            "embodiment": np.zeros(num, np.int64),
            "stride": np.full(num, spec.frame_stride),
            "is_demonstration": np.ones(num, np.bool_),
            "camera_is_pad": np.ones((num, len(spec.cameras)), np.bool_),
            "moment_is_pad": np.zeros((num, moments), np.bool_),
            "ahead_is_pad": np.zeros((num, moments, horizon), np.bool_),
        }
        columns = {
            "at": {name: self._empty(name, num, moments) for name in (PROPRIO, *spec.columns)},
            "between": {
                name: self._empty(name, num, moments - 1, spec.frame_stride) for name in (ACTION, *spec.columns)
            },
            "ahead": {ACTION: self._empty(ACTION, num, moments, horizon)},
        }
        task = [""] * num
        for index in np.unique(source).tolist():
            samples = np.flatnonzero(source == index)
            self._fill(out, columns, task, samples, self.sources[index], first[samples])
        is_needed = {
            "is_demonstration": self._has_play,
            "camera_is_pad": self._has_gaps,
            "stride": self._has_strides,
        }
        tensors: dict[str, Any] = {
            name: torch.from_numpy(array) if is_needed.get(name, True) else None for name, array in out.items()
        }
        for where, arrays in columns.items():
            tensors[where] = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return Windows(task=tuple(task), **tensors)

    def _empty(self, column: str, *shape: int) -> Float32[np.ndarray, " *shape width"]:
        return np.zeros((*shape, self.spec.width(column)), np.float32)

    def _fill(
        self,
        out: dict[str, np.ndarray],
        columns: dict[str, dict[str, np.ndarray]],
        task: list[str],
        samples: Int[np.ndarray, " sample"],
        source: WindowSource,
        first: Int[np.ndarray, " sample"],
    ) -> None:
        spec, cache, stride = self.spec, source.cache, source.frame_stride
        episode = np.searchsorted(cache.bounds, first, side="right") - 1
        last = cache.bounds[episode + 1][:, None] - 1
        at = first[:, None] + stride * np.arange(self.num_moments)
        between = at[:, :-1, None] + np.arange(spec.frame_stride)
        ahead = at[:, :, None] + np.arange(spec.action_horizon)
        out["moment_is_pad"][samples] = at > last
        out["ahead_is_pad"][samples] = ahead > last[:, None]
        at, between, ahead = np.minimum(at, last), np.minimum(between, last[:, None]), np.minimum(ahead, last[:, None])
        told = cache.task[at[:, self._told]]
        out["ahead_is_pad"][samples] |= (cache.task[at] != told[:, None])[..., None]

        for camera, images in cache.images.items():
            slot = spec.cameras.index(camera)
            out["images"][samples, :, slot] = images[at]
            out["camera_is_pad"][samples, slot] = False
        cache.release()
        imitated = cache.columns.get(EXPERT_ACTION, cache.columns[ACTION])
        rows = {"at": at, "between": between, "ahead": ahead}
        for where, arrays in columns.items():
            for name, array in arrays.items():
                values = imitated if where == "ahead" else cache.columns.get(name)
                if values is not None:
                    array[samples, ..., : values.shape[1]] = values[rows[where]]
        columns["between"][ACTION][samples, :, stride:] = 0.0
        out["embodiment"][samples] = spec.index(source.embodiment)
        out["is_demonstration"][samples] = source.is_demonstration
        out["stride"][samples] = stride
        for sample, text in zip(samples.tolist(), told.tolist(), strict=True):
            task[sample] = cache.tasks[text]


class WindowSampler:
    """Says which windows make global batch k: sources by weight, then a frame of that source, each as likely.

    A pure function of (seed, stream, k, row): nothing to store for an exact resume, and ranks agree without a word.
    """

    def __init__(self, sources: Sequence[WindowSource], batch_size: int, seed: int, stream: int = 0) -> None:
        self.batch_size = batch_size
        self._frames = [source.frames for source in sources]
        weights = np.array([source.weight for source in sources], dtype=np.float64)
        self._upper = np.cumsum(weights / weights.sum())
        self._key = np.array([seed, stream], dtype=np.uint64)

    def rows(self, index: int) -> Rows:
        """The samples of global batch `index`."""
        bits = np.random.Philox(key=self._key, counter=np.array([0, index, 0, 0], dtype=np.uint64))
        uniform = (bits.random_raw(2 * self.batch_size) >> np.uint64(11)) * 2.0**-53
        pick, place = uniform.reshape(-1, 2).T
        source = np.minimum(np.searchsorted(self._upper, pick, side="right"), len(self._frames) - 1)
        frame = np.empty(self.batch_size, dtype=np.int64)
        for number, frames in enumerate(self._frames):
            chosen = source == number
            frame[chosen] = frames[(place[chosen] * len(frames)).astype(np.int64)]
        return source, frame


@dataclass(frozen=True)
class BatchReader:
    """Global batch by number, of which this process reads the rows [rank * B / W, (rank + 1) * B / W).

    Raises:
        UserError: if the global batch cannot be shared evenly.
    """

    dataset: WindowDataset
    sampler: WindowSampler
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        size, num = self.sampler.batch_size, self.world_size
        if size % num:
            raise UserError(
                f"data.batch_size counts all processes together and must divide by their number ({num}), "
                f"got {size}; {size // num * num or num} would do."
            )

    def __getitem__(self, index: int) -> Windows:
        share = self.sampler.batch_size // self.world_size
        mine = slice(self.rank * share, (self.rank + 1) * share)
        source, frame = self.sampler.rows(index)
        return self.dataset.read((source[mine], frame[mine]))


def _channels_first(
    images: UInt8[Tensor, " *batch height width channel"],
) -> Float32[Tensor, " *batch channel height width"]:
    """Reorder and convert in one pass over memory; values stay in [0, 255]."""
    return images.movedim(-1, -3).to(torch.float32, memory_format=torch.contiguous_format)
