"""The learned world as an environment: what Gymnasium demands, moments and what lies between, forks, batches."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env

from tests.worlds import small_config, small_model
from unified.errors import UserError
from unified.model.config import ClassSpec
from unified.model.model import UnifiedModel
from unified.model.spec import DataSpec, Embodiment
from unified.rollout.dreams.dream import Dream
from unified.rollout.dreams.env import DreamEnv, Dreams, DreamVectorEnv
from unified.rollout.environments import check_contract

REACH = "sims:MetaWorld-reach-v3"
COLUMN = "decoders.columns.ColumnDecoder"
JUDGES = {
    "reward": ClassSpec(COLUMN, {"column": "next.reward", "reduce": "sum"}),
    "success": ClassSpec(COLUMN, {"column": "next.success", "reduce": "any"}),
}


@pytest.fixture(scope="module")
def model() -> UnifiedModel:
    """Meta-World's body at 16 pixels; large random weights, so that everything counts."""
    return a_model()


def a_model(seed: int = 0, **judges: ClassSpec) -> UnifiedModel:
    body = Embodiment("metaworld", 4, 4, ("corner2",), 0.0125, {"next.reward": 1, "next.success": 1})
    spec = DataSpec((body,), ("corner2",), (16, 16), num_moments=4, frame_stride=2, action_horizon=4)
    config = small_config()
    return small_model(replace(config, decoders={**config.decoders, **(judges or JUDGES)}), spec, seed)


@pytest.fixture
def env(model: UnifiedModel) -> Any:
    env = DreamEnv(model, env=REACH)
    yield env
    env.close()


def actions_of(env: DreamEnv, count: int, seed: int = 0) -> np.ndarray:
    env.action_space.seed(seed)
    return np.stack([env.action_space.sample() for _ in range(count)])


def test_gymnasium_finds_no_fault(env: DreamEnv) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(WARN: Not able to test|spec|render modes).*")
        check_env(env, skip_render_check=True)
    check_contract(env, "a dream")


def test_a_moment_comes_with_the_reward_of_all_its_actions_and_nothing_changes_in_between(
    env: DreamEnv, model: UnifiedModel
) -> None:
    begun, _ = env.reset(seed=3)
    first, second = actions_of(env, 2)
    between, reward, _, _, info = env.step(first)
    assert not info["is_fresh"]
    assert reward == 0
    assert all(np.array_equal(between["pixels"][name], begun["pixels"][name]) for name in env.cameras)
    came, reward, terminated, truncated, info = env.step(second)
    assert info["is_fresh"]
    assert not terminated
    assert not truncated
    dream = Dream(model, env.start.batch, seed=3)
    answer = dream.step(torch.tensor(np.stack([first, second]))[None])
    assert reward == pytest.approx(float(answer["reward"]), abs=1e-5)
    assert info["success_probability"] == pytest.approx(float(answer["success"]), abs=1e-5)
    assert info["is_success"] == (float(answer["success"]) > env.threshold)
    np.testing.assert_allclose(came["agent_pos"], dream.present.at["observation.state"][0, 0], atol=1e-4)
    assert not np.array_equal(came["pixels"]["corner2"], begun["pixels"]["corner2"])


def test_the_start_is_the_environment_s_own(env: DreamEnv) -> None:
    begun, _ = env.reset(seed=11)
    starts: Any = env.starts
    real, _ = starts.env.reset(seed=11)
    np.testing.assert_array_equal(begun["pixels"]["corner2"], real["pixels"]["corner2"])
    np.testing.assert_allclose(begun["agent_pos"], real["agent_pos"], atol=1e-6)
    assert env.task == starts.env.unwrapped.task


def test_a_state_goes_on_to_the_bit_as_often_as_one_likes(env: DreamEnv, model: UnifiedModel) -> None:
    env.reset(seed=1)
    actions = actions_of(env, 12)
    for action in actions[:5]:  # between two moments
        env.step(action)
    state = env.get_sim_state()
    other = DreamEnv(model, env=REACH)

    def go_on(place: DreamEnv) -> list[Any]:
        return [place.step(action) for action in actions[5:]]

    went = go_on(env)
    for place in (env, other, other):
        place.set_sim_state(state)
        for (seen, *rest), (again, *others) in zip(went, go_on(place), strict=True):
            assert rest == others
            assert np.array_equal(seen["pixels"]["corner2"], again["pixels"]["corner2"])
            assert np.array_equal(seen["agent_pos"], again["agent_pos"])
    other.close()
    with pytest.raises(ValueError, match="no state of a dream of the same model"):
        DreamEnv(a_model(), env=REACH).set_sim_state(state)


def test_sixteen_dreams_are_imagined_in_one_call_also_when_they_began_at_different_times(
    model: UnifiedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, steps = 16, 20
    together = DreamVectorEnv([DreamEnv(model, env=REACH) for _ in range(rows)])
    together.envs[3].max_env_steps = 6  # begins anew while the others go on
    alone = [DreamEnv(model, env=REACH) for _ in (0, 3)]
    alone[1].max_env_steps = 6
    seen, _ = together.reset(seed=100)
    for row, env in zip((0, 3), alone, strict=True):
        env.reset(seed=100 + row)
    calls: list[int] = []
    answer = model.answer
    monkeypatch.setattr(model, "answer", lambda *a, **k: calls.append(len(a[2].embodiment)) or answer(*a, **k))
    ended = [False, False]
    for number in range(steps):
        actions = actions_of(together.envs[0], rows, seed=number)
        calls.clear()
        seen, rewards, _, truncated, infos = together.step(actions)
        if number == 1:
            assert calls == [rows]
        if number > 12:  # the window of the row that began anew is full, and it stands like the others
            assert sum(calls) in (0, 1, rows - 1, rows)
        for index, (row, env) in enumerate(zip((0, 3), alone, strict=True)):
            if ended[index]:
                observation, reward, is_over = env.reset()[0], 0.0, False
            else:
                observation, reward, _, is_over, info = env.step(actions[row])
                assert infos["is_fresh"][row] == info["is_fresh"]
            ended[index] = is_over
            assert truncated[row] == is_over
            assert rewards[row] == pytest.approx(reward, abs=1e-3)
            np.testing.assert_allclose(seen["agent_pos"][row], observation["agent_pos"], atol=1e-3)
    together.close()


def test_any_observation_of_the_body_can_be_the_start(env: DreamEnv) -> None:
    observation = env.observation_space.sample()
    begun, _ = env.reset(seed=0, options={"observation": observation, "task": "do as you are told"})
    np.testing.assert_array_equal(begun["pixels"]["corner2"], observation["pixels"]["corner2"])
    assert env.task == "do as you are told"
    assert env.start.reality is None


WRONG = [
    ({"observation": {"agent_pos": np.zeros(4, np.float32)}, "task": "x"}, "must be in the observation space"),
    ({"observation": {}}, "says nothing of the task"),
    ({"episode": 3}, "starts in an environment"),
    ({"speed": 3}, "reset knows the options"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_a_start_that_does_not_fit_is_refused(env: DreamEnv, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        env.reset(options=options)


@pytest.mark.parametrize("action", [np.full(4, 2.0), np.full(4, np.nan), np.zeros(3), np.array(["left"] * 4)])
def test_actions_that_nobody_can_do_are_refused(env: DreamEnv, action: Any) -> None:
    env.reset(seed=0)
    with pytest.raises(InvalidAction):
        env.step(action)


def test_an_episode_begins_with_reset_and_ends_where_it_was_told_to(model: UnifiedModel) -> None:
    env = DreamEnv(model, env=REACH, max_env_steps=3)
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(4, np.float32))
    env.reset(seed=0)
    ends = [env.step(action)[3] for action in actions_of(env, 3)]
    assert ends == [False, False, True]
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(4, np.float32))


def test_who_judges_nothing_is_refused_unless_asked_for(model: UnifiedModel) -> None:
    without = a_model(reward=JUDGES["reward"])
    with pytest.raises(UserError, match=r"does not imagine next\.success"):
        DreamEnv(without, env=REACH)
    env = DreamEnv(without, env=REACH, needs_judge=False)
    env.reset(seed=0)
    assert not env.step(np.zeros(4, np.float32))[4]["is_success"]
    with pytest.raises(UserError, match="one of them"):
        DreamEnv(model)


def test_a_policy_that_needs_other_pictures_or_looks_in_between_is_refused(model: UnifiedModel) -> None:
    dreams = Dreams(model)
    with pytest.raises(UserError, match="at 16 pixels"):
        dreams(REACH, {"cameras": ("corner2",), "image_size": 64})
    with pytest.raises(UserError, match="shows corner2"):
        dreams(REACH, {"cameras": ("corner3",), "image_size": 16})
