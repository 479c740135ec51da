"""From rows of caches to training windows: what a sample needs around one frame, fetched for a whole batch at once."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int, UInt8
from torch import Tensor

from unified.data.cache import Cache
from unified.errors import UserError
from unified.model.batch import Batch, Observation, images_to_float
from unified.model.spec import DataSpec

Rows = tuple[Int[np.ndarray, " row"], Int[np.ndarray, " row"]]
"""(source, frame) of every sample: position in the list of sources, row in that source's cache."""


@dataclass(frozen=True)
class WindowSource:
    """A cache and how windows are cut from it.

    Attributes:
        frames: cache rows that may be the "now" of a window.
        embodiment: its name in the `DataSpec`.
        frame_stride: env steps between future frames.
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
        images: observed frames, then future frames; zeros in a camera slot that the source does not have.
        The rest is as in `Observation` and `Batch`.
    """

    images: UInt8[Tensor, " batch camera frame height width channel"]
    n_obs_steps: int
    proprio: Float32[Tensor, " batch obs_step proprio_dim"]
    embodiment: Int[Tensor, " batch"]
    task: tuple[str, ...]
    camera_is_pad: Bool[Tensor, " batch camera"] | None
    action: Float32[Tensor, " batch action_horizon action_dim"]
    expert_action: Float32[Tensor, " batch action_horizon action_dim"] | None
    is_demonstration: Bool[Tensor, " batch"] | None
    video_is_pad: Bool[Tensor, " batch future_frame"]
    action_is_pad: Bool[Tensor, " batch action_horizon"]

    def __len__(self) -> int:
        return self.images.shape[0]

    def to(self, device: torch.device | str) -> "Windows":
        """Move every tensor; Lightning calls this."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Windows":
        """Copy every tensor to page-locked memory; the data loader calls this when training on an accelerator."""
        return self._map(lambda tensor: tensor.pin_memory())

    def to_batch(self) -> Batch:
        """Pixels to float32 in [-1, 1], channels first, split into the observed and the future."""
        images = images_to_float(_channels_first(self.images))
        observation = Observation(
            images=images[:, :, : self.n_obs_steps],
            proprio=self.proprio,
            embodiment=self.embodiment,
            task=self.task,
            camera_is_pad=self.camera_is_pad,
        )
        return Batch(
            observation=observation,
            video=images[:, :, self.n_obs_steps :] if images.shape[2] > self.n_obs_steps else None,
            action=self.action,
            expert_action=self.expert_action,
            is_demonstration=self.is_demonstration,
            video_is_pad=self.video_is_pad,
            action_is_pad=self.action_is_pad,
        )

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Windows":
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return dataclasses.replace(
            self, **{name: function(value) for name, value in values.items() if isinstance(value, Tensor)}
        )


class WindowDataset:
    """Cuts windows out of several caches and pads them to one `DataSpec`."""

    def __init__(self, sources: Sequence[WindowSource], spec: DataSpec) -> None:
        self.sources = tuple(sources)
        self.spec = spec
        self._has_expert = any(source.cache.expert_action is not None for source in sources)
        self._has_play = not all(source.is_demonstration for source in sources)
        self._has_gaps = any(set(source.cache.images) != set(spec.cameras) for source in sources)

    def fetch(self, rows: Rows) -> Batch:
        """The batch of these samples, as a model gets it."""
        return self.read(rows).to_batch()

    def read(self, rows: Rows) -> Windows:
        """The same as `fetch`, before pixels become floats. Past the edges of an episode its edge frames repeat."""
        spec, (source, frame) = self.spec, rows
        num = len(frame)
        out: dict[str, np.ndarray] = {
            "images": np.zeros(
                (num, len(spec.cameras), spec.n_obs_steps + spec.num_frames, *spec.image_size, 3), np.uint8
            ),
            "proprio": np.zeros((num, spec.n_obs_steps, spec.proprio_dim), np.float32),
            "embodiment": np.zeros(num, np.int64),
            "action": np.zeros((num, spec.action_horizon, spec.action_dim), np.float32),
            "expert_action": np.zeros((num, spec.action_horizon, spec.action_dim), np.float32),
            "is_demonstration": np.ones(num, np.bool_),
            "camera_is_pad": np.ones((num, len(spec.cameras)), np.bool_),
            "video_is_pad": np.zeros((num, spec.num_frames), np.bool_),
            "action_is_pad": np.zeros((num, spec.action_horizon), np.bool_),
        }
        task = [""] * num
        for index in np.unique(source).tolist():
            samples = np.flatnonzero(source == index)
            self._fill(out, task, samples, self.sources[index], frame[samples])
        is_needed = {
            "expert_action": self._has_expert,
            "is_demonstration": self._has_play,
            "camera_is_pad": self._has_gaps,
        }
        tensors = {name: torch.from_numpy(array) if is_needed.get(name, True) else None for name, array in out.items()}
        return Windows(n_obs_steps=spec.n_obs_steps, task=tuple(task), **tensors)  # pyright: ignore[reportArgumentType]

    def _fill(
        self,
        out: dict[str, np.ndarray],
        task: list[str],
        samples: Int[np.ndarray, " sample"],
        source: WindowSource,
        now: Int[np.ndarray, " sample"],
    ) -> None:
        spec, cache = self.spec, source.cache
        episode = np.searchsorted(cache.bounds, now, side="right") - 1
        first, last = cache.bounds[episode][:, None], cache.bounds[episode + 1][:, None] - 1
        past = now[:, None] - spec.obs_stride * np.arange(spec.n_obs_steps)[::-1]
        future = now[:, None] + source.frame_stride * np.arange(1, spec.num_frames + 1)
        acting = now[:, None] + np.arange(spec.action_horizon)
        past, shown, done = np.maximum(past, first), np.minimum(future, last), np.minimum(acting, last)

        frames = np.concatenate([past, shown], axis=1)
        for camera, images in cache.images.items():
            slot = spec.cameras.index(camera)
            out["images"][samples, slot] = images[frames]
            out["camera_is_pad"][samples, slot] = False
        cache.release()
        expert = cache.action if cache.expert_action is None else cache.expert_action
        out["proprio"][samples, :, : cache.proprio.shape[1]] = cache.proprio[past]
        out["action"][samples, :, : cache.action.shape[1]] = cache.action[done]
        out["expert_action"][samples, :, : expert.shape[1]] = expert[done]
        out["embodiment"][samples] = spec.index(source.embodiment)
        out["is_demonstration"][samples] = source.is_demonstration
        out["video_is_pad"][samples] = future > last
        out["action_is_pad"][samples] = acting > last
        for sample, text in zip(samples.tolist(), cache.task[now].tolist(), strict=True):
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
