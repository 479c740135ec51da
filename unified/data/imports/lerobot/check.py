"""Checking a LeRobot data set of any version to its last frame: what it says about itself against what is there."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pyarrow as pa

from unified.data.imports.findings import Findings
from unified.data.imports.importing import Checked, Importer, OnEpisode, Ready, names, numbers, pairs
from unified.data.imports.lerobot import alignment, metadata
from unified.data.imports.lerobot.columns import (
    NEEDED,
    Columns,
    choose_columns,
    declare_the_rest,
    read_numbers,
    read_vectors,
)
from unified.data.imports.lerobot.dataset import Layout, Rows, SourceEpisode
from unified.data.imports.lerobot.films import Pictures, scan_pictures
from unified.data.lerobot3.episode_stats import image_stats
from unified.data.lerobot3.layout import Feature, array_stats
from unified.data.lerobot3.writer import PreparedEpisode
from unified.errors import DataError, UserError, check_numbers
from unified.model.plain import Count, conform, read_json

INFO = "meta/info.json"
_OPTIONS: dict[str, dict[str, Any]] = {
    "cameras": {"metavar": "A,B", "type": names, "help": "cameras to take (default: all)"},
    "rename": {"metavar": "ITS=OURS,...", "type": pairs, "help": "what to call features, e.g. actions=action"},
    "fps": {"type": float, "help": "true rate of the rows, if neither metadata nor times have it right"},
    "skip_episodes": {"metavar": "3,7", "type": numbers, "help": "episodes to leave out"},
}


class _Info(TypedDict):
    features: dict[str, Feature]
    chunks_size: NotRequired[Count | None]
    splits: NotRequired[dict[str, Any] | None]


def lerobot_importer(name: str, version: str, layout: Callable[[Path, dict[str, Any]], Layout]) -> Importer:
    """The importer of a version of LeRobot's format, given the class that reads it."""

    def matches(folder: Path) -> bool:
        if not (folder / INFO).is_file():
            return False
        return str(read_json(folder / INFO, dict[str, Any], DataError).get("codebase_version")).startswith(version)

    def check(source: Path, on_episode: OnEpisode, **options: Any) -> Checked:
        return check_lerobot(layout(source, _checked_info(source)), on_episode, **options)

    return Importer(name, matches, check, _OPTIONS)


def check_lerobot(
    layout: Layout,
    on_episode: OnEpisode,
    cameras: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    fps: float | None = None,
    skip_episodes: Sequence[int] = (),
) -> Checked:
    """Read a data set to its last frame and collect everything that is not as its metadata say.

    Args:
        cameras: names without "observation.images."; None takes all.
        rename: its name of a feature -> ours.
        fps: the rate of the rows where the user knows it; None reads it off the times in the tables.
        on_episode: called with (films and tables checked, of how many).

    Raises:
        UserError: if there is nothing to check, or no such camera, feature or episode.
    """
    check_numbers(above=0, most=100_000, prefix="--", fps=fps)
    findings, info = Findings(), layout.info
    columns = choose_columns(layout.root, info["features"], cameras, rename, findings)
    listing = layout.listing(findings)
    tables = layout.tables(listing, findings)
    if not tables and not findings.broken:
        raise UserError(f"{layout.root} has no table of an episode under data/.")
    before = len(tables), sum(len(rows.span) for rows in tables.values())
    tables = _skip(layout, tables, skip_episodes, findings)
    if tables:
        declare_the_rest(next(iter(tables.values())).path, info["features"], columns, findings)
    episodes = _read_tables(layout, tables, columns, findings)
    _look_at_pictures(layout, episodes, columns, findings, on_episode)
    rate = alignment.check_rate(info, episodes, fps, findings)
    for episode in episodes:
        alignment.check_times(episode, rate, fps is not None, findings)
        alignment.align(episode, rate, findings)
    metadata.check_pictures(columns.features, episodes, rate, findings)
    metadata.check_lengths(listing, episodes, findings)
    metadata.check_names(layout.root, columns.features, findings)
    metadata.check_tasks(info, listing, episodes, findings)
    metadata.note_what_users_should_know(layout.root, info, listing.tasks, episodes, findings)

    def ready(folder: Path) -> Iterator[Ready]:
        for episode in episodes:
            tasks = [listing.tasks[index] for index in episode.task_indices]
            yield Ready(_prepare(episode, int(rate), folder), tasks, {"source_episode": episode.number})

    robot = str(info.get("robot_type") or "unknown")
    version = str(info["codebase_version"])
    after = len(episodes), sum(map(len, episodes))
    return Checked(version, robot, rate, columns.features, findings, before, after, ready)


def _checked_info(root: Path) -> dict[str, Any]:
    path = root / INFO
    info = read_json(path, dict[str, Any], DataError)
    rate, features = info.get("fps"), info.get("features")
    if not isinstance(rate, int | float) or not 0 < rate < float("inf"):
        raise UserError(f"{path}: 'fps' must be a number above 0, got {rate!r}.")
    if not isinstance(features, dict) or not features:
        raise UserError(f"{path}: 'features' must name the columns, got {features!r}.")
    for name, feature in features.items():
        if not isinstance(feature, dict) or not isinstance(feature.get("shape"), list) or "dtype" not in feature:
            raise UserError(f"{path}: feature {name!r} must have a dtype and a shape, got {feature!r}.")
    conform(info, _Info, path, DataError)
    return info


def _skip(layout: Layout, tables: dict[int, Rows], skipped: Sequence[int], findings: Findings) -> dict[int, Rows]:
    known = {*tables, *findings.episodes()}
    for number in skipped:
        if number not in known:
            raise UserError(f"{layout.root} has no episode {number} to skip; it has {len(known)}.")
    if skipped:
        findings.notes.append(f"left out as asked: episodes {', '.join(map(str, skipped))}")
        findings.forget(skipped)
    return {number: rows for number, rows in tables.items() if number not in skipped}


def _read_tables(
    layout: Layout, tables: Mapping[int, Rows], columns: Columns, findings: Findings
) -> list[SourceEpisode]:
    """The numbers of every episode; columns that training can do without are left out where they cannot be read."""
    episodes: list[SourceEpisode] = []
    unreadable: dict[str, str] = {}
    for number, rows in tables.items():
        place = str(rows.path.relative_to(layout.root))
        try:
            episode, wrong = _read_table(number, place, rows, columns, findings)
        except DataError as error:
            findings.breaks(f"{place}: {error}", number)
            continue
        for key, text in wrong.items():
            if key in NEEDED:
                findings.breaks(f"{place}: {text}", number)
            else:
                unreadable.setdefault(key, f"{columns.stored[key]} ({place}, episode {number}: {text})")
        if not set(wrong) & set(NEEDED):
            episodes.append(episode)
    if unreadable:
        findings.notes.append(f"columns that cannot be read were left out: {'; '.join(unreadable.values())}")
    for key in unreadable:
        del columns.features[key]
        for episode in episodes:
            episode.arrays.pop(key, None)
    return episodes


def _read_table(
    number: int, place: str, rows: Rows, columns: Columns, findings: Findings
) -> tuple[SourceEpisode, dict[str, str]]:
    wanted = [columns.stored[key] for key in columns.numbers()]
    table = rows.read([*wanted, "timestamp", "task_index", "frame_index", "episode_index"])
    if not table.num_rows:
        raise DataError("there are no rows")
    arrays, wrong = read_numbers(table, columns, place, findings)
    time = {"dtype": "float64", "shape": [1]}
    times = read_vectors(table, "timestamp", time, place, findings)[:, 0]
    tasks = [0] * len(times)
    if "task_index" in table.column_names:
        tasks = read_vectors(table, "task_index", {"dtype": "int64", "shape": [1]}, place, findings)[:, 0].tolist()
    is_counted = _check_numbering(table, number, place, findings)
    return SourceEpisode(number, place, rows, arrays, times, tasks, is_counted), wrong


def _check_numbering(table: pa.Table, number: int, place: str, findings: Findings) -> bool:
    """Whether the rows are numbered 0, 1, 2, ..."""
    if "episode_index" in table.column_names:
        stored = sorted(set(map(str, table["episode_index"].to_pylist())))
        if stored != [str(number)]:
            findings.lie("episode-index", f"{place} says episode {', '.join(stored)}")
    if "frame_index" not in table.column_names:
        findings.lie("frame-index", place, "meta/info.json declares frame_index, the tables have no such column")
    elif table["frame_index"].to_pylist() != list(range(table.num_rows)):
        findings.lie("frame-index", f"{place} counts {table['frame_index'][0]}..{table['frame_index'][-1]}")
    else:
        return True
    return False


def _look_at_pictures(
    layout: Layout, episodes: Sequence[SourceEpisode], columns: Columns, findings: Findings, on_episode: OnEpisode
) -> None:
    """Decode every camera of every episode."""
    by_number = {episode.number: episode for episode in episodes}
    total, done = len(episodes) * len(columns.cameras()), 0
    for key in columns.cameras():
        is_film = columns.features[key]["dtype"] == "video"
        scan = layout.films if is_film else partial(_stored_pictures, by_number)
        for number, pictures in scan(columns.stored[key], {episode.number: len(episode) for episode in episodes}):
            if isinstance(pictures, DataError):
                findings.breaks(str(pictures).replace(f"{layout.root}/", ""), number)
            else:
                by_number[number].pictures[key] = pictures
            done += 1
            on_episode(done, total)


def _stored_pictures(
    episodes: Mapping[int, SourceEpisode], column: str, lengths: Mapping[int, int]
) -> Iterator[tuple[int, Pictures | DataError]]:
    for number in lengths:
        rows = episodes[number].rows
        try:
            yield number, scan_pictures(rows.path, column, rows.span)
        except DataError as error:
            yield number, DataError(f"{rows.path}: {error}")


def _prepare(episode: SourceEpisode, fps: int, folder: Path) -> PreparedEpisode:
    folder.mkdir(parents=True, exist_ok=True)
    films = {key: folder / f"{key}.mp4" for key in episode.pictures}
    starts = {
        key: pictures.write(films[key], fps, episode.skip[key], len(episode))
        for key, pictures in episode.pictures.items()
    }
    stats = {key: image_stats(pictures.sample) for key, pictures in episode.pictures.items()}
    return PreparedEpisode(episode.arrays, films, stats | array_stats(episode.arrays), starts)
