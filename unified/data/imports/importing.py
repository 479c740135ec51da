"""Turning a dataset of another layout into a checked LeRobot v3.0 dataset; films keep their bytes."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from unified.atomic import atomic_path
from unified.data.imports.checks import CheckedSource, OnEpisode, check_source
from unified.data.imports.findings import Findings, refuse, unused_repairs
from unified.data.imports.v21 import SourceEpisode
from unified.data.lerobot3 import layout
from unified.data.lerobot3.episode_stats import image_stats
from unified.data.lerobot3.mp4 import FilmScan, retime_mp4
from unified.data.lerobot3.writer import EpisodeWriter, PreparedEpisode
from unified.errors import UserError


@dataclass(frozen=True)
class Imported:
    """What an import did; `repaired` and `notes` are also kept in `meta/unified.json`."""

    episodes: int
    frames: int
    repaired: dict[str, str]
    notes: list[str]
    unused_repairs: list[str]


def import_dataset(
    source: Path | str,
    output: Path | str,
    repairs: frozenset[str] = frozenset(),
    cameras: Sequence[str] | None = None,
    fps: float | None = None,
    command: str = "",
    on_episode: OnEpisode = lambda *_: None,
) -> Imported:
    """Check a LeRobot v2.x dataset to its last frame and write it as v3.0.

    Args:
        repairs: names in `unified.data.imports.findings.REPAIRS`; everything else that is wrong stops the import.
        cameras: without "observation.images."; None takes all.
        fps: the true rate of the rows, if the user knows better than the tables.
        on_episode: called with (episodes checked, of how many).

    Raises:
        UserError: with one line for everything that is wrong and not to be repaired; nothing is written then.
    """
    source, output = Path(source), Path(output)
    check_folders(source, output)
    checked = check_source(source, cameras, fps, on_episode)
    refuse(checked.findings, repairs, str(source))
    repaired = checked.findings.lines()
    robot = str(checked.info.get("robot_type") or "unknown")
    origin = provenance(robot, source, checked.info["codebase_version"], checked.findings, command)
    with atomic_path(output) as folder:
        frames = _write(checked, folder, robot, origin)
    unused = unused_repairs(repairs, repaired)
    return Imported(len(checked.episodes), frames, repaired, checked.findings.notes, unused)


def provenance(embodiment: str, source: Path, source_layout: str, findings: Findings, command: str) -> dict[str, Any]:
    """What `meta/unified.json` says of data that were recorded elsewhere."""
    return {
        "embodiment": embodiment,
        "is_demonstration": True,
        "policy": "recorded elsewhere",
        "source": {"name": source.name, "layout": source_layout},
        "repaired": findings.lines(),
        "notes": findings.notes,
        "versions": {},
        "command": command,
    }


def check_folders(source: Path, output: Path) -> None:
    """Refuse an output that holds something or lies inside the source.

    Raises:
        UserError: naming the folder.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} exists and is not empty; choose another --output.")
    if output.resolve().is_relative_to(source.resolve()):
        raise UserError(f"--output {output} lies inside the source {source}; choose another folder.")


def _write(checked: CheckedSource, folder: Path, robot: str, origin: dict[str, Any]) -> int:
    with EpisodeWriter.create(folder, int(checked.fps), checked.features, robot, origin) as writer:
        for episode in checked.episodes:
            tasks = [checked.tasks[index] for index in episode.task_indices]
            writer.commit(_prepare(episode, checked, writer.scratch), tasks, {"source_episode": episode.number})
        return writer.num_frames


def _prepare(episode: SourceEpisode, checked: CheckedSource, folder: Path) -> PreparedEpisode:
    folder.mkdir(parents=True, exist_ok=True)
    films = {key: folder / f"{key}.mp4" for key in episode.films}
    starts: dict[str, float] = {}
    for key, film in episode.films.items():
        starts[key] = _copy_film(film, films[key], checked.fps) + _skipped(episode, film, checked.fps) / checked.fps
    stats = {key: image_stats(film.sample) for key, film in episode.films.items()} | layout.array_stats(episode.arrays)
    return PreparedEpisode(episode.arrays, films, stats, starts)


def _copy_film(film: FilmScan, target: Path, fps: float) -> float:
    """Copy, at the rate of the rows; returns the time of the first frame in the copy."""
    step = float(np.median(np.diff(film.times))) if len(film) > 1 else 1 / fps
    if abs(step * fps - 1) <= 1e-3:
        shutil.copyfile(film.path, target)
        return float(film.times[0])
    factor = Fraction(1 / (step * fps)).limit_denominator(1000)
    retime_mp4(film.path, target, factor)
    return float(film.times[0] * factor)


def _skipped(episode: SourceEpisode, film: FilmScan, fps: float) -> int:
    """How many frames come before the first row's: what the time of that row says, if the film has frames to spare."""
    spare = len(film) - len(episode)
    return min(max(round(float(episode.times[0]) * fps), 0), spare)
