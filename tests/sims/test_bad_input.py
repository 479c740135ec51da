"""Mistakes are named, and the environment goes on working after them."""

import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction, NameNotFound, ResetNeeded

from tests.sims.registry import make

ENV = "MetaWorld-reach-v3"


@pytest.fixture
def env():
    env = make(ENV, cameras=(), max_env_steps=3)
    env.reset(seed=0)
    return env


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.zeros(3, np.float32), r"shape \(4,\), got \(3,\)"),
        (np.zeros((1, 4), np.float32), r"shape \(4,\), got \(1, 4\)"),
        (np.array([0, np.nan, 0, 0], np.float32), "finite"),
        (np.array([0, np.inf, 0, 0], np.float32), "finite"),
        (np.array([0, 0, 1.5, 0], np.float32), r"\[-1, 1\].*clip it"),
        ("left", "array of 4 numbers"),
        (None, "4"),
    ],
)
def test_a_wrong_action_is_refused_and_moves_nothing(env, action, message):
    before = env.get_sim_state()
    with pytest.raises(InvalidAction, match=message):
        env.step(action)
    assert np.array_equal(before, env.get_sim_state())
    env.step(np.ones(4, np.float32))


def test_rounding_past_the_bound_is_forgiven(env):
    env.step(np.full(4, np.nextafter(np.float32(1), np.float32(2))))


def test_stepping_before_reset_or_after_the_end_asks_for_a_reset(env):
    with pytest.raises(ResetNeeded):
        make(ENV, cameras=()).step(np.zeros(4, np.float32))
    truncated = [env.step(np.zeros(4, np.float32))[3] for _ in range(3)]
    assert truncated == [False, False, True]
    with pytest.raises(ResetNeeded, match="max_env_steps=3"):
        env.step(np.zeros(4, np.float32))
    env.reset(seed=1)
    env.step(np.zeros(4, np.float32))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"cameras": ["corner3"]}, "Unknown camera 'corner3'. Did you mean 'corner2'"),
        ({"cameras": "corner2"}, r"write \['corner2'\]"),
        ({"cameras": ["left", "left"]}, "twice"),
        ({"image_size": 0}, "image_size must be a whole number from 1 to 2048, got 0"),
        ({"image_size": 10**6}, "image_size"),
        ({"image_size": 64.0}, "image_size"),
        ({"max_env_steps": 0}, "max_env_steps"),
        ({"render_mode": "human"}, "render_mode"),
    ],
)
def test_a_wrong_argument_is_named(kwargs, message):
    from sims.metaworld.env import MetaWorldEnv

    with pytest.raises(ValueError, match=message):
        MetaWorldEnv("reach-v3", **kwargs)


def test_a_wrong_task_gets_the_nearest_name():
    from sims.metaworld.env import MetaWorldEnv

    with pytest.raises(NameNotFound, match="MetaWorld-reach"):
        gymnasium.make("sims:MetaWorld-reech-v3")
    with pytest.raises(ValueError, match="Did you mean 'reach-v3'"):
        MetaWorldEnv("reech-v3")


def test_a_wrong_picture_request_leaves_the_env_usable(env):
    with pytest.raises(ValueError, match="Did you mean 'gripper'"):
        env.render_frame("griper")
    with pytest.raises(ValueError, match="size"):
        env.render_frame("gripper", 0)
    assert env.render_frame("gripper", 8).shape == (8, 8, 3)
    env.close()


def test_a_state_that_cannot_be_restored_is_refused_and_changes_nothing(env):
    state = env.get_sim_state()
    with pytest.raises(ValueError, match=r"shape \(384,\), got \(10,\)"):
        env.set_sim_state(np.zeros(10))
    with pytest.raises(ValueError, match="NaN"):
        env.set_sim_state(np.full_like(state, np.nan))
    other = make("MetaWorld-push-v3", cameras=())
    other.reset(seed=0)
    with pytest.raises(ValueError, match="another task than 'reach-v3'"):
        env.set_sim_state(other.get_sim_state())
    assert np.array_equal(state, env.get_sim_state())
    with pytest.raises(ResetNeeded):
        make(ENV, cameras=()).get_sim_state()
