# pyright: reportAttributeAccessIssue=false
"""Meta-World behind our interface: the same world as LeRobot's, with fresh first observations."""

import metaworld
import mujoco
import numpy as np
import pytest

from sims.metaworld.tasks import GROUPS, TASKS
from tests.sims.registry import MEMBERS, make

FAST_TASKS = ("drawer-open-v3", "push-v3")
tasks = pytest.mark.parametrize(
    "task", [pytest.param(task, marks=() if task in FAST_TASKS else pytest.mark.slow) for task in TASKS]
)

SOME_TASKS = [pytest.param(f"{name}-v3", marks=pytest.mark.slow) for name in MEMBERS["MetaWorld"]]  # seconds each


def lerobots_world(task):
    """Upstream's environment as LeRobot's evaluation sets it up."""
    benchmark = metaworld.MT1(task, seed=42)
    world = benchmark.train_classes[task]()
    world.set_task(benchmark.train_tasks[0])
    world.reset()
    world._freeze_rand_vec = False
    world.seeded_rand_vec = True
    return world


@pytest.mark.parametrize("task", SOME_TASKS)
def test_a_seed_gives_the_episode_that_lerobot_would_see(task):
    """The state vectors of 30 random actions agree; only the first may differ (upstream's is stale)."""
    env, world = make(f"MetaWorld-{task}", cameras=()), lerobots_world(task)
    rng = np.random.default_rng(0)
    for seed in (0, 10_001):
        env.reset(seed=seed)
        world.seed(seed)
        world.reset()
        for _ in range(30):
            action = rng.uniform(-1, 1, 4).astype(np.float32)
            observation, reward, _, _, info = env.step(action)
            expected, expected_reward, _, _, expected_info = world.step(action)
            assert np.allclose(env.full_observation[:18], expected[:18], atol=1e-6)
            assert np.allclose(env.full_observation[36:], expected[36:])
            assert np.allclose(observation["agent_pos"], expected[:4], atol=1e-6)
            assert reward == pytest.approx(expected_reward, abs=1e-4)
            assert info["is_success"] == bool(expected_info["success"])


@tasks
def test_the_first_observation_shows_the_scene_as_it_is(task):
    """Upstream reads it before the objects are where it puts them."""
    env = make(f"MetaWorld-{task}", cameras=())
    env.reset(seed=4)
    observation, places = env.full_observation.copy(), env.data.xpos.copy()
    mujoco.mj_kinematics(env.model, env.data)
    assert np.array_equal(places, env.data.xpos)
    now = env._world._get_curr_obs_combined_no_goal()
    space = env._world.sawyer_observation_space
    assert np.array_equal(observation[:18], np.clip(now, space.low[:18], space.high[:18]))
    assert np.array_equal(observation[:18], observation[18:36])


def test_the_groups_are_lerobots():
    counts = [sum(info.group == group for info in TASKS.values()) for group in GROUPS]
    assert counts == [28, 11, 6, 5]


def test_corner2_is_lerobots_camera():
    env = make("MetaWorld-reach-v3", cameras=())
    assert np.allclose(env.model.cam_pos[2], [0.75, 0.075, 0.7])
    assert env.model.camera("corner2").id == 2
    assert env.views["corner2"].flip


def test_the_task_table_agrees_with_lerobots_file():
    import importlib.util
    import json
    from pathlib import Path

    spec = importlib.util.find_spec("lerobot")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "envs" / "metaworld_config.json"
    theirs = json.loads(path.read_text())
    assert {name: info.instruction for name, info in TASKS.items()} == theirs["TASK_DESCRIPTIONS"]
    assert {name: info.expert for name, info in TASKS.items()} == theirs["TASK_POLICY_MAPPING"]
    groups = {name: group for group, names in theirs["DIFFICULTY_TO_TASKS"].items() for name in names}
    assert {name: info.group for name, info in TASKS.items()} == groups


def test_play_moves_things():
    """In half of the episodes or more the object is displaced: the films show what touching does."""
    env = make("MetaWorld-push-v3", cameras=())
    moved = 0
    for seed in range(8):
        observation, _ = env.reset(seed=seed)
        play, start = env.make_play(np.random.default_rng(seed)), env.full_observation[4:7].copy()
        for _ in range(200):
            observation = env.step(play(observation))[0]
        moved += np.abs(env.full_observation[4:7] - start).max() > 0.01
    assert moved >= 4
