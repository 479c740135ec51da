"""The assembled model: every query, masks, mixtures of bodies, guidance, left-out streams."""

import dataclasses

import pytest
import torch

from tests.benchmarks.model import left_out_ratio
from tests.worlds import random_batch, small_config, small_spec
from unified.errors import UserError
from unified.model.config import ClassSpec, ModelConfig, build
from unified.model.model import UnifiedModel
from unified.model.queries import QUERIES
from unified.model.spec import DataSpec, Embodiment


@pytest.fixture
def model() -> UnifiedModel:
    torch.manual_seed(0)
    model = UnifiedModel(small_config(), small_spec()).eval()
    for name, parameter in model.named_parameters():
        if "decode_linear" in name:  # they start at zero, where nothing could be seen
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_answers_with_its_wanted_streams_only(model: UnifiedModel, query: str) -> None:
    batch = random_batch(model.spec)
    answer = model.sample(batch, query, num_steps=2, generator=torch.Generator().manual_seed(0))
    assert set(answer) == set(QUERIES[query].wanted)
    shapes = {"action": (3, 4, 4), "video": (3, 1, 2, 3, 16, 16)}
    for name, value in answer.items():
        assert value.shape == shapes[name]
    assert set(model.loss(batch, query)) == set(QUERIES[query].wanted)


def test_given_streams_matter_and_left_out_ones_do_not(model: UnifiedModel) -> None:
    batch = random_batch(model.spec)
    assert batch.action is not None
    assert batch.video is not None
    noise = {"video": torch.randn(3, 1, 2, 3, 16, 16)}
    film = model.sample(batch, "world_model", noise=noise)["video"]
    moved = dataclasses.replace(batch, action=batch.action + 1, video=batch.video + 1)
    assert not torch.allclose(model.sample(moved, "world_model", noise=noise)["video"], film)
    assert torch.equal(
        model.sample(moved, "video", noise=noise)["video"], model.sample(batch, "video", noise=noise)["video"]
    )


def test_left_out_streams_have_no_tokens(model: UnifiedModel) -> None:
    context = 1 + 4 + 1
    assert model.layout(("action",)).num_tokens == context + 4
    assert model.layout(("video",)).num_tokens == context + 8
    assert model.layout(("action", "video")).num_tokens == context + 12


def test_samples_of_a_batch_do_not_see_each_other(model: UnifiedModel) -> None:
    batch = random_batch(model.spec, size=4)
    noise = {"action": torch.randn(4, 4, 4)}
    together = model.sample(batch, "policy", noise=noise, num_steps=3)["action"]
    rows = torch.tensor([2, 0])
    alone = model.sample(batch.select(rows), "policy", noise={"action": noise["action"][rows]}, num_steps=3)["action"]
    torch.testing.assert_close(together[rows], alone)


def test_policy_learns_from_the_experts_action_and_not_from_play(model: UnifiedModel) -> None:
    batch = random_batch(model.spec)
    assert batch.action is not None
    draws = model.draw(3, torch.Generator().manual_seed(0))
    corrected = dataclasses.replace(batch, expert_action=batch.action + 0.5)
    swapped = dataclasses.replace(batch, action=batch.action + 0.5)
    torch.testing.assert_close(
        model.loss(corrected, "policy", draws)["action"], model.loss(swapped, "policy", draws)["action"]
    )
    torch.testing.assert_close(
        model.loss(corrected, "inverse_dynamics", draws)["action"],
        model.loss(batch, "inverse_dynamics", draws)["action"],
    )
    play = dataclasses.replace(batch, is_demonstration=torch.tensor([True, False, True]))
    loss = model.loss(play, "policy", draws)["action"]
    assert loss[1] == 0
    assert loss[0] > 0
    assert (model.loss(play, "inverse_dynamics", draws)["action"] > 0).all()


def test_queries_about_the_same_streams_may_share_a_pass(model: UnifiedModel) -> None:
    batch = random_batch(model.spec, size=6)
    draws = model.draw(6, torch.Generator().manual_seed(0))
    queries = [QUERIES[name] for name in ("world_model", "inverse_dynamics", "joint")]
    asked = torch.tensor([2, 0, 1, 0, 2, 1])
    mixed = model.mixed_loss(batch, queries, asked, draws)
    for place, query in enumerate(queries):
        rows = torch.nonzero(asked == place).flatten()
        alone = model.loss(batch.select(rows), query, draws.select(rows))
        for stream in ("action", "video"):
            expected = alone.get(stream, torch.zeros(len(rows)))
            torch.testing.assert_close(mixed[stream][rows], expected)


def test_padding_does_not_change_the_losses(model: UnifiedModel) -> None:
    batch = random_batch(model.spec)
    assert batch.action is not None
    assert batch.video is not None
    is_pad = torch.zeros(3, 4, dtype=torch.bool)
    is_pad[:, 3:] = True
    frame_is_pad = torch.tensor([[False, True]] * 3)
    masked = dataclasses.replace(batch, action_is_pad=is_pad, video_is_pad=frame_is_pad)
    draws = model.draw(3, torch.Generator().manual_seed(0))
    for name in draws.t:
        draws.t[name].fill_(1.0)  # pure noise: the network sees nothing of the padding either
    other = dataclasses.replace(masked, action=batch.action.clone(), video=batch.video.clone())
    assert other.action is not None
    assert other.video is not None
    other.action[:, 3:] += 7
    other.video[:, :, 1:] += 7
    for stream in ("action", "video"):
        torch.testing.assert_close(
            model.loss(masked, "joint", draws)[stream], model.loss(other, "joint", draws)[stream]
        )


def mixed_spec() -> DataSpec:
    bodies = (Embodiment("arm", 4, 3, ("front",), 0.1), Embodiment("car", 2, 1, ("front", "rear"), 0.05))
    return small_spec(embodiments=bodies, cameras=("front", "rear"))


def test_bodies_with_different_actions_and_cameras_share_a_batch() -> None:
    torch.manual_seed(0)
    spec = mixed_spec()
    model = UnifiedModel(small_config(), spec)
    batch = random_batch(spec, size=4)
    is_pad = torch.tensor([[False, True], [False, False], [False, True], [False, False]])
    observation = dataclasses.replace(batch.observation, embodiment=torch.tensor([0, 1, 0, 1]), camera_is_pad=is_pad)
    batch = dataclasses.replace(batch, observation=observation)
    losses = model.loss(batch, "joint", generator=torch.Generator().manual_seed(0))
    torch.stack([loss.sum() for loss in losses.values()]).sum().backward()
    actions = model.sample(batch, "policy", num_steps=2)["action"]
    assert (actions[1, :, 2:] == 0).all(), "the car has two actions"
    # What stands in the slot of a camera that a body lacks must not matter.
    images = observation.images.clone()
    images[0, 1] += 3
    changed = dataclasses.replace(batch, observation=dataclasses.replace(observation, images=images))
    draws = model.draw(4, torch.Generator().manual_seed(1))
    for stream in ("action", "video"):
        torch.testing.assert_close(
            model.loss(batch, "joint", draws)[stream][0], model.loss(changed, "joint", draws)[stream][0]
        )


def test_instructions_are_read_also_where_a_camera_is_missing() -> None:
    torch.manual_seed(0)
    spec = mixed_spec()
    options = {"num_buckets": 64, "word_dim": 16, "num_tokens": len(spec.cameras)}
    text = ClassSpec("decoders.observation.TextEncoder", options)
    model = UnifiedModel(small_config(text=text), spec)
    batch = random_batch(spec, size=2)
    is_pad = torch.tensor([[False, True], [False, True]])
    mask = model._mask(model.layout(("action",)), dataclasses.replace(batch.observation, camera_is_pad=is_pad))
    assert mask is not None
    assert mask[:, 0, model.layout(("action",)).slice("text")].all(), "as many words' tokens as cameras, all readable"
    assert not mask.all()


def test_stats_make_predictions_come_out_in_data_units(model: UnifiedModel) -> None:
    stats = {
        "arm": {
            "action": {"mean": [10.0] * 4, "std": [2.0] * 4},
            "observation.state": {"mean": [0.0] * 3, "std": [1.0, 1.0, 0.0]},
        }
    }
    batch = random_batch(model.spec)
    noise = {"action": torch.randn(3, 4, 4)}
    plain = model.sample(batch, "policy", noise=noise)["action"]
    model.set_stats(stats)
    torch.testing.assert_close(model.sample(batch, "policy", noise=noise)["action"], plain * 2 + 10)


def test_guidance_of_one_is_the_plain_answer_and_more_moves_along_the_instruction(model: UnifiedModel) -> None:
    batch = random_batch(model.spec)
    noise = {"action": torch.randn(3, 4, 4)}
    plain, weak, strong = (
        model.sample(batch, "policy", noise=noise, guidance=value)["action"] for value in (1.0, 1.5, 2.0)
    )
    torch.testing.assert_close(strong - plain, 2 * (weak - plain))
    assert not torch.allclose(plain, weak)


def test_instruction_and_its_withholding_change_the_answer(model: UnifiedModel) -> None:
    batch = random_batch(model.spec)
    noise = {"action": torch.randn(3, 4, 4)}
    other = dataclasses.replace(batch.observation, task=("something else",) * 3)
    assert not torch.allclose(
        model.sample(batch, "policy", noise=noise)["action"],
        model.sample(dataclasses.replace(batch, observation=other), "policy", noise=noise)["action"],
    )


def test_each_frame_may_carry_its_own_diffusion_time() -> None:
    decoders = {"video": ClassSpec("decoders.pixels.PixelDecoder", {"patch_size": 8, "time_per_frame": True})}
    model = UnifiedModel(small_config(decoders=decoders), small_spec())
    draws = model.draw(3, torch.Generator().manual_seed(0))
    assert draws.t["video"].shape == (3, 2)
    assert model.loss(random_batch(model.spec), "video", draws)["video"].isfinite().all()
    assert model.sample(random_batch(model.spec), "video", num_steps=2)["video"].shape == (3, 1, 2, 3, 16, 16)


def test_copy_gate_starts_from_the_last_frame() -> None:
    decoders = {"video": ClassSpec("decoders.pixels.PixelDecoder", {"patch_size": 8, "copy_gate": True})}
    model = UnifiedModel(small_config(decoders=decoders), small_spec())
    batch = random_batch(model.spec)
    film = model.sample(batch, "video")["video"]
    torch.testing.assert_close(film, 0.5 * batch.observation.images[:, :, -1:].expand_as(film))


def test_a_batch_can_be_learned_by_heart() -> None:
    torch.manual_seed(0)
    model = UnifiedModel(small_config(), small_spec())
    batch = random_batch(model.spec)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    draws = model.draw(3, torch.Generator().manual_seed(0))
    first, loss = 0.0, torch.zeros(())
    for _ in range(200):
        loss = torch.stack([part.mean() for part in model.loss(batch, "joint", draws).values()]).sum()
        first = first or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 * first


def test_unknown_names_are_met_with_the_nearest_right_one(model: UnifiedModel) -> None:
    batch = random_batch(model.spec)
    with pytest.raises(UserError, match="Did you mean 'world_model'"):
        model.sample(batch, "worldmodel")
    with pytest.raises(UserError, match="Did you mean 'action'"):
        model.sample(batch, wanted=["actions"])
    with pytest.raises(UserError, match="Did you mean 'depth'"):
        ModelConfig.from_dict({"depht": 3})
    with pytest.raises(UserError, match="Did you mean 'patch_size'"):
        build(ClassSpec("decoders.pixels.PixelDecoder", {"patchsize": 8}), dim=32, spec=small_spec())
    with pytest.raises(UserError, match="outside the trusted packages"):
        build(ClassSpec("os.system", {}), dim=32)
    encoder = ClassSpec("decoders.observation.ObservationEncoder", {"patch_size": 8, "width": 8})
    with pytest.raises(UserError, match="is no Decoder; it lacks decode, embed"):
        UnifiedModel(small_config(decoders={"video": encoder}), small_spec())
    normalizer = ClassSpec("decoders.actions.Normalizer", {"dims": [1], "width": 1})
    with pytest.raises(UserError, match="takes no dim, spec"):
        UnifiedModel(small_config(decoders={"video": normalizer}), small_spec())


def test_a_query_without_its_data_says_what_is_missing(model: UnifiedModel) -> None:
    batch = dataclasses.replace(random_batch(model.spec), action=None)
    with pytest.raises(UserError, match="needs actions"):
        model.sample(batch, "world_model")


def test_config_survives_a_round_trip_through_plain_data() -> None:
    config = small_config()
    assert ModelConfig.from_dict(config.to_dict()) == config
    spec = mixed_spec()
    assert DataSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.slow
def test_policy_costs_no_more_than_the_same_network_without_a_video_stream() -> None:
    # The best of three runs: a busy machine can only make a run look worse.
    assert min(left_out_ratio(rounds=30) for _ in range(3)) < 1.1
