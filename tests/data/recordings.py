"""Small real data sets for the tests, written with our own writer, and ways to damage them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unified.data.lerobot3.writer import EpisodeWriter


def record(
    root: Path,
    lengths: Sequence[int] = (7, 12, 9),
    cameras: Sequence[str] = ("front",),
    size: tuple[int, int] = (16, 24),
    action_dim: int = 3,
    proprio_dim: int = 2,
    fps: int = 10,
    has_expert: bool = False,
    provenance: Mapping[str, Any] | None = None,
    robot: str = "toy",
    seed: int = 0,
) -> list[dict[str, np.ndarray]]:
    """Write a data set; the second half of every episode has another task. Returns what was written."""
    rng = np.random.default_rng(seed)
    features: dict[str, Any] = {
        f"observation.images.{camera}": {
            "dtype": "video",
            "shape": (*size, 3),
            "names": ["height", "width", "channels"],
        }
        for camera in cameras
    }
    sizes = {"observation.state": proprio_dim, "action": action_dim} | (
        {"expert_action": action_dim} if has_expert else {}
    )
    features |= {name: {"dtype": "float32", "shape": (dim,), "names": None} for name, dim in sizes.items()}
    writer = EpisodeWriter.create(root, fps, features, robot, provenance)
    episodes = []
    for number, length in enumerate(lengths):
        frames = {f"observation.images.{camera}": _film(rng, length, size) for camera in cameras}
        frames |= {name: rng.normal(size=(length, dim)).astype(np.float32) for name, dim in sizes.items()}
        writer.save_episode(frames, [f"task {number % 2}" if t < length // 2 else "then rest" for t in range(length)])
        episodes.append(frames)
    writer.finish()
    return episodes


def _film(rng: np.random.Generator, length: int, size: tuple[int, int]) -> np.ndarray:
    """A smooth coloured ramp that moves: it survives chroma subsampling, and every frame differs."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / max(size)
    phase = rng.uniform(0, 2 * np.pi, 3)
    t = np.arange(length)[:, None, None, None]
    waves = np.sin(3 * x[None, ..., None] + 2 * y[None, ..., None] + phase + 0.7 * t)
    return (127.5 + 100 * waves).astype(np.uint8)


def edit_table(root: Path, episode: int, column: str, change: Callable[[list[Any]], list[Any]]) -> Path:
    """Replace a column of an episode's parquet file."""
    path = root / f"data/chunk-000/file-{episode:03d}.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index(column)
    field = table.schema.field(place)
    values = pa.array(change(table.column(column).to_pylist()), field.type)
    pq.write_table(table.set_column(place, field, values), path)
    return path


def film_path(root: Path, episode: int, camera: str = "front") -> Path:
    """The mp4 of an episode."""
    return root / f"videos/observation.images.{camera}/chunk-000/file-{episode:03d}.mp4"


def forget_digests(root: Path) -> None:
    """As if another program had written the data set: nothing is known of what its files were."""
    for path in (root / "meta" / "episodes").rglob("*.parquet"):
        pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
