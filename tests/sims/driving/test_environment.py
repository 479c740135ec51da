"""The driving environment beyond the contract that all environments share."""

import gymnasium
import numpy as np
import pytest

from sims.driving.ego.vehicle import step_bicycle
from sims.driving.environment import TEST_SEEDS, DrivingEnv
from sims.driving.looks.weather import Weather, rainy
from sims.driving.map.topologies import HELD_OUT
from sims.driving.scenarios.families import FAMILY_NAMES
from sims.driving.scenarios.library import FAMILIES, topologies
from sims.driving.scores.scene import VX, YAW_RATE
from sims.driving.sensors.lidar import Lidar
from tests.sims.common.test_renderer import needs_gl

EGOS = pytest.mark.parametrize("ego", ["bicycle", "wheels"])


def make(family="follow", **kwargs):
    return DrivingEnv(family, **{"cameras": (), **kwargs})


def controls(seed, steps):
    """Smooth driving that belongs to a seed."""
    rng = np.random.default_rng(seed)
    return np.clip(0.2 * np.cumsum(rng.normal(size=(steps, 2)), axis=0), -1, 1).astype(np.float32) * [0.3, 1.0]


def egos(env, actions):
    """States of the car after each action."""
    states = []
    for action in actions.astype(np.float32):
        env.step(action)
        states.append(env.world.ego.copy())
    return np.array(states)


def test_every_family_of_the_library_is_registered():
    assert set(FAMILY_NAMES) == set(FAMILIES)
    for name in FAMILY_NAMES:
        assert gymnasium.spec(f"Driving-{name}-v0").kwargs == {"family": name}


@EGOS
def test_one_state_forks_into_two_futures_and_each_repeats_to_the_bit(ego):
    env, other = make(ego=ego, latency_ms=280), make(ego=ego, latency_ms=280)
    env.reset(seed=4)
    egos(env, controls(0, 20))
    state = env.get_sim_state()
    futures = [egos(env, controls(1, 30))]
    ends = [env.get_sim_state()]
    other.reset(seed=9)  # another place altogether
    for world, seed in ((env, 2), (env, 1), (other, 2), (other, 1)):
        world.set_sim_state(state)
        assert np.array_equal(world.get_sim_state(), state)
        futures.append(egos(world, controls(seed, 30)))
        ends.append(world.get_sim_state())
    first, second, first_again, second_elsewhere, first_elsewhere = futures
    assert np.abs(first - second).max() > 0.1
    assert np.array_equal(first, first_again)
    assert np.array_equal(first, first_elsewhere)
    assert np.array_equal(second, second_elsewhere)
    assert np.array_equal(ends[0], ends[2])
    assert np.array_equal(ends[1], ends[3])


@EGOS
def test_commands_take_effect_after_the_latency(ego):
    actions = controls(3, 12)
    prompt, late = make(ego=ego), make(ego=ego, latency_ms=200)
    prompt.reset(seed=0)
    late.reset(seed=0)
    nothing_yet = np.zeros((2, 2))
    assert np.array_equal(egos(late, actions), egos(prompt, np.concatenate([nothing_yet, actions[:-2]])))


def test_a_latency_between_two_steps_splits_them():
    env = make(latency_ms=280)
    env.reset(seed=0)
    actions = controls(3, 5).astype(np.float32).astype(np.float64)
    before = egos(env, actions[:3])[-1]
    friction, wheelbase = env.world.friction_here, env.world.vehicle.wheelbase_m
    expected = step_bicycle(
        step_bicycle(before, actions[0], friction, wheelbase, 0.08), actions[1], friction, wheelbase, 0.02
    )
    after = egos(env, actions[3:4])[-1]
    assert after[VX] == pytest.approx(expected[VX], abs=1e-12)
    assert after[YAW_RATE] == expected[YAW_RATE]


def test_test_seeds_drive_where_train_seeds_never_do():
    env = make("follow")
    seen = {}
    for split, seeds in (("train", [0, 1, 2, TEST_SEEDS.stop, 2**31 - 1]), ("test", TEST_SEEDS[:3])):
        seen[split] = set()
        for seed in seeds:
            env.reset(seed=seed)
            seen[split].add(env.world.scenario.topology)
    assert seen["train"] == set(topologies("follow", "train"))
    assert seen["test"] <= HELD_OUT
    assert not seen["train"] & HELD_OUT


def test_a_scenario_can_be_named():
    env = make("follow", scenario="follow/street-left/7")
    for seed in (0, 1):
        _, info = env.reset(seed=seed)
        assert info["scenario"] == env.scenario_id == "follow/street-left/7"


def test_a_calm_environment_drives_the_twins_and_restores_them():
    env, other = make("pedestrian-dart", calm=True), make("pedestrian-dart")
    env.reset(seed=10_001)
    other.reset(seed=10_001)
    assert env.scenario_id == f"{other.scenario_id}/calm"
    with pytest.raises(ValueError, match="another task"):
        other.set_sim_state(env.get_sim_state())
    egos(env, controls(0, 5))
    state = env.get_sim_state()
    first = egos(env, controls(1, 5))
    env.reset(seed=1)
    env.set_sim_state(state)
    assert np.array_equal(first, egos(env, controls(1, 5)))


def test_the_instruction_is_that_of_the_scenario():
    env = make("roundabout")
    tasks = set()
    for seed in range(6):
        env.reset(seed=seed)
        assert env.task == env.task_description == env.world.instruction
        tasks.add(env.task)
    assert len(tasks) > 1


def test_info_and_reward_tell_what_happened():
    env = make()
    env.reset(seed=0)
    rewards, info = [], {}
    for _ in range(60):
        _, reward, _, _, info = env.step(np.array([1.0, 1.0], np.float32))
        rewards.append(reward)
    assert info["off_road"]
    assert info["failure"] == env.world.failure
    assert info["is_over"]
    assert not info["is_success"]
    assert sum(rewards) == pytest.approx(info["progress"] - 1)
    assert sum(reward < -0.5 for reward in rewards) == 1, "a failure is charged once"
    assert len(env.world.scored_scene().tracks) == len(env.world.scenario.actors)


def test_another_weather_changes_grip_and_pictures_alike():
    needs_gl()
    icy = Weather(fog_range_m=60.0, friction=0.15)
    dry, fog = make(cameras=["front"]), make(cameras=["front"], weather=icy)
    pictures, distances = [], []
    for env in (dry, fog):
        observation, _ = env.reset(seed=2)
        pictures.append(observation["pixels"]["front"].astype(float))
        start = env.world.route_m
        for _ in range(40):
            env.step(np.array([0.0, -1.0], np.float32))
        distances.append(env.world.route_m - start)
    assert np.abs(pictures[1] - pictures[0]).mean() > 20
    assert distances[1] > 2 * distances[0]


def test_weather_from_a_configuration_ties_grip_to_rain():
    assert make(weather={"rain": 1.0}).world.weather == rainy(1.0)
    assert make(weather={"rain": 1.0, "friction": 0.3}).world.weather.friction == 0.3
    assert make(weather={"darkness": 1.0}).world.weather == Weather(darkness=1.0)


def test_proprio_shows_speed_and_the_route_in_the_vehicles_frame():
    env = make()
    observation, _ = env.reset(seed=0)
    speed, *route = observation["agent_pos"]
    assert speed == pytest.approx(env.world.scenario.start_mps)
    ahead = np.reshape(route, (-1, 2))
    assert ahead[:, 0] == pytest.approx([5, 10, 15, 25, 40], abs=1.0)
    for _ in range(8):
        observation = env.step(np.array([-0.4, 0.0], np.float32))[0]
    assert (observation["agent_pos"][2::2] > 0.2).all(), "turning right leaves the route on the left"


def test_sensors_give_pictures_truth_conditions_and_ranges_of_any_size():
    needs_gl()
    env = make(rig="front3", cameras=["front"])
    env.reset(seed=0)
    assert env.picture("front_left").shape == (128, 256, 3)
    assert np.array_equal(env.picture("front", 64), env.render_frame("front", 64))
    truth = env.truth("front", (40, 60))
    assert truth.depth.shape == truth.classes.shape == truth.actors.shape == (40, 60)
    assert np.isinf(truth.depth).any()
    assert set(np.unique(truth.actors)) <= {-1, *range(len(env.world.scenario.actors))}
    assert env.conditions("front", (40, 60)).shape == (40, 60, 3)
    assert env.scan(Lidar(rows=4, columns=30)).shape == (4, 30)
    with pytest.raises(ValueError, match="Unknown camera 'font'. Did you mean 'front'"):
        env.picture("font")
    env.close()
    assert env.picture("front", 16).shape == (16, 16, 3), "a closed environment opens again"
    env.close()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"family": "folow"}, "Unknown scenario family 'folow'. Did you mean 'follow'"),
        ({"rig": "surround"}, "Unknown camera rig 'surround'. Did you mean 'surround"),
        ({"ego": "wheel"}, "Unknown ego 'wheel'. Did you mean 'wheels'"),
        ({"cameras": ["back"]}, "Unknown camera 'back'"),
        ({"scenario": "keep-lane/street-left/1"}, "not of the family 'follow'"),
        ({"scenario": "follow/street-left"}, "looks like follow/street-left/7"),
        ({"weather": {"fog_range": 30.0}}, "Unknown weather 'fog_range'. Did you mean 'fog_range_m'"),
        ({"weather": {"rain": 2.0}}, "rain"),
        ({"latency_ms": 50}, "latency_ms must be a multiple of 20 from 0 to 1000, got 50"),
        ({"latency_ms": -20}, "latency_ms"),
        ({"latency_ms": 2000}, "latency_ms"),
    ],
)
def test_a_wrong_argument_is_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**{"family": "follow", **kwargs})


def test_states_of_another_family_or_ego_and_broken_ones_are_refused_and_change_nothing():
    env = make()
    env.reset(seed=0)
    state = env.get_sim_state()
    for other in (make("fog"), make(ego="wheels")):
        other.reset(seed=0)
        with pytest.raises(ValueError, match="another task"):
            env.set_sim_state(other.get_sim_state())
    broken = state.copy()
    broken[-200] = np.nan
    with pytest.raises(ValueError, match="finite"):
        env.set_sim_state(broken)
    assert np.array_equal(env.get_sim_state(), state)
