"""What EpisodeWriter saves is there for LeRobot, exactly, even if the process is killed or the disk is full."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import unified.data.lerobot3.writer as writer_module
from tests.data.recordings import record
from unified.data.lerobot3 import layout
from unified.data.lerobot3.episode_stats import fold_stats, image_stats, vector_stats
from unified.data.lerobot3.mp4 import ENCODINGS, read_mp4, write_mp4
from unified.data.lerobot3.writer import EpisodeWriter
from unified.errors import DataError, UserError

LENGTHS = (5, 8, 6, 7)
FEATURES: dict[str, Any] = {
    "observation.images.top": {"dtype": "video", "shape": (16, 24, 3), "names": ["height", "width", "channels"]},
    "observation.state": {"dtype": "float32", "shape": (2,), "names": None},
    "action": {"dtype": "float32", "shape": (3,), "names": None},
    "next.reward": {"dtype": "float32", "shape": (1,), "names": None},
    "next.success": {"dtype": "bool", "shape": (1,), "names": None},
    "observation.sim_state": {"dtype": "float64", "shape": (200,), "names": None},
}


def an_episode(number: int, length: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(number)
    return {
        "observation.images.top": rng.integers(0, 256, (length, 16, 24, 3)).astype(np.uint8),
        "observation.state": rng.normal(size=(length, 2)).astype(np.float32),
        "action": rng.normal(size=(length, 3)).astype(np.float32),
        "next.reward": rng.normal(size=(length, 1)).astype(np.float32),
        "next.success": rng.random((length, 1)) > 0.5,
        "observation.sim_state": rng.normal(size=(length, 200)),
    }


def task_of(number: int) -> str:
    return ("press the button", "öffne die Schublade", "reach")[number % 3]


# Run as a program of its own: it saves the same episodes as the tests expect, and kills itself where it is told to.
CHILD = """
import os, signal, sys
from unified.data.lerobot3.writer import EpisodeWriter
from tests.data.lerobot3.test_writer import FEATURES, LENGTHS, an_episode, task_of
root, last_rename = sys.argv[1], int(sys.argv[2])
renames = 0
def count(event, arguments):
    global renames
    if event == "os.rename":
        renames += 1
        if renames == last_rename:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
writer = EpisodeWriter.open(root) if os.path.exists(root) else EpisodeWriter.create(root, 10, FEATURES, "toy", {})
for number in range(writer.num_episodes, len(LENGTHS)):
    writer.save_episode(an_episode(number, LENGTHS[number]), task_of(number), {"number": number})
    sys.stdout.write(f"{number}\\n"); sys.stdout.flush()
writer.finish()
"""


def run_child(root: Path, last_rename: int, repository: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(repository), "PYTHONHASHSEED": str(last_rename + 1)}
    command = [sys.executable, "-c", CHILD, str(root), str(last_rename)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def load(root: Path, **arguments: Any) -> Any:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset("local/test", root=root, video_backend="pyav", return_uint8=True, **arguments)


def check_episodes(root: Path, count: int) -> None:
    """LeRobot gives back the first `count` episodes, exactly."""
    dataset, row = load(root), 0
    assert dataset.num_episodes == count
    for number in range(count):
        frames = an_episode(number, LENGTHS[number])
        for t in range(LENGTHS[number]):
            item = dataset[row]
            picture = item["observation.images.top"].permute(1, 2, 0).numpy()
            np.testing.assert_array_equal(picture, frames["observation.images.top"][t])
            np.testing.assert_array_equal(item["action"].numpy(), frames["action"][t])
            assert item["task"] == task_of(number)
            assert (int(item["episode_index"]), int(item["frame_index"]), int(item["index"])) == (number, t, row)
            row += 1
    assert len(dataset) == row


def digests(root: Path) -> dict[str, str]:
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    root = tmp_path_factory.mktemp("whole") / "set"
    child = run_child(root, -1, repository)
    assert child.stdout.split() == ["0", "1", "2", "3"], child.stderr
    return root


def test_lerobot_reads_exactly_what_was_written(whole: Path) -> None:
    check_episodes(whole, len(LENGTHS))
    # Items hold float32; a simulator's state is exact in the table itself.
    table = pq.read_table(whole / layout.place(layout.DATA_PATH, 1))
    stored = np.array(table["observation.sim_state"].to_pylist())
    np.testing.assert_array_equal(stored, an_episode(1, LENGTHS[1])["observation.sim_state"])


def test_lerobot_reads_a_subset_of_episodes_and_windows(whole: Path) -> None:
    dataset = load(
        whole, episodes=[1, 3], delta_timestamps={"action": [0.0, 0.1], "observation.images.top": [-0.1, 0.0]}
    )
    assert len(dataset) == LENGTHS[1] + LENGTHS[3]
    item = dataset[LENGTHS[1] + 6]
    frames = an_episode(3, 7)
    np.testing.assert_array_equal(item["action"][0].numpy(), frames["action"][6])
    assert item["action_is_pad"].tolist() == [False, True]
    np.testing.assert_array_equal(
        item["observation.images.top"].permute(0, 2, 3, 1).numpy(), frames["observation.images.top"][5:7]
    )


def test_every_frame_may_have_its_own_task(tmp_path: Path) -> None:
    with EpisodeWriter.create(tmp_path / "set", 10, FEATURES, "toy") as writer:
        writer.save_episode(an_episode(0, 4), ["b", "b", "a", "b"])
    dataset = load(tmp_path / "set")
    assert [dataset[row]["task"] for row in range(4)] == ["b", "b", "a", "b"]
    assert dataset.meta.episodes[0]["tasks"] == ["b", "a"]


def test_statistics_are_those_of_lerobot(whole: Path) -> None:
    from lerobot.datasets.compute_stats import aggregate_stats, get_feature_stats

    episodes = [an_episode(number, length) for number, length in enumerate(LENGTHS)]
    stored = load(whole).meta.stats
    for key in ("action", "next.success"):
        theirs = aggregate_stats([{key: get_feature_stats(frames[key], 0, keepdims=False)} for frames in episodes])[key]
        for name, value in theirs.items():
            # LeRobot's quantiles come from a histogram without interpolation between the few values of an episode.
            tolerance = 1.2 if name.startswith("q") else 1e-6
            np.testing.assert_allclose(stored[key][name], value, atol=tolerance, err_msg=f"{key} {name}")
    key = "observation.images.top"
    pictures = np.concatenate([frames[key] for frames in episodes]) / 255
    np.testing.assert_allclose(stored[key]["mean"][:, 0, 0], pictures.mean((0, 1, 2)), atol=1e-9)
    np.testing.assert_allclose(stored[key]["std"][:, 0, 0], pictures.std((0, 1, 2)), atol=1e-9)
    assert "observation.sim_state" not in stored  # 384 numbers wide in Meta-World; nobody normalises it


def test_folded_statistics_are_lerobots_aggregate() -> None:
    from lerobot.datasets.compute_stats import aggregate_stats

    rng = np.random.default_rng(0)
    parts = [{"action": vector_stats(rng.normal(100, 1e-3, (length, 2)))} for length in (3, 50, 7)]
    pictures = [
        {"image": image_stats(rng.integers(0, 256, (length, 8, 8, 3)).astype(np.uint8))} for length in (3, 50, 7)
    ]
    for episodes in (parts, pictures):
        folded: dict[str, Any] = {}
        for episode in episodes:
            folded = fold_stats(folded, episode)
        for key, stats in aggregate_stats(episodes).items():
            for name, value in stats.items():
                np.testing.assert_allclose(folded[key][name], value, rtol=1e-9, err_msg=f"{key} {name}")


KILLED_AT = [8, 11, 13, 15, *(pytest.param(place, marks=pytest.mark.slow) for place in (2, 9, 12, 16))]


@pytest.mark.parametrize("last_rename", KILLED_AT)
def test_a_killed_process_loses_no_saved_episode(
    tmp_path: Path, whole: Path, repository: Path, last_rename: int
) -> None:
    # One rename creates the dataset; an episode renames its film, table, tasks, meta/episodes, unified, stats, info.
    root = tmp_path / "set"
    child = run_child(root, last_rename, repository)
    assert child.returncode == -signal.SIGKILL, child.stderr
    saved = len(child.stdout.split())
    assert saved == (last_rename - 2) // 7
    count = json.loads((root / layout.INFO).read_text())["total_episodes"]
    assert saved <= count <= saved + 1
    if count:
        check_episodes(root, count)
    assert run_child(root, -1, repository).returncode == 0
    assert digests(root) == digests(whole)
    assert not [path for path in root.rglob("*") if path.name.startswith(".")]


def test_a_full_disk_loses_no_saved_episode(tmp_path: Path, repository: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-Urm", "true"], check=False).returncode != 0:
        pytest.skip("a small disk of one's own needs unprivileged mounts (unshare -Urm)")
    child = tmp_path / "child.py"
    child.write_text(
        "import sys, pathlib\nfrom tests.data.lerobot3.test_writer import *\nroot = pathlib.Path(sys.argv[1]) / 'set'\n"
        "writer = EpisodeWriter.create(root, 10, FEATURES, 'toy', {})\nsaved = 0\n"
        "try:\n    while saved < 500:\n        saved = writer.save_episode(an_episode(saved), 'fill') + 1\n"
        "except UserError as error:\n    sys.stdout.write(str(error) + '\\n')\n"
        "tables = list(root.glob('data/*/*.parquet')); films = list(root.glob('videos/*/*/*.mp4'))\n"
        "metas = layout.episode_files(root); info = json.loads((root / layout.INFO).read_text())\n"
        "frames = [len(list(read_mp4(film))) for film in films]\n"
        "counts = [saved, len(tables), len(films), len(metas), info['total_episodes']]\n"
        "sys.stdout.write(f'{counts} {set(frames)}\\n')\n"
    )
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"mount -t tmpfs -o size=600k none {disk} && exec {sys.executable} {child} {disk}"
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    message, counts = done.stdout.strip().splitlines()
    assert re.match("Disk full while writing", message), done.stderr
    saved = int(counts[1:].split(",")[0])
    assert saved >= 2
    assert counts == f"{[saved] * 5} {{6}}"


def a_set(root: Path, count: int = 2) -> Path:
    with EpisodeWriter.create(root, 10, FEATURES, "toy") as writer:
        for number in range(count):
            writer.save_episode(an_episode(number, LENGTHS[number]), task_of(number), {"number": number})
    return root


INTERRUPT = """
import os, signal, sys
from unified.data.lerobot3.writer import EpisodeWriter
from tests.data.lerobot3.test_writer import LENGTHS, an_episode, task_of
def interrupt(frame, event, _):
    # The first line after info.json took its new name.
    if event == "line" and frame.f_code.co_name == "atomic_path" and armed[0] == 2:
        armed[0] = 0
        os.kill(os.getpid(), signal.SIGINT)
    return interrupt
armed = [0]
def count(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith("meta/info.json"):
        armed[0] = 2
sys.addaudithook(count)
writer = EpisodeWriter.open(sys.argv[1])
episode = an_episode(2, LENGTHS[2])
sys.settrace(interrupt)
try:
    writer.save_episode(episode, task_of(2), {"number": 2})
except KeyboardInterrupt:
    sys.settrace(None)
    print(writer.num_episodes, writer.num_frames)
    writer.save_episode(an_episode(3, LENGTHS[3]), task_of(3), {"number": 3})
"""


def test_a_signal_after_the_new_count_stands_loses_no_file_of_the_episode(
    tmp_path: Path, whole: Path, repository: Path
) -> None:
    root = a_set(tmp_path / "set")
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", INTERRUPT, str(root)]
    child = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert child.returncode == 0, child.stderr
    assert child.stdout.split() == ["3", str(sum(LENGTHS[:3]))], "the exception came, and the episode is saved"
    check_episodes(root, 4)
    EpisodeWriter.open(root).finish()
    assert digests(root) == digests(whole)


def test_an_episode_that_is_not_saved_leaves_no_trace(tmp_path: Path, whole: Path) -> None:
    root = a_set(tmp_path / "set")
    before = digests(root)
    with EpisodeWriter.open(root) as writer:
        (root / "meta" / "info.json").rename(tmp_path / "info.json")  # a folder in its place cannot be replaced
        (root / "meta" / "info.json").mkdir()
        (root / "meta" / "info.json" / "x").touch()
        with pytest.raises(UserError, match=r"info\.json"):
            writer.save_episode(an_episode(2, LENGTHS[2]), "a task of its own")
    shutil.rmtree(root / "meta" / "info.json")
    (tmp_path / "info.json").rename(root / "meta" / "info.json")
    EpisodeWriter.open(root).finish()
    assert {name: value for name, value in digests(root).items() if "tasks" not in name} == {
        name: value for name, value in before.items() if "tasks" not in name
    }


@pytest.mark.parametrize(
    "path",
    [
        "videos/observation.images.top/chunk-000/file-000.mp4",
        "data/chunk-000/file-001.parquet",
        "meta/episodes/chunk-000/file-001.parquet",
        "meta/tasks.parquet",
    ],
)
def test_a_dataset_that_counts_what_is_not_there_is_not_continued(tmp_path: Path, path: str) -> None:
    root = a_set(tmp_path / "set")
    (root / path).unlink()
    before = digests(root)
    with pytest.raises(DataError, match=f"counts 2 episodes, but {re.escape(path)}"):
        EpisodeWriter.open(root)
    assert digests(root) == before
    (root / path).write_bytes(b"")
    with pytest.raises(DataError, match=re.escape(path)):
        EpisodeWriter.open(root)


def test_frames_that_the_episodes_do_not_have_are_not_counted_on(tmp_path: Path) -> None:
    root = a_set(tmp_path / "set")
    first, second = (root / layout.place(layout.EPISODES_PATH, index) for index in (0, 1))
    second.write_bytes(first.read_bytes())
    with pytest.raises(DataError, match=f"counts {sum(LENGTHS[:2])} frames, its episodes have {2 * LENGTHS[0]}"):
        EpisodeWriter.open(root)


def test_notes_that_are_shorter_than_the_count_are_refused(tmp_path: Path) -> None:
    root = a_set(tmp_path / "set")
    said = json.loads((root / layout.PROVENANCE).read_text())
    (root / layout.PROVENANCE).write_text(json.dumps({**said, "episodes": said["episodes"][:1]}))
    with pytest.raises(DataError, match=r"counts 2 episodes, but meta/unified\.json holds 1"):
        EpisodeWriter.open(root)


def test_only_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    root = a_set(tmp_path / "set")
    left = [root / "meta" / ".info.json.abcd_123" / "info.json", root / ".unfinished" / "0123" / "000001" / "x.mp4"]
    left += [root / "data" / "chunk-000" / ".file-002.parquet.abcd1234" / "file-002.parquet"]
    kept = [root / "meta" / ".git" / "HEAD", root / "meta" / ".notes", root / "data" / "chunk-000" / ".keep" / "mine"]
    kept += [root / "meta" / ".info.json.backup_1" / "mine.txt", root / ".hidden" / "x", root / "videos" / ".x" / "y"]
    for path in (*left, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    EpisodeWriter.open(root).finish()
    assert not any(path.exists() or path.parent.exists() for path in left[:1] + left[2:])
    assert not (root / ".unfinished").exists()
    assert all(path.exists() for path in kept)


@pytest.mark.parametrize("name", ["meta", "data", "videos", "videos/observation.images.top", "data/chunk-000"])
def test_nothing_is_removed_or_written_through_a_link(tmp_path: Path, name: str) -> None:
    longer, root = a_set(tmp_path / "longer", 3), a_set(tmp_path / "set", 2)
    (longer / name / ".hidden").mkdir()
    (longer / name / ".hidden" / "mine").touch()
    shutil.rmtree(root / name)
    (root / name).symlink_to(longer / name)
    before = digests(longer)
    with pytest.raises(DataError, match="is a link"):
        EpisodeWriter.open(root)
    assert digests(longer) == before


def test_a_link_in_the_place_of_the_scratch_folder_is_left_alone(tmp_path: Path) -> None:
    root, other = a_set(tmp_path / "set"), tmp_path / "other"
    other.mkdir()
    (other / "mine").touch()
    (root / ".unfinished").symlink_to(other)
    with pytest.raises(DataError, match=r"\.unfinished is a link"):
        EpisodeWriter.open(root)
    assert (other / "mine").exists()


@pytest.mark.parametrize("key", ["../../other/videos/observation.images.top", "..", "/tmp/x", "", ".hidden", "a\\b"])
def test_a_feature_that_names_another_folder_is_refused_on_opening(tmp_path: Path, key: str) -> None:
    root, other = a_set(tmp_path / "set"), a_set(tmp_path / "other", 3)
    info = json.loads((root / layout.INFO).read_text())
    info["features"][key] = info["features"].pop("observation.images.top")
    (root / layout.INFO).write_text(json.dumps(info))
    before = digests(other)
    with pytest.raises(UserError, match=re.escape(f"Feature {key!r}")):
        EpisodeWriter.open(root)
    assert digests(other) == before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (layout.INFO, "{"),
        (layout.INFO, "[]"),
        (layout.INFO, '{"features": [], "total_episodes": 0}'),
        (layout.INFO, '{"features": {"a": 3}, "fps": 10, "total_episodes": 0, "total_frames": 0, "total_tasks": 0}'),
        (layout.INFO, '{"features": {}, "fps": 10, "total_episodes": -1, "total_frames": 0, "total_tasks": 0}'),
        (layout.INFO, "\xff"),
        (layout.PROVENANCE, '{"episodes": 4}'),
        (layout.PROVENANCE, "null"),
    ],
)
def test_damaged_metadata_is_named_and_left_alone(tmp_path: Path, file: str, text: str) -> None:
    root = a_set(tmp_path / "set")
    (root / file).write_bytes(text.encode("latin-1"))
    before = digests(root)
    with pytest.raises(UserError, match=r"info\.json|unified\.json"):
        EpisodeWriter.open(root)
    assert digests(root) == before


def test_what_was_counted_meanwhile_is_not_taken_for_unsaved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = a_set(tmp_path / "set", 1)
    take_lock = writer_module._lock

    def after_another_process(folder: Path) -> int:
        monkeypatch.setattr(writer_module, "_lock", take_lock)
        with EpisodeWriter.open(folder) as other:
            other.save_episode(an_episode(1, LENGTHS[1]), task_of(1), {"number": 1})
        return take_lock(folder)

    monkeypatch.setattr(writer_module, "_lock", after_another_process)
    with EpisodeWriter.open(root) as writer:
        assert writer.num_episodes == 2
    check_episodes(root, 2)


def test_two_writers_scratch_names_differ(tmp_path: Path) -> None:
    root = a_set(tmp_path / "set")
    scratches = set()
    for _ in range(2):
        with EpisodeWriter.open(root) as writer:
            scratches.add(writer.scratch)
    assert len(scratches) == 2


def test_the_same_episodes_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        record(tmp_path / name)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def spoiled(key: str, change: Any) -> dict[str, np.ndarray]:
    frames = an_episode(0)
    return {**frames, key: change(frames[key])}


def with_nan(values: np.ndarray) -> np.ndarray:
    values[3, 1] = np.nan
    return values


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (spoiled("action", with_nan), "'action' is not finite in frame 3"),
        (spoiled("action", lambda values: values[:, :2]), "'action' must be float32 (3,)"),
        (spoiled("action", lambda values: values.astype(np.float64)), "got float64"),
        (spoiled("action", lambda values: values[:4]), "same number of frames"),
        (spoiled("observation.images.top", lambda values: values[:, :8]), "(16, 24, 3)"),
        ({**an_episode(0), "velocity": np.zeros((6, 1))}, "velocity"),
        ({key: value for key, value in an_episode(0).items() if key != "action"}, "missing: ['action']"),
    ],
)
def test_an_episode_that_is_not_what_the_features_say_is_refused(
    tmp_path: Path, frames: dict[str, np.ndarray], words: str
) -> None:
    with EpisodeWriter.create(tmp_path / "set", 10, FEATURES, "toy") as writer:
        with pytest.raises(DataError) as caught:
            writer.save_episode(frames, "reach")
        assert words in str(caught.value)
        assert writer.save_episode(an_episode(1), "reach") == 0


@pytest.mark.parametrize(
    ("name", "feature"),
    [
        ("a/b", {"dtype": "float32", "shape": (1,)}),
        ("..", {"dtype": "float32", "shape": (1,)}),
        ("timestamp", {"dtype": "float32", "shape": (1,)}),
        ("depth", {"dtype": "video", "shape": (16, 16, 1)}),
        ("grid", {"dtype": "float32", "shape": (2, 2)}),
        ("name", {"dtype": "string", "shape": (1,)}),
    ],
)
def test_a_feature_that_lerobot_could_not_read_back_is_refused(
    tmp_path: Path, name: str, feature: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=name):
        EpisodeWriter.create(tmp_path / "set", 10, {name: feature}, "toy")
    assert not (tmp_path / "set").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        EpisodeWriter.create(tmp_path, 10, FEATURES, "toy")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(UserError, match="no dataset"):
        EpisodeWriter.open(tmp_path)


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    first = EpisodeWriter.create(tmp_path / "set", 10, FEATURES, "toy")
    with pytest.raises(UserError, match="Another process"):
        EpisodeWriter.open(tmp_path / "set")
    first.finish()
    EpisodeWriter.open(tmp_path / "set").finish()


def test_lossless_films_are_and_compact_ones_are_small(tmp_path: Path) -> None:
    y, x = np.mgrid[0:64, 0:64] / 64
    t = np.arange(12)[:, None, None, None]
    frames = (127 + 120 * np.sin(4 * x[None, ..., None] + 3 * y[None, ..., None] + [0, 2, 4] + 0.3 * t)).astype(
        np.uint8
    )
    sizes = {}
    for name, encoding in ENCODINGS.items():
        path = tmp_path / f"{name}.mp4"
        write_mp4(path, frames, 80, encoding)
        times, pictures = zip(*read_mp4(path), strict=True)
        np.testing.assert_allclose(times, np.arange(12) / 80, atol=1e-6)
        error = np.mean((np.stack(pictures).astype(float) - frames) ** 2)
        assert error == 0 if name == "lossless" else 10 * np.log10(255**2 / error) > 30
        sizes[name] = path.stat().st_size
    assert sizes["compact"] < sizes["lossless"] / 2


def test_a_truncated_or_missing_film_is_named(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    write_mp4(whole, np.zeros((5, 16, 16, 3), np.uint8), 10, ENCODINGS["lossless"])
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[:-300])
    for path in (cut, tmp_path / "nowhere.mp4"):
        with pytest.raises(DataError, match=path.name):
            list(read_mp4(path))
