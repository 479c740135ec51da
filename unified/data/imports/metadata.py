"""The small files of a LeRobot v2.x dataset (tasks, episodes, names) against each other and against the tables."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unified.data.imports import v21
from unified.data.imports.findings import Findings

_SLOW_KEYFRAMES = 60


def check_lengths(root: Path, episodes: Sequence[v21.SourceEpisode], findings: Findings) -> None:
    """Rows of the tables against the listed lengths."""
    lengths = {row.get("episode_index"): row.get("length") for row in v21.read_lines(root / "meta" / "episodes.jsonl")}
    for episode in episodes:
        said = lengths.get(episode.number, len(episode))
        if said != len(episode):
            findings.lie("episodes", f"{episode.table} has {len(episode)} rows, meta/episodes.jsonl says {said}")


def check_names(root: Path, features: dict[str, dict[str, Any]], findings: Findings) -> None:
    """GR00T's modality.json names ranges of components; where it names a single one, info.json must agree."""
    path = root / "meta" / "modality.json"
    modality = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for group, key in (("state", "observation.state"), ("action", "action")):
        names = features.get(key, {}).get("names")
        flat = names.get("motors") if isinstance(names, dict) else None
        for name, place in modality.get(group, {}).items():
            if flat is None or place["end"] - place["start"] != 1 or place["start"] >= len(flat):
                continue
            if flat[place["start"]].split("_")[0] != name.split("_")[0]:
                said = flat[place["start"]]
                findings.lie(
                    "names",
                    f"{key}[{place['start']}] is {said!r} in meta/info.json and {name!r} in meta/modality.json",
                )
                renamed = [name if spot == place["start"] else item for spot, item in enumerate(flat)]
                features[key] = {**features[key], "names": {"motors": renamed}}


def check_tasks(
    root: Path, info: dict[str, Any], episodes: Sequence[v21.SourceEpisode], findings: Findings
) -> dict[int, str]:
    """Instructions by task_index, and whether all files agree about them."""
    rows = v21.read_lines(root / "meta" / "tasks.jsonl")
    tasks: dict[int, str] = {}
    for row in rows:
        text = row.get("task")
        if text is None:
            key = next((name for name, value in row.items() if isinstance(value, str)), None)
            text = row.get(key or "")
            findings.lie("tasks", f"meta/tasks.jsonl keeps the text under {key!r} instead of 'task'")
        if isinstance(text, str):
            tasks[int(row["task_index"])] = text
    listed = {row["episode_index"]: row.get("tasks") for row in v21.read_lines(root / "meta" / "episodes.jsonl")}
    for episode in episodes:
        unknown = sorted(set(episode.task_indices) - set(tasks))
        if unknown:
            findings.broken.append(f"{episode.table}: task_index {unknown[0]} is not in meta/tasks.jsonl")
        said = listed.get(episode.number)
        meant = sorted({tasks[index] for index in episode.task_indices if index in tasks})
        if said is not None and sorted(map(str, said)) != meant:
            place = f"episode {episode.number} has tasks {said}, its table {meant}"
            findings.lie("tasks", f"meta/episodes.jsonl: {place}")
    if info.get("total_tasks") not in (None, len(rows)):
        findings.lie("tasks", f"meta/info.json says {info['total_tasks']} tasks, meta/tasks.jsonl has {len(rows)}")
    return tasks


def note_what_users_should_know(
    root: Path, info: dict[str, Any], tasks: dict[int, str], episodes: Sequence[v21.SourceEpisode], findings: Findings
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
        texts = {value for row in v21.read_lines(path) for value in row.values() if isinstance(value, str)} - used
        if path.name != "tasks.jsonl" and texts:
            findings.notes.append(f"meta/{path.name} gives other instructions, which are not used: {sorted(texts)}")
    if not (root / "meta" / "episodes_stats.jsonl").is_file():
        findings.notes.append("meta/episodes_stats.jsonl is missing; statistics are computed anew")
    splits, total = info.get("splits") or {}, info.get("total_episodes")
    if splits and splits != {"train": f"0:{total}"}:
        findings.notes.append(f"meta/info.json: splits {splits} do not cover its {total} episodes; all are in 'train'")
    gaps = [len(film) / film.num_keyframes for episode in episodes for film in episode.films.values()]
    if gaps and max(gaps) > _SLOW_KEYFRAMES:
        findings.notes.append(
            f"films have a key frame only every {max(gaps):.0f} frames: LeRobot's random access will be slow"
        )
