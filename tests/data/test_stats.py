import numpy as np
import pytest
import torch

from decoders.vectors import Normalizer
from unified.data.stats import column_stats, constant_columns, describe_stats, embodiment_stats
from unified.model.spec import DataSpec, Embodiment


def test_statistics_of_two_parts_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    whole = rng.normal(1e3, 2.0, (500, 3)).astype(np.float32)
    stats = column_stats([(whole[:70], np.arange(70)), (whole[70:], np.arange(430))])
    exact = whole.astype(np.float64)
    np.testing.assert_allclose(stats["mean"], exact.mean(0), rtol=1e-12)
    np.testing.assert_allclose(stats["std"], exact.std(0), rtol=1e-9)
    np.testing.assert_array_equal(stats["min"], exact.min(0))
    np.testing.assert_array_equal(stats["max"], exact.max(0))
    np.testing.assert_allclose([stats["q01"], stats["q99"]], np.quantile(exact, [0.01, 0.99], axis=0))


def test_only_the_picked_rows_count():
    rows = np.arange(10, dtype=np.float32)[:, None]
    assert column_stats([(rows, np.array([2, 4]))])["mean"] == [3.0]


def test_a_constant_dimension_is_not_scaled_and_a_small_one_that_moves_is():
    rng = np.random.default_rng(0)
    constant, small = np.full(2000, 0.7), rng.normal(0, 1.1e-4, 2000)
    far, rounding = 1000 + rng.normal(0, 1e-5, 2000), rng.normal(0, 1e-17, 2000)
    table = np.stack([constant, small, far, rounding, rng.normal(0, 1, 2000)], axis=1).astype(np.float32)
    stats = column_stats([(table, np.arange(2000))])
    assert stats["std"][0] == stats["std"][2] == stats["std"][3] == 1.0
    assert stats["std"][1] == pytest.approx(1.1e-4, rel=0.05)
    assert constant_columns(stats) == [True, False, True, True, False]
    normalizer = Normalizer([5], 5)
    body = Embodiment("arm", 5, 5, ("front",), 0.1)
    spec = DataSpec((body,), ("front",), (8, 8))
    normalizer.set_stats({"arm": {"action": stats}}, "action", spec)
    off = torch.from_numpy(table[:1, None] + np.array([0.02, 0, 0, 0, 0], np.float32))
    assert normalizer.normalize(off, torch.zeros(1, dtype=torch.long))[0, 0, 0] == pytest.approx(0.02, rel=1e-4)
    assert "constant" in describe_stats({"arm": {"action": stats}})


def test_the_share_of_rows_that_are_clipped_is_counted():
    column = np.zeros((1000, 1), np.float32)
    column[:2] = 1.0  # 22 standard deviations from the mean
    (share,) = column_stats([(column, np.arange(1000))])["clipped"]
    assert share == 0.002


def test_sources_of_one_body_are_taken_together_and_others_apart():
    one, two = np.zeros((2, 1), np.float32), np.ones((6, 1), np.float32)
    sources = [
        ("arm", {"action": one}, np.arange(2)),
        ("car", {"observation.state": two}, np.arange(6)),
        ("arm", {"action": two}, np.arange(6)),
    ]
    stats = embodiment_stats(sources)
    assert stats["arm"]["action"]["mean"] == [0.75]
    assert stats["car"]["observation.state"]["mean"] == [1.0]
