"""The world: state to the bit, verdicts, weather and grip, sight, and named mistakes."""

from dataclasses import replace

import numpy as np
import pytest

from sims.driving.looks.weather import Patch, Weather, rainy
from sims.driving.map.paths import lane_path
from sims.driving.map.topologies import build_map
from sims.driving.map.visibility import visible
from sims.driving.scenarios.family import scenario
from sims.driving.scenarios.library import build_scenario
from sims.driving.scenarios.scenario import Scenario
from sims.driving.scores.scene import VX
from sims.driving.traffic.actors import Actor, Event
from sims.driving.world import STATE_VECTOR_SIZE, World


def street(actors: tuple[Actor, ...] = (), topology: str = "street-straight", **changes: object) -> Scenario:
    road_map = build_map(topology)
    route, other = lane_path(road_map, ["road.f0"]), lane_path(road_map, ["road.b0"])
    fields = {
        "instruction": "follow the road",
        "road_map": road_map,
        "route": route,
        "route_lanes": frozenset({"road.f0"}),
        "start_m": 20.0,
        "start_mps": 10.0,
        "goal_m": 150.0,
        "duration_s": 20.0,
        "paths": (route, other),
        "actors": actors,
    }
    return scenario(**{**fields, **changes})


def controls(seed: int, steps: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform([-0.1, -0.3], [0.1, 0.6], (steps, 2))


def trace(world: World, sequence: np.ndarray) -> np.ndarray:
    states = []
    for control in sequence:
        world.step(control)
        states.append(np.concatenate([world.get_state(), world.actors.boxes.ravel()]))
    return np.stack(states)


@pytest.mark.parametrize(
    "scenario_id", ["cut-in/avenue-left/3", "red-light/cross-large/2", "pedestrian-dart/parking-left/0"]
)
def test_from_one_state_two_futures_and_then_the_same_again_to_the_bit(scenario_id):
    world = World(build_scenario(scenario_id))
    trace(world, controls(0, 25))
    state = world.get_state()
    first, second = controls(1, 30), controls(2, 30)
    one = trace(world, first)
    world.set_state(state)
    other = trace(world, second)
    assert not np.array_equal(one, other)
    world.set_state(state)
    assert np.array_equal(trace(world, first), one)
    elsewhere = World(build_scenario(scenario_id))
    elsewhere.set_state(state)
    assert np.array_equal(trace(elsewhere, second), other)
    elsewhere.reset()
    assert np.array_equal(elsewhere.get_state(), World(build_scenario(scenario_id)).get_state())


def test_the_state_has_one_size_for_all_scenarios():
    for scenario_id in ("keep-lane/street-left/0", "construction/works-left/1"):
        state = World(build_scenario(scenario_id)).get_state()
        assert state.shape == (STATE_VECTOR_SIZE,)
        assert state.dtype == np.float64
        assert np.isfinite(state).all()


def test_a_state_that_cannot_be_restored_is_refused_and_changes_nothing():
    world = World(build_scenario("follow/street-left/3"))
    trace(world, controls(0, 5))
    before = world.get_state()
    with pytest.raises(ValueError, match="another scenario than 'follow/street-left/3'"):
        world.set_state(World(build_scenario("follow/street-left/4")).get_state())
    with pytest.raises(ValueError, match=rf"{STATE_VECTOR_SIZE} finite values, got shape \(5,\)"):
        world.set_state(np.zeros(5))
    with pytest.raises(ValueError, match="finite"):
        world.set_state(np.full_like(before, np.nan))
    assert np.array_equal(world.get_state(), before)


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (np.zeros(3), r"got shape \(3,\)"),
        (np.array([0.0, np.nan]), "finite"),
        (np.array([np.inf, 0.0]), "finite"),
        (np.array([0.0, 1.2]), r"\[-1, 1\], got \[0.0, 1.2\]; clip it"),
        (np.full(11, np.nan), "finite"),
    ],
)
def test_a_wrong_control_is_refused_and_moves_nothing(control, message):
    world = World(street((Actor("car", 0, 60.0, 8.0),)))
    before = world.get_state()
    with pytest.raises(ValueError, match=message):
        world.step(control)
    assert np.array_equal(world.get_state(), before)
    world.step(np.array([0.0, np.nextafter(np.float32(1), np.float32(2))]))


def test_an_ego_moved_from_outside_is_where_it_was_put():
    world = World(street())
    ego = world.ego.copy()
    ego[:2] += [1.0, 0.1]
    world.step(ego)
    assert np.array_equal(world.ego, ego)
    assert world.time_step == 1


def test_actors_that_overlap_at_the_start_are_named():
    with pytest.raises(ValueError, match=r"actor 1 \(van\) and actor 0 \(car\) overlap at the start"):
        World(street((Actor("car", 0, 60.0), Actor("van", 0, 62.0))))
    with pytest.raises(ValueError, match=r"the ego and actor 0 \(car\) overlap"):
        World(street((Actor("car", 0, 22.0),)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"actors": (Actor("car", 7, 60.0),)}, r"path \[7\] of 2 paths"),
        ({"actors": (Actor("car", 0, 60.0, event=Event("time", 1, "change", path=4)),)}, r"path \[0, 4\] of 2"),
        ({"goal_m": 500.0}, r"goal \(500 m\) must lie"),
        ({"actors": tuple(Actor("cone", 0, 30.0 + k, mode="still") for k in range(33))}, "at most 32 actors, got 33"),
    ],
)
def test_a_scenario_that_cannot_be_driven_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        street(**changes)


def test_running_into_a_standing_car_is_a_collision_with_its_step_and_actor():
    world = World(street((Actor("cyclist", 1, 30.0, mode="still"), Actor("car", 0, 60.0, mode="still"))))
    while not world.is_over:
        world.step(np.zeros(2))
    assert world.failure == "collision"
    step, actor = world.first_bad or (0, None)
    assert actor == 1
    gap = 60.0 - 2.3 - 20.0 - world.vehicle.front_m
    assert step == int(np.ceil(gap / 10.0 * 10))
    assert world.scored_scene().num_steps == step + 1


def test_being_hit_from_behind_is_not_the_egos_fault():
    world = World(street((Actor("car", 0, 10.0, 16.0, mode="constant"),), start_mps=4.0))
    for _ in range(20):
        world.step(np.zeros(2))
    assert world.crowd.table[0, 10] == 1.0  # touched
    assert world.failure is None


def test_leaving_the_road_and_running_a_red_light_are_failures():
    world = World(street())
    while not world.is_over:
        world.step(np.array([0.2, 0.0]))
    assert world.failure == "off_road"
    light = World(build_scenario("red-light/cross-small/0"))
    while light.failure is None and not light.is_over:
        light.step(np.array([0.0, 0.0]))
    assert light.failure == "red_light"
    assert light.lights["south"] == "red"


def test_reaching_the_goal_is_success_and_stays_so():
    world = World(street())
    while not world.is_over:
        world.step(np.zeros(2))
    assert world.is_success
    assert world.progress == 1.0
    assert world.time_s == pytest.approx(13.0, abs=0.2)


def stopping_distance(weather: Weather | None = None, patches: tuple[Patch, ...] = ()) -> float:
    world = World(street(patches=patches), weather)
    for _ in range(150):
        world.step(np.array([0.0, -1.0]))
    assert world.ego[VX] == 0.0
    return world.route_m - 20.0


def test_weather_and_patches_decide_how_far_it_takes_to_stop():
    for weather in (Weather(), rainy(1.0), Weather(friction=0.3)):
        assert stopping_distance(weather) == pytest.approx(100.0 / (2 * weather.friction * 9.81), abs=0.01)
    assert stopping_distance(patches=(Patch(0.0, 200.0, 0.2),)) == pytest.approx(100.0 / (2 * 0.2 * 9.81), abs=0.01)
    assert rainy(0.5).friction == pytest.approx(0.7)


@pytest.mark.parametrize("values", [{"friction": 0.0}, {"rain": 1.5}, {"darkness": np.nan}, {"fog_range_m": 0.1}])
def test_weather_that_does_not_exist_is_refused(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        Weather(**values)


def test_who_stands_behind_a_van_is_not_seen_and_who_stands_beside_a_cone_is():
    eye = np.zeros(2)
    person, cover = [20.0, 0.0, 0.0, 0.5, 0.6], [15.0, 0.0, 0.0, 2.0, 2.1]
    assert visible(eye, np.array([person, cover]), np.array([1.75, 2.2]), 100.0).tolist() == [False, True]
    assert visible(eye, np.array([person, cover]), np.array([1.75, 0.7]), 100.0).tolist() == [True, True]
    assert visible(eye, np.array([person, cover]), np.array([1.75, 0.7]), 18.0).tolist() == [False, True]


def test_somebody_who_darts_out_is_seen_late_and_fog_hides_the_far():
    world = World(build_scenario("pedestrian-dart/parking-straight/0"))
    assert np.isnan(world.seen_s[0])
    while np.isnan(world.seen_s[0]) and world.time_s < 20.0:
        world.step(np.zeros(2))
    assert 0.5 < world.seen_s[0] < 20.0
    far = (Actor("car", 0, 100.0, 8.0),)
    assert World(street(far)).seen_s[0] == 0.0
    assert np.isnan(World(street(far, weather=Weather(fog_range_m=40.0))).seen_s[0])


def test_a_recorded_drive_scores_its_actors_where_they_were():
    world = World(build_scenario("follow/street-left/3"))
    boxes = [world.actors.boxes]
    for _ in range(12):
        world.step(np.zeros(2))
        boxes.append(world.actors.boxes)
    scene = world.scored_scene(4, 10)
    assert scene.num_steps == 6
    assert np.array_equal(scene.tracks[0].boxes, np.stack(boxes)[4:10, 0])
    with pytest.raises(ValueError, match="no steps from 40"):
        world.scored_scene(40)
    assert replace(world.scenario, seed=5).id == "follow/street-left/5"
