"""Which picture belongs to which row, and whether rows and pictures come at the rate they should."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from unified.data.imports.findings import Findings
from unified.data.imports.lerobot.dataset import SourceEpisode
from unified.data.imports.lerobot.films import FilmScan

_LEROBOT_TOLERANCE_S = 1e-4
_DRIFT = 0.02  # share by which a clock may go wrong before its rate is another one
_AROUND = 5  # rows on either side that tell a missing frame from a late stamp


def check_rate(
    info: Mapping[str, Any], episodes: Sequence[SourceEpisode], fps: float | None, findings: Findings
) -> float:
    """The rate of the rows: what the user says, else that of the metadata, unless the times have another one."""
    declared = float(info["fps"])
    found = _measured_rates([episode.times for episode in episodes if grows(episode.times)]) or [declared]
    measured = next((rate for rate in found if abs(rate - round(rate)) < 0.01 * rate), found[-1])
    drifts = declared.is_integer() and any(abs(rate / declared - 1) < _DRIFT for rate in found)
    rate = fps if fps is not None else declared if drifts else measured
    rate = float(round(rate)) if abs(rate - round(rate)) < 0.01 else rate
    if abs(rate - declared) > 0.01:
        films = sorted({film.info["video.fps"] for episode in episodes for film in episode.films().values()})
        shown = f", the films run at {', '.join(map(str, films))}" if films else ""
        findings.lie(
            "fps",
            f"meta/info.json says {declared:g} Hz, the times in the tables step {1 / measured:.4g} s "
            f"({measured:.4g} Hz){shown}" + (f"; --fps says {fps:g}" if fps is not None else ""),
        )
    if not rate.is_integer() or rate < 1:
        findings.breaks(f"the rows come at {rate:.4f} Hz; LeRobot needs a whole number: say which with --fps")
    return rate


def grows(times: Float64[np.ndarray, " frame"]) -> bool:
    """Whether every row comes after the one before."""
    return bool(np.isfinite(times).all() and (np.diff(times) > 0).all())


def check_times(episode: SourceEpisode, rate: float, is_given: bool, findings: Findings) -> None:
    """The times of an episode's rows against their rate, which is `is_given` where the user said it."""
    times, steps = episode.times, np.diff(episode.times)
    if not grows(times):
        row = int(np.flatnonzero(~(steps > 0))[0]) if len(steps) else 0
        text = f"{episode.table}, row {row + 1}: times do not grow ({times[row : row + 2].tolist()})"
        if episode.is_counted and np.abs(times).max() >= 2**23 / rate:  # float32 has 24 bits
            findings.lie("timestamps", text, "the clock is too large for float32, but frame_index counts the rows")
        elif is_given:
            findings.lie("timestamps", text, "rows are numbered at the rate of --fps")
        else:
            way_out = "if no row is missing, --fps RATE --repair timestamps numbers them evenly"
            findings.breaks(f"{text}; {way_out}", episode.number)
        return
    row = _missing_frame(times, rate)
    error = np.abs(times - times[0] - np.arange(len(times)) / rate)
    worst = int(error.argmax())
    if row is not None:
        text = f"{episode.table}, row {row}: a step of {steps[row - 1]:.4f} s at {rate:g} Hz"
        findings.breaks(f"{text}; frames are missing, and episodes are not cut", episode.number)
    elif times[0] != 0:
        findings.lie("timestamps", f"{episode.table} starts at {times[0]:.10g} s", "times do not start at 0")
    elif error[worst] > _LEROBOT_TOLERANCE_S + np.spacing(np.float32(times[-1])):
        findings.lie(
            "timestamps",
            f"{episode.table} row {worst} is {error[worst]:.4f} s off, rows come {steps.min():.4g} to "
            f"{steps.max():.4g} s apart",
            "times are not evenly spaced",
        )


def align(episode: SourceEpisode, rate: float, findings: Findings) -> None:
    """Find for every camera which of its pictures is the first row's."""
    for key, pictures in episode.pictures.items():
        episode.skip[key] = 0
        spare = len(pictures) - len(episode)
        if not isinstance(pictures, FilmScan):
            continue
        name = f"{key} {pictures.path.name}"
        row = _missing_frame(pictures.times, 1 / _step(pictures, rate)) if grows(pictures.times) else 0
        if spare < 0:
            text = f"{len(pictures)} frames for the {len(episode)} rows of episode {episode.number}; it is truncated"
            findings.breaks(f"{name}: {text}", episode.number)
        elif row is not None:
            findings.breaks(f"{name}: frame {row} is missing: later rows have no picture of their time", episode.number)
        elif spare > 0:
            _leave_out(episode, key, pictures, rate, findings)
        elif not pictures.is_even(rate):
            _note_rate(name, pictures, rate, findings)


def _leave_out(episode: SourceEpisode, key: str, film: FilmScan, rate: float, findings: Findings) -> None:
    """The first row's picture in a film with pictures to spare.

    Rows may tell their time in the film; a clock that began elsewhere (at boot, in 1970) does not, and then the first
    row has the first picture. A time that lies inside the film and leaves too few pictures for the rows fits neither.
    """
    name, spare = f"{key} {film.path.name}", len(film) - len(episode)
    place = f"{name} has {len(film)} frames, its table {len(episode)} rows"
    start = float(episode.times[0])
    offset = (start + film.start - float(film.times[0])) * rate
    is_other_clock = abs(start) > len(film) / rate
    if abs(_step(film, rate) * rate - 1) > 0.01:
        text = f"{place}, and it shows {1 / _step(film, rate):.4g} frames a second, rows come at {rate:g} Hz"
        findings.breaks(f"{text}: which belong together cannot be told", episode.number)
        return
    if is_other_clock:
        which = f" (times start at {start:.10g} s, which is no time of the film: the first row has the first frame)"
    elif abs(offset - round(offset)) <= 0.25 and 0 <= round(offset) <= spare:
        episode.skip[key] = round(offset)
        which = ""
        if episode.skip[key]:
            which = f" (times start at {start:g} s, so {episode.skip[key]} of them come before the first row)"
    else:
        text = f"{place}, which start {offset:.4g} frames into it: that does not fit"
        findings.breaks(text, episode.number)
        return
    findings.lie("extra-frames", place, "films are longer than their tables" + which)
    if not film.is_even(rate):
        _note_rate(name, film, rate, findings)


def _note_rate(name: str, film: FilmScan, rate: float, findings: Findings) -> None:
    steps = np.diff(film.times)
    shown = f"a frame every {_step(film, rate):.4g} s"
    if steps.max() - steps.min() > 0.1 / rate:
        shown += f", unevenly: {steps.min():.4g} to {steps.max():.4g} s"
    findings.lie("film-rate", f"{name}: {shown}, rows at {rate:g} Hz")


def _step(film: FilmScan, rate: float) -> float:
    return float(np.median(np.diff(film.times))) if len(film) > 1 else 1 / rate


def _measured_rates(times: Sequence[np.ndarray]) -> list[float]:
    """Rows a second: over whole episodes (late stamps change nothing), and by the commonest step (nor do pauses)."""
    steps = np.concatenate([np.diff(values) for values in times if len(values) > 1] or [np.zeros(0)])
    if not len(steps):
        return []
    periods = np.maximum(np.round(steps / np.median(steps)), 1)
    return [float(len(steps) / steps.sum()), float(periods.sum() / steps.sum())]


def _missing_frame(times: Float64[np.ndarray, " frame"], rate: float) -> int | None:
    """The first row before which a frame is missing: from there on all are a step late, not one stamp alone."""
    late = (times - times[0]) * rate - np.arange(len(times))
    for row in (np.flatnonzero(np.diff(times) * rate > 1.5) + 1).tolist():
        if np.median(late[row : row + _AROUND]) - np.median(late[max(0, row - _AROUND) : row]) > 0.5:
            return row
    return None
