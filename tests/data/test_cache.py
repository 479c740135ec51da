import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import filelock
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.recordings import edit_table, film_path, forget_digests, png, record, store_pictures, vast_png
from unified.data.cache import Cache
from unified.data.frames import resize
from unified.data.lerobot3.mp4 import find_encoding, read_mp4, write_mp4
from unified.data.source import Source, open_recording
from unified.errors import DataError

SIZE = (16, 24)

OPEN = """
import os, sys
from pathlib import Path
from unified.data.cache import Cache
from unified.data.source import Source, open_recording
cache = Cache.open(open_recording(Source(sys.argv[1])), (16, 24))
sys.stdout.write(f"{os.stat(cache.folder / 'manifest.json').st_ino} {int(cache.images['front'].sum())}")
"""

KILLED = """
import resource, signal
# The kernel kills this process, without any chance to clean up, when a file grows beyond this.
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
"""


def open_cache(root: Path, size: tuple[int, int] = SIZE, **options: object) -> Cache:
    return Cache.open(open_recording(Source(str(root), **options)), size)  # pyright: ignore[reportArgumentType]


def caches(root: Path) -> list[Path]:
    return [path for path in (root / ".cache" / "unified").iterdir() if path.is_dir()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    record(tmp_path / "set")
    return tmp_path / "set"


def test_a_cache_holds_what_was_recorded(tmp_path: Path):
    written = record(tmp_path / "set", cameras=("front", "wrist"), has_expert=True)
    cache = open_cache(tmp_path / "set")
    for camera in ("front", "wrist"):
        truth = np.concatenate([episode[f"observation.images.{camera}"] for episode in written])
        np.testing.assert_array_equal(cache.images[camera], truth)
    for name, array in {
        "observation.state": cache.columns["observation.state"],
        "action": cache.columns["action"],
        "expert_action": cache.columns["expert_action"],
    }.items():
        np.testing.assert_array_equal(array, np.concatenate([episode[name] for episode in written]))
    np.testing.assert_array_equal(cache.bounds, [0, 7, 19, 28])
    texts = [cache.tasks[task] for task in cache.task]
    assert (
        texts
        == ["task 0"] * 3 + ["then rest"] * 4 + ["task 1"] * 6 + ["then rest"] * 6 + ["task 0"] * 4 + ["then rest"] * 5
    )


def test_only_the_asked_for_episodes_and_cameras_are_decoded(tmp_path: Path):
    written = record(tmp_path / "set", cameras=("front", "wrist"))
    cache = open_cache(tmp_path / "set", episodes=[0, 2], cameras=["wrist"])
    assert list(cache.images) == ["wrist"]
    assert cache.episode_index.tolist() == [0, 2]
    truth = [written[index]["observation.images.wrist"] for index in (0, 2)]
    np.testing.assert_array_equal(cache.images["wrist"], np.concatenate(truth))


def test_shrinking_takes_the_mean_over_areas():
    picture = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    means = picture.reshape(4, 3, 5, 4, 3).mean(axis=(1, 3))
    assert np.abs(resize(picture, (4, 5)).astype(float) - means).max() <= 1
    assert resize(picture, (24, 40)).shape == (24, 40, 3)


def test_a_second_opening_decodes_nothing(root: Path):
    first = (open_cache(root).folder / "manifest.json").stat()
    again = (open_cache(root).folder / "manifest.json").stat()
    assert (first.st_ino, first.st_mtime_ns) == (again.st_ino, again.st_mtime_ns)


def test_a_changed_source_is_decoded_anew_and_the_old_cache_goes(root: Path):
    before = open_cache(root)
    forget_digests(root)
    edit_table(root, 1, "action", lambda rows: [[value + 1 for value in row] for row in rows])
    after = open_cache(root)
    assert caches(root) == [after.folder] != [before.folder]
    np.testing.assert_allclose(after.columns["action"][7:19], before.columns["action"][7:19] + 1, rtol=1e-6)


def test_only_old_caches_are_removed_and_none_of_another_data_set(root: Path, tmp_path: Path):
    mine, elsewhere = root / ".cache" / "unified" / "notes", tmp_path / "elsewhere"
    mine.mkdir(parents=True)
    open_cache(root)
    (root / ".cache").rename(elsewhere)  # one folder for the caches of several data sets
    other = elsewhere / "unified" / ("0" * 16 + "-" + "1" * 16)
    other.mkdir()
    (root / ".cache").symlink_to(elsewhere)
    shutil.rmtree(next(path for path in caches(root) if path not in (mine, other) and path.name != other.name))
    open_cache(root)
    assert other.is_dir()
    (root / ".cache").unlink()
    elsewhere.rename(root / ".cache")
    other, mine = (root / ".cache" / "unified" / path.name for path in (other, mine))
    shutil.rmtree(next(path for path in caches(root) if path.name not in (mine.name, other.name)))
    open_cache(root)
    assert mine.is_dir(), "somebody else's folder"
    assert not other.is_dir(), "a cache of a content that is no longer there"


def test_a_copy_with_other_times_keeps_its_cache(root: Path):
    folder = open_cache(root).folder
    inode = (folder / "manifest.json").stat().st_ino
    for path in (root / "data").rglob("*.parquet"):
        path.touch()
    assert (open_cache(root).folder / "manifest.json").stat().st_ino == inode


def test_a_cache_whose_bytes_changed_is_not_trusted(root: Path):
    cache = open_cache(root)
    truth = cache.images["front"].copy()
    path = cache.folder / "images0.npy"
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 255
    path.write_bytes(damaged)
    np.testing.assert_array_equal(open_cache(root).images["front"], truth)


def test_numbers_that_changed_while_size_and_times_stayed_are_not_trusted(root: Path):
    folder = open_cache(root).folder
    for path in folder.glob("*.npy"):
        if not path.name.startswith("images"):
            content = path.read_bytes()
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            memo = json.loads((folder / "checked.json").read_text())
            for name in memo["stats"]:
                status = (folder / name).stat()
                memo["stats"][name] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
            (folder / "checked.json").write_text(json.dumps(memo))
            open_cache(root)
            assert path.read_bytes() == content, path.name


def test_a_manifest_whose_text_changed_is_not_trusted(root: Path):
    cache = open_cache(root)
    path, tasks = cache.folder / "manifest.json", cache.tasks
    text = path.read_text()
    for name in (tasks[0], "front"):
        path.write_text(text.replace(name[:3], chr(ord(name[0]) ^ 1) + name[1:3], 1))
        again = open_cache(root)
        assert again.tasks == tasks
        assert list(again.images) == list(cache.images)


@pytest.mark.parametrize("name", ["manifest.json", "column0.npy", "images0.npy"])
def test_a_cache_that_lacks_a_file_is_rebuilt(root: Path, name: str):
    (open_cache(root).folder / name).unlink()
    assert len(open_cache(root)) == 28


def test_two_image_sizes_live_side_by_side(root: Path):
    assert open_cache(root, (8, 8)).images["front"].shape == (28, 8, 8, 3)
    assert open_cache(root).images["front"].shape == (28, 16, 24, 3)
    assert len(caches(root)) == 2


def test_a_data_set_that_cannot_be_written_to_is_cached_elsewhere(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (root / ".cache").write_text("a file where the folder would go")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert open_cache(root).folder.is_relative_to(tmp_path / "xdg" / "unified")


def test_two_processes_build_one_cache(root: Path):
    (root / ".cache" / "unified").mkdir(parents=True)
    command = [sys.executable, "-c", OPEN, str(root)]
    with filelock.FileLock(root / ".cache" / "unified" / "lock"):
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        for process in both:
            assert process.stderr is not None
            assert "Waiting for another process" in process.stderr.readline()
    answers = {process.communicate(timeout=60)[0] for process in both}
    assert len(answers) == 1
    assert len(caches(root)) == 1
    assert answers.pop().split()[1] == str(int(open_cache(root).images["front"].sum()))


def test_a_build_that_was_killed_half_way_is_done_again(root: Path):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED + OPEN, str(root)], capture_output=True, text=True, check=False
    )
    assert killed.returncode < 0, killed.stderr
    (left,) = caches(root)
    assert left.name.startswith(".")
    cache = open_cache(root)
    assert caches(root) == [cache.folder]
    assert cache.images["front"].shape == (28, 16, 24, 3)


def nan_in_row(row: int):
    def change(rows: list[list[float]]) -> list[list[float]]:
        return [[float("nan"), *values[1:]] if number == row else values for number, values in enumerate(rows)]

    return change


@pytest.mark.parametrize("column", ["action", "observation.state"])
def test_nan_is_refused_with_file_episode_and_frame(root: Path, column: str):
    path = edit_table(root, 1, column, nan_in_row(4))
    with pytest.raises(DataError, match=rf"{path}, episode 1 frame 4: {column}\[0\] is nan"):
        open_cache(root)
    assert caches(root) == []
    assert len(open_cache(root, episodes=[0, 2])) == 16


def test_a_gap_in_the_frames_is_refused(root: Path):
    edit_table(root, 2, "frame_index", lambda rows: [0, 1, 2, 4, *rows[4:]])
    with pytest.raises(DataError, match=r"file-002.parquet, episode 2: .*row 3 has frame_index 4"):
        open_cache(root)


def test_another_rate_in_the_table_is_refused(root: Path):
    edit_table(root, 0, "timestamp", lambda rows: [2 * value for value in rows])
    with pytest.raises(
        DataError, match=r"file-000.parquet, episode 0 frame 1: time stamp 0.2 s does not fit the 10 Hz"
    ):
        open_cache(root)


def test_too_few_rows_are_refused(root: Path):
    edit_table(root, 0, "episode_index", lambda rows: [*rows[:-1], 1])
    with pytest.raises(DataError, match=r"episode 0: the table has 6 rows, meta/episodes says 7"):
        open_cache(root)


def test_an_action_of_another_size_is_refused(root: Path):
    path = root / "meta" / "info.json"
    info = json.loads(path.read_text())
    info["features"]["action"]["shape"] = [4]
    path.write_text(json.dumps(info))
    with pytest.raises(DataError, match=r"file-000.parquet: 'action' must hold 4 numbers a row"):
        open_cache(root)


def test_rows_of_uneven_sizes_are_refused_though_their_sum_is_right(root: Path):
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    first, second, *rest = table["action"].to_pylist()
    uneven = pa.array([first[:-1], [*second, 0.0], *rest])
    pq.write_table(table.set_column(table.column_names.index("action"), "action", uneven), path)
    with pytest.raises(DataError, match=r"'action' must hold 3 numbers a row, .*, not as many in each"):
        open_cache(root)


def test_an_episode_without_a_length_is_refused(root: Path):
    path = next((root / "meta" / "episodes").rglob("*.parquet"))
    table = pq.read_table(path)
    place = table.column_names.index("length")
    pq.write_table(table.set_column(place, "length", pa.nulls(len(table), pa.int64())), path)
    with pytest.raises(DataError, match=r"row 0: 'length' must be a number, got None"):
        open_cache(root)


def test_a_damaged_table_is_refused(root: Path):
    path = root / "data/chunk-000/file-001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"file-001.parquet cannot be read, it is damaged"):
        open_cache(root)


def test_a_task_without_text_is_refused(root: Path):
    edit_table(root, 0, "task_index", lambda rows: [9, *rows[1:]])
    with pytest.raises(DataError, match=r"tasks.parquet has no text for task_index 9"):
        open_cache(root)


@pytest.mark.parametrize("share", [0.0, 0.6, 0.95])
def test_a_truncated_film_is_refused_with_its_episode(root: Path, share: float):
    path = film_path(root, 1)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=rf"{path}.* This concerns episode 1 frame"):
        open_cache(root)


@pytest.mark.parametrize(("length", "message"), [(9, "ends after 9 of 12 frames"), (11, "ends after 11 of 12")])
def test_a_film_with_too_few_frames_is_refused(root: Path, length: int, message: str):
    rewrite_film(film_path(root, 1), length=length)
    with pytest.raises(DataError, match=message):
        open_cache(root)


def test_a_film_at_another_rate_is_refused(root: Path):
    rewrite_film(film_path(root, 1), fps=20)
    with pytest.raises(DataError, match=r"has a frame too many at 0.05 s, rows come at 10 Hz"):
        open_cache(root)


def test_a_swapped_film_is_refused(root: Path):
    shutil.copy(film_path(root, 0), film_path(root, 1))
    with pytest.raises(DataError, match=r"truncated: it ends after 7 of 12 frames. This concerns episode 1 frame 7"):
        open_cache(root)


def rewrite_film(path: Path, length: int | None = None, fps: int = 10) -> None:
    frames = np.stack([picture for _, picture in read_mp4(path)])
    write_mp4(path, frames[:length], fps, find_encoding("lossless"))


def test_a_film_or_table_that_is_not_what_was_written_is_refused(tmp_path: Path) -> None:
    record(tmp_path / "set", size=(16, 16))
    table = edit_table(tmp_path / "set", 1, "action", lambda rows: [[*rows[0][:2], 0.5], *rows[1:]])
    with pytest.raises(DataError, match=rf"{table} is damaged or was changed since it was written"):
        Cache.open(open_recording(Source(str(tmp_path / "set"))), (16, 16))
    forget_digests(tmp_path / "set")
    assert len(Cache.open(open_recording(Source(str(tmp_path / "set"))), (16, 16))) == 28


def test_pictures_in_tables_are_read(root: Path):
    truth = open_cache(root).images["front"].copy()
    store_pictures(root, png)
    np.testing.assert_array_equal(open_cache(root).images["front"], truth)


@pytest.mark.parametrize(
    "encode",
    [
        lambda picture: png(600 + 8 * picture[..., 0].astype(np.uint16)),
        lambda picture: colours_of_16_bits(257 * picture.astype(np.uint16)),
    ],
)
def test_pictures_of_more_than_8_bits_are_refused(root: Path, encode: Callable[[np.ndarray], bytes]):
    store_pictures(root, encode)
    with pytest.raises(DataError, match=r"episode 0 frame 0: .*16 bits a channel.*is_depth_map"):
        open_cache(root)


def test_pictures_too_large_for_memory_are_refused_by_their_header(root: Path):
    store_pictures(root, lambda _: vast_png())
    with pytest.raises(DataError, match=r"episode 0 frame 0: .*3600000000 pixels\) exceeds limit"):
        open_cache(root)


def test_a_film_of_more_than_8_bits_is_refused(root: Path):
    depth = [np.full((16, 24), 600 + 10 * t, np.uint16) for t in range(12)]
    with av.open(str(film_path(root, 1)), "w", format="matroska") as container:
        stream: Any = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 16, 24, "gray16le"
        for picture in depth:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray16le")))
        container.mux(stream.encode())
    forget_digests(root)
    with pytest.raises(DataError, match=r"its pictures have 16 bits a channel \(gray16le\)"):
        open_cache(root)


def test_what_is_called_otherwise_is_another_cache(tmp_path: Path):
    written = record(tmp_path / "set", cameras=("front", "wrist"))
    swapped = {
        "observation.images.front": "observation.images.wrist",
        "observation.images.wrist": "observation.images.front",
    }
    assert not np.array_equal(
        open_cache(tmp_path / "set").images["front"], open_cache(tmp_path / "set", rename=swapped).images["front"]
    )
    truth = np.concatenate([episode["observation.images.wrist"] for episode in written])
    np.testing.assert_array_equal(open_cache(tmp_path / "set", rename=swapped).images["front"], truth)


def colours_of_16_bits(picture: np.ndarray) -> bytes:
    """A PNG with 16 bits for each of three colours; Pillow cannot write one and reads it as 8 bits."""
    frame = av.VideoFrame.from_ndarray(picture, format="rgb48be")
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.width, encoder.height = picture.shape[1::-1]
    encoder.pix_fmt, encoder.time_base = "rgb48be", Fraction(1, 10)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
