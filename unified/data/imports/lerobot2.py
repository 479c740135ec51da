"""LeRobot v2.0 and v2.1: one parquet file and one film a camera for each episode, metadata in JSON lines."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from unified.data.imports.findings import Findings
from unified.data.imports.lerobot.check import lerobot_importer
from unified.data.imports.lerobot.dataset import Listing, Rows, fill_in, read_lines
from unified.data.imports.lerobot.films import FilmScan, Span, scan_film
from unified.errors import DataError

_DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


class _Task(TypedDict):
    task_index: int


class _Episode(TypedDict):
    episode_index: int
    tasks: NotRequired[list[Any]]  # numbers instead of texts are a lie that can be repaired
    length: NotRequired[int]


class LeRobot2:
    """Reads the layout without believing it; see `dataset.Layout`."""

    def __init__(self, root: Path, info: dict[str, Any]) -> None:
        self.root, self.info = root, info

    def listing(self, findings: Findings) -> Listing:
        """`meta/tasks.jsonl` and `meta/episodes.jsonl`."""
        tasks: dict[int, str] = {}
        rows = read_lines(self.root / "meta" / "tasks.jsonl", _Task)
        for row in rows:
            text = row.get("task")
            if text is None:
                key = next((name for name, value in row.items() if isinstance(value, str)), None)
                text = row.get(key or "")
                findings.lie("tasks", f"meta/tasks.jsonl keeps the text under {key!r} instead of 'task'")
            if isinstance(text, str):
                tasks[row["task_index"]] = text
        listed = read_lines(self.root / "meta" / "episodes.jsonl", _Episode)
        episodes = {row["episode_index"]: row for row in listed}
        return Listing("meta/tasks.jsonl", "meta/episodes.jsonl", tasks, len(rows), episodes)

    def tables(self, listing: Listing, findings: Findings) -> dict[int, Rows]:
        """Every table on disk."""
        paths = (self.root / "data").glob("*/*.parquet")
        names = (re.fullmatch(r"episode_(\d+)\.parquet", path.name) for path in paths)
        found: dict[int, Rows] = {}
        numbers = sorted(int(match[1]) for match in names if match)
        for number in numbers:
            path = self._path("data_path", _DATA_PATH, number)
            try:
                found[number] = Rows(path, range(pq.read_metadata(path).num_rows))
            except (pa.ArrowException, OSError) as error:
                where = path.relative_to(self.root)
                findings.breaks(f"{where}: cannot be read ({' '.join(str(error).split())[:120]})", number)
        frames = f"(total_frames {self.info.get('total_frames')}, total_videos {self.info.get('total_videos')})"
        if sorted(listing.episodes) != numbers or self.info.get("total_episodes") != len(numbers):
            said = f"meta/episodes.jsonl lists {len(listing.episodes)} and meta/info.json says "
            said += f"{self.info.get('total_episodes')} {frames}"
            findings.lie("episodes", f"{said}, {len(numbers)} have a table ({_ranges(numbers)})")
        return found

    def films(self, key: str, lengths: Mapping[int, int]) -> Iterator[tuple[int, FilmScan | DataError]]:
        """One film an episode."""
        for number, rows in lengths.items():
            try:
                path = self._path("video_path", _VIDEO_PATH, number, video_key=key)
                span = Span(number, float("-inf"), float("inf"), rows)
                yield number, next(scan_film(path, [span]))
            except DataError as error:
                yield number, error

    def _path(self, template: str, default: str, number: int, **names: str) -> Path:
        chunk = number // int(self.info.get("chunks_size") or 1000)
        values = {"episode_chunk": chunk, "episode_index": number, **names}
        return fill_in(self.root, str(self.info.get(template) or default), values)


def _ranges(numbers: list[int]) -> str:
    if len(numbers) > 1 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers[:6])) + (", ..." if len(numbers) > 6 else "")


IMPORTER = lerobot_importer("LeRobot v2.x", "v2", LeRobot2)
