import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.mixing import interleave, move_play, shares_of


@given(st.lists(st.floats(0.05, 1.0), min_size=1, max_size=5), st.integers(1, 96), st.integers(0, 95))
def test_every_stretch_of_rows_holds_each_query_in_its_share(shares: list[float], length: int, start: int) -> None:
    rows = interleave(shares, 192)[start : start + length]
    total = sum(shares)
    for index, share in enumerate(shares):
        assert abs(int((rows == index).sum()) - length * share / total) < 2.5


def test_rows_do_not_depend_on_how_many_follow() -> None:
    assert torch.equal(interleave([0.5, 0.3, 0.2], 64)[:32], interleave([0.5, 0.3, 0.2], 32))


@given(st.integers(0, 2**32 - 1), st.integers(1, 64))
def test_play_leaves_imitation_and_the_shares_stay(seed: int, num_rows: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    assignment = interleave([0.5, 0.3, 0.2], num_rows)
    is_demonstration = torch.rand(num_rows, generator=generator) < 0.6
    moved = move_play(assignment, is_demonstration, torch.tensor([True, False, False]))
    assert torch.equal(moved.bincount(minlength=3), assignment.bincount(minlength=3))
    left = int(((moved == 0) & ~is_demonstration).sum())
    assert left == max(0, int((assignment == 0).sum()) - int(is_demonstration.sum()))


def test_shares_sum_to_one() -> None:
    assert shares_of({"a": 1.0, "b": 3.0}) == pytest.approx([0.25, 0.75])
