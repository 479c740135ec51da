"""Shifted pictures: every moment of a camera by the same pixels, cameras and rows each by their own; mirrored rows."""

import torch

from tasks.augmentation import draw_shifts, mirror, shift_pictures
from unified.model.batch import Batch
from unified.model.spec import ACTION, PROPRIO


def a_batch(moments: int = 3) -> Batch:
    """Every pixel of 2 rows and 2 cameras another number."""
    count = 2 * moments * 2 * 3 * 5 * 4
    return Batch(
        images=torch.arange(count, dtype=torch.float32).view(2, moments, 2, 3, 5, 4),
        at={PROPRIO: torch.ones(2, moments, 3)},
        between={ACTION: torch.ones(2, moments - 1, 4, 2)},
        ahead={ACTION: torch.ones(2, moments, 4, 2)},
        embodiment=torch.zeros(2, dtype=torch.long),
        task=("a", "b"),
    )


def test_what_is_seen_moves_down_and_right_and_the_edge_is_repeated():
    batch = a_batch()
    shifted = shift_pictures(batch, torch.tensor([[[1, 0], [0, -2]], [[0, 0], [-9, 9]]]))
    images, moved = batch.images, shifted.images
    assert torch.equal(moved[0, :, 0, :, 1:], images[0, :, 0, :, :-1])
    assert torch.equal(moved[0, :, 0, :, 0], images[0, :, 0, :, 0])
    assert torch.equal(moved[0, :, 1, ..., :2], images[0, :, 1, ..., 2:])
    assert torch.equal(moved[1, :, 0], images[1, :, 0])
    corner = images[1, :, 1, :, -1:, :1]
    assert torch.equal(moved[1, :, 1], corner.expand_as(moved[1, :, 1]))
    assert shifted.between is batch.between
    assert shifted.at is batch.at


def test_shifts_reach_both_bounds_and_differ_between_rows_and_cameras():
    shifts = draw_shifts(500, 2, 3, torch.Generator().manual_seed(0))
    assert shifts.unique().tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert not torch.equal(shifts[:, 0], shifts[:, 1])


def test_a_mirrored_row_turns_the_other_way_and_its_neighbour_stays():
    batch = a_batch()
    mirrored = mirror(batch, torch.tensor([True, False]), [0])
    assert torch.equal(mirrored.images[0], batch.images[0].flip(-1))
    assert torch.equal(mirrored.images[1], batch.images[1])
    for values in (mirrored.between[ACTION], mirrored.ahead[ACTION]):
        assert values[0].flatten(0, 1).unique(dim=0).tolist() == [[-1.0, 1.0]]
        assert (values[1] == 1).all()
    assert torch.equal(mirrored.at[PROPRIO], batch.at[PROPRIO])
