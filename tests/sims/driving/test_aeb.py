"""The curve of braking recall against false brakes, by hand."""

import pytest

from tests.benchmarks.driving_aeb import METRIC, THRESHOLDS_MPS2, area, curve


def episodes(*braking, env_id="sims:Driving-hard-brake-v0"):
    return [{"env_id": env_id, "metrics": {METRIC: value}} for value in braking]


def test_recall_and_false_brakes_are_counted_at_every_threshold():
    points = curve(episodes(7.5, 6.0, 2.0, 0.5), episodes(1.0, 0.0))
    assert [point["threshold_mps2"] for point in points] == list(THRESHOLDS_MPS2)
    assert [point["recall"]["share"] for point in points] == [0.75, 0.75, 0.5, 0.5, 0.5, 0.5, 0.25, 0.0]
    assert [point["false_brakes"]["share"] for point in points] == [0.5] + 7 * [0.0]
    low, high = points[0]["recall"]["ci95"]
    assert low < 0.75 < high


def test_the_area_is_one_where_hazards_always_brake_harder_and_a_half_where_braking_is_blind():
    assert area(episodes(5.0, 6.0), episodes(1.0, 2.0)) == 1.0
    assert area(episodes(3.0, 3.0), episodes(3.0)) == 0.5
    mixed = episodes(8.0) + episodes(0.0, env_id="other")
    assert area(mixed, episodes(4.0) + episodes(4.0, env_id="other")) == 0.5
    assert area(mixed, episodes(4.0) + episodes(4.0, env_id="other"), "other") == pytest.approx(0.0)
