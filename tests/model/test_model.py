"""The assembled model: every query, mixtures of bodies, padding, guidance, what is not asked, what is refused."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.benchmarks.model import left_out_ratio
from tests.worlds import mixed_spec, random_batch, small_config, small_model, small_spec
from unified.errors import UserError
from unified.model.batch import Batch
from unified.model.config import ClassSpec, ModelConfig, build
from unified.model.model import Draws, Mix, UnifiedModel
from unified.model.queries import QUERIES, Query
from unified.model.spec import ACTION, DataSpec

MIXES = (("policy", "world_model", "inverse_dynamics"), ("policy", "joint"), ("video",))


@pytest.fixture
def model() -> UnifiedModel:
    return small_model()


def mixes_of(model: UnifiedModel, *names: Sequence[str]) -> list[Mix]:
    return [tuple(model.query(name) for name in mix) for mix in names]


def draw(model: UnifiedModel, size: int, seed: int = 0) -> Draws:
    return model.draw([(seed, row) for row in range(size)])


def pure_noise(draws: Draws) -> Draws:
    return replace(draws, t={name: torch.ones_like(t) for name, t in draws.t.items()})


def losses(model: UnifiedModel, batch: Batch, *queries: str, draws: Draws | None = None) -> dict[str, Tensor]:
    """The errors of one mix, all rows asked it."""
    asked = torch.zeros(len(batch), dtype=torch.long)
    errors = model.loss(batch, mixes_of(model, queries), asked, draws or draw(model, len(batch)))
    return {name: error for name, (error, _) in errors.items()}


def ask(model: UnifiedModel, batch: Batch, query: Query | str, seed: int = 0, **options: Any) -> dict[str, Tensor]:
    """An answer from noise that is the same for the same rows."""
    noise = draw(model, len(batch), seed).noise
    start = {name: noise[name][:, 0] for name in model.query(query).wanted}
    return model.sample(batch, query, noise=start, **options)


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_answers_with_its_wanted_streams_only(model: UnifiedModel, query: str) -> None:
    batch = random_batch(model.spec)
    answer = model.sample(batch, query, num_steps=2, generator=torch.Generator().manual_seed(0))
    assert set(answer) == set(model.query(query).wanted)
    shapes = {"plan": (3, 4, 4), "action": (3, 2, 4), "video": (3, 1, 3, 16, 16), "proprio": (3, 3)}
    for name, value in answer.items():
        assert value.shape == shapes[name]
    assert {name: error.shape for name, error in losses(model, batch, query).items()} == {
        name: (3, 3 if name == "plan" else 2) for name in answer
    }


@pytest.mark.parametrize("query", QUERIES)
def test_by_default_the_last_step_is_asked_about_of_which_all_that_is_given_is_known(
    model: UnifiedModel, query: str
) -> None:
    batch, now = random_batch(model.spec), 1 if QUERIES[query].given else 2
    for name, value in ask(model, batch, query).items():
        assert torch.equal(value, ask(model, batch, query, now=now)[name])
        assert not torch.allclose(value, ask(model, batch, query, now=now - 1)[name], atol=1e-3)


def test_what_no_row_is_asked_has_no_tokens(model: UnifiedModel) -> None:
    lengths: list[int] = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    batch = random_batch(model.spec)
    for queries in (("policy",), ("world_model",), ("policy", "world_model")):
        losses(model, batch, *queries)
    timeline = (1 + 2) + 3 * (4 + 1) + 2  # words and registers, moments of four patches and proprio, two commands
    plans, films = 3 * 4, 2 * (4 + 1)
    assert lengths == [timeline + plans, timeline + films, timeline + plans + films]
    lengths.clear()
    model.sample(batch, "policy")
    model.sample(batch, "policy", num_steps=2)
    seen = (1 + 2) + (4 + 1)
    assert lengths == [seen + 4, 4, 4], "at once; or what it asks for, since what it sees is there already"


def test_samples_of_a_batch_do_not_see_each_other(model: UnifiedModel) -> None:
    batch, rows = random_batch(model.spec, size=4), torch.tensor([2, 0])
    noise = {"plan": torch.randn(4, 4, 4)}
    together = model.sample(batch, "policy", noise=noise, num_steps=3)["plan"]
    alone = model.sample(batch.select(rows), "policy", noise={"plan": noise["plan"][rows]}, num_steps=3)["plan"]
    torch.testing.assert_close(together[rows], alone)


def test_a_rows_draws_do_not_depend_on_the_other_rows(model: UnifiedModel) -> None:
    every, some = (model.draw([(7, row) for row in rows]) for rows in ([0, 1, 2, 3], [2, 3]))
    for name, noise in some.noise.items():
        assert torch.equal(every.noise[name][2:], noise)
        assert torch.equal(every.t[name][2:], some.t[name])


def test_rows_are_asked_different_queries_in_one_pass(model: UnifiedModel) -> None:
    batch, draws, mixes = random_batch(model.spec, size=5), draw(model, 5), mixes_of(model, *MIXES)
    asked = torch.tensor([0, 1, 2, 1, 0])
    together = model.loss(batch, mixes, asked, draws)
    alone = [losses(model, batch, *names, draws=draws) for names in MIXES]
    for row, mix in enumerate(asked.tolist()):
        for name, (error, is_known) in together.items():
            assert bool(is_known[row].all()) == bool(is_known[row].any()) == (name in alone[mix])
            expected = alone[mix][name][row] if name in alone[mix] else torch.zeros_like(error[row])
            torch.testing.assert_close(error[row], expected, rtol=0, atol=1e-5)


def test_plans_are_learned_from_the_expert_actions_from_what_was_done_and_play_teaches_no_plan(
    model: UnifiedModel,
) -> None:
    batch, draws = random_batch(model.spec), draw(model, 3)
    queries = ("policy", "inverse_dynamics")
    plain = losses(model, batch, *queries, draws=draws)
    corrected = losses(model, replace(batch, ahead={ACTION: batch.ahead[ACTION] + 0.5}), *queries, draws=draws)
    assert torch.equal(corrected["action"], plain["action"])
    assert (corrected["plan"] != plain["plan"]).all()
    disturbed = losses(model, replace(batch, between={ACTION: batch.between[ACTION] + 0.5}), *queries, draws=draws)
    assert torch.equal(disturbed["plan"], plain["plan"])
    assert (disturbed["action"] != plain["action"]).all()
    play = losses(model, replace(batch, is_demonstration=torch.tensor([True, False, True])), *queries, draws=draws)
    assert torch.equal(play["action"], plain["action"])
    assert torch.equal(play["plan"], plain["plan"] * torch.tensor([1.0, 0.0, 1.0])[:, None])


def test_padding_of_any_kind_changes_no_error(model: UnifiedModel) -> None:
    batch, other = random_batch(model.spec, size=5), random_batch(model.spec, size=5, seed=8)
    is_past = torch.zeros(5, 3, dtype=torch.bool)
    is_past[:, -1] = True
    ahead_is_pad = torch.zeros(5, 3, 4, dtype=torch.bool)
    ahead_is_pad[:, 1, 2:] = ahead_is_pad[:, 2] = True
    batch = replace(batch, moment_is_pad=is_past, ahead_is_pad=ahead_is_pad, stride=torch.tensor([2, 1, 2, 1, 2]))
    is_beyond = torch.arange(2) >= batch.stride[:, None]  # pyright: ignore[reportOptionalSubscript]
    is_unknown = (is_past[:, 1:, None] | is_beyond[:, None])[..., None]
    lost = replace(
        batch,
        images=torch.where(is_past[..., None, None, None, None], other.images, batch.images),
        at={name: torch.where(is_past[..., None], other.at[name], batch.at[name]) for name in batch.at},
        between={ACTION: torch.where(is_unknown, other.between[ACTION], batch.between[ACTION])},
        ahead={ACTION: torch.where(ahead_is_pad[..., None], other.ahead[ACTION], batch.ahead[ACTION])},
    )
    draws = pure_noise(draw(model, 5))  # nothing of what is unknown is seen through the noise
    queries = ("policy", "world_model", "inverse_dynamics")
    one, two = (losses(model, window, *queries, draws=draws) for window in (batch, lost))
    for name, error in one.items():
        assert torch.isfinite(error).all()
        assert (error[:, -1] == 0).all()
        assert (error[:, 0] > 0).all()
        torch.testing.assert_close(error, two[name], rtol=0, atol=1e-5)


def test_bodies_with_different_actions_cameras_and_rates_share_a_batch() -> None:
    model = small_model(spec=mixed_spec())
    batch = replace(random_batch(model.spec, size=4), embodiment=torch.tensor([0, 1, 0, 1]))
    is_pad = torch.tensor([[False, True], [False, False], [False, True], [False, False]])
    batch = replace(batch, camera_is_pad=is_pad, stride=torch.tensor([2, 2, 1, 1]))
    assert (ask(model, batch, "policy")["plan"][1, :, 2:] == 0).all(), "the car has two actions"
    # What stands in the slot of a camera that a body lacks must not matter, and a body may have no camera at all.
    changed = replace(batch, images=torch.where(is_pad[:, None, :, None, None, None], 3.0, batch.images))
    draws = pure_noise(draw(model, 4))
    for queries in MIXES:
        one, two = (losses(model, window, *queries, draws=draws) for window in (batch, changed))
        for stream, error in one.items():
            torch.testing.assert_close(error, two[stream])
    blind = replace(batch, camera_is_pad=torch.ones(4, 2, dtype=torch.bool))
    for query in QUERIES:
        one, two = (ask(model, window, query) for window in (blind, replace(blind, images=-batch.images)))
        for stream in {*one} - {"video"}:
            assert torch.isfinite(one[stream]).all()
            assert torch.equal(one[stream], two[stream])


def test_instructions_are_read_also_where_a_camera_is_missing() -> None:
    text = ClassSpec("decoders.observation.TextEncoder", {"num_buckets": 64, "word_dim": 16, "num_tokens": 2})
    model = small_model(small_config(text=text), mixed_spec())
    batch = replace(random_batch(model.spec), camera_is_pad=torch.tensor([[False, True]] * 3))
    told = replace(batch, task=("something else",) * 3)
    assert not torch.allclose(ask(model, batch, "policy")["plan"], ask(model, told, "policy")["plan"], atol=1e-3)


def test_an_instruction_is_withheld_from_a_row_in_all_that_it_is_asked_and_from_no_other(model: UnifiedModel) -> None:
    batch = random_batch(model.spec)
    draws = replace(draw(model, 3), no_text=torch.tensor([True, False, True]))
    told = replace(batch, task=("something else",) * 3)
    for queries in MIXES:
        one, two = (losses(model, window, *queries, draws=draws) for window in (batch, told))
        for stream, error in one.items():
            assert torch.equal(error[draws.no_text], two[stream][draws.no_text])
            assert (error[~draws.no_text] != two[stream][~draws.no_text]).all()


def test_stats_make_predictions_come_out_in_data_units(model: UnifiedModel) -> None:
    action = {"mean": [10.0] * 4, "std": [2.0] * 4}
    state = {"mean": [0.0] * 3, "std": [1.0, 1.0, 0.0]}
    batch = random_batch(model.spec)
    plain = ask(model, batch, "policy")["plan"]
    model.set_stats({"arm": {"action": action, "observation.state": state}})
    torch.testing.assert_close(ask(model, batch, "policy")["plan"], plain * 2 + 10)


def test_guidance_of_one_is_the_plain_answer_and_more_moves_along_the_instruction(model: UnifiedModel) -> None:
    batch = random_batch(model.spec)
    default, plain, weak, strong = (
        ask(model, batch, "policy", 0, **options)["plan"]
        for options in ({}, {"guidance": 1.0}, {"guidance": 1.5}, {"guidance": 2.0})
    )
    assert torch.equal(default, plain)
    torch.testing.assert_close(strong - plain, 2 * (weak - plain), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(plain, weak, atol=1e-3)


def test_in_bfloat16_answers_are_the_same_but_for_its_rounding(model: UnifiedModel) -> None:
    batch = random_batch(model.spec)
    plain = losses(model, batch, *MIXES[0])
    with torch.autocast("cpu", torch.bfloat16):
        rounded = losses(model, batch, *MIXES[0])
        answer = ask(model, batch, "world_model")
    for name, error in plain.items():
        assert rounded[name].dtype == torch.float32
        torch.testing.assert_close(rounded[name], error, rtol=0.1, atol=0.05)
    for name, value in ask(model, batch, "world_model").items():
        torch.testing.assert_close(answer[name], value, rtol=0, atol=0.1 * value.std().item())


def test_a_batch_can_be_learned_by_heart_and_every_weight_takes_part() -> None:
    torch.manual_seed(0)
    model = UnifiedModel(small_config(gradient_checkpointing=True), small_spec())
    batch, draws = random_batch(model.spec), draw(model, 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    course: list[float] = []
    for _ in range(30):
        loss = torch.stack([error.mean() for error in losses(model, batch, *MIXES[0], draws=draws).values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        course.append(loss.item())
    assert course[-1] < 0.3 * course[0]
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_unknown_names_are_met_with_the_nearest_right_one(model: UnifiedModel) -> None:
    batch = random_batch(model.spec)
    with pytest.raises(UserError, match="Did you mean 'world_model'"):
        model.sample(batch, "worldmodel")
    with pytest.raises(UserError, match="Did you mean 'action'"):
        model.sample(batch, Query("mine", wanted=("actions",)))
    with pytest.raises(UserError, match="observd"):
        Query.from_dict("policy", {"observd": ["video"]})
    with pytest.raises(UserError, match="Did you mean 'depth'"):
        ModelConfig.from_dict({"depht": 3})
    with pytest.raises(UserError, match="Did you mean 'patch_size'"):
        build(ClassSpec("decoders.pixels.PixelDecoder", {"patchsize": 8}), dim=32, spec=small_spec())
    with pytest.raises(UserError, match="outside the trusted packages"):
        build(ClassSpec("os.system", {}), dim=32)
    encoder = ClassSpec("decoders.observation.ObservationEncoder", {"patch_size": 8, "width": 8})
    with pytest.raises(UserError, match="is no Decoder; it lacks columns, decode, embed"):
        UnifiedModel(small_config(decoders={"video": encoder}), small_spec())
    normalizer = ClassSpec("decoders.vectors.Normalizer", {"dims": [1], "width": 1})
    with pytest.raises(UserError, match="takes no dim, spec"):
        UnifiedModel(small_config(decoders={"video": normalizer}), small_spec())


def test_questions_that_cannot_be_answered_say_what_is_missing(model: UnifiedModel) -> None:
    batch = random_batch(model.spec)
    with pytest.raises(UserError, match="both given and wanted"):
        Query("odd", given=("action",), wanted=("action",))
    with pytest.raises(UserError, match="at moment 3 of 3: there is no such step"):
        model.sample(batch, "video", now=3)
    with pytest.raises(UserError, match="is given action of the step after moment 2, and it is not known"):
        model.sample(batch, "world_model", now=2)
    with pytest.raises(UserError, match="is given video, proprio of the step after moment 2, and it is not known"):
        model.sample(batch, "inverse_dynamics", now=2)
    with pytest.raises(UserError, match="needs the column 'action'"):
        model.sample(replace(batch, between={}), "world_model")
    decoders = {name: spec for name, spec in small_config().decoders.items() if name in ("plan", "action")}
    imagines_nothing = UnifiedModel(small_config(decoders=decoders), small_spec())
    with pytest.raises(UserError, match="wants the next moment, and this model has no stream of it"):
        imagines_nothing.query("world_model")


def test_config_survives_a_round_trip_through_plain_data() -> None:
    config = small_config()
    assert ModelConfig.from_dict(config.to_dict()) == config
    spec = mixed_spec()
    assert DataSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.slow
def test_policy_costs_no_more_than_the_same_network_without_a_video_stream() -> None:
    # The best of three runs: a busy machine can only make a run look worse.
    assert min(left_out_ratio(rounds=30) for _ in range(3)) < 1.1
