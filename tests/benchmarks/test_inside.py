"""What a ranking is worth."""

import numpy as np
import pytest

from tests.benchmarks.inside import agreement, mmrv, with_intervals


def test_violations_cost_what_they_differ_outside() -> None:
    outside = np.array([0.1, 0.4, 0.9])
    assert mmrv(np.array([0.0, 0.2, 0.3]), outside) == 0
    assert mmrv(np.array([0.5, 0.2, 0.9]), outside) == pytest.approx((0.3 + 0.3 + 0) / 3)
    assert mmrv(np.array([0.9, 0.5, 0.1]), outside) == pytest.approx((0.8 + 0.5 + 0.8) / 3)


def test_a_dream_that_tells_the_truth_agrees_and_one_that_draws_lots_does_not() -> None:
    rng = np.random.default_rng(0)
    rates = np.linspace(0.05, 0.95, 12)[:, None]
    outside, inside = (rng.random((12, 200)) < rates for _ in range(2))
    found = with_intervals(inside.astype(float), outside.astype(float))
    assert found["pearson"]["value"] > 0.95
    assert found["spearman"]["ci95"][0] > 0.8
    lots = with_intervals((rng.random((12, 200)) < 0.5).astype(float), outside.astype(float))
    assert lots["pearson"]["ci95"][0] < 0 < lots["pearson"]["ci95"][1]
    assert lots["mmrv"]["value"] > found["mmrv"]["value"]
    assert np.isnan(agreement(np.ones(3), np.arange(3.0))["pearson"])
