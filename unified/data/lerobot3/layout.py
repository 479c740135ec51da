"""LeRobot v3.0 on disk: where files lie, which columns they have, how an episode is checked before it is written."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Meta

from unified.data.lerobot3.episode_stats import Stats, vector_stats
from unified.errors import DataError, UserError, unreadable
from unified.model.plain import conform

VERSION = "v3.0"
FILES_PER_CHUNK = 1000
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
_DIGESTS = "unified.sha256"
INFO, STATS, TASKS, PROVENANCE = "meta/info.json", "meta/stats.json", "meta/tasks.parquet", "meta/unified.json"

Features = Mapping[str, Mapping[str, Any]]
INDEX_FEATURES: dict[str, dict[str, Any]] = {
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    "frame_index": {"dtype": "int64", "shape": [1], "names": None},
    "episode_index": {"dtype": "int64", "shape": [1], "names": None},
    "index": {"dtype": "int64", "shape": [1], "names": None},
    "task_index": {"dtype": "int64", "shape": [1], "names": None},
}
_WIDEST_WITH_STATS = 128  # nobody normalises a simulator's state, and its statistics would outweigh the data
_BITS = {"float": (16, 32, 64), "int": (8, 16, 32, 64), "uint": (8, 16, 32)}
DTYPES = ("bool", *(f"{kind}{bits}" for kind, widths in _BITS.items() for bits in widths))


class Feature(TypedDict):
    """A column or a film."""

    dtype: str
    shape: list[Annotated[int, Meta(ge=0, le=1 << 20)]]
    info: NotRequired[dict[str, Any] | None]
    video_info: NotRequired[dict[str, Any] | None]


class Info(TypedDict):
    """What `meta/info.json` must say to be read; it may say more."""

    fps: Annotated[float, Meta(gt=0, le=100_000)]
    features: dict[str, Feature]
    data_path: str
    total_episodes: Annotated[int, Meta(ge=0)]
    total_frames: Annotated[int, Meta(ge=0)]
    robot_type: NotRequired[str | None]
    video_path: NotRequired[str | None]


class Provenance(TypedDict, total=False):
    """What `meta/unified.json` may say of how a data set was made."""

    is_demonstration: bool
    embodiment: str | None
    episodes: list[dict[str, Any]]


def video_keys(features: Features) -> list[str]:
    """The features that are films."""
    return [key for key, feature in features.items() if feature["dtype"] == "video"]


def array_keys(features: Features) -> list[str]:
    """The features that stand in the parquet files, LeRobot's own index columns left out."""
    return [key for key in features if features[key]["dtype"] != "video" and key not in INDEX_FEATURES]


def place(template: str, episode: int, **names: str) -> str:
    """Path of an episode's file, relative to the dataset: one file an episode."""
    chunk, file = divmod(episode, FILES_PER_CHUNK)
    return template.format(chunk_index=chunk, file_index=file, **names)


def episode_files_of(episode: int, features: Features) -> list[str]:
    """Paths of everything that belongs to one episode alone, relative to the dataset."""
    films = [place(VIDEO_PATH, episode, video_key=key) for key in video_keys(features)]
    return [*films, place(EPISODES_PATH, episode), place(DATA_PATH, episode)]


def check_features(features: Features) -> None:
    """Refuse features that LeRobot could not read back, and names that are no single folder's.

    Raises:
        UserError: naming the feature and what is allowed.
    """
    for key, feature in features.items():
        said = feature.get("shape")
        shape = tuple(size for size in said if isinstance(size, int)) if isinstance(said, Sequence) else ()
        if key in INDEX_FEATURES or not re.fullmatch(r"(?!\.)[^/\\\x00-\x1f]+", key):
            raise UserError(
                f"Feature {key!r}: names must not be empty, begin with '.', hold '/' or '\\' or be one of "
                f"{', '.join(INDEX_FEATURES)}."
            )
        if feature.get("dtype") == "video":
            if len(shape) != 3 or shape[2] != 3:
                raise UserError(f"Feature {key!r}: a film needs shape (height, width, 3), got {shape}.")
        elif feature.get("dtype") not in DTYPES or len(shape) != 1 or shape[0] < 1:
            raise UserError(f"Feature {key!r}: needs dtype video or {', '.join(DTYPES)} and shape (n,), got {feature}.")


def check_frames(frames: Mapping[str, np.ndarray], features: Features, keys: Sequence[str]) -> int:
    """Refuse an episode whose arrays are not what the features say; returns its length.

    Raises:
        DataError: a missing or unknown key, a wrong dtype or shape, different lengths, NaN or infinity.
    """
    if set(frames) != set(keys):
        missing, extra = sorted(set(keys) - set(frames)), sorted(set(frames) - set(keys))
        raise DataError(f"An episode must have exactly the dataset's features; missing: {missing}, unknown: {extra}.")
    lengths = {key: len(value) for key, value in frames.items()}
    if len(set(lengths.values())) != 1 or min(lengths.values()) == 0:
        raise DataError(f"All features of an episode need the same number of frames, at least 1; got {lengths}.")
    for key in keys:
        value, feature = frames[key], features[key]
        dtype, shape = ("uint8" if feature["dtype"] == "video" else feature["dtype"]), tuple(feature["shape"])
        if value.dtype != dtype or value.shape[1:] != shape:
            got = f"{value.dtype} {value.shape[1:]}"
            raise DataError(f"Feature {key!r} must be {dtype} {shape} in every frame, got {got}.")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            frame, *place = (int(index) for index in np.argwhere(~np.isfinite(value))[0])
            found = value[(frame, *place)]
            raise DataError(f"Feature {key!r} is not finite in frame {frame}: entry {place} is {found}.")
    return next(iter(lengths.values()))


def frame_table(arrays: Mapping[str, np.ndarray], features: Features) -> pa.Table:
    """One row a frame: scalars for shape (1,), fixed-size lists otherwise, as LeRobot writes them."""
    columns: dict[str, pa.Array] = {}
    for key, value in arrays.items():
        size = features[key]["shape"][0]
        flat = pa.array(np.ascontiguousarray(value).reshape(-1))
        columns[key] = flat if size == 1 else pa.FixedSizeListArray.from_arrays(flat, size)
    return pa.table(columns)


def index_columns(
    length: int, fps: int | float, episode: int, first_frame: int, tasks: list[int]
) -> dict[str, np.ndarray]:
    """LeRobot's own columns: time, frame, episode, frame of the dataset, task."""
    steps = np.arange(length)
    columns = {"timestamp": (steps / fps).astype(np.float32), "frame_index": steps}
    columns |= {"episode_index": np.full(length, episode), "index": first_frame + steps, "task_index": np.array(tasks)}
    return {key: value[:, None] for key, value in columns.items()}


def episode_row(episode: int, first_frame: int, length: int, tasks: list[str]) -> dict[str, Any]:
    """What `meta/episodes` says about an episode, films and statistics apart."""
    chunk, file = divmod(episode, FILES_PER_CHUNK)
    row: dict[str, Any] = {"episode_index": episode, "tasks": tasks, "length": length}
    row |= {"data/chunk_index": chunk, "data/file_index": file}
    row |= {"dataset_from_index": first_frame, "dataset_to_index": first_frame + length}
    return row | {"meta/episodes/chunk_index": chunk, "meta/episodes/file_index": file}


def film_columns(episode: int, seconds: float, starts: Mapping[str, float]) -> dict[str, Any]:
    """Where the films of an episode are, and between which seconds of them it lies."""
    chunk, file = divmod(episode, FILES_PER_CHUNK)
    row: dict[str, Any] = {}
    for key, start in starts.items():
        row |= {f"videos/{key}/chunk_index": chunk, f"videos/{key}/file_index": file}
        row |= {f"videos/{key}/from_timestamp": float(start), f"videos/{key}/to_timestamp": float(start) + seconds}
    return row


def write_episode_row(path: Path, row: Mapping[str, Any], root: Path, files: Sequence[str]) -> None:
    """One episode's `meta/episodes`, with the SHA-256 of its files in the table's own metadata.

    Not in a column: a tool that moves episodes about would copy it and no longer mean these files.
    """
    digests = {name: file_digest(root / name) for name in files}
    table = pa.Table.from_pylist([dict(row)]).replace_schema_metadata({_DIGESTS: json.dumps(digests)})
    pq.write_table(table, path, write_page_checksum=True)


def read_digests(path: Path) -> dict[str, str]:
    """What `write_episode_row` noted; empty where somebody else wrote the table.

    Raises:
        DataError: if it is damaged.
    """
    try:
        noted = (pq.read_schema(path).metadata or {}).get(_DIGESTS.encode(), b"{}")
        return conform(json.loads(noted), dict[str, str], path, DataError)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise DataError(unreadable(path, error)) from error


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def array_stats(arrays: Mapping[str, np.ndarray]) -> dict[str, Stats]:
    """Statistics of the vectors, the very wide ones left out."""
    return {key: vector_stats(value) for key, value in arrays.items() if value.shape[1] <= _WIDEST_WITH_STATS}


def stats_columns(stats: Mapping[str, Stats]) -> dict[str, Any]:
    """Statistics of an episode as columns of `meta/episodes`."""
    return {f"stats/{key}/{name}": value.tolist() for key, values in stats.items() for name, value in values.items()}


def read_episode(path: Path) -> tuple[int, dict[str, Stats]]:
    """Length and statistics of the one episode of a table that `stats_columns` helped to write.

    Raises:
        DataError: if it is damaged.
    """
    rows = _rows(path)
    if len(rows) != 1 or not isinstance(rows[0].get("length"), int):
        raise DataError(f"{path} is damaged: it must hold one episode with its length.")
    stats: dict[str, Stats] = {}
    for name, value in rows[0].items():
        if name.startswith("stats/"):
            key, statistic = name.removeprefix("stats/").rsplit("/", 1)
            stats.setdefault(key, {})[statistic] = np.array(value)
    return rows[0]["length"], stats


def empty_info(fps: int, features: Mapping[str, Any], robot_type: str) -> dict[str, Any]:
    """`meta/info.json` of a dataset without episodes."""
    return {
        "codebase_version": VERSION,
        "fps": fps,
        "features": {**features, **INDEX_FEATURES},
        "total_episodes": 0,
        "total_frames": 0,
        "total_tasks": 0,
        "chunks_size": FILES_PER_CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if video_keys(features) else None,
        "robot_type": robot_type,
        "splits": {},
    }


def write_tasks(path: Path, tasks: Sequence[str]) -> None:
    """The table of instructions, with the text as what pandas calls the index (LeRobot looks it up there)."""
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks, pa.string())})
    column = {"metadata": None, "pandas_type": "int64", "numpy_type": "int64"}
    text = {"metadata": None, "pandas_type": "unicode", "numpy_type": "object"}
    names = {"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object"}
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [{**names, "metadata": {"encoding": "UTF-8"}}],
        "columns": [
            {"name": "task_index", "field_name": "task_index", **column},
            {"name": "task", "field_name": "task", **text},
        ],
        "pandas_version": "2.0.0",
    }
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), path, write_page_checksum=True)


def read_tasks(path: Path) -> list[str]:
    """Instructions by task_index."""
    if not path.is_file():
        return []
    return [row["task"] for row in sorted(_rows(path, "task", "task_index"), key=lambda row: row["task_index"])]


def _rows(path: Path, *columns: str) -> list[dict[str, Any]]:
    try:
        return pq.read_table(path, columns=list(columns) or None, page_checksum_verification=True).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is damaged: {' '.join(str(error).split())[:200]}") from error


def episode_files(root: Path) -> list[Path]:
    """The tables of `meta/episodes` in the order of the episodes."""
    return sorted((root / "meta" / "episodes").glob("chunk-*/file-*.parquet"))
