"""Reading a LeRobot v2.x dataset (one parquet file and one film a camera for each episode) without believing it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64

from unified.data.imports.findings import Findings
from unified.data.lerobot3.layout import INDEX_FEATURES, Features
from unified.data.lerobot3.mp4 import FilmScan
from unified.errors import DataError, UserError

_DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


@dataclass
class SourceEpisode:
    """One episode as read.

    Attributes:
        number: what its files are called; `table` is the parquet file, relative to the dataset.
        arrays: every feature that is not a film, (frame, n).
        times: of the rows, in seconds.
        films: camera feature -> what decoding its film showed.
    """

    number: int
    table: str
    arrays: dict[str, np.ndarray]
    times: Float64[np.ndarray, " frame"]
    task_indices: list[int]
    films: dict[str, FilmScan] = field(default_factory=dict[str, FilmScan])

    def __len__(self) -> int:
        return len(self.times)


def read_info(root: Path) -> dict[str, Any]:
    """`meta/info.json` of a v2.x dataset.

    Raises:
        UserError: if there is none, or the layout is another one; the message says what to do instead.
    """
    path = root / "meta" / "info.json"
    if (root / "meta_data" / "info.json").is_file():
        raise UserError(
            f"{root} has the layout of 2024 (meta_data/, arrow files), which is not read; v2.0 and v2.1 are."
        )
    if not path.is_file():
        raise UserError(f"{root} holds no dataset: {path} is missing.")
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid JSON ({error}).") from error
    version = str(info.get("codebase_version"))
    if version.startswith("v3"):
        raise UserError(f"{root} is LeRobot {version} already; use it as it is.")
    if not version.startswith("v2"):
        raise UserError(f"{path}: codebase_version must be v2.0 or v2.1, got {version!r}.")
    for key in ("fps", "features"):
        if not info.get(key):
            raise UserError(f"{path}: {key!r} is missing.")
    return info


def read_lines(path: Path) -> list[dict[str, Any]]:
    """A .jsonl file; empty if it is missing.

    Raises:
        DataError: naming the line that is not JSON.
    """
    rows: list[dict[str, Any]] = []
    if path.is_file():
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except json.JSONDecodeError as error:
                    raise DataError(f"{path}, line {number} is not JSON ({error.msg}).") from error
    return rows


def find_table(root: Path, info: Mapping[str, Any], number: int) -> Path:
    """The parquet file of an episode."""
    return root / _inside(str(info.get("data_path") or _DATA_PATH), info, number)


def find_film(root: Path, info: Mapping[str, Any], number: int, key: str) -> Path:
    """The film of an episode's camera."""
    return root / _inside(str(info.get("video_path") or _VIDEO_PATH), info, number, video_key=key)


def tables_on_disk(root: Path) -> list[int]:
    """Numbers of the episodes that have a table."""
    names = (re.fullmatch(r"episode_(\d+)\.parquet", path.name) for path in (root / "data").glob("*/*.parquet"))
    return sorted(int(match[1]) for match in names if match)


def read_table(
    root: Path, info: Mapping[str, Any], number: int, features: Features, findings: Findings
) -> SourceEpisode | None:
    """The table of an episode; None if nothing can be made of it (then it is among the findings)."""
    path = find_table(root, info, number)
    name = str(path.relative_to(root))
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        findings.broken.append(f"{name}: cannot be read ({' '.join(str(error).split())[:120]})")
        return None
    columns = {key: feature for key, feature in features.items() if feature["dtype"] != "video"}
    missing = [key for key in (*columns, "timestamp") if key not in table.column_names]
    if missing or table.num_rows == 0:
        what = f"has no column {', '.join(missing)}" if missing else "has no rows"
        findings.broken.append(f"{name}: episode {number} {what}")
        return None
    try:
        arrays = {key: _numbers(table, key, feature, name, findings) for key, feature in columns.items()}
    except ValueError as error:
        findings.broken.append(f"{name}: episode {number}, {error}")
        return None
    times = table["timestamp"].to_numpy().astype(np.float64)
    tasks = table["task_index"].to_pylist() if "task_index" in table.column_names else [0] * len(times)
    _check_numbering(table, number, name, findings)
    return SourceEpisode(number, name, arrays, times, tasks)


def _numbers(table: pa.Table, key: str, feature: Any, name: str, findings: Findings) -> np.ndarray:
    """A column as (frame, n) of the declared type.

    Raises:
        ValueError: rows of different lengths, not of the declared one, or not numbers.
    """
    values = table[key].to_pylist()
    if isinstance(values[0], str):
        declared = f"{feature['dtype']} {list(feature['shape'])}"
        findings.lie("json-columns", f"{key} in {name} ({str(values[0])[:24]}...)", f"JSON text instead of {declared}")
        try:
            values = [json.loads(value) for value in values]
        except (json.JSONDecodeError, TypeError) as error:
            raise ValueError(f"{key}: text that is not JSON ({error})") from error
    width = int(feature["shape"][0])
    sizes = [len(value) if isinstance(value, list) else 1 for value in values]
    wrong = next((row for row, size in enumerate(sizes) if size != width), None)
    if wrong is not None:
        raise ValueError(f"row {wrong}: {key} has {sizes[wrong]} numbers, meta/info.json says {width}")
    try:
        return np.array(values, dtype=feature["dtype"]).reshape(len(values), width)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key}: not all are numbers ({error})") from error


def _check_numbering(table: pa.Table, number: int, name: str, findings: Findings) -> None:
    if "frame_index" not in table.column_names:
        findings.lie("frame-index", name, "meta/info.json declares frame_index, the tables have no such column")
    elif table["frame_index"].to_pylist() != list(range(table.num_rows)):
        findings.lie("frame-index", f"{name} counts {table['frame_index'][0]}..{table['frame_index'][-1]}")
    if "episode_index" in table.column_names:
        stored = sorted(set(table["episode_index"].to_pylist()))
        if stored != [number]:
            findings.lie("episode-index", f"{name} says episode {', '.join(map(str, stored))}")


def undeclared_columns(path: Path, features: Features) -> dict[str, dict[str, Any]]:
    """Columns of numbers in a table that the metadata do not declare, as features."""
    found: dict[str, dict[str, Any]] = {}
    for column in pq.read_schema(path):
        if column.name in features or column.name in INDEX_FEATURES:
            continue
        kind = _kind(column.type)
        if kind is not None:
            found[column.name] = {"dtype": kind, "shape": [1], "names": None}
    return found


def _kind(column: pa.DataType) -> str | None:
    if pa.types.is_boolean(column):
        return "bool"
    if pa.types.is_integer(column):
        return "int64"
    return "float32" if pa.types.is_floating(column) else None


def _inside(template: str, info: Mapping[str, Any], number: int, **names: str) -> str:
    """Fill in a path of the metadata, which must not lead out of the dataset."""
    size = int(info.get("chunks_size") or 1000)
    path = template.format(episode_chunk=number // size, episode_index=number, **names)
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise DataError(f"meta/info.json: the path {template!r} leads out of the dataset.")
    return path
