"""LeRobot v3.0 as others wrote it: many episodes in a table and in a film, metadata in parquet files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unified.data.imports.findings import Findings
from unified.data.imports.lerobot.check import lerobot_importer
from unified.data.imports.lerobot.dataset import Listing, Rows, fill_in
from unified.data.imports.lerobot.films import FilmScan, Span, scan_film
from unified.data.lerobot3 import layout
from unified.data.source import read_parquet, read_rows
from unified.data.table import read_tasks
from unified.errors import DataError

_LISTED = ["episode_index", "length", "data/chunk_index", "data/file_index"]


class LeRobot3:
    """Reads the layout without believing it; see `dataset.Layout`."""

    def __init__(self, root: Path, info: dict[str, Any]) -> None:
        self.root, self.info = root, info

    def listing(self, findings: Findings) -> Listing:
        """`meta/tasks.parquet` and `meta/episodes`."""
        tasks = read_tasks(self.root)
        rows = [row for path in self._listed_files() for row in read_rows(path, _LISTED, ["tasks"])]
        episodes = {int(row["episode_index"]): row for row in rows}
        total = self.info.get("total_episodes")
        # A killed recording may have left an episode beyond the number in info.json; LeRobot ignores it as well.
        counted = {number: row for number, row in episodes.items() if not isinstance(total, int) or number < total}
        frames = sum(row["length"] for row in counted.values())
        if len(counted) != total or frames != self.info.get("total_frames"):
            said = f"meta/info.json says {total} episodes and {self.info.get('total_frames')} frames"
            findings.lie("episodes", f"{said}, meta/episodes lists {len(counted)} and {frames}")
        return Listing(layout.TASKS, "meta/episodes", tasks, len(tasks), counted)

    def tables(self, listing: Listing, findings: Findings) -> dict[int, Rows]:
        """The rows that bear an episode's number in the file that the listing names."""
        self._check_digests(findings)
        found: dict[int, Rows] = {}
        numbers_in: dict[Path, np.ndarray] = {}
        for number, row in sorted(listing.episodes.items()):
            values = {name: row[f"data/{name}"] for name in ("chunk_index", "file_index")}
            path = fill_in(self.root, self.info.get("data_path") or layout.DATA_PATH, values)
            try:
                if path not in numbers_in:
                    numbers_in[path] = read_parquet(path, ["episode_index"])["episode_index"].to_numpy()
                rows = np.flatnonzero(numbers_in[path] == number)
                if not len(rows) or rows[-1] - rows[0] != len(rows) - 1:
                    raise DataError(f"{path} has no unbroken run of rows with episode_index {number}")
                found[number] = Rows(path, range(int(rows[0]), int(rows[-1]) + 1))
            except DataError as error:
                findings.breaks(f"{str(error).replace(f'{self.root}/', '')}", number)
        return found

    def films(self, key: str, lengths: Mapping[int, int]) -> Iterator[tuple[int, FilmScan | DataError]]:
        """Parts of films; each film is decoded once."""
        names = [f"videos/{key}/{name}" for name in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")]
        spans: dict[Path, list[Span]] = {}
        for file in self._listed_files():
            for row in read_rows(file, ["episode_index", *names]):
                number, (chunk, index, start, end) = row["episode_index"], (row[name] for name in names)
                if number in lengths:
                    values = {"video_key": key, "chunk_index": chunk, "file_index": index}
                    path = fill_in(self.root, self.info.get("video_path") or layout.VIDEO_PATH, values)
                    spans.setdefault(path, []).append(Span(number, start, end, lengths[number]))
        for path, parts in spans.items():
            try:
                for span, film in zip(parts, scan_film(path, parts), strict=True):
                    yield span.episode, film
            except DataError as error:
                yield from ((span.episode, error) for span in parts)

    def _check_digests(self, findings: Findings) -> None:
        """Files that our own writer wrote must still be what it wrote."""
        noted = {name: digest for path in self._listed_files() for name, digest in layout.read_digests(path).items()}
        for name, digest in noted.items():
            if (self.root / name).is_file() and layout.file_digest(self.root / name) != digest:
                findings.breaks(f"{name} is damaged or was changed since it was written")

    def _listed_files(self) -> list[Path]:
        return sorted((self.root / "meta" / "episodes").rglob("*.parquet"))


IMPORTER = lerobot_importer("LeRobot v3", "v3", LeRobot3)
