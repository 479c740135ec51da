"""A drift watch from recordings: what is familiar, the limits of dreams that are believed, and what it finds out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from unified.data.cache import Cache
from unified.data.heldout import open_dataset
from unified.data.source import Source, open_recording
from unified.errors import UserError
from unified.judging.intervals import wilson
from unified.model.batch import Batch, images_to_float
from unified.model.model import UnifiedModel
from unified.model.stored.history import TRAINED
from unified.rollout.dreams.dream import Dream
from unified.rollout.dreams.starts import RecordedStarts, Start
from unified.rollout.dreams.watch import ERROR, STRANGENESS, DriftWatch, Familiar

GOOD, WRONG, NOISE, ELSEWHERE = "good", "another's commands", "noise", "another world"
FALSE_ALARMS = 0.05  # of good dreams, by both numbers together
_WITHIN_S = 2.0

Film = Iterator[tuple[Float[Tensor, " 1 env_step action_dim"], Batch]]
"""The commands that the watch is told, and the moment that came."""


@dataclass(frozen=True)
class Episodes:
    """Held-out episodes of a recording that are long enough, where dreams of some seconds start."""

    starts: RecordedStarts
    numbers: list[int]
    steps: int
    seed: int = 0

    @classmethod
    def of(cls, dreamer: UnifiedModel, root: str, seconds: float, seed: int = 0) -> "Episodes":
        """Those of which as many seconds are recorded after the first second.

        Raises:
            UserError: if there are fewer than four.
        """
        starts = RecordedStarts(dreamer, root)
        stride_s = starts.stride * starts.body.control_dt
        steps = max(1, round(seconds / stride_s))
        long = [number for number in starts.episodes if starts.recorded(number) >= steps]
        if len(long) < 4:
            raise UserError(
                f"{root} has {len(long)} held-out episodes of {seconds:g} s; at least 4 are needed. Record more, or "
                "ask for fewer --seconds."
            )
        return cls(starts, long, steps, seed)

    def begin(self, number: int) -> tuple[Start, Float[Tensor, " step env_step action_dim"]]:
        """Where a dream starts, and the commands that were executed."""
        return self.starts.begin(number, 0, steps=0), self.starts.commands(number, 0, self.steps)


def fit_watch(
    watcher: UnifiedModel, dreamer: UnifiedModel, root: str, seconds: float, seed: int = 0
) -> tuple[DriftWatch, Episodes]:
    """A watch whose limits one in twenty dreams of a recording's held-out episodes crosses; every second one is used.

    Args:
        watcher: learned "inverse_by_sight" apart from the dreamer.
        dreamer: imagines what is believed: dreams told what was executed.
        root: the recording; both must know its body.
        seconds: length of a dream.
        seed: of its noise.

    Raises:
        UserError: if a model does not fit the recording, or too little was held out.
    """
    watch = DriftWatch(watcher, _familiar(watcher, root), {ERROR: float("inf"), STRANGENESS: float("inf")})
    episodes = Episodes.of(dreamer, root, seconds, seed)
    highest = np.array([np.nanmax(series(watch, *good(dreamer, episodes, n)), 0) for n in episodes.numbers[::2]])
    limits = prediction_limit(highest, FALSE_ALARMS / 2)
    return DriftWatch(watcher, watch.familiar, dict(zip((ERROR, STRANGENESS), limits.tolist(), strict=True))), episodes


def prediction_limit(values: Float[np.ndarray, " dream number"], share: float) -> Float[np.ndarray, " number"]:
    """What another value exceeds with this probability, if the logarithms are normal; wider where there are few."""
    logs, count = np.log(np.maximum(values, 1e-12)), len(values)
    reach = stats.t.ppf(1 - share, count - 1) * logs.std(axis=0, ddof=1) * np.sqrt(1 + 1 / count)
    return np.exp(logs.mean(axis=0) + reach)


def judge_watch(watch: DriftWatch, dreamer: UnifiedModel, episodes: Episodes, elsewhere: str | None) -> dict[str, Any]:
    """How many dreams of the other episodes it ends: good ones, and bad ones within two seconds of going wrong.

    Args:
        elsewhere: a recording of another world, whose films it is shown.
    """
    starts, numbers = episodes.starts, episodes.numbers[1::2]
    second = max(1, round(1 / (starts.stride * starts.body.control_dt)))
    ended: dict[str, list[bool]] = {GOOD: [], WRONG: [], NOISE: []} | ({ELSEWHERE: []} if elsewhere else {})
    within = max(1, round(_WITHIN_S * second))
    foreign = None if elsewhere is None else _pictures(dreamer, elsewhere, within)
    for place, number in enumerate(numbers):
        other = numbers[(place + 1) % len(numbers)]
        ended[GOOD].append(_is_ended(watch, series(watch, *good(dreamer, episodes, number))))
        misled = series(watch, *wrong(dreamer, episodes, number, other))
        ended[WRONG].append(_is_ended(watch, misled[:within]))
        spoilt = series(watch, *noisy(dreamer, episodes, number, second))
        ended[NOISE].append(_is_ended(watch, spoilt[: second + within]))
        if foreign is not None:
            ended[ELSEWHERE].append(_is_ended(watch, series(watch, *shown(episodes, number, foreign))))
    return {
        "limits": watch.limits,
        "seconds": episodes.steps / second,
        "within_s": _WITHIN_S,
        "ended": {
            kind: {"share": float(np.mean(each)), "ci95": [*wilson(sum(each), len(each))], "dreams": len(each)}
            for kind, each in ended.items()
        },
    }


def series(watch: DriftWatch, start: Start, film: Film) -> Float[np.ndarray, " step 2"]:
    """Both numbers at every moment of a film; NaN before a whole second was seen."""
    notes, rows = watch.begin(start), []
    for commands, after in film:
        now = notes.look(commands, after)
        rows.append([now[ERROR], now[STRANGENESS]] if notes.is_full else [np.nan, np.nan])
    return np.array(rows)


def good(dreamer: UnifiedModel, episodes: Episodes, number: int) -> tuple[Start, Film]:
    """A dream told what was executed, as the watch is."""
    start, commands = episodes.begin(number)
    return start, _dreamt(dreamer, start, commands, commands, episodes.seed)


def wrong(dreamer: UnifiedModel, episodes: Episodes, number: int, other: int) -> tuple[Start, Film]:
    """A dream told what was executed in another episode; the watch is told its own."""
    start, told = episodes.begin(number)
    return start, _dreamt(dreamer, start, episodes.begin(other)[1], told, episodes.seed)


def noisy(dreamer: UnifiedModel, episodes: Episodes, number: int, after: int) -> tuple[Start, Film]:
    """A good dream that becomes noise after so many moments."""
    start, film = good(dreamer, episodes, number)
    generator = torch.Generator().manual_seed(number)

    def change() -> Film:
        for step, (told, moment) in enumerate(film):
            noise = torch.rand(moment.images.shape, generator=generator) * 2 - 1
            yield told, moment if step < after else replace(moment, images=noise)

    return start, change()


def shown(
    episodes: Episodes, number: int, pictures: Float[Tensor, " step camera 3 height width"]
) -> tuple[Start, Film]:
    """A film of another world in the dream's place."""
    start, told = episodes.begin(number)
    moments = [replace(start.present, images=picture[None, None]) for picture in pictures[1:]]
    return start, zip(told.split(1), moments, strict=False)


def _dreamt(dreamer: UnifiedModel, start: Start, commands: Tensor, told: Tensor, seed: int) -> Film:
    dream = Dream(dreamer, start.batch, seed=seed)
    for executed, known in zip(commands.split(1), told.split(1), strict=True):
        dream.step(executed)
        yield known, dream.present


def _is_ended(watch: DriftWatch, numbers: Float[np.ndarray, " step 2"]) -> bool:
    limits = np.array([watch.limits[ERROR], watch.limits[STRANGENESS]])
    return bool((numbers > limits).any())


def _familiar(watcher: UnifiedModel, root: str, count: int = 4000) -> Familiar:
    """Pictures of the episodes of a recording that the watcher was trained on; of all, if it knows none."""
    judged = open_dataset(root, watcher.spec, watcher.history, every=True)
    windows = judged.choose(count, 1, 0)
    numbers = judged.windows.sources[0].cache.episode_index[windows.episode].tolist()
    is_trained = np.array([judged.status[number] == TRAINED for number in numbers])
    windows = windows.pick(np.flatnonzero(is_trained)) if is_trained.any() else windows
    watch = DriftWatch(watcher, Familiar(torch.zeros(1), torch.ones(1, 1)), {})
    device = next(watcher.parameters()).device
    return Familiar.of(torch.cat([watch.features(batch.to(device)) for batch in windows.batches(64)]))


def _pictures(dreamer: UnifiedModel, root: str, steps: int) -> Float[Tensor, " step camera 3 height width"]:
    """A film of a recording of another world, at the dreamer's size, its first camera in the place of all."""
    cache = Cache.open(open_recording(Source(root)), dreamer.spec.image_size)
    rows = slice(0, min(steps + 1, int(cache.bounds[1])))
    film = images_to_float(torch.from_numpy(np.array(next(iter(cache.images.values()))[rows])).movedim(-1, 1))
    return film[:, None].expand(-1, len(dreamer.spec.cameras), -1, -1, -1)
