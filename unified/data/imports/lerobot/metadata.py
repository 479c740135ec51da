"""What a LeRobot data set says in small files and in its features, against what its tables and films hold."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from unified.data.imports.findings import Findings
from unified.data.imports.lerobot.dataset import Listing, SourceEpisode, read_lines
from unified.data.imports.lerobot.films import FilmScan
from unified.errors import DataError
from unified.model.plain import read_json

_SLOW_KEYFRAMES = 60


class _Range(TypedDict, total=False):
    start: int
    end: int


def check_pictures(
    features: dict[str, dict[str, Any]], episodes: Sequence[SourceEpisode], rate: float, findings: Findings
) -> None:
    """Size and codec of every camera; `features` get the real values."""
    for key, feature in features.items():
        found = [(episode, episode.pictures[key]) for episode in episodes if key in episode.pictures]
        if not found:
            continue
        first = found[0][1]
        size = (*first.size, 3)
        declared = feature.pop("info", None) or feature.pop("video_info", None) or {}
        feature.pop("video_info", None)
        if isinstance(first, FilmScan):
            for name in ("video.codec", "video.pix_fmt"):
                if name in declared and declared[name] != first.info[name]:
                    said = f"meta/info.json says {declared[name]}"
                    findings.lie("codec", f"{key}: {name} is {first.info[name]}, {said}")
            feature["info"] = {**first.info, "video.fps": rate}
        if tuple(feature["shape"]) != size and tuple(feature["shape"]) != (3, *first.size):
            findings.lie("frame-size", f"{key}: the films are {size}, meta/info.json says {feature['shape']}")
        feature.update(dtype="video", shape=list(size), names=["height", "width", "channels"])
        for episode, pictures in found:
            if pictures.size != first.size:
                text = f"{key} has another size than the first: {pictures.size} and {first.size} pixels"
                findings.breaks(text, episode.number)


def check_lengths(listing: Listing, episodes: Sequence[SourceEpisode], findings: Findings) -> None:
    """Rows of the tables against the listed lengths."""
    for episode in episodes:
        said = listing.episodes.get(episode.number, {}).get("length", len(episode))
        if said != len(episode):
            findings.lie("episodes", f"{episode.table} has {len(episode)} rows, {listing.episodes_file} says {said}")


def check_names(root: Path, features: dict[str, dict[str, Any]], findings: Findings) -> None:
    """GR00T's modality.json names ranges of components; where it names a single one, info.json must agree."""
    path = root / "meta" / "modality.json"
    modality = read_json(path, dict[str, dict[str, _Range]], DataError) if path.is_file() else {}
    for group, key in (("state", "observation.state"), ("action", "action")):
        names = features.get(key, {}).get("names")
        flat = names.get("motors") if isinstance(names, dict) else None
        for name, place in modality.get(group, {}).items():
            start = place.get("start", -1)
            if not isinstance(flat, list) or place.get("end") != start + 1 or not 0 <= start < len(flat):
                continue
            said = str(flat[start])
            if said.split("_")[0] != name.split("_")[0]:
                text = f"{key}[{start}] is {said!r} in meta/info.json and {name!r} in meta/modality.json"
                findings.lie("names", text)
                renamed = [name if spot == start else item for spot, item in enumerate(flat)]
                features[key] = {**features[key], "names": {"motors": renamed}}


def check_tasks(
    info: Mapping[str, Any], listing: Listing, episodes: Sequence[SourceEpisode], findings: Findings
) -> None:
    """Whether all files agree about the instructions."""
    for episode in episodes:
        unknown = sorted(set(episode.task_indices) - set(listing.tasks))
        if unknown:
            findings.breaks(f"{episode.table}: task_index {unknown[0]} is not in {listing.tasks_file}", episode.number)
        said = listing.episodes.get(episode.number, {}).get("tasks")
        meant = sorted({listing.tasks[index] for index in episode.task_indices if index in listing.tasks})
        if said is not None and sorted(map(str, said)) != meant:
            place = f"episode {episode.number} has tasks {said}, its table {meant}"
            findings.lie("tasks", f"{listing.episodes_file}: {place}")
    if info.get("total_tasks") not in (None, listing.num_tasks):
        said = f"meta/info.json says {info['total_tasks']} tasks"
        findings.lie("tasks", f"{said}, {listing.tasks_file} has {listing.num_tasks}")


def note_what_users_should_know(
    root: Path, info: Mapping[str, Any], tasks: Mapping[int, str], episodes: Sequence[SourceEpisode], findings: Findings
) -> None:
    """What is no lie and still matters to whoever trains on the data."""
    used = set(tasks.values())
    pairs = [episode.arrays for episode in episodes if {"action", "observation.state"} <= set(episode.arrays)]
    same = [
        arrays["action"].shape == arrays["observation.state"].shape
        and len(arrays["action"]) > 1
        and bool((arrays["action"][:-1] == arrays["observation.state"][1:]).all())
        for arrays in pairs
    ]
    if same and all(same):
        findings.notes.append(
            "action is exactly the next observation.state in every row: these are positions reached, not commands; "
            "compare any policy with one that holds its state"
        )
    for path in sorted((root / "meta").glob("tasks*.jsonl")):
        texts = {value for row in read_lines(path) for value in row.values() if isinstance(value, str)} - used
        if path.name != "tasks.jsonl" and texts:
            findings.notes.append(f"meta/{path.name} gives other instructions, which are not used: {sorted(texts)}")
    if not any((root / "meta" / name).is_file() for name in ("episodes_stats.jsonl", "stats.json")):
        findings.notes.append("there are no statistics; they are computed anew")
    splits, total = info.get("splits") or {}, info.get("total_episodes")
    if splits and splits != {"train": f"0:{total}"}:
        findings.notes.append(f"meta/info.json: splits {splits} do not cover its {total} episodes; all are in 'train'")
    gaps = [len(film) / max(film.num_keyframes, 1) for episode in episodes for film in episode.films().values()]
    if gaps and max(gaps) > _SLOW_KEYFRAMES:
        findings.notes.append(
            f"films have a key frame only every {max(gaps):.0f} frames: LeRobot's random access will be slow"
        )
