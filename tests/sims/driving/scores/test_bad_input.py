"""What is wrong with a map, a track, a trajectory is said where it is handed over."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sims.driving.scores.comfort import extended_comfort
from sims.driving.scores.epdms import StageGroup, epdms_one_stage, epdms_proposals, epdms_two_stage, human_score
from sims.driving.scores.pdms import pdms, pdms_proposals
from sims.driving.scores.scene import EgoTrajectories, ScoredLane, ScoredMap, Track, VehicleParameters
from tests.sims.driving.scores.scenes import box, cruise, ego, line, parked, scene, straight_lane, two_lane_road

LANE = straight_lane("a", 0.0)
BOW_TIE = np.array([[0, 0], [4, 4], [4, 0], [0, 4]], float)
WORDS: Any = "10 Hz"
RAGGED: Any = [[0.0] * 5, [0.0] * 4]
BOXES, STILL = np.tile([0.0, 0.0, 0.0, 4.0, 2.0], (50, 1)), np.zeros((50, 2))


def with_nan(values: np.ndarray) -> np.ndarray:
    broken = values.copy()
    broken.flat[3] = np.nan
    return broken


CASES: dict[str, tuple[Callable[[], object], str]] = {
    "self-intersecting lane": (
        lambda: ScoredLane("a", BOW_TIE, LANE.centreline),
        r"lane 'a': polygon.*[Ii]ntersection",
    ),
    "lane without area": (lambda: ScoredLane("a", box(0, 5, 0, 0), LANE.centreline), "lane 'a': polygon"),
    "two corners": (
        lambda: ScoredLane("a", box(0, 5, 0, 5)[:2], LANE.centreline),
        "at least 3 different corners, got 2",
    ),
    "NaN in a lane": (lambda: ScoredLane("a", with_nan(LANE.polygon), LANE.centreline), "polygon must be finite"),
    "centreline of one place": (lambda: ScoredLane("a", LANE.polygon, np.zeros((5, 3))), "2 different points"),
    "centreline without heading": (
        lambda: ScoredLane("a", LANE.polygon, np.zeros((5, 2))),
        r"\('any', 3\), got \(5, 2\)",
    ),
    "negative speed limit": (lambda: straight_lane("a", 0.0, speed_limit_mps=-1.0), "speed_limit_mps"),
    "red lane": (lambda: straight_lane("a", 0.0, red=np.ones(50, bool)), "only a connector"),
    "light of an unknown lane": (
        lambda: ScoredMap((LANE,)).with_lights({"b": np.ones(50, bool)}),
        "unknown lanes: .'b'",
    ),
    "light on a lane": (lambda: ScoredMap((LANE,)).with_lights({"a": np.ones(50, bool)}), "only a connector"),
    "no lanes": (lambda: ScoredMap(()), "at least one lane"),
    "repeated lane": (lambda: ScoredMap((LANE, LANE)), "'a' twice"),
    "missing successor": (lambda: ScoredMap((straight_lane("a", 0.0, successors=("b",)),)), "successor 'b'"),
    "broken intersection": (lambda: ScoredMap((LANE,), intersections=(BOW_TIE,)), r"ScoredMap.intersections\[0\]"),
    "unknown kind": (lambda: parked("x", 0.0, 0.0, "lorry"), "got 'lorry'"),
    "track of wrong shape": (lambda: Track("x", "vehicle", BOXES[:, :4], STILL), r"boxes must have shape \('any', 5\)"),
    "velocity of wrong length": (
        lambda: Track("x", "vehicle", BOXES, STILL[1:]),
        r"velocity must have shape \(50, 2\)",
    ),
    "NaN in a track": (lambda: Track("x", "vehicle", with_nan(BOXES), STILL), "boxes must be finite"),
    "flat box": (lambda: Track("x", "vehicle", BOXES * [1, 1, 1, 0, 1], STILL), "no area"),
    "presence of wrong length": (lambda: Track("x", "vehicle", BOXES, STILL, np.ones(3, bool)), "present"),
    "presence that is not known": (
        lambda: Track("x", "vehicle", BOXES, STILL, np.full(50, np.nan)),
        "present must be an array.*only True and False are allowed, got values of type float64",
    ),
    "boxes that are words": (lambda: Track("x", "vehicle", WORDS, STILL), "track 'x': boxes must be an array"),
    "boxes of ragged length": (lambda: Track("x", "vehicle", RAGGED, STILL), "boxes must be an array"),
    "repeated track": (lambda: scene(tracks=(parked("x", 0, 0), parked("x", 9, 0))), "'x' twice"),
    "tracks of different length": (
        lambda: scene(tracks=(parked("x", 0, 0), parked("y", 9, 0, steps=41))),
        r"one length, got \[41, 50\]",
    ),
    "scene without rate": (lambda: scene(control_dt_s=0.0), "positive number of seconds"),
    "scene of unknown rate": (lambda: scene(control_dt_s=np.nan), "positive number of seconds, got nan"),
    "rate in words": (lambda: EgoTrajectories(cruise(5.0)[None], WORDS), "positive number of seconds, got '10 Hz'"),
    "history of wrong width": (lambda: scene(history=np.zeros((5, 7))), "ScoredScene.history"),
    "ego without proposals": (lambda: EgoTrajectories(cruise(5.0)), r"\('any', 'any', 11\), got \(41, 11\)"),
    "ego with NaN": (lambda: EgoTrajectories(with_nan(cruise(5.0))[None]), "must be finite"),
    "ego at one step": (lambda: EgoTrajectories(cruise(5.0)[None, :1]), ">= 2 steps"),
    "car without width": (lambda: VehicleParameters(width_m=0.0), "width_m"),
    "trajectory too short": (lambda: epdms_proposals(scene(), ego(cruise(5.0)[:40])), "41 states.*got 40 states"),
    "trajectory too long": (lambda: pdms_proposals(scene(), ego(cruise(5.0, steps=42))), "got 42 states"),
    "trajectory at 2 Hz": (lambda: epdms_proposals(scene(), EgoTrajectories(cruise(5.0)[None], 0.5)), "0.5 s apart"),
    "scene at 2 Hz": (lambda: epdms_proposals(scene(control_dt_s=0.5), ego(cruise(5.0))), "got 0.5 s"),
    "tracks too short for v1": (
        lambda: pdms_proposals(scene(tracks=(parked("x", 50, 0, steps=41),)), ego(cruise(5.0))),
        "50 steps ahead; the scene's tracks have 41",
    ),
    "tracks too short for v2": (
        lambda: epdms_proposals(scene(tracks=(parked("x", 50, 0, steps=40),)), ego(cruise(5.0))),
        "41 steps ahead; the scene's tracks have 40",
    ),
    "two plans": (lambda: pdms(scene(), ego(cruise(5.0), cruise(6.0)), ego(cruise(5.0))), "one plan and one reference"),
    "two plans in v2": (lambda: epdms_one_stage(scene(), ego(cruise(5.0), cruise(6.0)), ego(cruise(5.0))), "one plan"),
    "two humans": (lambda: human_score(scene(), ego(cruise(5.0), cruise(6.0))), "got 2"),
    "reference of another length": (
        lambda: pdms(scene(), ego(cruise(5.0)), ego(cruise(5.0)[:30])),
        "share length and rate",
    ),
    "unknown version": (lambda: pdms_proposals(scene(), ego(cruise(5.0)), "v3"), "v1.1, v1.0; got 'v3'"),  # pyright: ignore[reportArgumentType]
    "no gap between plans": (lambda: extended_comfort(cruise(5.0), cruise(5.0), 0.0), r"\(0, 0.55\) s, got 0.0"),
    "gap too long": (lambda: extended_comfort(cruise(5.0), cruise(5.0), 0.55), "got 0.55"),
    "plans of different length": (lambda: extended_comfort(cruise(5.0), cruise(5.0)[:-1], 0.5), "earlier plan"),
    "no second stage": (
        lambda: StageGroup(epdms_proposals(scene(), ego(cruise(5.0)))[0], (0, 0), (), ()),
        "at least one",
    ),
    "no scenes": (lambda: epdms_two_stage([]), "at least one scene"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    build, message = CASES[name]
    with pytest.raises(ValueError, match=message):
        build()


def test_a_rate_may_be_off_by_the_rounding_of_time_stamps_and_changes_nothing() -> None:
    rounded = 0.3 - 0.2  # 0.09999999999999998
    lead = (parked("x", 40.0, 0.0),)
    exact, off = scene(tracks=lead), scene(tracks=lead, control_dt_s=rounded)
    for score in (pdms_proposals, epdms_proposals):
        here, there = score(exact, ego(cruise(9.0))), score(off, EgoTrajectories(cruise(9.0)[None], rounded))
        assert here[0].to_dict() == there[0].to_dict()
    with pytest.raises(ValueError, match="0.1001 s apart"):
        epdms_proposals(exact, EgoTrajectories(cruise(9.0)[None], 0.1001))


def test_inputs_are_copied_so_that_later_changes_do_not_reach_them() -> None:
    boxes = BOXES.copy()
    track = Track("x", "vehicle", boxes, STILL)
    boxes[:] = np.nan
    assert np.isfinite(track.boxes).all()
    with pytest.raises(ValueError, match="read-only"):
        track.boxes[0, 0] = 1.0


def test_a_ring_may_repeat_its_first_corner() -> None:
    closed = np.vstack([LANE.polygon, LANE.polygon[:1]])
    assert replace(LANE, polygon=closed).polygon.shape == (4, 2)


def test_a_scene_without_tracks_or_lights_is_scored_at_any_length() -> None:
    assert pdms_proposals(scene(), ego(cruise(5.0)))[0].score == 1.0
    assert scene().num_steps is None
    assert two_lane_road().on_route.tolist() == [True, False]
    assert line((0, 0), (3, 4)).shape == (6, 3)


def test_new_lights_replace_the_old_ones_and_keep_the_polygons() -> None:
    crossing = ScoredLane("c", box(0, 5, 0, 5), line((0, 2), (5, 2)), is_connector=True, red=np.zeros(50, bool))
    dark = ScoredMap((LANE, crossing))
    polygons = dark.lane_polygons
    lit = dark.with_lights({"c": np.ones(41, bool)})
    assert lit.lane_polygons is polygons
    assert np.asarray(lit.lanes[1].red).all()
    assert not np.asarray(dark.lanes[1].red).any()
    assert dark.with_lights({}).lanes[1].red is None
