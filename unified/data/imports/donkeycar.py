"""Turning a Donkeycar tub (JSON lines beside a folder of JPEGs, one a frame) into a checked LeRobot v3.0 dataset."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from unified.atomic import atomic_path
from unified.data.imports.checks import OnEpisode
from unified.data.imports.findings import Findings, refuse, unused_repairs
from unified.data.imports.importing import Imported, check_folders, provenance
from unified.data.lerobot3.writer import EpisodeWriter
from unified.errors import UserError

CATALOGUES = ("catalog*.jsonl", "*.catalog")
CAMERA = "observation.images.front"
_IMAGE, _ANGLE, _THROTTLE, _TIME = "cam/image_array", "user/angle", "user/throttle", "_timestamp_ms"
_LONGEST_STEP = 2.5  # in median steps; a longer pause between two rows begins another episode
_LARGEST_JITTER = 0.1  # share of a step


@dataclass(frozen=True)
class TubRow:
    """One line of a catalogue: `steering` (positive is right) and `throttle` in [-1, 1], `time_s` of the clock."""

    session: str
    index: int
    time_s: float
    image: Path
    steering: float
    throttle: float


def is_tub(folder: Path) -> bool:
    """Whether a folder looks like a Donkeycar tub."""
    return bool(_catalogues(folder)) and (folder / "images").is_dir()


def import_tub(
    source: Path | str,
    output: Path | str,
    repairs: frozenset[str] = frozenset(),
    task: str = "follow the track",
    episode_seconds: float = 20.0,
    command: str = "",
    on_episode: OnEpisode = lambda *_: None,
) -> Imported:
    """Check a tub to its last picture and write it as LeRobot v3.0.

    The action is (steering, throttle). A tub measures nothing about the car; `observation.state` is the throttle that
    was commanded one row earlier, a hint at the speed that says nothing about steering.

    Args:
        repairs: names in `unified.data.imports.findings.REPAIRS`; only "timestamps" can be needed here.
        task: the instruction, which tubs don't have.
        episode_seconds: longer drives are cut into episodes of this length, so that some can be held out.
        on_episode: called with (episodes written, of how many).

    Raises:
        UserError: with one line for everything that is wrong and not to be repaired; nothing is written then.
    """
    source, output = Path(source), Path(output)
    check_folders(source, output)
    if not episode_seconds > 0:
        raise UserError(f"--episode-seconds must be above 0, got {episode_seconds}.")
    findings = Findings()
    rows = _read_rows(source, findings)
    fps = _rate(rows, findings)
    refuse(findings, repairs, str(source))
    episodes = list(_cut(rows, fps, max(round(episode_seconds * fps), 2)))
    findings.notes.append(
        "observation.state is the throttle commanded one row earlier: the tub holds no measurement of the car."
    )
    origin = provenance("donkeycar", source, "Donkeycar tub", findings, command)
    with atomic_path(output) as folder, _writer(folder, rows[0], fps, origin) as writer:
        for number, (before, episode) in enumerate(episodes):
            details = {"source_index": episode[0].index, "session": episode[0].session}
            writer.save_episode(_frames(before, episode), task, details)
            on_episode(number + 1, len(episodes))
    unused = unused_repairs(repairs, findings.lies)
    return Imported(len(episodes), sum(len(rows) for _, rows in episodes), findings.lines(), findings.notes, unused)


def _catalogues(folder: Path) -> list[Path]:
    return sorted(path for pattern in CATALOGUES for path in folder.glob(pattern))


def _read_rows(source: Path, findings: Findings) -> list[TubRow]:
    rows: list[TubRow] = []
    size: tuple[int, int] | None = None
    for path in _catalogues(source):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                row = _parse(line, source / "images")
                found = _picture_size(row.image)
                size = size or found
                if found != size:
                    raise ValueError(f"{row.image.name} is {found} pixels, the first picture {size}")
            except ValueError as error:
                findings.broken.append(f"{path.name}, line {number}: {error}")
                continue
            rows.append(row)
    rows.sort(key=lambda row: (row.session, row.index))
    if not rows and not findings.broken:
        raise UserError(f"{source} holds no rows.")
    return rows


def _parse(line: str, images: Path) -> TubRow:
    """One row.

    Raises:
        ValueError: not JSON, a missing key, a command that is not between -1 and 1.
    """
    try:
        record = json.loads(line)
        row = TubRow(
            session=str(record.get("_session_id", "")),
            index=int(record["_index"]),
            time_s=float(record[_TIME]) / 1000,
            image=images / Path(str(record[_IMAGE])).name,
            steering=float(record[_ANGLE]),
            throttle=float(record[_THROTTLE]),
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg})") from error
    except (KeyError, TypeError) as error:
        raise ValueError(f"no usable {error}") from error
    for name, value in ((_ANGLE, row.steering), (_THROTTLE, row.throttle)):
        if not -1 <= value <= 1:
            raise ValueError(f"{name} must be between -1 and 1, got {value}")
    if not math.isfinite(row.time_s):
        raise ValueError(f"{_TIME} must be a number, got {record[_TIME]}")
    return row


def _picture_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture.size
    except (OSError, UnidentifiedImageError) as error:
        raise ValueError(f"images/{path.name} cannot be read ({' '.join(str(error).split())[:80]})") from error


def _rate(rows: list[TubRow], findings: Findings) -> int:
    """Rows a second; times that are not evenly spaced are a lie that the timestamps repair puts right."""
    steps = np.array([b.time_s - a.time_s for a, b in pairwise(rows) if _is_next(a, b)])
    if not len(steps) or not np.median(steps) > 0:
        findings.broken.append("no two rows follow each other in time: there is nothing to take a rate from")
        return 1
    step = float(np.median(steps))
    steps = steps[steps < _LONGEST_STEP * step]
    worst = float(np.abs(steps / step - 1).max())
    if worst > _LARGEST_JITTER:
        text = f"{_TIME} steps by {1000 * steps.min():.0f} to {1000 * steps.max():.0f} ms, median {1000 * step:.0f} ms"
        findings.lie("timestamps", text, "rows are not evenly spaced in time")
    return round(1 / step)


def _is_next(first: TubRow, second: TubRow) -> bool:
    return first.session == second.session and second.index == first.index + 1


def _cut(rows: list[TubRow], fps: int, length: int) -> Iterator[tuple[TubRow | None, list[TubRow]]]:
    """(the row before, rows) of every episode: drives end where rows are missing, and are cut into equal parts."""
    breaks = [
        place
        for place, (a, b) in enumerate(pairwise(rows), start=1)
        if not _is_next(a, b) or not 0 < b.time_s - a.time_s < _LONGEST_STEP / fps
    ]
    for start, stop in pairwise([0, *breaks, len(rows)]):
        parts = max(round((stop - start) / length), 1)
        edges = np.linspace(start, stop, parts + 1).round().astype(int).tolist()
        for first, last in pairwise(edges):
            yield (rows[first - 1] if first > start else None), rows[first:last]


def _writer(folder: Path, first: TubRow, fps: int, origin: dict[str, Any]) -> EpisodeWriter:
    width, height = _picture_size(first.image)
    features = {
        CAMERA: {"dtype": "video", "shape": (height, width, 3), "names": ["height", "width", "channels"]},
        "observation.state": {"dtype": "float32", "shape": (1,), "names": ["last_throttle"]},
        "action": {"dtype": "float32", "shape": (2,), "names": ["steering", "throttle"]},
    }
    return EpisodeWriter.create(folder, fps, features, "donkeycar", origin)


def _frames(before: TubRow | None, rows: list[TubRow]) -> dict[str, np.ndarray]:
    throttle = [row.throttle for row in rows]
    last = [before.throttle if before else throttle[0], *throttle[:-1]]
    return {
        CAMERA: np.stack([_picture(row.image) for row in rows]),
        "observation.state": np.array(last, np.float32)[:, None],
        "action": np.array([[row.steering, row.throttle] for row in rows], np.float32),
    }


def _picture(path: Path) -> UInt8[np.ndarray, " height width 3"]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
