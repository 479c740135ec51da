"""Windows of recorded episodes to judge on: which they are, evenly spread, whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int

from unified.data.module import WindowDataModule
from unified.data.source import Source, open_recording
from unified.data.windows import WindowDataset
from unified.errors import UserError, unknown_name
from unified.model.batch import Batch
from unified.model.spec import DataSpec


@dataclass(frozen=True)
class HeldOutWindows:
    """Windows to judge on.

    Attributes:
        dataset: reads them.
        source, frame: which they are (see `unified.data.windows.Rows`).
        episode: a number for each episode, all sources counted through.
    """

    dataset: Any
    source: Int[np.ndarray, " window"]
    frame: Int[np.ndarray, " window"]
    episode: Int[np.ndarray, " window"]

    def __len__(self) -> int:
        return len(self.frame)

    def fetch(self) -> Batch:
        """All of them at once."""
        return self.dataset.fetch((self.source, self.frame))

    def batches(self, size: int) -> Iterator[Batch]:
        """The windows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.dataset.fetch((self.source[start : start + size], self.frame[start : start + size]))

    def last_actions(self) -> tuple[Float32[np.ndarray, " window action_dim"], Bool[np.ndarray, " window"]]:
        """The action executed one frame before each window, and whether there was one (not at an episode's start).

        Unused entries of bodies with fewer actions than others are zero.
        """
        actions = np.zeros((len(self), self.dataset.spec.action_dim), np.float32)
        is_known = np.zeros(len(self), bool)
        for number, source in enumerate(self.dataset.sources):
            rows = np.flatnonzero(self.source == number)
            before = self.frame[rows] - 1
            is_known[rows] = ~np.isin(self.frame[rows], source.cache.bounds)
            executed = source.cache.action[np.maximum(before, 0)]
            actions[rows, : executed.shape[1]] = executed
        return actions, is_known

    def pick(self, rows: Int[np.ndarray, " row"]) -> "HeldOutWindows":
        """Some of the windows."""
        return replace(self, source=self.source[rows], frame=self.frame[rows], episode=self.episode[rows])


def choose_windows(dataset: Any, count: int, steps_ahead: int) -> HeldOutWindows:
    """Up to `count` windows, evenly spread over all episodes, none of which reaches past the end of its episode.

    Raises:
        UserError: if no episode is long enough.
    """
    parts: list[tuple[Any, Any, Any]] = []
    num_episodes = 0
    for number, source in enumerate(dataset.sources):
        episode = np.searchsorted(source.cache.bounds, source.frames, side="right") - 1
        whole = source.frames + steps_ahead < source.cache.bounds[episode + 1]
        frames, episode = source.frames[whole], episode[whole]
        parts.append((np.full(len(frames), number), frames, episode + num_episodes))
        num_episodes += len(source.cache.bounds) - 1
    source, frame, episode = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not len(frame):
        raise UserError(f"No held-out episode is longer than {steps_ahead} env steps; record longer or more episodes.")
    picked = np.unique(np.linspace(0, len(frame) - 1, min(count, len(frame))).round().astype(np.int64))
    return HeldOutWindows(dataset, source[picked], frame[picked], episode[picked])


def open_dataset(root: str | Path, spec: DataSpec, holdout: float = 0.1, seed: int = 0) -> WindowDataset:
    """The held-out episodes of a recording, cut into the windows that a model was trained on.

    Args:
        root: a LeRobot v3 folder or Hub id.
        spec: of the model.
        holdout, seed: as in training (`WindowDataModule`), so that the same episodes are held out; a holdout of 1 takes
            every episode, for a recording that was not trained on.

    Raises:
        UserError: if the recording's body, cameras or sizes are not the model's.
    """
    source = Source(str(root), cameras=_cameras(str(root), spec))
    module = WindowDataModule(
        [source],
        image_size=spec.image_size,
        num_frames=spec.num_frames,
        frame_stride=spec.frame_stride,
        action_horizon=spec.action_horizon,
        holdout=0.0 if holdout >= 1 else holdout,
        seed=seed,
    )
    module.setup()
    held_out = module.train_windows if holdout >= 1 else module.val_windows
    if held_out is None:
        raise UserError(
            f"{root} has too few episodes to hold any out; if none of them was trained on, judge on all: --holdout 1."
        )
    return WindowDataset([replace(source, weight=1.0) for source in held_out.sources], spec)


def _cameras(root: str, spec: DataSpec) -> list[str]:
    """The model's cameras for the body of a recording."""
    recording = open_recording(Source(root))
    names = [body.name for body in spec.embodiments]
    if recording.embodiment not in names:
        raise unknown_name(f"embodiment of {root} (the checkpoint knows others)", recording.embodiment, names)
    body = spec.embodiments[names.index(recording.embodiment)]
    missing = [camera for camera in body.cameras if camera not in recording.cameras]
    if missing:
        raise UserError(
            f"{root} has no camera {', '.join(missing)} (it has {', '.join(recording.cameras)}); this checkpoint looks "
            f"through {', '.join(body.cameras)}. Record with --cameras {','.join(body.cameras)}."
        )
    if (recording.action_dim, recording.proprio_dim) != (body.action_dim, body.proprio_dim):
        raise UserError(
            f"{root} has {recording.action_dim} actions and {recording.proprio_dim} measurements a step; this "
            f"checkpoint's {body.name!r} has {body.action_dim} and {body.proprio_dim}."
        )
    return list(body.cameras)


def pick_window(dataset: WindowDataset, episode: int, frame: int, steps_ahead: int) -> HeldOutWindows:
    """One window of a data set of one source: frame `frame` of the episode that the recording numbers `episode`.

    Raises:
        UserError: if there is no such episode, or it ends less than `steps_ahead` env steps later.
    """
    cache = dataset.sources[0].cache
    known: Sequence[int] = cache.episode_index.tolist()
    if episode not in known:
        raise UserError(f"There is no episode {episode}; there are {len(known)}, from {min(known)} to {max(known)}.")
    place = known.index(episode)
    length = int(cache.bounds[place + 1] - cache.bounds[place])
    if not 0 <= frame < length - steps_ahead:
        raise UserError(
            f"Episode {episode} has {length} frames; with {steps_ahead} env steps ahead frame must be between 0 "
            f"and {length - steps_ahead - 1}, got {frame}."
        )
    row = np.array([int(cache.bounds[place]) + frame])
    return HeldOutWindows(dataset, np.zeros(1, np.int64), row, np.array([place]))
