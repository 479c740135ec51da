"""CarRacing behind our interface drives as it does without it."""

import warnings

import numpy as np
import pytest

from tests.sims.registry import NEEDS, make

ENV = "Box2D-CarRacing-v0"
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # see sims.box2d.quiet_world
    for _name in NEEDS["Box2D"]:
        pytest.importorskip(_name)


def test_rewards_and_pictures_are_gymnasiums_own():
    racing = pytest.importorskip("gymnasium.envs.box2d.car_racing")
    env, theirs = make(ENV, image_size=96), racing.CarRacing()
    observation = env.reset(seed=5)[0]
    picture = theirs.reset(seed=5)[0]
    total, info, rng = 0.0, {}, np.random.default_rng(0)
    for _ in range(40):
        assert np.array_equal(observation["pixels"]["top"], picture)
        steer, pedal = rng.uniform(-1, 1, 2).astype(np.float32) + np.array([0, 0.5], np.float32)
        steer, pedal = np.clip([steer, pedal], -1, 1).astype(np.float32)
        picture, reward, *_ = theirs.step(np.array([-steer, max(pedal, 0), max(-pedal, 0)]))
        observation, own_reward, _, _, info = env.step(np.array([steer, pedal]))
        total += reward
        assert own_reward == reward
    assert info["metrics"]["world_return"] == pytest.approx(total)


def test_a_world_that_had_another_track_before_goes_on_as_a_new_one():
    env, fresh = make(ENV, cameras=()), make(ENV, cameras=())
    env.reset(seed=1)
    for _ in range(30):
        env.step(np.array([0.2, 1.0], np.float32))
    env.reset(seed=2)
    fresh.reset(seed=2)
    rng = np.random.default_rng(0)
    for _ in range(150):
        action = rng.uniform(-1, 1, 2).astype(np.float32)
        here, there = env.step(action), fresh.step(action)
        assert np.array_equal(here[0]["agent_pos"], there[0]["agent_pos"])
        assert here[1] == there[1]


def test_left_is_left_and_gas_is_gas():
    env = make(ENV, cameras=())
    env.reset(seed=0)
    observation = {}
    for _ in range(60):
        observation = env.step(np.array([0.3, 0.5], np.float32))[0]
    speed, yaw_rate, wheel, _ = observation["agent_pos"]
    assert speed > 10
    assert yaw_rate > 0.1
    assert wheel > 0.05
    for _ in range(60):
        observation = env.step(np.array([0.0, -1.0], np.float32))[0]
    assert observation["agent_pos"][0] < 0.5 * speed


def test_standing_still_is_no_success_and_ends_with_the_worlds_time():
    env = make(ENV, cameras=())
    env.reset(seed=0)
    brake, info = env.make_baseline("always-slower"), {}
    for step in range(1000):
        info = env.step(brake({}))[4]
        assert info["is_over"] == (step == 999)
    assert info["is_success"] is False
    assert info["metrics"]["tiles"] < 0.1
    assert info["metrics"]["world_return"] == pytest.approx(1000 * info["metrics"]["tiles"] - 100, abs=0.5)
