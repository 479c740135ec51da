"""Small real data sets for the tests, written with our own writer, and ways to damage them."""

import io
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from unified.data.lerobot3.mp4 import read_mp4
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
    columns: Mapping[str, int] = {},
    provenance: Mapping[str, Any] | None = None,
    robot: str = "toy",
    seed: int = 0,
    rests: bool = True,
) -> list[dict[str, np.ndarray]]:
    """Write a data set; if it `rests`, the second half of every episode has another task; `columns` are around 40.

    Returns what was written.
    """
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
    features |= {
        name: {"dtype": "float32", "shape": (dim,), "names": None} for name, dim in {**sizes, **columns}.items()
    }
    writer = EpisodeWriter.create(root, fps, features, robot, provenance)
    episodes = []
    for number, length in enumerate(lengths):
        frames = {f"observation.images.{camera}": _film(rng, length, size) for camera in cameras}
        frames |= {name: rng.normal(size=(length, dim)).astype(np.float32) for name, dim in sizes.items()}
        frames |= {name: rng.normal(40, size=(length, dim)).astype(np.float32) for name, dim in columns.items()}
        task, rest = f"task {number % 2}", length // 2 if rests else length
        writer.save_episode(frames, [task if t < rest else "then rest" for t in range(length)])
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


def join(
    root: Path,
    pause: float = 0.0,
    spare: int = 0,
    late: float = 0.0,
    camera: str = "front",
    gop: int = 10,
    bframes: int = 0,
    fps: int = 10,
) -> None:
    """Put all episodes into one table and one film, as LeRobot's own writer does.

    Args:
        pause: seconds of film without a picture between two episodes.
        spare: pictures at the end of each episode's part that belong to no row.
        late: share of a step by which every second picture comes late.
    """
    info = json.loads((root / "meta/info.json").read_text())
    key, total = f"observation.images.{camera}", info["total_episodes"]
    frames = [[picture for _, picture in read_mp4(film_path(root, number, camera))] for number in range(total)]
    shown, start, rows = [], 0.0, []
    for number, pictures in enumerate(frames):
        path = root / f"meta/episodes/chunk-000/file-{number:03d}.parquet"
        row, pictures = pq.read_table(path).to_pylist()[0], [*pictures, *pictures[-1:] * spare]
        shown += [(start + (t + late * (t % 2)) / fps, picture) for t, picture in enumerate(pictures)]
        end = start + len(pictures) / fps
        row |= {f"videos/{key}/from_timestamp": start, f"videos/{key}/to_timestamp": end}
        row |= {f"{place}/file_index": 0 for place in ("data", f"videos/{key}", "meta/episodes")}
        start = end + pause
        rows.append(row)
        path.unlink()
    tables = [root / f"data/chunk-000/file-{number:03d}.parquet" for number in range(total)]
    whole = pa.concat_tables([pq.read_table(path) for path in tables])
    for path in [*tables, *(film_path(root, number, camera) for number in range(total))]:
        path.unlink()
    pq.write_table(whole, tables[0])
    pq.write_table(pa.Table.from_pylist(rows), root / "meta/episodes/chunk-000/file-000.parquet")
    write_film(film_path(root, 0, camera), shown, gop, bframes)


def write_film(path: Path, shown: Sequence[tuple[float, np.ndarray]], gop: int = 10, bframes: int = 0) -> None:
    """Write pictures without loss, each at its own time in seconds."""
    with av.open(str(path), "w") as container:
        options = {"qp": "0", "preset": "ultrafast", "bf": str(bframes)}
        stream: Any = container.add_stream("libx264rgb", rate=1000, options=options)
        stream.height, stream.width = shown[0][1].shape[:2]
        stream.pix_fmt, stream.time_base, stream.codec_context.gop_size = "rgb24", Fraction(1, 1000), gop
        for seconds, picture in shown:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(1000 * seconds), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def edit_info(root: Path, **values: Any) -> None:
    """Change entries of meta/info.json."""
    path = root / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def png(picture: np.ndarray) -> bytes:
    """A picture of any depth as PNG."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def store_pictures(root: Path, encode: Callable[[np.ndarray], bytes], camera: str = "front") -> None:
    """Put a camera's films as pictures into the tables."""
    key = f"observation.images.{camera}"
    features = json.loads((root / "meta/info.json").read_text())["features"]
    edit_info(root, features=features | {key: {"dtype": "image", "shape": features[key]["shape"], "names": None}})
    for path in sorted((root / "data").rglob("*.parquet")):
        film = film_path(root, int(path.stem.removeprefix("file-")), camera)
        stored = [{"bytes": encode(picture), "path": None} for _, picture in read_mp4(film)]
        pq.write_table(pq.read_table(path).append_column(key, pa.array(stored)), path)
        film.unlink()
    forget_digests(root)


def rename_columns(root: Path, names: Mapping[str, str]) -> None:
    """Call columns of numbers otherwise."""
    features = json.loads((root / "meta/info.json").read_text())["features"]
    edit_info(root, features={names.get(name, name): feature for name, feature in features.items()})
    for path in (root / "data").rglob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.rename_columns([names.get(name, name) for name in table.column_names]), path)
    forget_digests(root)


def vast_png() -> bytes:
    """A file of a hundred bytes that says it is a picture of 60,000 x 60,000 pixels."""
    blocks = ((b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(7501))))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in blocks
    )
