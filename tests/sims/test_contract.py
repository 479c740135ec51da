"""What every registered environment promises (DESIGN 3.3)."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import sims
from tests.sims.registry import FAST, env_ids, long_parameters, make, parameters

SMALL = {"image_size": 32}
every_env = pytest.mark.parametrize("env_id", parameters())
every_kind_of_env = pytest.mark.parametrize("env_id", long_parameters("Driving", "MetaWorld", "Highway"))
every_task_and_kind_of_drive = pytest.mark.parametrize("env_id", long_parameters("Driving", "Highway"))


def rollout(env, seed, steps):
    """Observations, rewards and success flags of random actions that belong to the seed."""
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    trace = [(observation, 0.0, info["is_success"])]
    for _ in range(steps):
        action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
        observation, reward, terminated, _, info = env.step(action)
        assert not terminated
        trace.append((observation, reward, info["is_success"]))
    return trace


def assert_same(first, second):
    for (obs_a, reward_a, success_a), (obs_b, reward_b, success_b) in zip(first, second, strict=True):
        assert np.array_equal(obs_a["agent_pos"], obs_b["agent_pos"])
        assert obs_a["pixels"].keys() == obs_b["pixels"].keys()
        for camera, picture in obs_a["pixels"].items():
            assert np.array_equal(picture, obs_b["pixels"][camera])
        assert reward_a == reward_b
        assert success_a == success_b


def test_all_fifty_tasks_of_metaworld_are_registered():
    assert sum(name.startswith("MetaWorld-") for name in env_ids()) == 50


@every_env
@pytest.mark.filterwarnings("ignore:.*(alternative render modes|not recommended|spec of the env).*:UserWarning")
def test_gymnasium_finds_nothing_to_complain_about(env_id):
    env = make(env_id, render_mode="rgb_array", **SMALL)
    check_env(env, skip_close_check=True)
    env.close()


@every_env
def test_the_interface_is_complete(env_id):
    env = make(env_id, **SMALL)
    assert env.task == env.task_description
    assert len(env.task.split()) >= 2
    assert 0 < env.control_dt <= 1
    assert env.embodiment
    assert len(env.versions) > 2, "the simulator is missing"
    observation, info = env.reset(seed=0)
    assert info["is_success"] is False
    assert env.observation_space.contains(observation)
    assert observation["agent_pos"].dtype == np.float32
    for camera in env.cameras:
        picture = observation["pixels"][camera]
        assert picture.shape == (32, 32, 3)
        assert picture.std() > 10, f"{camera} shows nothing"
    env.close()


@every_kind_of_env
def test_equal_seeds_give_equal_rollouts_whatever_came_before(env_id):
    env, other = make(env_id, **SMALL), make(env_id, image_size=32)
    first = rollout(env, seed=3, steps=50)
    observation, expert = other.reset(seed=8)[0], other.make_expert()
    other.render_pixels = False
    for _ in range(100):
        observation = other.step(expert(observation))[0]
    other.render_pixels = True
    assert_same(first, rollout(other, seed=3, steps=50))
    assert_same(first, rollout(env, seed=3, steps=50))
    env.close()
    other.close()


@every_env
def test_different_seeds_begin_differently(env_id):
    env = make(env_id, cameras=())
    starts = []
    for seed in (0, 1, 2):
        env.reset(seed=seed)
        starts.append(env.get_sim_state())
    assert not np.array_equal(starts[0], starts[1])
    assert not np.array_equal(starts[1], starts[2])


@every_task_and_kind_of_drive
def test_a_restored_state_continues_to_the_bit_here_and_in_a_fresh_env(env_id):
    env, fresh = make(env_id, **SMALL), make(env_id, **SMALL)
    expert = env.make_expert()
    observation, _ = env.reset(seed=5)
    for _ in range(25):
        observation = env.step(expert(observation))[0]
    state = env.get_sim_state()
    assert state.shape == (env.sim_state_size,)
    assert np.isfinite(state).all()
    first = continue_with_expert(env)
    for world in (env, fresh):
        world.set_sim_state(state)
        assert np.array_equal(world.get_sim_state(), state)
        assert_same(first, continue_with_expert(world))
        world.reset(seed=11)  # a different episode in between must leave no trace
        world.set_sim_state(state)
        assert_same(first, continue_with_expert(world))
    env.close()
    fresh.close()


def continue_with_expert(env):
    """Twenty further steps of the expert with fixed disturbances, from the present state."""
    rng, expert = np.random.default_rng(0), env.make_expert()
    observation = env.observe()
    trace = [(observation, 0.0, False)]
    for _ in range(20):
        noise = rng.normal(scale=0.2, size=env.action_space.shape)
        action = np.clip(expert(observation) + noise, -1, 1).astype(np.float32)
        observation, reward, _, _, info = env.step(action)
        trace.append((observation, reward, info["is_success"]))
    return trace


@every_task_and_kind_of_drive
def test_the_expert_succeeds(env_id):
    env = make(env_id, cameras=())
    expert = sims.expert(env)
    # Upstream's scripts lose the ball now and then in these; 16 to 19 of 20 seeds succeed (README).
    needed = 1 if env_id in ("MetaWorld-sweep-into-v3", "MetaWorld-soccer-v3", "MetaWorld-shelf-place-v3") else 2
    seeds, successes = range(10_000, 10_003), 0
    if env_id.startswith("Driving"):  # a drive takes seconds, and the planners' tests hold one of every family
        seeds, needed = seeds[:1], 1
    for seed in seeds:
        observation, info = env.reset(seed=seed)
        is_over = False
        while not (info["is_success"] or is_over):
            observation, _, _, is_over, info = env.step(expert(observation, env))
        successes += info["is_success"]
    assert successes >= needed


@every_kind_of_env
def test_play_stays_in_bounds_and_follows_its_own_random_stream(env_id):
    env = make(env_id, cameras=())
    runs = []
    for seed in (1, 1, 2):
        observation, _ = env.reset(seed=0)
        play, actions = env.make_play(np.random.default_rng(seed)), []
        for _ in range(60):
            actions.append(play(observation))
            observation = env.step(actions[-1])[0]
        runs.append(np.array(actions))
    assert np.array_equal(runs[0], runs[1])
    assert np.abs(runs[0] - runs[2]).max() > 0.1
    assert runs[0].std(axis=0).min() > 0.05


@pytest.mark.parametrize("env_id", [name for name in FAST if not name.startswith(("Driving", "Highway"))])
def test_the_arms_worlds_show_themselves_to_one_model_under_the_same_two_names(env_id):
    env = make(env_id, cameras=("main", "second"), image_size=16)
    pictures = env.reset(seed=0)[0]["pixels"]
    for role, name in zip(("main", "second"), env.main_views, strict=True):
        assert np.array_equal(pictures[role], env.render_frame(name, 16))
    assert not np.array_equal(pictures["main"], pictures["second"])


def test_an_env_without_cameras_gives_no_pictures():
    with gymnasium.make("sims:MetaWorld-reach-v3", cameras=()) as env:
        assert env.reset(seed=0)[0]["pixels"] == {}


def test_pictures_can_be_left_out_and_taken_up_again():
    env = make("MetaWorld-reach-v3", **SMALL)
    before = after = env.reset(seed=0)[0]
    env.render_pixels = False
    for _ in range(15):
        after = env.step(np.array([1, 1, 1, 0], np.float32))[0]
    assert np.array_equal(before["pixels"]["left"], after["pixels"]["left"])
    assert not np.array_equal(before["agent_pos"], after["agent_pos"])
    assert not np.array_equal(before["pixels"]["left"], env.observe()["pixels"]["left"])
    env.close()
