"""A tiny model with random weights acting in real environments."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from unified.errors import UserError
from unified.model.batch import Batch, images_to_uint8
from unified.model.config import ModelConfig
from unified.model.model import UnifiedModel
from unified.model.queries import Query
from unified.model.spec import ACTION, PROPRIO, DataSpec, Embodiment
from unified.model.stored.history import History, SourceHistory
from unified.rollout.episodes import Decision, Episode
from unified.rollout.policies import ModelPolicy, PlanPolicy, collate, load_model
from unified.rollout.rollout import run_episodes

SAWYER = Embodiment("metaworld", action_dim=4, proprio_dim=4, cameras=("corner2",), control_dt=0.0125)
CAR = Embodiment("car", action_dim=2, proprio_dim=6, cameras=("front", "corner2"), control_dt=0.1)
SPEC = DataSpec((CAR, SAWYER), ("front", "corner2"), (32, 32), num_moments=4, frame_stride=4)
STRIDE = 2  # the arm's own


def make_model(spec: DataSpec = SPEC, std: float = 0.2) -> UnifiedModel:
    """Weights large enough that every path counts."""
    torch.manual_seed(0)
    model = UnifiedModel(ModelConfig(dim=32, depth=3, num_heads=1), spec)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=std)
    return model


def trained(**queries: dict[str, Any]) -> UnifiedModel:
    """One that knows which queries it was trained on, and on what body's stride."""
    model = make_model()
    source = SourceHistory("", "metaworld", "metaworld", ("corner2",), STRIDE, {}, {})
    model.history = History({name: Query.from_dict(name, query) for name, query in queries.items()}, (source,))
    return model


SEES_ALL = {"history": None, "past_actions": True}


def make_decision(number: int = 0, moments: int = 1, seed: int = 0) -> Decision:
    rng = np.random.default_rng([seed, moments])
    pixels = {"corner2": rng.integers(0, 256, (moments, 32, 32, 3), np.uint8)}
    observation = {"pixels": pixels, "agent_pos": rng.normal(size=(moments, 4)).astype(np.float32)}
    executed = rng.uniform(-1, 1, (moments - 1, STRIDE, 4)).astype(np.float32)
    return Decision(seed, number, observation, executed, "reach the goal", "metaworld", 4)


DECISIONS = [make_decision(moments=moments, seed=seed) for seed, moments in enumerate([4, 1, 3, 4, 2])]
KEYS = [(7 + seed, 0) for seed in range(5)]


@pytest.mark.parametrize("query", [{}, SEES_ALL])
def test_a_decision_does_not_depend_on_what_else_is_in_the_batch(query: dict[str, Any]):
    policy = ModelPolicy(trained(policy=query), "metaworld", n_action_steps=3, num_steps=2)
    decisions = DECISIONS if query else [make_decision(seed=seed) for seed in range(5)]
    together = policy.act(decisions, KEYS)
    alone = [policy.act([decision], [key])[0] for decision, key in zip(decisions, KEYS, strict=True)]
    assert together[0].shape == (3, 4)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    small = ModelPolicy(policy.model, "metaworld", n_action_steps=3, num_steps=2, max_batch=2)
    np.testing.assert_allclose(together, small.act(decisions, KEYS), atol=1e-5)


def test_the_noise_is_the_same_for_the_same_seed_episode_and_decision_and_for_no_other():
    policy = ModelPolicy(trained(policy={}), "metaworld", seed=0)
    base = policy.act([make_decision()], [(7, 0)])[0]
    np.testing.assert_array_equal(base, policy.act([make_decision()], [(7, 0)])[0])
    for other in ((8, 0), (7, 1)):
        assert not np.allclose(base, policy.act([make_decision()], [other])[0])
    assert not np.allclose(base, ModelPolicy(policy.model, "metaworld", seed=1).act([make_decision()], [(7, 0)])[0])


def test_a_policy_that_was_trained_to_look_back_is_shown_what_training_shows():
    """The same numbers as the model gives for the window that training would cut at that moment."""
    policy = ModelPolicy(trained(policy=SEES_ALL), "metaworld", n_action_steps=8, num_steps=2)
    assert (policy.needs.history, policy.needs.stride) == (3, STRIDE)
    for decision in DECISIONS:
        executed = torch.zeros(1, decision.num_moments - 1, 4, 4)
        executed[:, :, :STRIDE] = torch.from_numpy(decision.executed)
        pictures = torch.zeros(1, decision.num_moments, 2, 3, 32, 32)
        pictures[:, :, 1] = torch.from_numpy(decision.observation["pixels"]["corner2"]).movedim(-1, 1) / 127.5 - 1
        proprio = torch.nn.functional.pad(torch.from_numpy(decision.observation["agent_pos"])[None], (0, 2))
        window = Batch(
            images=pictures,
            at={PROPRIO: proprio},
            between={ACTION: executed},
            embodiment=torch.tensor([1]),
            task=("reach the goal",),
            stride=torch.tensor([STRIDE]),
            camera_is_pad=torch.tensor([[True, False]]),
        )
        noise = {"plan": policy._noise("plan", (7, 0))[None]}
        expected = policy.model.sample(window, "policy", num_steps=2, noise=noise)["plan"][0]
        (chunk,) = policy.act([decision], [(7, 0)])
        np.testing.assert_allclose(chunk, expected, atol=1e-4)


@pytest.mark.parametrize("part", ["pixels", "agent_pos", "executed", "fewer"])
def test_everything_that_a_policy_is_shown_of_the_past_counts(part: str):
    policy = ModelPolicy(trained(policy=SEES_ALL), "metaworld")
    one, two = make_decision(moments=4), make_decision(moments=4)
    if part == "pixels":
        two.observation["pixels"]["corner2"][0] = 0
    elif part == "agent_pos":
        two.observation["agent_pos"][0] = 0
    elif part == "executed":
        two.executed[0] = 0
    else:
        pixels = {"corner2": two.observation["pixels"]["corner2"][1:]}
        observation = {"pixels": pixels, "agent_pos": two.observation["agent_pos"][1:]}
        two = replace(two, observation=observation, executed=two.executed[1:])
    assert not np.allclose(*policy.act([one, two], [(7, 0), (7, 0)]), atol=1e-3)


@pytest.mark.parametrize(
    ("query", "history"),
    [({}, 0), ({"history": None}, 3), ({"history": 2}, 2), ({"history": 9}, 3), ({"wanted": ["plan", "video"]}, 0)],
)
def test_a_policy_looks_as_far_back_as_it_was_trained_to(query: dict[str, Any], history: int):
    assert ModelPolicy(trained(policy=query), "metaworld").needs.history == history


def test_a_step_that_ends_in_a_window_has_one_moment_fewer_before_it():
    assert PlanPolicy(trained(joint={}), "metaworld").needs.history == 2


def test_observations_reach_the_model_in_its_order_and_range():
    decision = make_decision(moments=3)
    decision.observation["pixels"]["corner2"][:] = 255
    batch = collate([decision, decision], "metaworld", SPEC, STRIDE)
    assert batch.images.shape == (2, 3, 2, 3, 32, 32)
    assert batch.images[:, :, 1].unique().tolist() == [1.0]
    assert batch.camera_is_pad is not None
    assert batch.stride is not None
    assert batch.camera_is_pad.tolist() == [[True, False]] * 2
    np.testing.assert_array_equal(batch.at[PROPRIO][0, :, :4], decision.observation["agent_pos"])
    np.testing.assert_array_equal(batch.between[ACTION][0, :, :STRIDE], decision.executed)
    assert not batch.at[PROPRIO][0, :, 4:].any()
    assert batch.between[ACTION].shape == (2, 2, 4, 4)
    assert not batch.between[ACTION][:, :, STRIDE:].any()
    assert batch.embodiment.tolist() == [1, 1]
    assert batch.stride.tolist() == [STRIDE, STRIDE]
    own = replace(SPEC, embodiments=(SAWYER,), cameras=("corner2",), frame_stride=STRIDE)
    batch = collate([make_decision()], "metaworld", own, STRIDE)
    assert (batch.camera_is_pad, batch.stride, batch.between) == (None, None, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embodiment": "car"}, "moves 'metaworld', the environment is 'car'"),
        ({"action_dim": 7}, "takes 7 actions"),
        ({"observation": {"pixels": {}, "agent_pos": np.full((1, 4), np.nan, np.float32)}}, "not finite"),
    ],
)
def test_an_environment_that_does_not_fit_is_refused(change: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        ModelPolicy(trained(policy={}), "metaworld").act([replace(make_decision(), **change)], [(0, 0)])


def test_wrong_settings_are_refused():
    model = trained(policy={})
    with pytest.raises(UserError, match="Did you mean 'metaworld'"):
        ModelPolicy(model, "metaword")
    with pytest.raises(UserError, match=r"between 1 and the model's action_horizon \(8\), got 9"):
        ModelPolicy(model, "metaworld", n_action_steps=9)
    with pytest.raises(UserError, match="'policy' was not trained: this checkpoint learned joint"):
        ModelPolicy(trained(joint={}), "metaworld")


@pytest.mark.parametrize("query", [{"wanted": ["action"]}, {"given": ["next"]}])
def test_a_policy_that_was_trained_on_another_question_is_refused(query: dict[str, Any]):
    with pytest.raises(UserError, match="'policy' of this checkpoint wants .* must want plan, given nothing"):
        ModelPolicy(trained(policy=query), "metaworld")


def test_a_model_acts_in_real_environments_the_same_way_with_any_workers():
    policy = ModelPolicy(trained(policy=SEES_ALL), "metaworld")
    episodes = [Episode("sims:MetaWorld-reach-v3", seed) for seed in (10_000, 10_001, 10_002)]
    one = run_episodes(episodes, policy, num_workers=0, envs_per_worker=1, max_env_steps=8)
    two = run_episodes(episodes, policy, num_workers=2, max_env_steps=8)
    assert [result.env_return for result in one] == pytest.approx([result.env_return for result in two], abs=1e-4)
    assert one[0].metrics["decisions"] == 2


def test_a_plan_stands_beside_what_then_happened():
    policy = PlanPolicy(trained(joint={}), "metaworld")
    assert policy.needs.n_action_steps == STRIDE
    episode = Episode("sims:MetaWorld-reach-v3", 10_000)
    run_episodes([episode], policy, num_workers=0, max_env_steps=7)
    pictures = policy.pictures[episode.key]
    assert len(pictures) == 3
    for (_, _, happened), (now, _, _) in zip(pictures, pictures[1:], strict=False):
        np.testing.assert_array_equal(happened, now)
    before, imagined, happened = pictures[0]
    assert before.shape == imagined.shape == happened.shape == (1, 32, 32, 3)
    assert not np.array_equal(before, happened), "the arm has moved"


def test_a_plan_is_one_answer_its_commands_and_the_picture_after_them():
    policy = PlanPolicy(trained(joint={}), "metaworld", num_steps=2)
    first, second = DECISIONS[1:3], [make_decision(1, 2, seed=5), make_decision(1, 3, seed=6)]
    chunks = policy.act(first, [(4, 0), (5, 0)])
    policy.act(second, [(4, 1), (5, 1)])
    answer = policy.answer(first[1:], [(5, 0)])
    np.testing.assert_allclose(chunks[1], answer["action"][0, :STRIDE], atol=1e-5)
    expected = images_to_uint8(answer["video"][0, 1]).movedim(0, -1).numpy().astype(int)
    assert np.abs(policy.pictures[5][0][1][0] - expected).max() <= 1
    assert np.abs(policy.pictures[4][0][1][0] - expected).max() > 1
    np.testing.assert_array_equal(policy.pictures[5][0][2][0], second[1].observation["pixels"]["corner2"][-1])


def test_a_plan_without_a_picture_is_refused():
    with pytest.raises(UserError, match="--plans 0"):
        PlanPolicy(trained(joint={"wanted": ["action", "proprio"]}), "metaworld")


def test_a_plan_may_reach_further_than_the_actions_of_a_policy():
    policy = PlanPolicy(make_model(replace(SPEC, frame_stride=16)), "metaworld")
    assert policy.needs.n_action_steps == 16


def test_a_policy_in_bfloat16_is_the_same_but_for_rounding():
    model, decisions = trained(policy=SEES_ALL), DECISIONS
    exact, rounded = (ModelPolicy(model, "metaworld", bf16=bf16).act(decisions, KEYS) for bf16 in (False, True))
    assert not np.array_equal(exact, rounded)
    np.testing.assert_allclose(exact, rounded, atol=0.1 * np.abs(exact).max())


def test_a_checkpoint_of_a_training_that_describes_another_model_is_refused_by_name(tmp_path):
    model, path = trained(policy={}), tmp_path / "step.ckpt"
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    stored = {
        "hyper_parameters": {"spec": SPEC.to_dict(), "network": model.config.to_dict()},
        "state_dict": weights,
        "history": model.history.to_dict(),
    }
    torch.save(stored, path)
    loaded = load_model(path)
    assert loaded.history == model.history
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    stored["hyper_parameters"]["spec"]["n_obs_steps"] = 1
    torch.save(stored, path)
    with pytest.raises(UserError, match=r"step.ckpt: .*n_obs_steps"):
        load_model(path)
