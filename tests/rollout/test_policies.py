"""A tiny model with random weights acting in real environments."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from unified.errors import UserError
from unified.model.batch import images_to_uint8
from unified.model.config import ClassSpec, ModelConfig
from unified.model.model import UnifiedModel
from unified.model.spec import DataSpec, Embodiment
from unified.rollout.episodes import Decision, Episode
from unified.rollout.policies import ModelPolicy, PlanPolicy, collate
from unified.rollout.rollout import run_episodes

SAWYER = Embodiment("metaworld", action_dim=4, proprio_dim=4, cameras=("corner2",), control_dt=0.0125)
CAR = Embodiment("car", action_dim=2, proprio_dim=6, cameras=("front", "corner2"), control_dt=0.1)
SPEC = DataSpec(
    embodiments=(CAR, SAWYER), cameras=("front", "corner2"), image_size=(32, 32), n_obs_steps=2, obs_stride=2
)


def make_model(spec: DataSpec = SPEC, std: float = 0.05) -> UnifiedModel:
    torch.manual_seed(0)
    config = ModelConfig(
        dim=32,
        depth=3,
        num_heads=1,
        decoders={
            "action": ClassSpec("decoders.actions.ActionDecoder"),
            "video": ClassSpec("decoders.pixels.PixelDecoder"),
        },
    )
    model = UnifiedModel(config, spec)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=std)  # outputs start at zero otherwise
    return model


def make_decision(index: int = 0, number: int = 0, value: int = 90) -> Decision:
    pixels = {"corner2": np.full((2, 32, 32, 3), value, np.uint8)}
    observation = {"pixels": pixels, "agent_pos": np.full((2, 4), 0.1 * index, np.float32)}
    return Decision(index, number, observation, "reach the goal", "metaworld", 4)


def test_a_decision_does_not_depend_on_what_else_is_in_the_batch():
    policy = ModelPolicy(make_model(), "metaworld", n_action_steps=3, num_steps=2)
    decisions, keys = [make_decision(index) for index in range(3)], [(7, 0), (8, 0), (9, 4)]
    together = policy.act(decisions, keys)
    alone = [policy.act([decision], [key])[0] for decision, key in zip(decisions, keys, strict=True)]
    assert together[0].shape == (3, 4)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_noise_is_the_same_for_the_same_seed_episode_and_decision_and_for_no_other():
    policy = ModelPolicy(make_model(), "metaworld", seed=0)
    base = policy.act([make_decision()], [(7, 0)])[0]
    np.testing.assert_array_equal(base, policy.act([make_decision()], [(7, 0)])[0])
    for other in ((8, 0), (7, 1)):
        assert not np.allclose(base, policy.act([make_decision()], [other])[0])
    assert not np.allclose(base, ModelPolicy(policy.model, "metaworld", seed=1).act([make_decision()], [(7, 0)])[0])


def test_a_small_largest_batch_gives_the_same_actions():
    model = make_model()
    decisions, keys = [make_decision(index) for index in range(5)], [(index, 0) for index in range(5)]
    whole = ModelPolicy(model, "metaworld").act(decisions, keys)
    np.testing.assert_allclose(whole, ModelPolicy(model, "metaworld", max_batch=2).act(decisions, keys), atol=1e-5)


def test_observations_reach_the_model_in_its_order_and_range():
    observation = collate([make_decision(1, value=255).observation], ["reach"], "metaworld", SPEC)
    assert observation.images.shape == (1, 2, 2, 3, 32, 32)
    assert observation.images[0, 1].unique().tolist() == [1.0]
    assert observation.camera_is_pad is not None
    assert observation.camera_is_pad.tolist() == [[True, False]]
    assert observation.proprio.tolist() == [[[pytest.approx(0.1)] * 4 + [0.0] * 2] * 2]
    assert observation.embodiment.tolist() == [1]
    both = replace(SPEC, embodiments=(SAWYER,), cameras=("corner2",))
    assert collate([make_decision().observation], ["reach"], "metaworld", both).camera_is_pad is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embodiment": "car"}, "moves 'metaworld', the environment is 'car'"),
        ({"action_dim": 7}, "takes 7 actions"),
        ({"observation": {"pixels": {}, "agent_pos": np.full((2, 4), np.nan, np.float32)}}, "not finite"),
    ],
)
def test_an_environment_that_does_not_fit_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        ModelPolicy(make_model(), "metaworld").act([replace(make_decision(), **change)], [(0, 0)])


def test_wrong_settings_are_refused():
    with pytest.raises(UserError, match="Did you mean 'metaworld'"):
        ModelPolicy(make_model(), "metaword")
    with pytest.raises(UserError, match=r"between 1 and the model's action_horizon \(8\), got 9"):
        ModelPolicy(make_model(), "metaworld", n_action_steps=9)


def test_a_model_acts_in_real_environments_the_same_way_with_any_workers():
    policy = ModelPolicy(make_model(), "metaworld")
    episodes = [Episode("sims:MetaWorld-reach-v3", seed) for seed in (10_000, 10_001, 10_002)]
    one = run_episodes(episodes, policy, num_workers=0, envs_per_worker=1, max_env_steps=8)
    two = run_episodes(episodes, policy, num_workers=2, max_env_steps=8)
    assert [result.env_return for result in one] == pytest.approx([result.env_return for result in two], abs=1e-4)
    assert one[0].metrics["decisions"] == 2


def test_a_plan_stands_beside_what_then_happened():
    spec = replace(SPEC, embodiments=(SAWYER,), cameras=("corner2",), num_frames=2, frame_stride=4)
    policy = PlanPolicy(make_model(spec), "metaworld")
    assert policy.needs.n_action_steps == 8
    episode = Episode("sims:MetaWorld-reach-v3", 10_000)
    run_episodes([episode], policy, num_workers=0, max_env_steps=25)
    pictures = policy.pictures[episode.key]
    assert len(pictures) == 3
    for (_, _, happened), (now, _, _) in zip(pictures, pictures[1:], strict=False):
        np.testing.assert_array_equal(happened, now)
    before, imagined, happened = pictures[0]
    assert before.shape == imagined.shape == happened.shape == (1, 32, 32, 3)
    assert not np.array_equal(before, happened), "the arm has moved"


def test_the_imagined_picture_is_the_last_frame_the_executed_actions_reach():
    spec = replace(SPEC, embodiments=(SAWYER,), cameras=("corner2",), num_frames=3, frame_stride=4)
    policy = PlanPolicy(make_model(spec), "metaworld")
    for number in (0, 1):
        decisions = [make_decision(number=number, value=20), make_decision(number=number, value=220)]
        policy.act(decisions, [(4, number), (5, number)])
    film = policy.answer([make_decision(value=220)], [(5, 0)], "joint")["video"]
    expected = images_to_uint8(film[0, 0, 1]).movedim(0, -1).numpy().astype(int)
    assert np.abs(policy.pictures[5][0][1][0] - expected).max() <= 1
    assert np.abs(policy.pictures[4][0][1][0] - expected).max() > 1


def test_a_plan_needs_actions_that_reach_the_picture():
    with pytest.raises(UserError, match="reaches"):
        PlanPolicy(make_model(replace(SPEC, frame_stride=16)), "metaworld")
