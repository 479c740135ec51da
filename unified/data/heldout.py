"""Windows of recorded episodes to judge on: which they are, evenly spread, whole."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int

from unified.data.cache import Cache
from unified.data.fingerprint import episode_fingerprints
from unified.data.source import Recording, Source, open_recording
from unified.data.table import read_numbers
from unified.data.windows import WindowDataset, WindowSource
from unified.errors import UserError
from unified.model.batch import Batch
from unified.model.spec import ACTION, PROPRIO, DataSpec, Embodiment
from unified.model.stored.history import (
    NEW,
    TRAINED,
    Fingerprints,
    History,
    check_not_changed,
    judged,
    status,
)


@dataclass(frozen=True)
class HeldOutWindows:
    """Windows to judge on: moments that are known, the last of them the present, then moments to be imagined.

    Attributes:
        dataset: reads them, told the instruction of the present.
        source, frame: their first moments (see `unified.data.windows.Rows`).
        episode: a number for each episode, all sources counted through.
        known: moments of a window that are known.
        trained: by source, the rows whose episodes the model was trained on.
    """

    dataset: WindowDataset
    source: Int[np.ndarray, " window"]
    frame: Int[np.ndarray, " window"]
    episode: Int[np.ndarray, " window"]
    known: int = 1
    trained: tuple[Int[np.ndarray, " row"], ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def steps(self) -> int:
        """Moments of a window that are to be imagined."""
        return self.dataset.num_moments - self.known

    @property
    def stride(self) -> int:
        """Env steps from one moment to the next, of the first source."""
        return self.dataset.sources[0].frame_stride

    @property
    def present(self) -> Int[np.ndarray, " window"]:
        """Rows of the last moments that are known."""
        strides = np.array([source.frame_stride for source in self.dataset.sources])
        return self.frame + (self.known - 1) * strides[self.source]

    def fetch(self) -> Batch:
        """All of them at once, told the instructions of the present."""
        return self.dataset.fetch((self.source, self.frame))

    def batches(self, size: int) -> Iterator[Batch]:
        """The windows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.pick(np.arange(start, min(start + size, len(self)))).fetch()

    def last_commands(self) -> tuple[Float32[np.ndarray, " window action_dim"], Bool[np.ndarray, " window"]]:
        """The command executed right before the present, and whether there was one (not at an episode's start).

        Unused entries of bodies with fewer actions than others are zero.
        """
        commands = np.zeros((len(self), self.dataset.spec.action_dim), np.float32)
        is_known = np.zeros(len(self), bool)
        for number, source in enumerate(self.dataset.sources):
            rows = np.flatnonzero(self.source == number)
            present = self.present[rows]
            is_known[rows] = ~np.isin(present, source.cache.bounds)
            executed = source.cache.columns[ACTION][np.maximum(present - 1, 0)]
            commands[rows, : executed.shape[1]] = executed
        return commands, is_known

    def commands_from(
        self, present: Int[np.ndarray, " window"]
    ) -> Float32[np.ndarray, " window step env_step action_dim"]:
        """The commands executed from other rows of the windows' sources on, in steps like the windows' own."""
        spec = self.dataset.spec
        commands = np.zeros((len(self), self.steps, spec.frame_stride, spec.action_dim), np.float32)
        for number, source in enumerate(self.dataset.sources):
            rows = np.flatnonzero(self.source == number)
            steps = np.arange(self.steps)[:, None] * source.frame_stride + np.arange(source.frame_stride)
            executed = source.cache.columns[ACTION][present[rows, None, None] + steps]
            commands[rows, :, : source.frame_stride, : executed.shape[-1]] = executed
        return commands

    def pick(self, rows: Int[np.ndarray, " row"]) -> "HeldOutWindows":
        """Some of the windows."""
        return replace(self, source=self.source[rows], frame=self.frame[rows], episode=self.episode[rows])


def choose_windows(dataset: WindowDataset, count: int, known: int, steps: int) -> HeldOutWindows:
    """Up to `count` windows, evenly spread over all episodes, none of which reaches past the end of its episode.

    Args:
        dataset: whose sources' frames may be first moments.
        count: at most so many.
        known: moments that are known; fewer where no episode is as long.
        steps: moments to be imagined after them.

    Raises:
        UserError: if no episode is long enough.
    """
    moments = known + steps
    parts: list[tuple[Any, Any, Any]] = []
    num_episodes = 0
    for number, source in enumerate(dataset.sources):
        episode = np.searchsorted(source.cache.bounds, source.frames, side="right") - 1
        whole = source.frames + (moments - 1) * source.frame_stride < source.cache.bounds[episode + 1]
        frames, episode = source.frames[whole], episode[whole]
        parts.append((np.full(len(frames), number), frames, episode + num_episodes))
        num_episodes += len(source.cache.bounds) - 1
    source, frame, episode = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not len(frame) and known > 1:
        return choose_windows(dataset, count, known - 1, steps)
    if not len(frame):
        ahead = min(source.frame_stride for source in dataset.sources) * steps
        raise UserError(f"No held-out episode is longer than {ahead} env steps; record longer or more episodes.")
    picked = np.unique(np.linspace(0, len(frame) - 1, min(count, len(frame))).round().astype(np.int64))
    windows = WindowDataset(dataset.sources, dataset.spec, moments, known - 1)
    return HeldOutWindows(windows, source[picked], frame[picked], episode[picked], known)


@dataclass(frozen=True)
class Judged:
    """A recording as a model sees it, and what the model knows of its episodes.

    Attributes:
        windows: of the episodes that may be judged, cut as in training; of all of them if asked for.
        status: by the recording's number of each episode: "trained on", "held out" or "never seen".
    """

    windows: WindowDataset
    status: dict[int, str]

    def choose(self, count: int, known: int, steps: int) -> HeldOutWindows:
        """Windows to judge on; see `choose_windows`."""
        cache = self.windows.sources[0].cache
        is_trained = np.array([self.status[index] == TRAINED for index in cache.episode_index.tolist()])
        return replace(choose_windows(self.windows, count, known, steps), trained=(cache.rows(is_trained),))

    def to_dict(self) -> dict[str, Any]:
        """What results say: numbers of episodes of each status, and the status of those that were judged."""
        cache, frames = self.windows.sources[0].cache, self.windows.sources[0].frames
        judged = np.unique(np.searchsorted(cache.bounds, frames, side="right") - 1)
        statuses = {self.status[index] for index in cache.episode_index[judged].tolist()}
        counts = Counter(self.status.values())
        return {"judged": " and ".join(sorted(statuses)), **{name.replace(" ", "_"): n for name, n in counts.items()}}


def open_dataset(
    root: str | Path,
    spec: DataSpec,
    history: History,
    embodiment: str | None = None,
    unseen: bool = False,
    every: bool = False,
) -> Judged:
    """The episodes of a recording that a model may be judged on, with the body, cameras and stride of its training.

    Those that it held out; all of them if it knows none.

    Args:
        root: a LeRobot v3 folder or Hub id.
        spec, history: of the model.
        embodiment: the model's name of the body; default: the one it had in training, else the recording's.
        unseen: also judge episodes that the model does not know.
        every: take all episodes, those that were trained on too.

    Raises:
        UserError: if the recording's body, cameras or sizes are not the model's, or no episode may be judged.
    """
    place = str(root)
    recording = open_recording(Source(place))
    episodes = recording.episodes()
    numbers = read_numbers(recording, episodes)
    origins = [recording.origins[episode.index] for episode in episodes]
    known = episode_fingerprints(numbers.columns[ACTION], numbers.columns[PROPRIO], numbers.bounds, origins)
    body, cameras, stride = _training_of(spec, history, recording, known, embodiment)
    _check_cameras(place, recording, cameras)
    statuses = {episode.index: status(history.sources, one) for episode, one in zip(episodes, known, strict=True)}
    chosen = np.array(judged([*statuses.values()], unseen))
    if every:
        chosen = np.ones_like(chosen)
    else:
        _check_may_be_judged(history, place, [*statuses.values()], chosen, unseen)
    seen = open_recording(Source(place, cameras=list(cameras)), spec.columns)
    cache = Cache.open(seen, spec.image_size)
    source = WindowSource(cache, cache.rows(chosen), body.name, stride, is_demonstration=recording.is_demonstration)
    return Judged(WindowDataset([source], spec), statuses)


def _check_may_be_judged(
    history: History, root: str, statuses: Sequence[str], chosen: Bool[np.ndarray, " episode"], unseen: bool
) -> None:
    if unseen and chosen.any():
        return
    if history.queries is None:
        raise UserError(
            f"This checkpoint does not say what it was trained on, so that {root} may be part of it; if it is not: "
            "--unseen."
        )
    check_not_changed(root, statuses, history.sources)
    if not chosen.any():
        new = statuses.count(NEW)
        way_out = f"judge the {new} that it does not know: --unseen" if new else "judge it on another recording"
        raise UserError(
            f"This checkpoint was trained on {statuses.count(TRAINED)} of the {len(statuses)} episodes of {root} and "
            f"held none of them out; {way_out}, or train with data.holdout above 0."
        )


def _training_of(
    spec: DataSpec, history: History, recording: Recording, known: Sequence[Fingerprints], embodiment: str | None
) -> tuple[Embodiment, tuple[str, ...], int]:
    """Body, cameras and frame stride with which a recording was trained on, or would have been."""
    prints = {one for those in known for one in those}
    sources = [
        source
        for source in history.sources
        if prints & (source.trained.keys() | source.held_out.keys()) and embodiment in (None, source.embodiment)
    ]
    names = {source.embodiment for source in sources}
    if len(names) > 1:
        raise UserError(
            f"{recording.root} was trained on as {' and as '.join(sorted(names))}; say which is meant: --embodiment."
        )
    if sources:
        source = sources[0]
        body = history.find_body(spec, _described(recording), str(recording.root), source.embodiment)
        return body, source.cameras, source.frame_stride
    body = history.find_body(spec, _described(recording), str(recording.root), embodiment)
    return body, body.cameras, history.frame_stride(spec, body.name)


def _check_cameras(root: str, recording: Recording, cameras: Sequence[str]) -> None:
    missing = [camera for camera in cameras if camera not in recording.cameras]
    if missing:
        raise UserError(
            f"{root} has no camera {', '.join(missing)} (it has {', '.join(recording.cameras)}); this checkpoint looks "
            f"through {', '.join(cameras)}. Record with --cameras {','.join(cameras)}."
        )


def _described(recording: Recording) -> Embodiment:
    sizes = (recording.sizes[ACTION], recording.sizes[PROPRIO])
    return Embodiment(recording.recorded_as, *sizes, tuple(recording.cameras), 1 / recording.fps)


def pick_window(dataset: WindowDataset, episode: int, frame: int, steps_ahead: int, known: int = 1) -> HeldOutWindows:
    """One window of a data set of one source: the present is frame `frame` of the episode that has this number.

    Args:
        dataset: of one source.
        episode: the recording's number of the episode.
        frame: of the present.
        steps_ahead: env steps that the window goes on after it.
        known: moments that are known, the present included.

    Raises:
        UserError: if there is no such episode, or the window would begin before it or end after it.
    """
    (source,) = dataset.sources
    cache, stride = source.cache, source.frame_stride
    numbers: Sequence[int] = cache.episode_index.tolist()
    if episode not in numbers:
        raise UserError(
            f"There is no episode {episode}; there are {len(numbers)}, from {min(numbers)} to {max(numbers)}."
        )
    place = numbers.index(episode)
    length = int(cache.bounds[place + 1] - cache.bounds[place])
    before = (known - 1) * stride
    if not before <= frame < length - steps_ahead:
        raise UserError(
            f"Episode {episode} has {length} frames; with {before} env steps before and {steps_ahead} ahead frame must "
            f"be between {before} and {length - steps_ahead - 1}, got {frame}."
        )
    windows = WindowDataset(dataset.sources, dataset.spec, known + steps_ahead // stride, known - 1)
    first = np.array([int(cache.bounds[place]) + frame - before])
    return HeldOutWindows(windows, np.zeros(1, np.int64), first, np.array([place]), known)
