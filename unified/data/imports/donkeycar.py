"""Donkeycar tubs: JSON lines beside a folder of JPEGs, one a frame, and a manifest that says which rows count."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from unified.data.imports.findings import Findings
from unified.data.imports.importing import Checked, Importer, OnEpisode, Ready
from unified.data.lerobot3.pictures import read_picture
from unified.data.lerobot3.writer import prepare_episode
from unified.errors import DataError, UserError, check_numbers

CATALOGUES = ("catalog*.jsonl", "*.catalog")
MANIFEST = "manifest.json"
CAMERA = "observation.images.front"
_IMAGE, _ANGLE, _THROTTLE, _TIME, _MODE = "cam/image_array", "user/angle", "user/throttle", "_timestamp_ms", "user/mode"
_LONGEST_STEP = 2.5  # in median steps; a longer pause between two rows begins another drive
_LARGEST_JITTER = 0.1  # share of a step
_SHORTEST = 2  # rows: from a single one nothing can be learnt


@dataclass(frozen=True)
class TubRow:
    """One line of a catalogue: `steering` (positive is right) and `throttle` in [-1, 1], `time_s` of the clock."""

    session: str
    index: int
    time_s: float
    image: Path
    steering: float
    throttle: float


@dataclass
class Tub:
    """The rows that count, in order, and how many do not: by the reason."""

    rows: list[TubRow] = field(default_factory=list[TubRow])
    left_out: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("deleted", "pilot", "unusable"), 0))
    size: tuple[int, int] | None = None

    @property
    def total(self) -> int:
        """Rows that the catalogues hold."""
        return len(self.rows) + sum(self.left_out.values())


def is_tub(folder: Path) -> bool:
    """Whether a folder looks like a Donkeycar tub."""
    return (folder / "images").is_dir() and bool(_catalogues_on_disk(folder))


def check_tub(
    source: Path, on_episode: OnEpisode, task: str = "follow the track", episode_seconds: float = 20.0
) -> Checked:
    """Look at a tub to its last picture.

    The action is (steering, throttle) of the human driver; rows that the pilot drove are left out. A tub measures
    nothing about the car; `observation.state` is the throttle that was commanded one row earlier, a hint at the speed
    that says nothing about steering.

    Args:
        task: the instruction, which tubs don't have.
        episode_seconds: longer drives are cut into episodes of this length, so that some can be held out.
        on_episode: called with (rows checked, of how many).

    Raises:
        UserError: if there is nothing that a human drove.
    """
    check_numbers(above=0, prefix="--episode-", seconds=episode_seconds)
    findings = Findings()
    tub = _read_rows(source, findings, on_episode)
    step = _median_step(tub.rows)
    fps = round(1 / step) if step else 0
    if not fps:
        findings.breaks("no two rows follow each other within two seconds: there is nothing to take a rate from")
    drives = list(_drives(tub.rows, step))
    episodes = list(_cut(drives, max(round(episode_seconds * fps), _SHORTEST)))
    _report(tub, drives, episodes, step, findings)
    height, width = tub.size or (0, 0)
    features = {
        CAMERA: {"dtype": "video", "shape": (height, width, 3), "names": ["height", "width", "channels"]},
        "observation.state": {"dtype": "float32", "shape": (1,), "names": ["last_throttle"]},
        "action": {"dtype": "float32", "shape": (2,), "names": ["steering", "throttle"]},
    }

    def ready(folder: Path) -> Iterator[Ready]:
        for before, rows in episodes:
            episode = prepare_episode(_frames(before, rows), features, fps, folder)
            yield Ready(episode, [task] * len(rows), {"source_index": rows[0].index, "session": rows[0].session})

    before = len({row.session for row in tub.rows}), tub.total
    after = len(episodes), sum(len(rows) for _, rows in episodes)
    return Checked("Donkeycar tub", "donkeycar", float(fps), features, findings, before, after, ready)


def _catalogues_on_disk(folder: Path) -> list[Path]:
    return sorted(path for pattern in CATALOGUES for path in folder.glob(pattern))


def _catalogues(source: Path, findings: Findings) -> tuple[list[Path], set[int]]:
    """The catalogues that count and the numbers of deleted rows, both as the manifest says if there is one."""
    found = _catalogues_on_disk(source)
    if not (source / MANIFEST).is_file():
        findings.notes.append(f"there is no {MANIFEST}: rows that were deleted in Donkeycar's editor cannot be told")
        return found, set()
    try:
        # Five lines: inputs, types, metadata, sessions, and the state of the catalogues, which is the one that matters.
        lines = [json.loads(line) for line in (source / MANIFEST).read_bytes().split(b"\n") if line.strip()]
        state = next(line for line in reversed(lines) if isinstance(line, dict) and "paths" in line)
        paths = [source / Path(str(path)).name for path in state["paths"]]
        deleted = {int(index) for index in state.get("deleted_indexes", [])}
    except (ValueError, TypeError, StopIteration, OSError) as error:
        findings.breaks(f"{MANIFEST} does not say which rows count ({error or 'no line with paths'})")
        return found, set()
    for path in paths:
        if not path.is_file():
            findings.breaks(f"{path.name} is missing, {MANIFEST} lists it")
    unlisted = [path.name for path in found if path not in paths]
    if unlisted:
        findings.notes.append(f"{MANIFEST} does not list {', '.join(unlisted)}, which was left out")
    return [path for path in paths if path.is_file()], deleted


def _read_rows(source: Path, findings: Findings, on_episode: OnEpisode) -> Tub:
    tub = Tub()
    catalogues, deleted = _catalogues(source, findings)
    lines = [
        (f"{path.name}, line {number}", line)
        for path in catalogues
        for number, line in enumerate(path.read_bytes().split(b"\n"), start=1)
        if line.strip()
    ]
    seen: set[tuple[str, int]] = set()
    unusable: list[str] = []
    for done, (place, line) in enumerate(lines, start=1):
        try:
            record = _record(line)
            if record["_index"] in deleted:
                tub.left_out["deleted"] += 1
            elif record.get(_MODE, "user") != "user":
                tub.left_out["pilot"] += 1
            else:
                _add(tub, _row(record, source / "images"), seen)
        except (ValueError, DataError) as error:
            unusable.append(f"{place}: {error}")
        on_episode(done, len(lines))
    tub.left_out["unusable"] = len(unusable)
    for text in unusable:
        findings.lie("rows", text, f"{len(unusable)} of {len(lines)} rows cannot be used")
    if not tub.rows and not unusable and not findings.broken:
        raise UserError(f"{source} holds no rows that a human drove: of {tub.total}, {_left_out(tub)}.")
    tub.rows.sort(key=lambda row: (row.session, row.index))
    return tub


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from error
    if not isinstance(record, dict) or type(record.get("_index")) is not int:
        raise ValueError("not a record with a whole number as _index")
    return record


def _row(record: dict[str, Any], images: Path) -> TubRow:
    try:
        row = TubRow(
            session=str(record.get("_session_id", "")),
            index=record["_index"],
            time_s=float(record[_TIME]) / 1000,
            image=images / Path(str(record[_IMAGE])).name,
            steering=float(record[_ANGLE]),
            throttle=float(record[_THROTTLE]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no usable {error}") from error
    for name, value in ((_ANGLE, row.steering), (_THROTTLE, row.throttle)):
        if not -1 <= value <= 1:
            raise ValueError(f"{name} must be between -1 and 1, got {value}")
    if not math.isfinite(row.time_s):
        raise ValueError(f"{_TIME} must be a number, got {record[_TIME]}")
    return row


def _add(tub: Tub, row: TubRow, seen: set[tuple[str, int]]) -> None:
    """Keep a row whose picture can be read.

    Raises:
        ValueError: if it is there already or its picture has another size than the first.
        DataError: if its picture cannot be read.
    """
    if (row.session, row.index) in seen:
        raise ValueError(f"_index {row.index} comes twice in session {row.session!r}")
    try:
        size = read_picture(row.image).shape[:2]
    except DataError as error:
        raise DataError(f"images/{row.image.name}: {error}") from error
    tub.size = tub.size or (int(size[0]), int(size[1]))
    if size != tub.size:
        raise ValueError(f"images/{row.image.name} is {size} pixels, the first picture {tub.size}")
    seen.add((row.session, row.index))
    tub.rows.append(row)


def _median_step(rows: list[TubRow]) -> float:
    """Seconds from row to row; 0 if that cannot be said."""
    steps = [b.time_s - a.time_s for a, b in pairwise(rows) if _is_next(a, b)]
    step = float(np.median(steps)) if steps else 0.0
    return step if 0 < step <= 2 else 0.0


def _is_next(first: TubRow, second: TubRow) -> bool:
    return first.session == second.session and second.index == first.index + 1


def _drives(rows: list[TubRow], step: float) -> Iterator[list[TubRow]]:
    """Runs of rows without a gap: neither in their numbers nor in time."""
    breaks = [
        place
        for place, (a, b) in enumerate(pairwise(rows), start=1)
        if not _is_next(a, b) or not 0 < b.time_s - a.time_s < _LONGEST_STEP * step
    ]
    for start, stop in pairwise([0, *breaks, len(rows)]):
        yield rows[start:stop]


def _cut(drives: list[list[TubRow]], length: int) -> Iterator[tuple[TubRow | None, list[TubRow]]]:
    """(the row before, rows) of every episode: drives are cut into equal parts."""
    for drive in drives:
        if len(drive) >= _SHORTEST:
            edges = np.linspace(0, len(drive), max(round(len(drive) / length), 1) + 1).round().astype(int).tolist()
            for first, last in pairwise(edges):
                yield (drive[first - 1] if first else None), drive[first:last]


def _report(
    tub: Tub,
    drives: list[list[TubRow]],
    episodes: list[tuple[TubRow | None, list[TubRow]]],
    step: float,
    findings: Findings,
) -> None:
    """Say what becomes of the rows; uneven times are a lie that the timestamps repair puts right."""
    if not step:
        return
    together = [b.time_s - a.time_s for a, b in pairwise(tub.rows) if _is_next(a, b)]
    pauses = [pause for pause in together if not 0 < pause < _LONGEST_STEP * step]
    lengths = [len(drive) for drive in drives if drive]
    sessions, kept = len({row.session for row in tub.rows}), sum(len(rows) for _, rows in episodes)
    effect = (
        f"{sessions} recorded session(s) of {tub.total} rows become {len(drives)} drives without a gap "
        f"(median {np.median(lengths):.0f} rows) and {len(episodes)} episodes of {kept} rows"
    )
    if pauses:
        effect += f", cut at {len(pauses)} pauses of up to {max(pauses):.3g} s"
    if tub.total > kept:
        effect += f"; {tub.total - kept} rows are left out ({_left_out(tub, len(tub.rows) - kept)})"
    findings.notes.append(effect)
    even = np.array([value for value in together if 0 < value < _LONGEST_STEP * step])
    wrong = []
    if np.abs(even / step - 1).max() > _LARGEST_JITTER:
        wrong.append("rows are not evenly spaced in time")
    if abs(round(1 / step) * step - 1) > 0.02:
        wrong.append(f"{1 / step:.2f} rows a second are no whole number")
    if pauses and np.median(lengths) * step < 1:
        wrong.append("pauses leave less than a second between them")
    if wrong:
        shown = f"{_TIME} steps by {1000 * even.min():.0f} to {1000 * even.max():.0f} ms, median {1000 * step:.0f} ms"
        findings.lie("timestamps", f"{shown}. Repaired, {effect}", " and ".join(wrong))


def _left_out(tub: Tub, alone: int = 0) -> str:
    reasons = {
        "deleted": "deleted",
        "pilot": f"driven by the pilot ({_MODE} is not user)",
        "unusable": "unusable",
        "alone": "without a neighbour",
    }
    counts = {**tub.left_out, "alone": alone}
    return ", ".join(f"{counts[name]} {text}" for name, text in reasons.items() if counts[name])


def _frames(before: TubRow | None, rows: list[TubRow]) -> dict[str, np.ndarray]:
    throttle = [row.throttle for row in rows]
    last = [before.throttle if before else throttle[0], *throttle[:-1]]
    return {
        CAMERA: np.stack([read_picture(row.image) for row in rows]),
        "observation.state": np.array(last, np.float32)[:, None],
        "action": np.array([[row.steering, row.throttle] for row in rows], np.float32),
    }


IMPORTER = Importer(
    "a Donkeycar tub",
    is_tub,
    check_tub,
    {
        "task": {"metavar": "TEXT", "help": "the instruction (default: follow the track)"},
        "episode_seconds": {
            "type": float,
            "metavar": "S",
            "help": "cut drives into episodes of this length (default: 20)",
        },
    },
)
