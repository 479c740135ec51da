from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.recordings import record
from unified.data.cache import Cache
from unified.data.source import Source, open_recording
from unified.data.windows import BatchReader, WindowDataset, WindowSampler, WindowSource
from unified.model.batch import Batch, images_to_float
from unified.model.spec import DataSpec, Embodiment

ARM = Embodiment("arm", action_dim=3, proprio_dim=2, cameras=("front", "wrist"), control_dt=0.1)
CAR = Embodiment("car", action_dim=2, proprio_dim=4, cameras=("road",), control_dt=0.05)
SPEC = DataSpec(
    embodiments=(ARM, CAR),
    cameras=("front", "wrist", "road"),
    image_size=(16, 24),
    n_obs_steps=3,
    obs_stride=2,
    num_frames=2,
    frame_stride=3,
    action_horizon=4,
)
Episodes = list[dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> tuple[WindowSource, Episodes]:
    root = tmp_path_factory.mktemp("arm") / "set"
    written = record(root, cameras=("front", "wrist"), has_expert=True)
    cache = Cache.open(open_recording(Source(str(root))), (16, 24))
    return WindowSource(cache, np.arange(len(cache)), "arm", frame_stride=3), written


@pytest.fixture(scope="module")
def car(tmp_path_factory: pytest.TempPathFactory) -> tuple[WindowSource, Episodes]:
    root = tmp_path_factory.mktemp("car") / "set"
    written = record(root, (5, 6), cameras=("road",), action_dim=2, proprio_dim=4, fps=20, seed=1)
    cache = Cache.open(open_recording(Source(str(root))), (16, 24))
    return WindowSource(
        cache, np.arange(len(cache)), "car", frame_stride=1, weight=3.0, is_demonstration=False
    ), written


def rows(*pairs: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    source, frame = np.array(pairs, dtype=np.int64).T
    return source, frame


def fetch(sources: list[WindowSource], where: tuple[np.ndarray, np.ndarray], spec: DataSpec = SPEC) -> Any:
    return WindowDataset(sources, spec).fetch(where)


def picture(frames: np.ndarray) -> torch.Tensor:
    return images_to_float(torch.from_numpy(frames).movedim(-1, -3))


def test_every_window_holds_what_was_recorded_around_its_frame(arm: tuple[WindowSource, Episodes]):
    source, written = arm
    batch = fetch([source], (np.zeros(28, np.int64), np.arange(28)))
    row = 0
    for episode in written:
        last = len(episode["action"]) - 1
        for now in range(last + 1):
            past = [max(now - 4, 0), max(now - 2, 0), now]
            future, acting = [now + 3, now + 6], list(range(now, now + 4))
            shown, done = np.minimum(future, last), np.minimum(acting, last)
            for slot, camera in enumerate(("front", "wrist")):
                film = episode[f"observation.images.{camera}"]
                torch.testing.assert_close(batch.observation.images[row, slot], picture(film[past]))
                torch.testing.assert_close(batch.video[row, slot], picture(film[shown]))
            np.testing.assert_array_equal(batch.observation.proprio[row, :, :2], episode["observation.state"][past])
            np.testing.assert_array_equal(batch.action[row], episode["action"][done])
            np.testing.assert_array_equal(batch.expert_action[row], episode["expert_action"][done])
            assert batch.video_is_pad[row].tolist() == [frame > last for frame in future]
            assert batch.action_is_pad[row].tolist() == [frame > last for frame in acting]
            row += 1


def test_the_task_of_a_window_is_the_text_at_its_frame(arm: tuple[WindowSource, Episodes]):
    batch = fetch([arm[0]], rows((0, 0), (0, 6), (0, 7)))
    assert batch.observation.task == ("task 0", "then rest", "task 1")


def test_bodies_with_other_cameras_and_sizes_share_a_batch(
    arm: tuple[WindowSource, Episodes], car: tuple[WindowSource, Episodes]
):
    batch = fetch([arm[0], car[0]], rows((1, 4), (0, 0), (1, 0)))
    alone = fetch([arm[0]], rows((0, 0)))
    assert batch.observation.embodiment.tolist() == [1, 0, 1]
    assert batch.observation.camera_is_pad.tolist() == [[True, True, False], [False, False, True], [True, True, False]]
    torch.testing.assert_close(batch.observation.images[1], alone.observation.images[0])
    torch.testing.assert_close(batch.action[1], alone.action[0])
    np.testing.assert_array_equal(batch.action[2, :, :2], car[1][0]["action"][:4])
    assert (batch.action[2, :, 2:] == 0).all()
    assert (batch.observation.proprio[1, :, 2:] == 0).all()
    torch.testing.assert_close(batch.video[2, 2], picture(car[1][0]["observation.images.road"][[1, 2]]))
    assert batch.video_is_pad.tolist() == [[True, True], [False, False], [False, False]]


def test_play_and_missing_expert_labels_are_marked(
    arm: tuple[WindowSource, Episodes], car: tuple[WindowSource, Episodes]
):
    mixed = fetch([arm[0], car[0]], rows((1, 2), (0, 2)))
    assert mixed.is_demonstration.tolist() == [False, True]
    torch.testing.assert_close(mixed.expert_action[0], mixed.action[0])
    assert not torch.equal(mixed.expert_action[1], mixed.action[1])
    assert fetch([car[0]], rows((0, 2))).expert_action is None
    assert fetch([arm[0]], rows((0, 2))).is_demonstration is None


def test_no_camera_mask_where_every_slot_is_filled(arm: tuple[WindowSource, Episodes]):
    spec = DataSpec(embodiments=(ARM,), cameras=("front", "wrist"), image_size=(16, 24))
    assert fetch([arm[0]], rows((0, 2)), spec).observation.camera_is_pad is None


def test_a_batch_is_a_function_of_seed_and_number(
    arm: tuple[WindowSource, Episodes], car: tuple[WindowSource, Episodes]
):
    def draw(seed: int, stream: int, index: int) -> list[list[int]]:
        sampler = WindowSampler([arm[0], car[0]], batch_size=64, seed=seed, stream=stream)
        return [part.tolist() for part in sampler.rows(index)]

    assert draw(3, 0, 7) == draw(3, 0, 7)
    others = [draw(4, 0, 7), draw(3, 1, 7), draw(3, 0, 8), draw(3, 0, 6)]
    assert all(other != draw(3, 0, 7) for other in others)


def test_a_row_does_not_depend_on_the_batch_size(arm: tuple[WindowSource, Episodes]):
    small, large = (WindowSampler([arm[0]], size, seed=0).rows(5)[1] for size in (8, 32))
    np.testing.assert_array_equal(small, large[:8])


def test_sources_are_drawn_by_weight_and_their_frames_evenly(
    arm: tuple[WindowSource, Episodes], car: tuple[WindowSource, Episodes]
):
    sampler = WindowSampler([arm[0], car[0]], batch_size=1000, seed=0)
    draws = [sampler.rows(index) for index in range(40)]
    source, frame = (np.concatenate(part) for part in zip(*draws, strict=True))
    assert abs((source == 1).mean() - 0.75) < 4 * (0.75 * 0.25 / 40_000) ** 0.5
    for number, total in ((0, 28), (1, 11)):
        counts = np.bincount(frame[source == number], minlength=total)
        expected = counts.sum() / total
        assert len(counts) == total
        # Chi-squared with total - 1 degrees of freedom; five standard deviations.
        assert ((counts - expected) ** 2 / expected).sum() < total - 1 + 5 * (2 * (total - 1)) ** 0.5


def test_ranks_together_read_the_batch_of_one_process(
    arm: tuple[WindowSource, Episodes], car: tuple[WindowSource, Episodes]
):
    dataset = WindowDataset([arm[0], car[0]], SPEC)
    sampler = WindowSampler(dataset.sources, batch_size=12, seed=0)
    whole = BatchReader(dataset, sampler)[4].to_batch()
    parts = [BatchReader(dataset, sampler, rank, world_size=3)[4].to_batch() for rank in range(3)]
    assert sum((part.observation.task for part in parts), ()) == whole.observation.task
    for name in ("video", "action", "expert_action", "is_demonstration", "video_is_pad", "action_is_pad"):
        torch.testing.assert_close(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))
    torch.testing.assert_close(torch.cat([part.observation.images for part in parts]), whole.observation.images)
    assert isinstance(whole, Batch)


def test_reading_maps_no_more_pictures_than_one_batch_needs(tmp_path: Path):
    record(tmp_path / "set", lengths=(400,), size=(32, 32))
    cache = Cache.open(open_recording(Source(str(tmp_path / "set"))), (32, 32))
    body = Embodiment("arm", action_dim=3, proprio_dim=2, cameras=("front",), control_dt=0.1)
    spec = DataSpec(embodiments=(body,), cameras=("front",), image_size=(32, 32))
    dataset = WindowDataset([WindowSource(cache, np.arange(400), "arm", frame_stride=8)], spec)
    for frame in range(0, 400, 2):
        dataset.read(rows((0, frame)))
    mapped = [line for line in mapping(cache.folder / "images0.npy").splitlines() if line.startswith("Rss:")]
    assert sum(int(line.split()[1]) for line in mapped) < 0.1 * cache.images["front"].nbytes / 1024


def mapping(path: Path) -> str:
    _, _, rest = Path("/proc/self/smaps").read_text().partition(str(path))
    return rest.split("VmFlags", 1)[0]
