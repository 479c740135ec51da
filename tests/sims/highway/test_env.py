"""highway-env's worlds behind our interface drive as they do without it."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest

from sims.highway.env import HighwayEnv
from sims.highway.worlds import TRAFFIC, WORLD_INFO
from tests.sims.registry import make

pytest.importorskip("pygame")
highway = pytest.importorskip("highway_env.envs.highway_env")
cars = pytest.importorskip("highway_env.vehicle.behavior")


def test_returns_and_ends_are_the_packages_own():
    env, theirs = make("Highway-highway-fast-v0", cameras=()), highway.HighwayEnvFast()
    env.reset(seed=3)
    theirs.reset(seed=3)
    slower, total, over, info = env.make_baseline("always-slower"), 0.0, False, {}
    while not over:
        _, reward, terminated, truncated, _ = theirs.step(theirs.action_type.actions_indexes["SLOWER"])
        total, over = total + reward, terminated or truncated
        info = env.step(slower({}))[4]
        assert info["is_over"] == over
        assert np.array_equal(env.world.vehicle.position, theirs.vehicle.position)
    assert info["metrics"]["world_return"] == total
    assert info["is_success"] is True
    assert env.elapsed_steps == theirs.config["duration"]


def test_the_intersections_impatient_drivers_stay_at_the_intersection():
    patient = {name: getattr(cars.IDMVehicle, name) for name in TRAFFIC}
    assert patient == TRAFFIC
    env = make("Highway-intersection-v0", cameras=())
    env.reset(seed=0)
    with env._traffic():
        assert (
            {name: getattr(cars.IDMVehicle, name) for name in TRAFFIC} == WORLD_INFO["intersection"].traffic != TRAFFIC
        )
    env.step(env.make_expert()({}))
    assert {name: getattr(cars.IDMVehicle, name) for name in TRAFFIC} == patient


def test_after_its_end_an_episode_is_judged_no_more():
    env = make("Highway-parking-v0", cameras=())
    observation, info = env.reset(seed=1)
    expert, over = env.make_expert(), False
    while not over:
        observation, _, _, _, info = env.step(expert(observation))
        over = info["is_over"]
    assert info["is_success"] is True
    away = [env.step(np.array([0.0, 1.0], np.float32))[4] for _ in range(10)]
    assert all(later == info for later in away)


def test_a_crash_is_no_success_and_its_step_is_told():
    env = make("Highway-parking-v0", cameras=())
    env.reset(seed=0)
    info = {}
    for _ in range(60):
        info = env.step(np.array([0.0, 1.0], np.float32))[4]
    assert info["is_over"]
    assert not info["is_success"]
    facts = env.episode_facts()
    assert facts["failure"] == "collision"
    assert 0 < facts["bad_step"] < 60
    assert info["metrics"]["collision"] == 1.0


@pytest.mark.parametrize(
    ("action", "name"),
    [
        ((0.0, 0.0), "IDLE"),
        ((0.4, -0.4), "IDLE"),
        ((0.9, 0.5), "LANE_LEFT"),
        ((-0.9, 0.5), "LANE_RIGHT"),
        ((0.3, 0.6), "FASTER"),
        ((0.5, -1.0), "SLOWER"),
    ],
)
def test_the_greater_of_steer_and_pedal_decides(action, name):
    env = make("Highway-highway-fast-v0", cameras=())
    control, kind = env.control, env.world.action_type
    assert control.command(np.array(action, np.float32)) == kind.actions_indexes[name]
    assert control.command(control.action_of(name)) == kind.actions_indexes[name]


def test_left_is_left_and_gas_is_gas():
    env = make("Highway-parking-v0", cameras=())
    env.reset(seed=0)
    observation = {}
    for _ in range(5):
        observation = env.step(np.array([0.3, 1.0], np.float32))[0]
    speed, yaw_rate, steer, cosine, sine = observation["agent_pos"]
    assert speed == pytest.approx(5.0, abs=0.01)
    assert yaw_rate > 0.1
    assert steer == pytest.approx(0.3 * np.pi / 4, rel=1e-5)
    assert np.hypot(cosine, sine) == pytest.approx(1.0)
    before = np.arctan2(sine, cosine)
    cosine, sine = env.step(np.array([0.3, 0.0], np.float32))[0]["agent_pos"][3:]
    assert np.angle(np.exp(1j * (np.arctan2(sine, cosine) - before))) > 0.02


def test_the_picture_shows_the_own_car_where_it_should_be_and_turns_with_it():
    env = make("Highway-parking-v0", cameras=())
    env.reset(seed=0)
    env.world.vehicle.heading = 0.0
    along = env.render_frame("top", 128).astype(int)
    env.world.vehicle.heading = np.pi / 2
    across = env.render_frame("top", 128).astype(int)
    greens = [np.argwhere(picture[..., 1] - picture[..., [0, 2]].max(axis=-1) > 60) for picture in (along, across)]
    for green in greens:
        assert np.abs(green.mean(axis=0) - 63.5).max() < 3
    spreads = [green.std(axis=0) for green in greens]
    assert spreads[0][1] > 1.5 * spreads[0][0]
    assert spreads[1][0] > 1.5 * spreads[1][1]


@pytest.mark.parametrize("world", ["racetrack", "intersection", "highway-fast"])
def test_traffic_goes_on_to_the_bit_from_a_restored_state(world):
    env, fresh = make(f"Highway-{world}-v0", cameras=()), make(f"Highway-{world}-v0", cameras=())
    fresh.reset(seed=9)
    actions = np.random.default_rng(0).uniform(-0.5, 0.5, (9, 2)).astype(np.float32)
    env.reset(seed=2)
    for action in actions[:5]:
        env.step(action)
    state = env.get_sim_state()
    fresh.set_sim_state(state)
    assert np.array_equal(fresh.get_sim_state(), state)
    for action in actions[5:]:
        env.step(action)
        fresh.step(action)
    places = [[car.position for car in each.world.road.vehicles] for each in (env, fresh)]
    assert len(places[0]) > 1
    assert np.array_equal(places[0], places[1])
    assert np.array_equal(env.get_sim_state(), fresh.get_sim_state())


def test_a_state_further_on_in_the_same_episode_costs_only_the_steps_between(monkeypatch):
    env = make("Highway-parking-v0", cameras=())
    env.reset(seed=4)
    rng = np.random.default_rng(0)
    states = [env.get_sim_state()]
    for _ in range(6):
        env.step(rng.uniform(-1, 1, 2).astype(np.float32))
        states.append(env.get_sim_state())
    env.set_sim_state(states[2])
    begun = []
    monkeypatch.setattr(env, "_begin", lambda seed: begun.append(seed))
    env.set_sim_state(states[5])
    assert not begun
    assert np.array_equal(env.get_sim_state(), states[5])
    assert env.elapsed_steps == 5


def test_an_unknown_world_gets_the_nearest_name():
    with pytest.raises(ValueError, match="Did you mean 'racetrack'"):
        HighwayEnv("racetrac")
    with pytest.raises(ValueError, match="Did you mean 'always-slower'"):
        make("Highway-parking-v0", cameras=()).make_baseline("always-slow")


def test_without_the_package_worlds_are_listed_and_the_error_says_what_to_install(tmp_path):
    for name in ("highway_env", "Box2D"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')")
    code = """
import sys; sys.path.insert(0, sys.argv[1])
import gymnasium, sims
for name in ("Highway-racetrack-v0", "Box2D-CarRacing-v0"):
    assert name in gymnasium.registry
    try:
        gymnasium.make(f"sims:{name}")
    except ModuleNotFoundError as error:
        print(error)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [word in done.stdout for word in ("highway-env", "box2d", "pip install -e '.[worlds]'")] == [True] * 3


def test_gymnasium_knows_them_by_name():
    assert gymnasium.spec("Highway-highway-fast-v0").kwargs == {"world": "highway-fast"}
