from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmarks.windows import SHAPES, compare, reading_memory
from unified.data.cache import Cache
from unified.data.source import Source, open_recording

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lerobot_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set by LeRobot's own writer: several episodes in one file, AV1, pictures in the table."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    root = tmp_path_factory.mktemp("lerobot") / "set"
    picture = {"shape": (32, 48, 3), "names": ["height", "width", "channels"]}
    features = {
        "observation.images.film": {"dtype": "video", **picture},
        "observation.images.still": {"dtype": "image", **picture},
        "observation.state": {"dtype": "float32", "shape": (1,), "names": None},
        "action": {"dtype": "float32", "shape": (3,), "names": None},
    }
    dataset = LeRobotDataset.create("local/set", fps=20, root=root, features=features, robot_type="toy")
    rng = np.random.default_rng(0)
    for number, length in enumerate((6, 11, 8)):
        for _ in range(length):
            pixels = {
                f"observation.images.{name}": rng.integers(0, 256, (32, 48, 3), np.uint8) for name in ("film", "still")
            }
            vectors = {"observation.state": rng.random(1, np.float32), "action": rng.random(3, np.float32)}
            dataset.add_frame({**pixels, **vectors, "task": f"task {number % 2}"})
        dataset.save_episode()
    dataset.finalize()
    return root


def test_what_lerobot_wrote_is_read_as_lerobot_reads_it(lerobot_root: Path):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    recording = open_recording(Source(str(lerobot_root)))
    cache = Cache.open(recording, (32, 48))
    dataset: Any = LeRobotDataset("local/set", root=lerobot_root, video_backend="pyav")
    assert list(recording.cameras) == ["film", "still"]
    assert cache.bounds.tolist() == [0, 6, 17, 25]
    for row in range(25):
        item = dataset[row]
        for name in ("film", "still"):
            theirs = (item[f"observation.images.{name}"] * 255).round().byte().permute(1, 2, 0).numpy()
            np.testing.assert_array_equal(cache.images[name][row], theirs)
        np.testing.assert_array_equal(cache.columns["action"][row], item["action"])
        np.testing.assert_array_equal(cache.columns["observation.state"][row], np.atleast_1d(item["observation.state"]))
        assert cache.tasks[cache.task[row]] == item["task"]


def test_windows_equal_those_of_lerobot_and_come_twenty_times_as_fast(tmp_path: Path):
    row = compare(tmp_path / "set", 4, 60, **SHAPES["demo: 1 camera, 5 moments"], lerobot_batches=2)
    assert row["times"] > 20


def test_windows_of_two_cameras_equal_those_of_lerobot(tmp_path: Path):
    compare(tmp_path / "set", 3, 20, cameras=("a", "b"), size=16, num_moments=5, lerobot_batches=1)


def test_memory_is_flat_when_the_data_set_grows_ten_times(tmp_path: Path):
    small = reading_memory(tmp_path / "small", 2, 100)
    large = reading_memory(tmp_path / "large", 20, 100)
    assert large["cache_mb"] > 22
    assert large["added_mb"] < small["added_mb"] + 5
