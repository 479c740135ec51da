"""The numbers of a recording, checked row by row: states, actions and tasks of the wanted episodes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow
from jaxtyping import Float32, Int

from unified.data.source import ACTION, EXPERT_ACTION, PROPRIO, Episode, Recording, read_parquet, read_tasks, vectors
from unified.errors import DataError

_INDICES = ["episode_index", "frame_index", "timestamp", "task_index"]


@dataclass(frozen=True)
class Numbers:
    """All rows of the wanted episodes, one after the other.

    Attributes:
        bounds: episode number i covers rows bounds[i] to bounds[i + 1].
        task: position in `tasks`, for every row.
    """

    proprio: Float32[np.ndarray, " row proprio_dim"]
    action: Float32[np.ndarray, " row action_dim"]
    expert_action: Float32[np.ndarray, " row action_dim"] | None
    bounds: Int[np.ndarray, " episode_plus_1"]
    task: Int[np.ndarray, " row"]
    tasks: list[str]


def read_numbers(recording: Recording, episodes: list[Episode]) -> Numbers:
    """Read and check.

    Raises:
        DataError: for NaN, infinity, wrong sizes, gaps in the frames, another rate; with file, episode and frame.
    """
    sizes = {PROPRIO: recording.proprio_dim, ACTION: recording.action_dim}
    if recording.has_expert:
        sizes[EXPERT_ACTION] = recording.action_dim
    parts: dict[int, dict[str, np.ndarray]] = {}
    for path in dict.fromkeys(episode.table for episode in episodes):
        table = read_parquet(path, [*_INDICES, *sizes])
        indices = {name: _scalars(path, table, name) for name in _INDICES}
        values = {name: vectors(path, table[name], name, size) for name, size in sizes.items()}
        for episode in episodes:
            if episode.table == path:
                parts[episode.index] = _episode(recording, episode, indices, values)
    ordered = [parts[episode.index] for episode in episodes]
    task, tasks = _tasks(recording, np.concatenate([part["task_index"] for part in ordered]))
    return Numbers(
        proprio=np.concatenate([part[PROPRIO] for part in ordered]),
        action=np.concatenate([part[ACTION] for part in ordered]),
        expert_action=np.concatenate([part[EXPERT_ACTION] for part in ordered]) if recording.has_expert else None,
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
    frames = indices["frame_index"][rows]
    if not np.array_equal(frames, np.arange(len(rows))):
        wrong = int(np.flatnonzero(frames != np.arange(len(rows)))[0])
        raise DataError(
            f"{place}: frames must be numbered 0, 1, 2, ...; row {wrong} has frame_index {frames[wrong]:g}."
        )
    late = np.abs(indices["timestamp"][rows] - frames / recording.fps) > 0.25 / recording.fps
    if late.any():
        wrong = int(np.flatnonzero(late)[0])
        raise DataError(
            f"{place} frame {wrong}: time stamp {indices['timestamp'][rows][wrong]:g} s does not fit the "
            f"{recording.fps:g} frames a second of meta/info.json. One of them is wrong; record or import the data set again."
        )
    picked = {"task_index": indices["task_index"][rows]}
    for name, value in values.items():
        picked[name] = value[rows].astype(np.float32)
        bad = ~np.isfinite(picked[name])
        if bad.any():
            row, column = (int(axis[0]) for axis in np.nonzero(bad))
            raise DataError(
                f"{place} frame {row}: {name}[{column}] is {picked[name][row, column]}. "
                "Leave the episode out with `episodes:` or record it again."
            )
    return picked


def _scalars(path: Path, table: pyarrow.Table, name: str) -> np.ndarray:
    return vectors(path, table[name], name, 1)[:, 0]


def _tasks(recording: Recording, task_index: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Key tasks by their text: LeRobot's indices differ between two runs of one program."""
    texts = read_tasks(recording)
    used, inverse = np.unique(task_index.astype(np.int64), return_inverse=True)
    for index in used.tolist():
        if not isinstance(texts.get(index), str):
            raise DataError(
                f"{recording.root}/meta/tasks.parquet has no text for task_index {index}, which the table uses."
            )
    tasks = sorted({texts[index] for index in used.tolist()})
    position = np.array([tasks.index(texts[index]) for index in used.tolist()], dtype=np.int32)
    return position[inverse.reshape(-1)], tasks
