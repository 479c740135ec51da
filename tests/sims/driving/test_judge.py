"""Scores of an episode: the same that a drive without an environment gets, at any hand, and what went wrong."""

import numpy as np
import pytest

from sims.driving.drives import drive
from sims.driving.environment import DrivingEnv


def judged(env, policy):
    info = {"is_over": False}
    while not info["is_over"]:
        info = env.step(policy({}))[-1]
    return env.episode_metrics(), env.episode_facts()


@pytest.fixture(scope="module")
def env():
    env = DrivingEnv("hard-brake", cameras=(), scenario="hard-brake/street-left/1")
    env.reset(seed=0)
    return env


def test_an_episode_scores_what_the_same_drive_scores():
    env = DrivingEnv("keep-lane", cameras=(), scenario="keep-lane/street-left/1")
    env.reset(seed=0)
    said, facts = judged(env, env.make_baseline("idm-keep-lane"))
    expected = drive(env.scenario_id, "idm-keep-lane", with_scores=True)
    assert 0 < said["epdms"] < 1
    assert said["epdms"] == pytest.approx(expected.epdms, abs=1e-6)
    assert said["pdms"] == pytest.approx(expected.pdms, abs=1e-6)
    assert said["progress"] == said["alpasim"] == 1.0
    assert said["collision"] == said["off_road"] == said["red_light"] == 0.0
    assert facts == {"scenario": "keep-lane/street-left/1", "topology": "street-left", "is_hazard": False}


def test_a_failure_scores_zero_and_names_its_step_and_actor(env):
    env.reset(seed=0)
    lane = env.make_baseline("idm-keep-lane")
    said, facts = judged(env, lambda _: np.array([lane({})[0], 0.5], np.float32))
    assert said["collision"] == 1.0
    assert said["pdms"] == said["epdms"] == said["alpasim"] == 0.0
    assert 0 < said["progress"] < 1
    assert facts["failure"] == "collision"
    assert facts["bad_step"] == env.world.time_step
    assert facts["bad_actor_kind"] == env.world.scenario.actors[facts["bad_actor"]].kind
    assert facts["in_sight_s"] > 0


def test_who_stands_still_is_safe_and_gets_nowhere(env):
    env.reset(seed=0)
    said, facts = judged(env, env.make_baseline("always-brake"))
    assert "failure" not in facts
    assert said["alpasim"] == pytest.approx(said["progress"] / 0.8, abs=0.05)
    assert said["epdms"] < 0.7


def test_before_the_first_window_there_are_no_window_scores(env):
    env.reset(seed=0)
    for _ in range(20):
        env.step(np.zeros(2, np.float32))
    assert not {"pdms", "epdms"} & set(env.episode_metrics())
