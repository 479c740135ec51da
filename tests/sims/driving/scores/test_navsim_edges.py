"""Each threshold of NAVSIM's terms from both sides."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sims.driving.scores import navsim_terms as terms
from sims.driving.scores.contacts import bearing_to, is_ahead, is_behind
from sims.driving.scores.epdms import epdms_proposals, log_replayed
from sims.driving.scores.navsim_terms import Drive
from sims.driving.scores.pdms import pdms, pdms_proposals
from sims.driving.scores.scene import AX, EgoTrajectories, ScoredLane, ScoredMap, ScoredScene
from tests.sims.driving.scores.scenes import (
    EXACT_CAR,
    STEPS,
    box,
    cruise,
    ego,
    exact_states,
    line,
    moving,
    parked,
    scene,
    states_at,
    straight_lane,
    two_lane_road,
)


def one(world: ScoredScene, drive: np.ndarray) -> dict[str, float]:
    """EPDMS terms of a single drive."""
    return epdms_proposals(world, ego(drive))[0].terms


@pytest.mark.parametrize(
    ("jumps", "expected", "guilty"),
    [
        ({5: 1.0, 9: 1.0 - 2.0**-40}, 1.0, []),
        ({5: 1.0, 9: 1.0}, 0.5, [9]),  # 2.00 m is too much
        ({5: 1.0, 15: 1.0}, 0.5, [15]),  # eleven samples belong together
        ({5: 1.0, 16: 1.0}, 1.0, []),  # twelve do not
        ({5: 3.0, 9: 3.0 - 2.0**-40}, 0.5, [5]),
        ({5: 3.0, 9: 3.0}, 0.0, [5, 9]),  # 6.00 m is far too much
    ],
)
def test_driving_direction_counts_two_and_six_metres_as_too_much(
    jumps: dict[int, float], expected: float, guilty: list[int]
) -> None:
    steps = np.zeros(STEPS)
    steps[list(jumps)] = list(jumps.values())
    drive = exact_states(8.0 + steps.cumsum(), 4.0)  # on the lane that is not on the route
    result = epdms_proposals(scene(vehicle=EXACT_CAR), ego(drive))[0]
    assert result.terms["DDC"] == expected
    assert [event.step for event in result.events if event.term == "DDC"] == guilty


def test_moving_off_the_route_inside_an_intersection_is_allowed_in_v2_only() -> None:
    road = two_lane_road(intersections=(box(-30.0, 200.0, 2.0, 6.0),))
    drive = ego(cruise(10.0, y=4.0))
    assert epdms_proposals(scene(road), drive)[0].terms["DDC"] == 1.0
    world = scene(road)
    assert terms.driving_direction(Drive(world, drive), terms.off_route_metres(Drive(world, drive), False))[0] == [0.0]


def test_driving_direction_counts_sideways_off_route_motion_forwards_or_backwards() -> None:
    forwards, backwards = cruise(10.0, y=4.0), cruise(-10.0, x=60.0, y=4.0)
    assert one(scene(), forwards)["DDC"] == one(scene(), backwards)["DDC"] == 0.0
    assert one(scene(), cruise(-10.0, x=60.0))["DDC"] == 1.0  # against traffic, but on the route


@pytest.mark.parametrize(("count", "expected"), [(19, 1.0), (20, 0.0), (21, 0.0)])
def test_lane_keeping_fails_at_the_twentieth_sample_in_a_row(count: int, expected: float) -> None:
    y = np.zeros(STEPS)
    y[3 : 3 + count] = 0.75
    result = epdms_proposals(scene(vehicle=EXACT_CAR), ego(exact_states(8.0, y)))[0]
    assert result.terms["LK"] == expected
    assert [event.step for event in result.events if event.term == "LK"] == ([22] if expected == 0.0 else [])


@pytest.mark.parametrize(("offset", "expected"), [(0.5, 1.0), (0.5 + 2.0**-40, 0.0)])
def test_half_a_metre_off_the_centreline_is_still_on_it(offset: float, expected: float) -> None:
    assert one(scene(vehicle=EXACT_CAR), exact_states(8.0, offset))["LK"] == expected


def test_a_sample_on_the_centreline_ends_the_series_but_one_in_an_intersection_does_not() -> None:
    y = np.full(STEPS, 0.75)
    y[15:18] = 0.0  # near for three samples: 15 before, 23 after
    y[35:] = 0.0  # leaves 17 after
    x = np.full(STEPS, 8.0)
    world = scene(vehicle=EXACT_CAR)
    assert one(world, exact_states(x, y))["LK"] == 1.0
    x[15:18] = 108.0  # the same three samples, now in an intersection
    junction = scene(two_lane_road(intersections=(box(100.0, 120.0, -2.0, 6.0),)), vehicle=EXACT_CAR)
    assert one(junction, exact_states(x, y))["LK"] == 0.0


def test_a_corner_exactly_on_the_road_border_is_off_the_road() -> None:
    world = scene(vehicle=EXACT_CAR)
    assert one(world, exact_states(8.0, -1.0))["DAC"] == 0.0  # right side at y = -2, the border
    assert one(world, exact_states(8.0, -1.0 + 2.0**-40))["DAC"] == 1.0


def test_a_corner_on_the_line_between_two_roadblocks_is_in_neither_unless_a_third_covers_it() -> None:
    lanes = (straight_lane("right", 0.0), straight_lane("left", 4.0))
    halves = (box(-30.0, 10.0, -2.0, 6.0), box(10.0, 200.0, -2.0, 6.0))
    drive = exact_states(8.0, 0.0)  # front bumper at x = 10
    assert one(scene(ScoredMap(lanes, halves), vehicle=EXACT_CAR), drive)["DAC"] == 0.0
    for role in ("drivable", "carparks", "intersections"):
        third: dict[str, Any] = {role: (box(5.0, 15.0, -2.0, 6.0),)}
        road = ScoredMap(lanes, halves, **third)
        assert one(scene(road, vehicle=EXACT_CAR), drive)["DAC"] == 1.0, role


def test_lanes_alone_do_not_make_ground_drivable() -> None:
    assert one(scene(ScoredMap((straight_lane("right", 0.0),))), cruise(5.0))["DAC"] == 0.0


def test_one_step_off_the_road_is_enough_and_is_named() -> None:
    y = np.zeros(STEPS)
    y[17] = -1.5
    result = epdms_proposals(scene(vehicle=EXACT_CAR), ego(exact_states(8.0, y)))[0]
    assert result.terms["DAC"] == 0.0
    assert [(event.step, event.actor) for event in result.events if event.term == "DAC"] == [(17, None)]


@pytest.mark.parametrize(
    ("degrees", "ahead", "behind"),
    [(29.9, True, False), (30.1, False, False), (149.9, False, False), (150.1, False, True)],
)
def test_ahead_is_below_thirty_degrees_and_behind_above_a_hundred_and_fifty(
    degrees: float, ahead: bool, behind: bool
) -> None:
    pose = np.zeros(11)
    pose[:3] = 3.0, -2.0, 0.4
    angle = 0.4 + np.deg2rad(degrees)
    found = bearing_to(pose, np.array([3.0 + 7.0 * np.cos(angle), -2.0 + 7.0 * np.sin(angle)]))
    assert (is_ahead(found), is_behind(found)) == (ahead, behind)


def test_exactly_thirty_degrees_is_not_ahead_and_exactly_a_hundred_and_fifty_not_behind() -> None:
    assert not is_ahead(float(np.deg2rad(30.0)))
    assert is_ahead(float(np.nextafter(np.deg2rad(30.0), 0.0)))
    assert not is_behind(float(np.deg2rad(150.0)))
    assert is_behind(float(np.nextafter(np.deg2rad(150.0), 9.0)))


def test_a_track_on_the_rear_axle_is_neither_ahead_nor_behind() -> None:
    angle = bearing_to(np.zeros(11), np.zeros(2))
    assert np.isnan(angle)
    assert not is_ahead(angle)
    assert not is_behind(angle)


def collision(world_track: object, drive: np.ndarray, road: ScoredMap | None = None) -> float:
    return one(scene(road, (world_track,)), drive)["NC"]  # pyright: ignore[reportArgumentType]


def test_running_into_a_car_ahead_is_at_fault_even_at_the_first_step() -> None:
    assert collision(moving("lead", 30.0, 0.0, speed=2.0), cruise(12.0)) == 0.0
    assert collision(moving("lead", 4.0, 0.0, speed=5.0), cruise(5.0)) == 0.0  # overlaps from the start on


def test_log_replay_leaves_out_of_all_steps_whoever_touches_the_ego_at_the_first() -> None:
    """Touching is enough, sides included; who comes later, or is absent at first, stays."""
    sides = parked("side", 0.0, 2.0), parked("apart", 0.0, 2.0 + 2.0**-30)
    late = moving("late", 1.0, 0.0, speed=1.0, present=np.arange(50) > 0)
    world = scene(tracks=(*sides, parked("inside", 1.0, 0.0), late, parked("ahead", 90.0, 0.0)), vehicle=EXACT_CAR)
    states = exact_states(0.0, 0.0)
    replayed, dropped = log_replayed(world, states[0])
    assert dropped == ("side", "inside")
    assert [track.id for track in replayed.tracks] == ["apart", "late", "ahead"]
    assert (replayed.map, replayed.vehicle) == (world.map, world.vehicle)
    calm = scene(tracks=(sides[0],), vehicle=EXACT_CAR)
    assert epdms_proposals(calm, ego(states))[0].terms["NC"] == 0.0
    assert epdms_proposals(log_replayed(calm, states[0])[0], ego(states))[0].terms["NC"] == 1.0
    assert log_replayed(scene(), states[0])[1] == ()
    with pytest.raises(ValueError, match=r"the ego's first state must have shape \(11,\)"):
        log_replayed(calm, states)


def test_being_hit_from_behind_is_not_at_fault_and_that_track_is_then_forgotten() -> None:
    rammer = moving("rammer", -12.0, 0.0, speed=14.0)  # passes through the ego and ends in front of it
    assert collision(rammer, cruise(5.0)) == 1.0


@pytest.mark.parametrize(("speed", "expected"), [(0.05, 1.0), (0.0501, 0.0)])
def test_an_ego_at_five_centimetres_a_second_is_stopped_and_blameless(speed: float, expected: float) -> None:
    crossing = moving("crossing", 3.0, -8.0, np.pi / 2, speed=8.0)
    assert collision(crossing, cruise(speed)) == expected  # hits the ego's front


@pytest.mark.parametrize(("speed", "expected"), [(0.05, 0.0), (0.0501, 1.0)])
def test_touching_a_stopped_track_from_the_side_is_at_fault_a_moving_one_is_not(speed: float, expected: float) -> None:
    beside = moving("beside", -1.0, 2.4, speed=speed)  # overlaps the ego's side by 0.4 m, the bumper stays clear
    assert collision(beside, cruise(0.3, y=0.4)) == expected


def test_whether_a_track_is_stopped_is_read_where_it_first_appears() -> None:
    late = np.arange(50) >= 10
    track = moving("late", -1.0, 2.4, speed=0.0, present=late)
    velocity = track.velocity.copy()
    velocity[:10], velocity[10], velocity[11:] = 0.0, [3.0, 0.0], 0.0
    assert collision(replace(track, velocity=velocity), cruise(0.3, y=0.4)) == 1.0  # moving at step 10
    velocity[:10], velocity[10], velocity[11:] = 3.0, [0.0, 0.0], 3.0
    assert collision(replace(track, velocity=velocity), cruise(0.3, y=0.4)) == 0.0  # stopped at step 10


def test_a_touch_from_the_side_is_at_fault_only_in_several_lanes_or_off_the_road() -> None:
    beside = moving("beside", 0.0, 2.4, speed=5.0)
    assert collision(beside, cruise(5.0, y=0.4)) == 1.0  # within its lane
    assert collision(moving("beside", 0.0, 4.2, speed=5.0), cruise(5.0, y=2.2)) == 0.0  # between two lanes
    assert collision(moving("beside", 0.0, 0.4, speed=5.0), cruise(5.0, y=-1.6)) == 0.0  # off the road


@pytest.mark.parametrize("kind", ["cone", "barrier", "sign", "generic"])
def test_objects_cost_half_and_road_users_all(kind: str) -> None:
    assert collision(parked("thing", 20.0, 0.0, kind), cruise(10.0)) == 0.5
    both = (parked("thing", 20.0, 0.0, kind), parked("car", 25.0, 0.0))
    result = epdms_proposals(scene(tracks=both), ego(cruise(10.0)))[0]
    assert result.terms["NC"] == 0.0
    assert [event.actor for event in result.events if event.term == "NC"] == ["thing", "car"]


@pytest.mark.parametrize("kind", ["vehicle", "pedestrian", "bicycle"])
def test_every_road_user_costs_all(kind: str) -> None:
    assert collision(parked("someone", 20.0, 0.0, kind), cruise(10.0)) == 0.0


def test_absent_tracks_cannot_be_hit() -> None:
    nowhere = parked("ghost", 20.0, 0.0, present=np.zeros(50, bool))
    assert collision(nowhere, cruise(10.0)) == 1.0


def lit_road(red: np.ndarray, is_on_route: bool = True) -> ScoredMap:
    lanes = [straight_lane("right", 0.0, x1=40.0), straight_lane("left", 4.0, is_on_route=False)]
    crossing = ScoredLane(
        "junction", box(40.0, 60.0, -2.0, 2.0), line((40.0, 0.0), (60.0, 0.0)), True, is_on_route, red=red
    )
    return ScoredMap((*lanes, crossing), roadblocks=(box(-30.0, 200.0, -2.0, 6.0),))


def test_touching_a_red_connector_of_the_route_fails_and_names_connector_and_step() -> None:
    red = np.ones(50, bool)
    result = epdms_proposals(scene(lit_road(red), vehicle=EXACT_CAR), ego(exact_states(28.0 + np.arange(STEPS), 0.0)))[
        0
    ]
    assert result.terms["TLC"] == 0.0
    # The front bumper, 2 m ahead of the centre, stands exactly on the border at step 10: touching is enough.
    assert [(event.step, event.actor) for event in result.events if event.term == "TLC"] == [(10, "junction")]


def test_green_when_reached_and_red_off_the_route_are_fine() -> None:
    red = np.arange(50) < 30
    assert one(scene(lit_road(red)), cruise(10.0))["TLC"] == 1.0
    assert one(scene(lit_road(~red)), cruise(10.0))["TLC"] == 0.0
    assert one(scene(lit_road(np.ones(50, bool), is_on_route=False)), cruise(20.0))["TLC"] == 1.0


def test_time_to_collision_looks_nine_tenths_of_a_second_ahead() -> None:
    """At 10 m/s the bumper reaches 9 m further in 0.9 s; at the last step looked at, the centre is at 31 m."""
    last_reach = 31.0 + 2.588 + 9.0
    for gap, expected in ((-0.01, 0.0), (0.01, 1.0)):
        wall = parked("wall", last_reach + gap + 0.5, 0.0, "barrier")
        wall = replace(wall, boxes=np.tile([last_reach + gap + 0.5, 0.0, 0.0, 1.0, 1.0], (50, 1)))
        result = epdms_proposals(scene(tracks=(wall,)), ego(cruise(10.0)))[0]
        assert result.terms["TTC"] == expected
        assert [e.step for e in result.events if e.term == "TTC"] == ([] if expected else [31])


def test_version_one_looks_ahead_from_every_step_and_version_two_from_the_first_32() -> None:
    wall = replace(parked("wall", 46.0, 0.0, "barrier"), boxes=np.tile([46.0, 0.0, 0.0, 1.0, 1.0], (50, 1)))
    world, drives = scene(tracks=(wall,)), ego(cruise(10.0))
    assert epdms_proposals(world, drives)[0].terms["TTC"] == 1.0
    assert pdms_proposals(world, drives)[0].terms["TTC"] == 0.0


def test_others_are_looked_up_where_they_will_be_not_extrapolated() -> None:
    x = 14.0 + np.minimum(np.arange(50) * 1.0, 3.0)  # drives off at 10 m/s and stops after 0.3 s
    brakes = moving("brakes", x, 0.0)
    assert one(scene(tracks=(brakes,)), cruise(10.0))["TTC"] == 0.0
    steady = moving("steady", 14.0, 0.0, speed=10.0)
    assert one(scene(tracks=(steady,)), cruise(10.0))["TTC"] == 1.0


@pytest.mark.parametrize(("speed", "expected"), [(0.00499, 1.0), (0.005, 0.0)])
def test_an_ego_slower_than_half_a_centimetre_a_second_has_no_time_to_collision(speed: float, expected: float) -> None:
    in_front = moving("in front", 4.0, 0.0, speed=1.0)
    assert one(scene(tracks=(in_front,)), states_at(0.0, speed=speed))["TTC"] == expected


def test_tracks_beside_count_for_time_to_collision_only_where_the_ego_is_exposed() -> None:
    """The other drives beside and comes over. Its place in 0.9 s is 42 degrees off the ego's heading; were both
    faster it would count as ahead, since that place is compared with where the ego is now."""
    x, plain = np.arange(50) * 0.1, scene()
    other = moving("merging", x, 3.2 - np.arange(50) * 0.05, 0.0, size=(2.0, 2.0))
    drive = cruise(1.0)
    assert one(replace(plain, tracks=(other,)), drive)["TTC"] == 1.0
    junction = scene(two_lane_road(intersections=(box(-20.0, 60.0, -2.0, 6.0),)), (other,))
    result = epdms_proposals(junction, ego(drive))[0]
    assert result.terms["TTC"] == 0.0
    centre_at_contact = drive[result.events[0].step, 0] + 1.461
    begun = scene(two_lane_road(intersections=(box(centre_at_contact - 0.7, 60.0, -2.0, 6.0),)), (other,))
    assert one(begun, drive)["TTC"] == 1.0  # the rear axle decides, which is still outside


def test_progress_counts_only_above_five_metres() -> None:
    """Centres move exactly 5 m, then a hair more."""
    for length, expected in ((5.0, 1.0), (5.0 + 2.0**-40, 0.5)):
        far = exact_states(np.linspace(0.0, length, STEPS), 0.0)
        half = exact_states(np.linspace(0.0, length / 2.0, STEPS), 0.0)
        world = replace(scene(vehicle=EXACT_CAR), centreline=line((0.0, 0.0), (64.0, 0.0)))
        assert epdms_proposals(world, ego(far, half))[1].terms["EP"] == pytest.approx(expected, abs=1e-9)
        assert pdms_proposals(world, ego(far, half))[1].terms["EP"] == pytest.approx(expected, abs=1e-9)


def test_driving_back_is_no_progress() -> None:
    results = epdms_proposals(scene(), ego(cruise(5.0, x=60.0), cruise(-5.0, x=60.0)))
    assert [result.terms["EP"] for result in results] == [1.0, 0.0]


def test_version_one_multiplies_progress_by_the_plans_own_multipliers_and_version_two_does_not() -> None:
    cone = parked("cone", 30.0, 1.5, "cone")
    cone = replace(cone, boxes=np.tile([30.0, 1.3, 0.0, 0.4, 0.4], (50, 1)))
    world = scene(tracks=(cone,))
    through, around = cruise(10.0), cruise(10.0, y=-0.5)
    assert pdms(world, ego(through), ego(around)).terms["EP"] == pytest.approx(0.5)
    assert epdms_proposals(world, ego(around, through))[1].terms["EP"] == pytest.approx(1.0)


def test_with_little_progress_a_crash_costs_progress_in_version_one_only() -> None:
    crash = scene(tracks=(parked("car", 5.0, 0.0),))
    slow = cruise(1.0)
    assert pdms_proposals(crash, ego(slow))[0].terms["EP"] == 0.0
    assert epdms_proposals(crash, ego(slow))[0].terms["EP"] == 1.0


@pytest.mark.parametrize(("acceleration", "expected"), [(2.40, 0.0), (2.39, 1.0), (-4.05, 0.0), (-4.04, 1.0)])
def test_accelerations_on_a_bound_are_uncomfortable(acceleration: float, expected: float) -> None:
    drive = cruise(10.0)
    drive[:, AX] = acceleration
    result = pdms_proposals(scene(), EgoTrajectories(drive[None]))[0]
    assert result.terms["C"] == expected
    assert [event.step for event in result.events] == ([] if expected else [0])


def test_history_comfort_sees_a_jerk_between_past_and_plan_that_comfort_alone_does_not() -> None:
    past = cruise(10.0, x=-15.0)[:14].copy()
    drive = cruise(10.0)
    past[:, AX], drive[:, AX] = -2.3, 2.3
    with_past = epdms_proposals(scene(history=past), ego(drive))[0]
    assert with_past.terms["HC"] == 0.0
    assert any(event.term == "HC" and event.step < 3 for event in with_past.events)
    assert epdms_proposals(scene(), ego(drive))[0].terms["HC"] == 1.0  # no past known
    assert pdms_proposals(scene(), ego(drive))[0].terms["C"] == 1.0


def test_version_two_measures_acceleration_at_the_centre_of_the_car() -> None:
    """Rear axle at 2.3 m/s^2 while turning: nuPlan's shift adds 1.461 m times the squared yaw rate."""
    drive = cruise(10.0)
    drive[:, AX], drive[:, 9] = 2.3, 0.3
    past = cruise(10.0)[:14].copy()
    past[:, AX], past[:, 9] = 2.3, 0.3
    assert pdms_proposals(scene(), ego(drive))[0].terms["C"] == 1.0
    assert epdms_proposals(scene(history=past), ego(drive))[0].terms["HC"] == 0.0


def test_the_first_release_multiplied_by_a_direction_summed_over_drives() -> None:
    """Each drive alone is 1 m off the route per step; the plan's value adds the reference's of the same step."""
    drift = cruise(12.0, y=4.0)
    world = scene()
    alone = pdms_proposals(world, ego(drift), "v1.0")[0].terms["DDC"]
    paired = pdms(world, ego(drift), ego(drift), "v1.0").terms["DDC"]
    assert (alone, paired) == (1.0, 0.5)
    assert "DDC" not in pdms(world, ego(drift), ego(drift)).terms
    assert pdms(world, ego(drift), ego(drift)).details["DDC"] == 0.0
