"""What a LeRobot v2.x dataset says about itself, held against what is there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unified.data.imports import metadata, v21
from unified.data.imports.findings import Findings
from unified.data.lerobot3.layout import INDEX_FEATURES, video_keys
from unified.data.lerobot3.mp4 import FilmScan, scan_mp4
from unified.errors import DataError, UserError, unknown_name

IMAGES = "observation.images."
_LARGEST_JITTER = 0.1  # share of a step; beyond it frames are not evenly spaced in time
_LEROBOT_TOLERANCE_S = 1e-4

OnEpisode = Callable[[int, int], None]


@dataclass
class CheckedSource:
    """A dataset as it is on disk, with what is wrong with it.

    Attributes:
        fps: the rate of the rows, from the times in the tables.
        features: what each episode has (index columns left out), with the real size of the films.
        tasks: instruction by task_index.
    """

    root: Path
    info: dict[str, Any]
    fps: float
    features: dict[str, dict[str, Any]]
    tasks: dict[int, str]
    episodes: list[v21.SourceEpisode]
    findings: Findings


def check_source(
    root: Path, cameras: Sequence[str] | None, fps: float | None, on_episode: OnEpisode = lambda *_: None
) -> CheckedSource:
    """Read a dataset to its last frame and collect everything that is not as its metadata say.

    Args:
        cameras: names without "observation.images."; None takes all.
        fps: the rate of the rows where the user knows it; None reads it off the times in the tables.
        on_episode: called with (episodes done, of how many).

    Raises:
        UserError: if there is no dataset of this layout, or no such camera.
    """
    findings = Findings()
    info = v21.read_info(root)
    features = _choose_features(info, cameras)
    numbers = _find_episodes(root, info, findings)
    undeclared = v21.undeclared_columns(v21.find_table(root, info, numbers[0]), info["features"])
    if undeclared:
        columns = ", ".join(f"{key} ({feature['dtype']})" for key, feature in undeclared.items())
        findings.lie("columns", f"the tables have columns that meta/info.json does not declare: {columns}")
    features |= undeclared
    episodes: list[v21.SourceEpisode] = []
    for done, number in enumerate(numbers, start=1):
        episode = v21.read_table(root, info, number, features, findings)
        if episode is not None:
            episode.films = _scan_films(root, info, episode, video_keys(features), findings)
            episodes.append(episode)
            _check_values(episode, findings)
        on_episode(done, len(numbers))
    rate = _check_rate(info, episodes, fps, findings)
    for episode in episodes:
        _check_times(episode, rate, findings)
    _check_films(info, features, episodes, rate, findings)
    metadata.check_lengths(root, episodes, findings)
    metadata.check_names(root, features, findings)
    tasks = metadata.check_tasks(root, info, episodes, findings)
    metadata.note_what_users_should_know(root, info, tasks, episodes, findings)
    return CheckedSource(root, info, rate, features, tasks, episodes, findings)


def _choose_features(info: dict[str, Any], cameras: Sequence[str] | None) -> dict[str, dict[str, Any]]:
    declared = {key: dict(feature) for key, feature in info["features"].items() if key not in INDEX_FEATURES}
    known = [key.removeprefix(IMAGES) for key in video_keys(declared)]
    for camera in cameras or []:
        if camera not in known:
            raise unknown_name("camera", camera, known)
    for key, feature in declared.items():
        if feature["dtype"] == "image" or len(feature["shape"]) not in (1, 3):
            raise UserError(
                f"meta/info.json: feature {key!r} ({feature['dtype']} {feature['shape']}) is not supported."
            )
    left_out = {IMAGES + name for name in known if cameras is not None and name not in cameras}
    return {key: feature for key, feature in declared.items() if key not in left_out}


def _find_episodes(root: Path, info: dict[str, Any], findings: Findings) -> list[int]:
    listed = [int(row["episode_index"]) for row in v21.read_lines(root / "meta" / "episodes.jsonl")]
    present = v21.tables_on_disk(root)
    if not present:
        raise UserError(f"{root} has no table of an episode under data/.")
    if listed != present or info.get("total_episodes") != len(present):
        said = f"meta/episodes.jsonl lists {len(listed)} and meta/info.json says {info.get('total_episodes')}"
        frames = f"(total_frames {info.get('total_frames')}, total_videos {info.get('total_videos')})"
        findings.lie("episodes", f"{said} {frames}, {len(present)} have a table ({_ranges(present)})")
    return present


def _scan_films(
    root: Path, info: dict[str, Any], episode: v21.SourceEpisode, keys: Sequence[str], findings: Findings
) -> dict[str, FilmScan]:
    films: dict[str, FilmScan] = {}
    for key in keys:
        path = v21.find_film(root, info, episode.number, key)
        name = path.relative_to(root)
        try:
            film = scan_mp4(path, len(episode))
        except DataError as error:
            findings.broken.append(f"{str(error).replace(str(path), str(name))} (episode {episode.number})")
            continue
        films[key] = film
        if len(film) < len(episode):
            findings.broken.append(
                f"{name}: {len(film)} frames for the {len(episode)} rows of episode {episode.number}; it is truncated"
            )
        elif len(film) > len(episode):
            place = f"{name} has {len(film)} frames, its table {len(episode)} rows"
            findings.lie("extra-frames", place, "films are longer than their tables" + _which_frame(episode))
    return films


def _which_frame(episode: v21.SourceEpisode) -> str:
    start = float(episode.times[0])
    return f" (times start at {start:g} s, so the first frame is the one without a row)" if start > 0 else ""


def _check_values(episode: v21.SourceEpisode, findings: Findings) -> None:
    for key, value in episode.arrays.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            row, column = (int(number) for number in np.argwhere(~np.isfinite(value))[0])
            findings.broken.append(
                f"{episode.table}: episode {episode.number}, row {row}: {key}[{column}] is {value[row, column]}"
            )


def _check_rate(
    info: dict[str, Any], episodes: Sequence[v21.SourceEpisode], fps: float | None, findings: Findings
) -> float:
    """The rate of the rows: what the user says, else the commonest step of the times."""
    steps = np.concatenate([np.diff(episode.times) for episode in episodes if len(episode) > 1] or [np.zeros(0)])
    measured = 1 / float(np.median(steps)) if len(steps) and np.median(steps) > 0 else float(info["fps"])
    rate = measured if fps is None else fps
    rate = float(round(rate)) if abs(rate - round(rate)) < 0.01 else rate
    declared = float(info["fps"])
    if abs(rate - declared) > 0.01:
        films = sorted({film.info["video.fps"] for episode in episodes for film in episode.films.values()})
        shown = f", the films run at {', '.join(map(str, films))}" if films else ""
        findings.lie(
            "fps",
            f"meta/info.json says {declared:g} Hz, the times in the tables step {1 / measured:.4g} s "
            f"({measured:.4g} Hz){shown}" + (f"; --fps says {fps:g}" if fps is not None else ""),
        )
    if not rate.is_integer():
        findings.broken.append(f"the rows come at {rate:.4f} Hz; LeRobot needs a whole number: say which with --fps")
    return rate


def _check_times(episode: v21.SourceEpisode, rate: float, findings: Findings) -> None:
    steps = np.diff(episode.times)
    where = f"{episode.table}: episode {episode.number}"
    if not np.isfinite(episode.times).all() or (steps <= 0).any():
        row = int(np.flatnonzero(~(steps > 0))[0]) if len(steps) else 0
        findings.broken.append(f"{where}, row {row + 1}: times do not grow ({episode.times[row : row + 2].tolist()})")
        return
    expected = episode.times[0] + np.arange(len(episode)) / rate
    worst = int(np.abs(episode.times - expected).argmax())
    error = float(abs(episode.times[worst] - expected[worst]))
    jitter = float(np.abs(steps * rate - 1).max()) if len(steps) else 0.0
    if jitter > _LARGEST_JITTER:
        row = int(np.abs(steps * rate - 1).argmax()) + 1
        findings.broken.append(
            f"{where}, row {row}: a step of {steps[row - 1]:.4f} s at {rate:g} Hz; frames are missing"
        )
    elif episode.times[0] != 0:
        findings.lie("timestamps", f"{episode.table} starts at {episode.times[0]:g} s", "times do not start at 0")
    elif error > _LEROBOT_TOLERANCE_S:
        findings.lie("timestamps", f"{episode.table} row {worst} is {error:.4f} s off", "times are not evenly spaced")


def _check_films(
    info: dict[str, Any],
    features: dict[str, dict[str, Any]],
    episodes: Sequence[v21.SourceEpisode],
    rate: float,
    findings: Findings,
) -> None:
    """Size, codec and rate of the films; `features` get the real values."""
    for key in video_keys(features):
        films = [(episode.number, episode.films[key]) for episode in episodes if key in episode.films]
        if not films:
            continue
        real, declared = films[0][1].info, features[key].get("info") or features[key].get("video_info") or {}
        for name in ("video.codec", "video.pix_fmt"):
            if name in declared and declared[name] != real[name]:
                findings.lie("codec", f"{key}: {name} is {real[name]}, meta/info.json says {declared[name]}")
        size = (real["video.height"], real["video.width"], 3)
        if tuple(features[key]["shape"]) != size:
            findings.lie("frame-size", f"{key}: the films are {size}, meta/info.json says {features[key]['shape']}")
        features[key] = {**features[key], "shape": list(size), "info": {**real, "video.fps": rate}}
        features[key].pop("video_info", None)
        for number, film in films:
            if film.info["video.height"] != size[0] or film.info["video.width"] != size[1]:
                findings.broken.append(f"{film.path.name} of {key}: episode {number} has another size than the first")
            _check_film_rate(key, film, rate, findings)


def _check_film_rate(key: str, film: FilmScan, rate: float, findings: Findings) -> None:
    if len(film) < 2:
        return
    steps = np.diff(film.times)
    if np.abs(steps / np.median(steps) - 1).max() > _LARGEST_JITTER:
        findings.broken.append(f"{film.path.name} of {key}: frames are not evenly spaced in time")
    elif abs(np.median(steps) * rate - 1) > 1e-3:
        findings.lie(
            "film-rate", f"{key} {film.path.name}: a frame every {np.median(steps):.4g} s, rows at {rate:g} Hz"
        )


def _ranges(numbers: Sequence[int]) -> str:
    if list(numbers) == list(range(numbers[0], numbers[-1] + 1)) and len(numbers) > 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers[:6])) + (", ..." if len(numbers) > 6 else "")
