"""AlpaSim's scene score."""

from typing import Any

import numpy as np
import pytest

from sims.driving.scores.alpasim import alpasim_score, scene_score
from sims.driving.scores.result import ScoreResult
from sims.driving.scores.scene import EgoTrajectories, Track
from tests.sims.driving.scores.scenes import cruise, ego, moving, parked, scene

GOOD = {"progress_clipped_rel": 0.4, "gt_dist_traveled_m": 10.0, "collision_at_fault": 0.0, "offroad": 0.0}


def judge(drive: np.ndarray, *tracks: Track, human: np.ndarray | None = None, **options: Any) -> ScoreResult:
    human = cruise(10.0) if human is None else human
    return alpasim_score(scene(tracks=tracks), ego(drive), ego(human), **options)


@pytest.mark.parametrize(("relative", "expected"), [(0.0, 0.0), (0.4, 0.5), (0.8, 1.0), (1.7, 1.0), (-0.2, 0.0)])
def test_four_fifths_of_the_humans_way_is_enough(relative: float, expected: float) -> None:
    assert scene_score({**GOOD, "progress_clipped_rel": relative}).score == pytest.approx(expected)


@pytest.mark.parametrize("failure", ["collision_at_fault", "offroad", "left_corridor_laterally"])
def test_any_failure_leaves_nothing(failure: str) -> None:
    result = scene_score({**GOOD, "progress_clipped_rel": 1.0, failure: 1.0})
    assert result.score == 0.0
    assert result.terms["progress"] == 1.0


@pytest.mark.parametrize(("distance", "expected"), [(4.99, 1.0), (5.0, 0.5)])
def test_where_the_human_moved_less_than_five_metres_everyone_has_progressed(distance: float, expected: float) -> None:
    assert scene_score({**GOOD, "gt_dist_traveled_m": distance}).score == expected


def test_missing_and_infinite_values_are_named() -> None:
    with pytest.raises(ValueError, match="finite 'offroad', got None"):
        scene_score({name: value for name, value in GOOD.items() if name != "offroad"})
    with pytest.raises(ValueError, match="finite 'progress_clipped_rel', got nan"):
        scene_score({**GOOD, "progress_clipped_rel": float("nan")})


def test_progress_is_measured_along_the_humans_path() -> None:
    assert judge(cruise(4.0)).score == pytest.approx(0.5)
    assert judge(cruise(8.0)).score == pytest.approx(1.0)
    assert judge(cruise(0.0)).score == 0.0
    assert judge(cruise(0.0), human=cruise(1.0)).score == 1.0


def test_contacts_at_the_front_and_the_side_end_all_and_one_from_behind_ends_the_count() -> None:
    front = judge(cruise(10.0), parked("car", 20.0, 0.0))
    assert (front.score, front.first_bad_step()) == (0.0, 16)
    assert front.events[0].actor == "car"
    side = judge(cruise(10.0), moving("side", 0.0, 6.0 - 0.1 * np.arange(50), 0.0))
    assert judge(cruise(10.0), moving("away", 0.0, 9.0)).score == 1.0
    assert side.score == 1.0  # it stays behind
    merging = moving("merging", np.arange(50) * 1.0, 6.0 - 0.1 * np.arange(50))
    assert judge(cruise(10.0), merging).score == 0.0
    rear = judge(cruise(5.0), moving("rammer", -15.0, 0.0, speed=15.0))
    assert not rear.events
    assert 0.0 < rear.score < judge(cruise(5.0)).score  # what it drove until it was hit


def test_leaving_lanes_and_drivable_area_fails_at_that_step() -> None:
    y = np.where(np.arange(41) < 20, 0.0, -3.0)
    drive = cruise(10.0)
    drive[:, 1] = y
    result = judge(drive)
    assert result.score == 0.0
    assert [(event.term, event.step) for event in result.events] == [("offroad", 20)]


def test_a_corridor_is_left_sideways_but_not_by_driving_on() -> None:
    assert judge(cruise(12.0), human=cruise(8.0), corridor_m=2.0).score == 1.0
    beside = judge(cruise(8.0, y=3.5), human=cruise(8.0), corridor_m=2.0)
    assert beside.score == 0.0
    assert [event.term for event in beside.events] == ["left_corridor_laterally"]
    assert judge(cruise(8.0, y=3.5), human=cruise(8.0)).score == 1.0


def test_beyond_the_corridor_nothing_counts_even_where_it_was_left_by_driving_on() -> None:
    """AlpaSim drops all steps after the first at which the human's path is that far away."""
    wall = parked("wall", 40.0, 0.0)
    assert judge(cruise(12.0), wall, human=cruise(8.0)).score == 0.0
    result = judge(cruise(12.0), wall, human=cruise(8.0), corridor_m=2.0)
    assert (result.score, result.events) == (1.0, ())
    assert judge(cruise(12.0), wall, human=cruise(8.0), corridor_m=4.0).score == 0.0  # hit at 35.4 m, left at 36 m


def beside(metres: float, steps: int) -> np.ndarray:
    """A drive along the lane whose first steps lie beside it."""
    drive = cruise(8.0)
    drive[:steps, 1] -= metres
    return drive


@pytest.mark.parametrize(
    ("steps", "forced_s", "expected"), [(6, 0.5, 1.0), (7, 0.5, 0.0), (1, 0.0, 1.0), (2, 0.0, 0.0)]
)
def test_a_start_off_the_road_is_left_out_with_the_steps_in_which_alpasim_moves_the_ego_itself(
    steps: int, forced_s: float, expected: float
) -> None:
    result = judge(beside(0.9, steps), human=cruise(8.0), forced_s=forced_s)
    assert result.score == expected
    assert [event.step for event in result.events] == ([] if expected else [steps - 1])
    assert judge(beside(0.9, 6), human=cruise(8.0)).score == 1.0, "half a second by default"


def test_a_contact_within_the_steps_left_out_is_forgotten_unless_the_drive_ends_with_them() -> None:
    there = np.arange(50) < 6
    ghost = moving("ghost", 2.0 + 0.8 * np.arange(50), 0.0, present=there)
    assert judge(cruise(8.0), ghost).score == 1.0
    stays = judge(cruise(8.0), moving("stays", 2.0 + 0.8 * np.arange(50), 0.0))
    assert (stays.score, stays.first_bad_step()) == (0.0, 6)
    assert judge(cruise(8.0)[:6], ghost, human=cruise(8.0)).score == 0.0


def test_the_first_two_steps_are_not_measured_but_drawn_from_the_third() -> None:
    """AlpaSim starts at the third time stamp and fills in 0 and half of it, whatever the places there."""
    rammers = (moving("rammer", x, 0.0, speed=12.0) for x in (-5.2, -5.9))
    soon, third = (judge(cruise(5.0), rammer, forced_s=0.0) for rammer in rammers)
    assert not (*soon.events, *third.events)
    made = [result.details["progress_clipped_rel"] for result in (soon, third)]
    assert made == pytest.approx([0.5 * 1.0 / 40.0, 1.0 / 40.0])  # 1 m of the human's 40
    drive = cruise(8.0)
    drive[:2, 1] += 3.5
    assert judge(drive, human=cruise(8.0), corridor_m=2.0, forced_s=0.0).score == 1.0


def test_bad_runs_are_named() -> None:
    plan = ego(cruise(5.0))
    with pytest.raises(ValueError, match="one ego and one human drive, got 2 and 1"):
        alpasim_score(scene(), ego(cruise(5.0), cruise(6.0)), plan)
    with pytest.raises(ValueError, match=r"forced_s must be at least 0 seconds, got -0\.1"):
        judge(cruise(5.0), forced_s=-0.1)
    with pytest.raises(ValueError, match="one rate"):
        alpasim_score(scene(), EgoTrajectories(cruise(5.0)[None], 0.2), plan)
    with pytest.raises(ValueError, match="drives 60 steps; the scene's tracks have 50"):
        alpasim_score(scene(tracks=(parked("x", 99.0, 0.0),)), ego(cruise(5.0, steps=60)), plan)
