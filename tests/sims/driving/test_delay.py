"""Why a drive that did nothing wrong was late: when it came to rest, and what was ahead."""

from dataclasses import replace

import numpy as np
import pytest

from sims.driving.ego.planners import make_planner
from sims.driving.judge import facts
from sims.driving.map.lights import RED, LightPlan
from sims.driving.map.paths import lane_path
from sims.driving.map.topologies import build_map
from sims.driving.scenarios.family import scenario
from sims.driving.scenarios.library import build_scenario
from sims.driving.scenarios.scenario import Scenario
from sims.driving.scores.scene import VX
from sims.driving.traffic.actors import Actor
from sims.driving.world import World


def street(*actors: Actor, **changes: object) -> Scenario:
    road_map = build_map("street-straight")
    route = lane_path(road_map, ["road.f0"])
    fields = {"instruction": "follow the road", "road_map": road_map, "route": route, "paths": (route,)}
    fields |= {"route_lanes": frozenset({"road.f0"}), "start_m": 20.0, "start_mps": 8.0, "goal_m": 280.0}
    return scenario(**{**fields, "duration_s": 18.0, "actors": actors, **changes})


def driven(place: Scenario, planner: str = "idm-keep-lane") -> World:
    world, controller = World(place), make_planner(planner)
    while not world.is_over:
        world.step(controller(world))
    assert world.failure is None
    return world


def came_to_rest(world: World) -> int:
    return int(np.flatnonzero(world.record.ego_states()[:, VX] > 0.3)[-1]) + 1


def test_who_waits_behind_something_in_the_way_has_stalled_there_and_names_it():
    beside = Actor("van", 0, 40.0, mode="still", offset_m=-4.0)
    world = driven(street(beside, Actor("debris", 0, 90.0, mode="still")))
    said = facts(world)
    assert (said["failure"], said["cause"]) == ("stalled", "debris ahead")
    assert (said["bad_actor"], said["bad_actor_kind"]) == (1, "debris")
    assert said["bad_step"] == came_to_rest(world)
    assert said["in_sight_s"] == pytest.approx(0.1 * said["bad_step"])


def test_who_brakes_for_nothing_has_stalled_with_nothing_ahead():
    beyond = Actor("debris", 0, 90.0, mode="still")
    for world in (driven(street(), "always-brake"), driven(street(beyond), "always-brake")):
        said = facts(world)
        assert (said["failure"], said["cause"], said["bad_actor"]) == ("stalled", "nothing ahead", None)
        assert said["bad_step"] == came_to_rest(world) < 40
        assert "bad_actor_kind" not in said


def test_who_has_left_the_map_is_not_ahead():
    route = street().route
    ends = replace(route, points=route.points[:40], speed_mps=route.speed_mps[:40])
    gone = street(Actor("car", 1, 34.0, 3.0, mode="constant"), paths=(route, ends))
    world = driven(gone, "always-brake")
    assert not world.record.present[-1][0]
    assert world.record.boxes[-1][0, 0] < world.ego[0] + 20.0, "near where it was last seen"
    assert facts(world)["cause"] == "nothing ahead"


def test_a_light_that_stays_red_is_the_cause_and_a_green_one_is_not():
    place = build_scenario("red-light/cross-small/0")
    red = LightPlan((100.0,), dict.fromkeys(place.road_map.signals, (RED,)))
    world = driven(replace(place, lights=red, actors=()))
    assert (facts(world)["failure"], facts(world)["cause"]) == ("stalled", "a light that is not green")
    green = World(replace(place, lights=LightPlan(), actors=()))
    green.set_state(np.where(np.arange(len(world.get_state())) == 0, green.get_state()[0], world.get_state()))
    for _ in range(40):
        green.step(np.array([0.0, -1.0]))
    assert facts(green)["cause"] == "nothing ahead"


def test_a_line_at_which_others_go_first_is_the_cause_until_it_is_passed():
    route = replace(street().route, stop_m=62.0)
    world = World(street(route=route))
    while not world.is_over:
        world.step(np.array([0.0, np.clip(0.5 * (50.0 - world.route_m) - world.ego[VX], -1.0, 1.0)]))
    assert facts(world)["cause"] == "the line at which it gives way"
    assert facts(driven(street(route=replace(route, stop_m=10.0)), "always-brake"))["cause"] == "nothing ahead"


def test_who_follows_somebody_slow_was_too_slow_behind_him():
    world = driven(street(Actor("truck", 0, 45.0, 3.0, mode="constant")))
    said = facts(world)
    assert (said["failure"], said["cause"], said["bad_actor"]) == ("too_slow", "truck ahead", 0)
    assert said["bad_step"] == world.time_step == 180


def test_steps_are_those_of_the_drive_where_its_record_began_anew():
    world, controller = World(street(Actor("debris", 0, 90.0, mode="still"))), make_planner("idm-keep-lane")
    for _ in range(30):
        world.step(controller(world))
    world.set_state(world.get_state())
    while not world.is_over:
        world.step(controller(world))
    assert facts(world) == facts(driven(street(Actor("debris", 0, 90.0, mode="still"))))
