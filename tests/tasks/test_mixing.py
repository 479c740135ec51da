"""Shares of rows: what queries ask for, and that no row is asked for a stream twice."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.mixing import interleave, mixes_of
from unified.errors import UserError
from unified.model.queries import Query


@given(st.lists(st.floats(0.05, 1.0), min_size=1, max_size=5), st.integers(1, 96), st.integers(0, 95))
def test_every_stretch_of_rows_holds_each_mix_in_its_share(shares: list[float], length: int, start: int) -> None:
    rows = interleave(shares, 192)[start : start + length]
    total = sum(shares)
    for index, share in enumerate(shares):
        assert abs(int((rows == index).sum()) - length * share / total) < 2.5


def test_rows_do_not_depend_on_how_many_follow() -> None:
    assert torch.equal(interleave([0.5, 0.3, 0.2], 64)[:32], interleave([0.5, 0.3, 0.2], 32))


@given(st.floats(0.01, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_every_query_gets_its_share_and_no_stream_is_asked_for_twice(policy: float, cut: float, inverse: float) -> None:
    joint, film = max(0.01, 0.9 * cut), max(0.01, 0.99 - 0.9 * cut)
    queries = [
        Query("policy", wanted=("plan",), share=policy),
        Query("film", wanted=("video", "proprio"), share=film),
        Query("inverse", wanted=("action",), share=max(0.01, inverse * (1 - joint))),
        Query("joint", wanted=("action", "video", "proprio"), share=joint),
    ]
    mixes = mixes_of(queries)
    assert sum(mixes.values()) <= 1 + 1e-6
    for query in queries:
        share = sum(share for mix, share in mixes.items() if query in mix)
        assert share == pytest.approx(query.share, abs=1e-5)
    for mix in mixes:
        wanted = [stream for query in mix for stream in query.wanted]
        assert len(wanted) == len(set(wanted))


def test_a_row_is_asked_all_that_fits_together() -> None:
    apart = [Query("policy", wanted=("plan",)), Query("film", wanted=("video",)), Query("inverse", wanted=("action",))]
    assert [{query.name for query in mix} for mix in mixes_of(apart)] == [{"policy", "film", "inverse"}]


def test_more_than_all_rows_cannot_be_asked_for_a_stream() -> None:
    films = [Query("one", wanted=("video",), share=0.7), Query("two", wanted=("video",), share=0.4)]
    with pytest.raises(
        UserError, match=r"queries.two.share is 0.4, but others ask for video in all but 0.3 of the rows"
    ):
        mixes_of(films)
