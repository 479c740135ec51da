"""Shifted pictures: every frame of a camera by the same pixels, cameras and rows each by their own."""

import torch

from tasks.augmentation import draw_shifts, mirror, shift, shift_pictures
from unified.model.batch import Batch, Observation


def pictures(frames: int = 1) -> torch.Tensor:
    """Every pixel of 2 rows and 2 cameras another number."""
    return torch.arange(2 * 2 * frames * 3 * 5 * 4, dtype=torch.float32).view(2, 2, frames, 3, 5, 4)


def test_what_is_seen_moves_down_and_right_and_the_edge_is_repeated():
    images = pictures()
    shifts = torch.tensor([[[1, 0], [0, -2]], [[0, 0], [-9, 9]]])
    moved = shift(images, shifts)
    assert torch.equal(moved[0, 0, ..., 1:, :], images[0, 0, ..., :-1, :])
    assert torch.equal(moved[0, 0, ..., 0, :], images[0, 0, ..., 0, :])
    assert torch.equal(moved[0, 1, ..., :2], images[0, 1, ..., 2:])
    assert torch.equal(moved[1, 0], images[1, 0])
    corner = images[1, 1, ..., -1:, :1]
    assert torch.equal(moved[1, 1], corner.expand_as(moved[1, 1]))


def test_the_film_moves_with_the_observation_and_nothing_else_changes():
    observation = Observation(pictures(2), torch.ones(2, 2, 3), torch.zeros(2, dtype=torch.long), ("a", "b"))
    batch = Batch(observation, video=pictures(3), action=torch.ones(2, 4, 1))
    moved = shift_pictures(batch, torch.tensor([[[1, 1], [2, 0]], [[0, 1], [-1, -1]]]))
    assert moved.video is not None
    assert torch.equal(moved.video[0, 0, :, :, 1:, 1:], pictures(3)[0, 0, :, :, :-1, :-1])
    assert torch.equal(moved.observation.images[0, 0, :, :, 1:, 1:], pictures(2)[0, 0, :, :, :-1, :-1])
    assert moved.action is batch.action
    assert moved.observation.proprio is observation.proprio


def test_shifts_reach_both_bounds_and_differ_between_rows_and_cameras():
    shifts = draw_shifts(500, 2, 3, torch.Generator().manual_seed(0))
    assert shifts.unique().tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert not torch.equal(shifts[:, 0], shifts[:, 1])


def test_a_mirrored_row_turns_the_other_way_and_its_neighbour_stays():
    observation = Observation(pictures(2), torch.ones(2, 2, 3), torch.zeros(2, dtype=torch.long), ("a", "b"))
    batch = Batch(observation, video=pictures(3), action=torch.ones(2, 4, 2))
    mirrored = mirror(batch, torch.tensor([True, False]), [0])
    assert mirrored.video is not None
    assert mirrored.action is not None
    assert torch.equal(mirrored.video[0], pictures(3)[0].flip(-1))
    assert torch.equal(mirrored.observation.images[0], pictures(2)[0].flip(-1))
    assert mirrored.action[0].unique(dim=0).tolist() == [[-1.0, 1.0]]
    assert mirrored.expert_action is None
    assert torch.equal(mirrored.video[1], pictures(3)[1])
    assert torch.equal(mirrored.observation.images[1], pictures(2)[1])
    assert (mirrored.action[1] == 1).all()
