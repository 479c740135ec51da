"""Scores of an episode: the same that a drive without an environment gets, at any hand, and what went wrong."""

import json

import numpy as np
import pytest

from sims.driving.environment import DrivingEnv
from tests.sims.driving.drives import drive


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
    assert said["nuplan"] == pytest.approx(env.episode_scores()["nuplan"]["score"])
    assert said["collision"] == said["off_road"] == said["red_light"] == 0.0
    assert facts == {"scenario": "keep-lane/street-left/1", "topology": "street-left", "is_hazard": False}


def test_a_failure_scores_zero_and_names_its_step_and_actor(env):
    env.reset(seed=0)
    lane = env.make_baseline("idm-keep-lane")
    said, facts = judged(env, lambda _: np.array([lane({})[0], 0.5], np.float32))
    assert said["collision"] == 1.0
    assert said["pdms"] == said["epdms"] == said["alpasim"] == said["nuplan"] == 0.0
    assert 0 < said["progress"] < 1
    assert facts["failure"] == "collision"
    assert facts["bad_step"] == env.world.time_step
    assert facts["bad_actor_kind"] == env.world.scenario.actors[facts["bad_actor"]].kind
    assert facts["in_sight_s"] > 0


def test_who_stands_still_is_safe_and_gets_nowhere(env):
    env.reset(seed=0)
    said, facts = judged(env, env.make_baseline("always-brake"))
    assert (facts["failure"], facts["bad_actor"], facts["cause"]) == ("stalled", None, "nothing ahead")
    assert 0 < facts["bad_step"] < 40
    assert said["alpasim"] == pytest.approx(said["progress"] / 0.8, abs=0.05)
    assert said["epdms"] < 0.7


def test_before_the_first_window_there_are_no_window_scores(env):
    env.reset(seed=0)
    for _ in range(20):
        env.step(np.zeros(2, np.float32))
    assert not {"pdms", "epdms"} & set(env.episode_metrics())
    assert env.episode_scores()["pdms"] == env.episode_scores()["epdms"] == []


def test_a_drive_of_no_or_few_steps_lacks_the_scores_that_need_more(env):
    env.reset(seed=0)
    assert env.episode_scores() == {"pdms": [], "epdms": []}
    env.step(np.zeros(2, np.float32))
    assert "alpasim" in env.episode_metrics()
    assert "nuplan" not in env.episode_metrics()


def test_every_term_and_event_behind_the_scores_is_kept(env):
    """Mean and product are computed again from what is kept; who brakes hard at once is uncomfortable by both."""
    env.reset(seed=0)
    said, _ = judged(env, env.make_baseline("always-brake"))
    kept = json.loads(json.dumps(env.episode_scores(), allow_nan=False))
    assert [window["begin_step"] for window in kept["epdms"]] == [0, 40, 80, 120, 160, 200]
    for name in ("pdms", "epdms"):
        assert said[name] == pytest.approx(np.mean([again(window) for window in kept[name]]))
    assert said["nuplan"] == pytest.approx(again(kept["nuplan"]))
    assert said["alpasim"] == pytest.approx(again(kept["alpasim"]))
    assert kept["epdms"][0]["terms"]["EP"] < 0.5 < kept["epdms"][0]["terms"]["NC"]
    assert kept["nuplan"]["terms"]["ego_is_making_progress"] == 0.0
    assert {"ego_is_comfortable", "ego_is_making_progress"} <= {event["term"] for event in kept["nuplan"]["events"]}
    assert kept["nuplan"]["details"]["expert_progress_m"] > 100


def test_a_failed_drive_keeps_what_its_windows_were_worth_until_then(env):
    env.reset(seed=0)
    lane = env.make_baseline("idm-keep-lane")
    _, facts = judged(env, lambda _: np.array([lane({})[0], 0.5], np.float32))
    kept = env.episode_scores()
    assert len(kept["epdms"]) == (facts["bad_step"] + 1 - 50) // 40 + 1
    assert kept["alpasim"]["events"][0] == {
        "term": "collision_at_fault",
        "step": facts["bad_step"],
        "time_s": pytest.approx(0.1 * facts["bad_step"]),
        "actor": str(facts["bad_actor"]),
        "detail": "front contact with a vehicle",
    }
    assert kept["nuplan"]["terms"]["no_ego_at_fault_collisions"] == 0.0


def again(result):
    product = np.prod([result["terms"][name] for name in result["multipliers"]])
    weights = result["weights"]
    return product * sum(weights[name] * result["terms"][name] for name in weights) / sum(weights.values())
