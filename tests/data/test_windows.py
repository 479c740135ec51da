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
from unified.model.spec import ACTION, PROPRIO, DataSpec, Embodiment

ARM = Embodiment("arm", action_dim=3, proprio_dim=2, cameras=("front", "wrist"), control_dt=0.1)
CAR = Embodiment("car", action_dim=2, proprio_dim=4, cameras=("road",), control_dt=0.05)
SPEC = DataSpec(
    embodiments=(ARM, CAR),
    cameras=("front", "wrist", "road"),
    image_size=(16, 24),
    num_moments=3,
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


def test_every_window_holds_what_was_recorded_from_its_first_moment_on(arm: tuple[WindowSource, Episodes]):
    source, written = arm
    batch = fetch([source], (np.zeros(28, np.int64), np.arange(28)))
    row = 0
    for episode in written:
        last = len(episode["action"]) - 1
        for first in range(last + 1):
            moments = np.array([first, first + 3, first + 6])
            shown = np.minimum(moments, last)
            between = np.minimum(moments[:-1, None] + np.arange(3), last)
            ahead = moments[:, None] + np.arange(4)
            for slot, camera in enumerate(("front", "wrist")):
                film = episode[f"observation.images.{camera}"]
                torch.testing.assert_close(batch.images[row, :, slot], picture(film[shown]))
            np.testing.assert_array_equal(batch.at[PROPRIO][row, :, :2], episode["observation.state"][shown])
            np.testing.assert_array_equal(batch.between[ACTION][row], episode["action"][between])
            expert = episode["expert_action"][np.minimum(ahead, last)]
            np.testing.assert_array_equal(batch.ahead[ACTION][row], expert)
            assert batch.moment_is_pad[row].tolist() == (moments > last).tolist()
            rests = shown >= (last + 1) // 2
            assert batch.ahead_is_pad[row].tolist() == ((ahead > last) | (rests != rests[0])[:, None]).tolist()
            row += 1


def test_windows_can_be_longer_than_those_of_training(arm: tuple[WindowSource, Episodes]):
    batch = WindowDataset([arm[0]], SPEC, num_moments=4).fetch(rows((0, 7)))
    assert batch.images.shape[1] == 4
    film = arm[1][1]["observation.images.front"]
    torch.testing.assert_close(batch.images[0, :, 0], picture(film[[0, 3, 6, 9]]))


def test_plans_are_not_known_where_the_instruction_is_another_than_the_window_is_told(
    arm: tuple[WindowSource, Episodes],
):
    source, _ = arm  # the first episode has seven frames; from the fourth on it is told to rest
    first, second = (WindowDataset([source], SPEC, told=told).fetch(rows((0, 1))) for told in (0, 1))
    assert (first.task, second.task) == (("task 0",), ("then rest",))
    assert first.ahead_is_pad is not None
    assert second.ahead_is_pad is not None
    assert first.ahead_is_pad.tolist() == [[[False] * 4, [True] * 4, [True] * 4]]
    assert second.ahead_is_pad.tolist() == [[[True] * 4, [False, False, False, True], [True] * 4]]


def test_the_task_of_a_window_is_the_text_at_its_first_moment(arm: tuple[WindowSource, Episodes]):
    batch = fetch([arm[0]], rows((0, 0), (0, 6), (0, 7)))
    assert batch.task == ("task 0", "then rest", "task 1")


def test_bodies_with_other_cameras_sizes_and_strides_share_a_batch(
    arm: tuple[WindowSource, Episodes], car: tuple[WindowSource, Episodes]
):
    batch = fetch([arm[0], car[0]], rows((1, 4), (0, 0), (1, 0)))
    alone = fetch([arm[0]], rows((0, 0)))
    assert batch.embodiment.tolist() == [1, 0, 1]
    assert batch.stride.tolist() == [1, 3, 1]
    assert alone.stride is None
    assert batch.camera_is_pad.tolist() == [[True, True, False], [False, False, True], [True, True, False]]
    torch.testing.assert_close(batch.images[1], alone.images[0])
    torch.testing.assert_close(batch.between[ACTION][1], alone.between[ACTION][0])
    executed = car[1][0]["action"]
    np.testing.assert_array_equal(batch.between[ACTION][2, :, 0, :2], executed[:2])
    assert (batch.between[ACTION][2, :, 1:] == 0).all(), "a step of the car is one env step long"
    assert (batch.between[ACTION][2, ..., 2:] == 0).all()
    np.testing.assert_array_equal(batch.ahead[ACTION][2, 0, :, :2], executed[:4])
    assert (batch.at[PROPRIO][1, :, 2:] == 0).all()
    torch.testing.assert_close(batch.images[2, :, 2], picture(car[1][0]["observation.images.road"][[0, 1, 2]]))
    assert batch.moment_is_pad.tolist() == [[False, True, True], [False, False, False], [False, False, False]]


def test_play_is_marked_and_where_no_expert_was_recorded_what_was_done_is_imitated(
    arm: tuple[WindowSource, Episodes], car: tuple[WindowSource, Episodes]
):
    mixed = fetch([arm[0], car[0]], rows((1, 2), (0, 2)))
    assert mixed.is_demonstration.tolist() == [False, True]
    np.testing.assert_array_equal(mixed.ahead[ACTION][0, 0, :3, :2], car[1][0]["action"][2:5])
    assert not torch.equal(mixed.ahead[ACTION][1, 0, :3], mixed.between[ACTION][1, 0])
    assert fetch([arm[0]], rows((0, 2))).is_demonstration is None


def test_no_camera_mask_where_every_slot_is_filled(arm: tuple[WindowSource, Episodes]):
    spec = DataSpec(embodiments=(ARM,), cameras=("front", "wrist"), image_size=(16, 24))
    assert fetch([arm[0]], rows((0, 2)), spec).camera_is_pad is None


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
    assert sum((part.task for part in parts), ()) == whole.task
    for name in ("images", "is_demonstration", "moment_is_pad", "ahead_is_pad", "stride", "embodiment"):
        torch.testing.assert_close(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))
    for where, column in (("at", PROPRIO), ("between", ACTION), ("ahead", ACTION)):
        joined = torch.cat([part.column(where, column) for part in parts])
        torch.testing.assert_close(joined, whole.column(where, column))
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
