"""The numbers of a recording, checked row by row: states, actions and tasks of the wanted episodes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from jaxtyping import Float32, Int

from unified.data.source import Episode, Recording, read_parquet
from unified.errors import DataError, unreadable

_LISTS = (pyarrow.types.is_list, pyarrow.types.is_large_list, pyarrow.types.is_fixed_size_list)
_INDICES = ["episode_index", "frame_index", "timestamp", "task_index"]


@dataclass(frozen=True)
class Numbers:
    """All rows of the wanted episodes, one after the other.

    Attributes:
        columns: by our names, those of `Recording.sizes`.
        bounds: episode number i covers rows bounds[i] to bounds[i + 1].
        task: position in `tasks`, for every row.
    """

    columns: dict[str, Float32[np.ndarray, " row _"]]
    bounds: Int[np.ndarray, " episode_plus_1"]
    task: Int[np.ndarray, " row"]
    tasks: list[str]


def read_numbers(recording: Recording, episodes: list[Episode]) -> Numbers:
    """Read and check.

    Raises:
        DataError: for NaN, infinity, wrong sizes, gaps in the frames, another rate; with file, episode and frame.
    """
    sizes = recording.sizes
    parts: dict[int, dict[str, np.ndarray]] = {}
    for path in dict.fromkeys(episode.table for episode in episodes):
        stored = {name: recording.columns[name] for name in sizes}
        table = read_parquet(path, [*_INDICES, *stored.values()])
        indices = {name: _scalars(path, table, name) for name in _INDICES}
        values = {name: _vectors(path, table[stored[name]], name, size) for name, size in sizes.items()}
        for episode in episodes:
            if episode.table == path:
                parts[episode.index] = _episode(recording, episode, indices, values)
    ordered = [parts[episode.index] for episode in episodes]
    task, tasks = _tasks(recording, np.concatenate([part["task_index"] for part in ordered]))
    return Numbers(
        columns={name: np.concatenate([part[name] for part in ordered]) for name in sizes},
        bounds=np.cumsum([0] + [episode.length for episode in episodes], dtype=np.int64),
        task=task,
        tasks=tasks,
    )


def _episode(
    recording: Recording, episode: Episode, indices: dict[str, np.ndarray], values: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    place = f"{episode.table}, episode {episode.index}"
    rows = np.flatnonzero(indices["episode_index"] == episode.index)
    if len(rows) != episode.length:
        raise DataError(f"{place}: the table has {len(rows)} rows, meta/episodes says {episode.length}.")
    _check_frames(recording, place, indices["frame_index"][rows], indices["timestamp"][rows])
    picked = {name: value[rows].astype(np.float32) for name, value in values.items()}
    for name, value in picked.items():
        for row, column in np.argwhere(~np.isfinite(value))[:1].tolist():
            raise DataError(
                f"{place} frame {row}: {name}[{column}] is {value[row, column]}. "
                "Leave the episode out with `episodes:` or record it again."
            )
    return {**picked, "task_index": indices["task_index"][rows]}


def _check_frames(recording: Recording, place: str, frames: np.ndarray, stamps: np.ndarray) -> None:
    fps = recording.fps
    expected = np.arange(len(frames))
    for row in np.flatnonzero(frames != expected)[:1]:
        raise DataError(f"{place}: frames must be numbered 0, 1, 2, ...; row {row} has frame_index {frames[row]:g}.")
    for row in np.flatnonzero(~(np.abs(stamps - expected / fps) <= 0.25 / fps))[:1]:
        raise DataError(
            f"{place} frame {row}: time stamp {stamps[row]:g} s does not fit the {fps:g} Hz of meta/info.json. "
            f"`{recording.check_command}` says more; `unified import` repairs what can be repaired."
        )


def _scalars(path: Path, table: pyarrow.Table, name: str) -> np.ndarray:
    return _vectors(path, table[name], name, 1)[:, 0]


def _vectors(path: Path, column: pyarrow.ChunkedArray, name: str, size: int) -> np.ndarray:
    """A column of vectors (or of scalars where size is 1) as a float64 array (rows, size).

    Raises:
        DataError: if any row has another size or no value.
    """
    flat, is_even = column.combine_chunks(), True
    while any(is_kind(flat.type) for is_kind in _LISTS):
        is_even &= len(flat.value_lengths().unique()) <= 1
        flat = flat.flatten()
    if len(flat) != len(column) * size or flat.null_count or not is_even:
        raise DataError(
            f"{path}: {name!r} must hold {size} numbers a row, got {len(flat) - flat.null_count} in {len(column)} rows"
            f"{'' if is_even else ', not as many in each'}."
        )
    try:
        return flat.to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, size)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {name!r} must hold numbers, got {flat.type}.") from error


def _tasks(recording: Recording, task_index: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Key tasks by their text: LeRobot's indices differ between two runs of one program."""
    texts = read_tasks(recording.root)
    used, inverse = np.unique(task_index.astype(np.int64), return_inverse=True)
    for index in used.tolist():
        if not isinstance(texts.get(index), str):
            raise DataError(
                f"{recording.root}/meta/tasks.parquet has no text for task_index {index}, which the table uses."
            )
    tasks = sorted({texts[index] for index in used.tolist()})
    position = np.array([tasks.index(texts[index]) for index in used.tolist()], dtype=np.int32)
    return position[inverse.reshape(-1)], tasks


def read_tasks(root: Path) -> dict[int, str]:
    """Task texts by LeRobot's task_index, which means something inside this folder only."""
    path = root / "meta" / "tasks.parquet"
    try:
        names = pyarrow.parquet.read_schema(path).names
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(unreadable(path, error)) from error
    text = next((name for name in ("task", "__index_level_0__") if name in names), "task")
    table = read_parquet(path, ["task_index", text])
    return dict(zip(table["task_index"].to_pylist(), table[text].to_pylist(), strict=True))
