"""Pictures of a foreign data set, looked at from the first to the last, and how to copy them."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64, UInt8

from unified.data.lerobot3.episode_stats import SAMPLED_FRAMES, SAMPLED_PIXELS
from unified.data.lerobot3.mp4 import copy_mp4, decode_mp4, find_encoding, probe_mp4, write_mp4
from unified.data.lerobot3.pictures import Picture, refuse_deep_film, stored_picture
from unified.errors import DataError, first_line

Sample = UInt8[np.ndarray, " sampled thinned_height thinned_width 3"]


@dataclass(frozen=True)
class Span:
    """The part of a film that an episode of `rows` rows has, in seconds of the film."""

    episode: int
    start: float
    end: float
    rows: int

    @property
    def tolerance(self) -> float:
        """A quarter of the time that a picture of the span is shown."""
        return 0.25 * (self.end - self.start) / max(self.rows, 1) if np.isfinite(self.end) else 0.0


@dataclass(frozen=True)
class FilmScan:
    """What decoding an episode's part of a film showed.

    Attributes:
        start: seconds of the film at which the part begins.
        times: of the part's pictures, in seconds of the film.
        is_whole: whether the film holds nothing else.
        info: see `probe_mp4`.
        sample: at most 100 evenly spread pictures, thinned to about 150 pixels a side.
        num_keyframes: pictures that can be decoded without others.
    """

    path: Path
    start: float
    times: Float64[np.ndarray, " frame"]
    is_whole: bool
    info: dict[str, Any]
    sample: Sample
    num_keyframes: int

    def __len__(self) -> int:
        return len(self.times)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.info["video.height"], self.info["video.width"]

    def is_even(self, fps: float) -> bool:
        """Whether every picture is where LeRobot looks for it: k/fps after the first one."""
        expected = self.times[0] + np.arange(len(self)) / fps
        return bool(np.abs(self.times - expected).max() <= 0.1 / fps)

    def write(self, target: Path, fps: int, skip: int, rows: int) -> float:
        """Copy the rows' pictures, `skip` left out before them; returns when the first of them is shown."""
        if self.is_whole and self.is_even(float(fps)):
            shutil.copyfile(self.path, target)
            return float(self.times[skip])
        return copy_mp4(self.path, target, float(self.times[skip]), float(self.times[skip + rows - 1]), fps)


@dataclass(frozen=True)
class StoredPictures:
    """PNG or JPEG bytes in some rows of a table; they become a film without loss."""

    path: Path
    column: str
    rows: range
    size: tuple[int, int]
    sample: Sample

    def __len__(self) -> int:
        return len(self.rows)

    def write(self, target: Path, fps: int, skip: int, rows: int) -> float:
        """Encode; as `FilmScan.write`."""
        pictures = read_column(self.path, self.column, self.rows[skip : skip + rows])
        write_mp4(target, pictures, fps, find_encoding("lossless"))
        return 0.0


Pictures = FilmScan | StoredPictures


def scan_film(path: Path, spans: Sequence[Span]) -> Iterator[FilmScan | DataError]:
    """Decode a film and tell, in the order given, what each span holds or what is wrong with it.

    Raises:
        DataError: if the file is missing, is not a film, is deeper than 8 bits, or spans overlap.
    """
    info = probe_mp4(path)
    refuse_deep_film(path, info["video.pix_fmt"])
    stride = max(1, min(info["video.height"], info["video.width"]) // SAMPLED_PIXELS)
    order = sorted(spans, key=lambda span: span.start)
    for first, second in pairwise(order):
        if second.start < first.end - first.tolerance:
            raise DataError(f"{path}: episodes {first.episode} and {second.episode} share a part of it.")
    parts = {span.episode: _Part(_spread(span.rows)) for span in spans}
    place, is_shared, failed = 0, False, None
    try:
        for seconds, frame in decode_mp4(path):
            while place < len(order) and seconds >= order[place].end - order[place].tolerance:
                place += 1
            if place == len(order):
                is_shared = True
                break
            if seconds < order[place].start - order[place].tolerance:
                is_shared = True
                continue
            parts[order[place].episode].add(seconds, frame, stride)
    except DataError as error:
        failed = error
    unfinished = {span.episode for span in order[place:]} if failed else set()
    for span in spans:
        part = parts[span.episode]
        if failed and span.episode in unfinished:
            yield failed
        elif not part.sample:
            yield DataError(f"{path}: holds no frame of it.")
        else:
            whole = len(spans) == 1 and not is_shared
            start = span.start if np.isfinite(span.start) else 0.0
            yield FilmScan(path, start, np.array(part.times), whole, info, np.stack(part.sample), part.keyframes)


@dataclass
class _Part:
    wanted: set[int]
    times: list[float] = field(default_factory=list[float])
    sample: list[np.ndarray] = field(default_factory=list[np.ndarray])
    keyframes: int = 0

    def add(self, seconds: float, frame: Any, stride: int) -> None:
        if len(self.times) in self.wanted:
            self.sample.append(frame.to_ndarray(format="rgb24")[::stride, ::stride])
        self.times.append(seconds)
        self.keyframes += frame.key_frame


def scan_pictures(path: Path, column: str, rows: range) -> StoredPictures:
    """Decode every picture of some rows.

    Raises:
        DataError: if one is damaged, deeper than 8 bits or of another size than the first; names the row.
    """
    wanted, sample, size = _spread(len(rows)), [], None
    for row, picture in enumerate(read_column(path, column, rows)):
        size = size or picture.shape[:2]
        if picture.shape[:2] != size:
            raise DataError(f"row {row}: {column} has {picture.shape[:2]} pixels, the first row {size}")
        if row in wanted:
            stride = max(1, min(size) // SAMPLED_PIXELS)
            sample.append(picture[::stride, ::stride])
    assert size is not None
    return StoredPictures(path, column, rows, (int(size[0]), int(size[1])), np.stack(sample))


def read_column(path: Path, column: str, rows: range) -> Iterator[Picture]:
    """Decode the pictures of a column, row by row.

    Raises:
        DataError: naming the row, counted from the first of `rows`.
    """
    file, start = pq.ParquetFile(path), 0
    for group in range(file.num_row_groups):
        stop = start + file.metadata.row_group(group).num_rows
        if start < rows.stop and stop > rows.start:
            try:
                values = file.read_row_group(group, columns=[column])[column]
            except KeyError as error:
                raise DataError(f"there is no column {column}") from error
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{column} cannot be read ({first_line(error)})") from error
            for row in range(max(start, rows.start), min(stop, rows.stop)):
                try:
                    yield stored_picture(values[row - start].as_py())
                except DataError as error:
                    raise DataError(f"row {row - rows.start}: {column}: {error}") from error
        start = stop


def _spread(rows: int) -> set[int]:
    return set(np.linspace(0, rows - 1, min(rows, SAMPLED_FRAMES)).round().astype(int).tolist())
