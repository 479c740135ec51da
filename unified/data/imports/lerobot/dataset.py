"""What every LeRobot layout answers about itself, and an episode as it was read."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64

from unified.data.imports.findings import Findings
from unified.data.imports.lerobot.films import FilmScan, Pictures
from unified.errors import DataError
from unified.model.plain import conform


@dataclass(frozen=True)
class Rows:
    """Where the rows of an episode lie: a parquet file, and which of its rows."""

    path: Path
    span: range

    def read(self, columns: list[str]) -> pa.Table:
        """Those of the columns that the file has.

        Raises:
            DataError: if the file is damaged.
        """
        return _read(self.path, tuple(columns)).slice(self.span.start, len(self.span))


@dataclass(frozen=True)
class Listing:
    """What the small files under `meta/` say.

    Attributes:
        tasks_file, episodes_file: where they say it.
        tasks: instruction by task_index.
        num_tasks: how many are listed.
        episodes: by number, {"length": rows, "tasks": instructions}.
    """

    tasks_file: str
    episodes_file: str
    tasks: dict[int, str]
    num_tasks: int
    episodes: Mapping[int, Mapping[str, Any]]


@dataclass
class SourceEpisode:
    """One episode as read.

    Attributes:
        number: what the data set calls it; `table` names its rows in messages.
        arrays: every feature that is not a camera, (frame, n).
        times: of the rows, in seconds.
        is_counted: whether frame_index says that no row is missing.
        pictures: by camera; `skip` says how many of them come before the first row's.
    """

    number: int
    table: str
    rows: Rows
    arrays: dict[str, np.ndarray]
    times: Float64[np.ndarray, " frame"]
    task_indices: list[int]
    is_counted: bool = False
    pictures: dict[str, Pictures] = field(default_factory=dict[str, Pictures])
    skip: dict[str, int] = field(default_factory=dict[str, int])

    def __len__(self) -> int:
        return len(self.times)

    def films(self) -> dict[str, FilmScan]:
        """The cameras that are films."""
        return {key: film for key, film in self.pictures.items() if isinstance(film, FilmScan)}


@runtime_checkable
class Layout(Protocol):
    """A version of LeRobot's format."""

    root: Path
    info: dict[str, Any]

    def listing(self, findings: Findings) -> Listing:
        """The small files; what they say in another way than they should is found."""
        ...

    def tables(self, listing: Listing, findings: Findings) -> dict[int, Rows]:
        """The rows of each episode that is there."""
        ...

    def films(self, key: str, lengths: Mapping[int, int]) -> Iterator[tuple[int, FilmScan | DataError]]:
        """Each episode's pictures of a camera; lengths are in rows."""
        ...


def read_lines(path: Path, wanted: Any = dict[str, Any]) -> list[dict[str, Any]]:
    """A .jsonl file, each line of a type (see `conform`); empty if it is missing.

    Raises:
        DataError: naming the line that is not a JSON object.
    """
    rows: list[dict[str, Any]] = []
    # Not splitlines: JSON may hold other line separators (U+2028) inside its strings.
    lines = path.read_bytes().split(b"\n") if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {number} is not JSON ({error}).") from error
            conform(row, wanted, f"{path}, line {number}", DataError)
            rows.append(row)
    return rows


def fill_in(root: Path, template: Any, values: Mapping[str, Any]) -> Path:
    """Fill in a path of the metadata.

    Raises:
        DataError: if it leads out of the data set or needs something else.
    """
    try:
        path = PurePosixPath(str(template).format(**values))
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"meta/info.json: the path {template!r} cannot be filled in ({error!r}).") from error
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"meta/info.json: the path {template!r} leads out of the dataset.")
    return root / path


@lru_cache(maxsize=1)  # several episodes share a file in v3
def _read(path: Path, columns: tuple[str, ...]) -> pa.Table:
    try:
        file = pq.ParquetFile(path)
        return file.read(columns=[name for name in columns if name in file.schema_arrow.names])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot be read ({' '.join(str(error).split())[:120]})") from error
