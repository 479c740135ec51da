"""Maps are whole: bad ones are named, and on every good one a car that keeps its lane stays on the road."""

import dataclasses

import numpy as np
import pytest

from sims.driving.ego.vehicle import ego_state
from sims.driving.map.paths import lane_path, make_path
from sims.driving.map.road_shapes import bend, circle_arc, line, straight, turn
from sims.driving.map.roads import Lane, RoadMap, crosses_itself
from sims.driving.map.topologies import HELD_OUT, NAMES, build_map
from sims.driving.scores.scene import VehicleParameters
from sims.driving.traffic.verdict import ego_box, is_off_road


def lane(name: str, points: np.ndarray, **fields: object) -> Lane:
    return Lane(name, points, 3.5, 13.9, **fields)  # pyright: ignore[reportArgumentType]


FIRST = straight((0.0, 0.0, 0.0), 20.0)


def two_lanes(second: np.ndarray, **fields: object) -> RoadMap:
    lanes = {"a": lane("a", FIRST, successors=("b",)), "b": lane("b", second, **fields)}
    return RoadMap("test", lanes, [])


def test_lanes_that_meet_make_a_map():
    road_map = two_lanes(straight((20.0, 0.0, 0.0), 10.0))
    assert road_map.lane("b").length_m == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (straight((20.5, 0.0, 0.0), 10.0), r"'b' must begin where 'a' ends: gap 0\.50 m"),
        (straight((20.0, 0.0, 0.3), 10.0), r"kink 0\.30 rad"),
    ],
)
def test_a_gap_or_kink_between_lanes_is_named(second, message):
    with pytest.raises(ValueError, match=message):
        two_lanes(second)


def test_a_missing_successor_gets_the_nearest_name():
    with pytest.raises(ValueError, match="Unknown successor of lane 'a' 'street-2'. Did you mean 'street-1'"):
        RoadMap("test", {"a": lane("a", FIRST, successors=("street-2",)), "street-1": lane("street-1", FIRST)}, [])


def test_neighbours_must_name_each_other():
    lanes = {"a": lane("a", FIRST, left="b"), "b": lane("b", FIRST + np.array([0.0, 3.5, 0.0]))}
    with pytest.raises(ValueError, match="'b' must name 'a' as its right neighbour"):
        RoadMap("test", lanes, [])


def test_a_lane_that_crosses_itself_is_refused():
    loop = line((0.0, 0.0, 0.0), [(20.0, 0.0, 0.0), (2 * np.pi * 10.0 * 0.9, 0.1, 0.1), (20.0, 0.0, 0.0)])
    assert crosses_itself(loop[:, :2])
    with pytest.raises(ValueError, match="crosses itself"):
        lane("loop", loop)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.full((5, 3), np.nan), "finite"),
        (FIRST[:1], "points >= 2"),
        (FIRST[:, :2], r"got \(21, 2\)"),
        (np.repeat(FIRST, 2, axis=0), "coincide"),
        (circle_arc((0.0, 0.0), 1.5, 0.0, 2.0), r"tighter than half the width \(1.75 m\)"),
    ],
)
def test_a_lane_that_nobody_could_drive_on_is_refused(points, message):
    with pytest.raises(ValueError, match=message):
        lane("bad", points)


def test_an_unknown_marking_or_topology_gets_the_nearest_name():
    with pytest.raises(ValueError, match="Did you mean 'dashed'"):
        lane("a", FIRST, left_marking="dahsed")
    with pytest.raises(ValueError, match="Unknown topology 'roundabout-fore'. Did you mean 'roundabout-four'"):
        build_map("roundabout-fore")


def test_replacing_a_part_of_a_map_checks_it_again():
    road_map = two_lanes(straight((20.0, 0.0, 0.0), 10.0))
    lanes = dict(road_map.lanes)
    del lanes["b"]
    with pytest.raises(ValueError, match="Unknown successor"):
        dataclasses.replace(road_map, lanes=lanes)


@pytest.mark.parametrize("topology", NAMES)
def test_a_car_that_keeps_its_lane_stays_on_the_road(topology):
    road_map, vehicle = build_map(topology), VehicleParameters()
    for name, one in road_map.lanes.items():
        if not one.successors:
            continue  # the car would hang over the end of the map
        path = lane_path(road_map, [name, one.successors[0]])
        s = np.arange(2.0, one.length_m, 2.0)
        for pose in path.at(s):
            box = ego_box(ego_state(pose[0], pose[1], pose[2], 5.0), vehicle)
            assert not is_off_road(road_map, box), (name, pose)


def test_held_out_topologies_exist_and_are_few():
    assert set(NAMES) > HELD_OUT
    assert len(HELD_OUT) < len(NAMES) / 2


def test_a_bend_turns_by_the_integral_of_its_curvature():
    points = line((1.0, 2.0, 0.5), bend(30.0, 1 / 50, 20.0))
    assert points[-1, 2] - 0.5 == pytest.approx(50.0 / 50.0, abs=1e-3)
    assert np.hypot(*np.diff(points[:, :2], axis=0).T) == pytest.approx(1.0, abs=0.01)


def test_a_turn_is_close_to_the_circle_through_both_poses():
    points = turn(np.array([0.0, 0.0, 0.0]), np.array([10.0, 10.0, np.pi / 2]))
    assert np.hypot(points[:, 0], points[:, 1] - 10.0) == pytest.approx(10.0, abs=0.03)


def test_projection_finds_arc_length_and_side_on_a_circle():
    radius = 30.0
    path = make_path(circle_arc((0.0, 0.0), radius, 0.0, 2.0)[:, :2], 10.0)
    angles = np.linspace(0.2, 1.7, 40)
    for side in (-2.0, 0.0, 1.5):
        reach = radius - side  # left of a counter-clockwise drive is inside
        s, across = path.project(np.column_stack([reach * np.cos(angles), reach * np.sin(angles)]))
        assert s == pytest.approx(angles * radius, abs=0.05)
        assert across == pytest.approx(side, abs=0.02)


def test_speeds_on_a_path_leave_room_to_brake_before_a_bend():
    path = lane_path(build_map("street-right"), ["road.f0"])
    tightest = int(np.argmax(np.abs(path.curvature)))
    assert path.speed_mps[tightest] ** 2 * abs(path.curvature[tightest]) <= 2.0 + 1e-9
    assert (np.diff(path.speed_mps**2) >= -2 * 1.5 - 1e-9).all()


def test_a_path_over_lanes_that_do_not_join_is_refused():
    with pytest.raises(ValueError, match=r"'north.b0' neither follows 'south.f0' nor lies beside it"):
        lane_path(build_map("cross-small"), ["south.f0", "north.b0"])
