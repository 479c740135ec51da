"""The timeline: training's one pass and answering from what is kept agree, and nothing of the future leaks."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.worlds import mixed_spec, random_batch, small_config, small_model
from unified.model.answers import Shown
from unified.model.batch import Batch
from unified.model.config import ClassSpec
from unified.model.model import Draws, UnifiedModel
from unified.model.network.sequence import INSTRUCTION, MOMENT
from unified.model.queries import QUERIES, Query
from unified.model.spec import ACTION
from unified.model.stream import Present

MOMENTS, ROWS = 4, 5


def a_model() -> UnifiedModel:
    """Two bodies of unlike rates and cameras, feature points, and pictures that are partly copied."""
    config = small_config()
    observation = {"patch_size": 8, "width": 8, "keypoints": 4, "changes": 16}
    decoders = {
        **config.decoders,
        "plan": ClassSpec("decoders.actions.PlanDecoder", {"actions_per_token": 4}),
        "video": ClassSpec("decoders.pixels.PixelDecoder", {"patch_size": 8, "copy_gate": True}),
    }
    encoder = ClassSpec("decoders.observation.ObservationEncoder", observation)
    spec = mixed_spec(num_moments=MOMENTS, frame_stride=4, action_horizon=8)
    return small_model(replace(config, observation=encoder, decoders=decoders), spec)


def a_batch(seed: int = 1, moments: int = MOMENTS) -> Batch:
    return random_batch(mixed_spec(frame_stride=4, action_horizon=8), ROWS, seed, moments)


def pure_noise(model: UnifiedModel, seed: int = 0) -> Draws:
    draws = model.draw([(seed, row) for row in range(ROWS)])
    return replace(draws, t={name: torch.ones_like(t) for name, t in draws.t.items()})


def predictions(model: UnifiedModel, batch: Batch, query: Query, draws: Draws) -> dict[str, Tensor]:
    """What one training pass predicts, by stream: (batch element *event)."""
    made: dict[str, Tensor] = {}

    def watch(name: str, decode: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def watched(tokens: Tensor, present: Present) -> Tensor:
            made[name] = decode(tokens, present).unflatten(0, (len(batch), -1))
            return made[name].flatten(0, 1)

        return watched

    for name in query.wanted:
        vars(model.decoders[name])["decode"] = watch(name, model.decoders[name].decode)  # pyright: ignore[reportArgumentType]
    try:
        with torch.no_grad():
            model.loss(batch, [(query,)], torch.zeros(len(batch), dtype=torch.long), draws)
    finally:
        for name in query.wanted:
            del vars(model.decoders[name])["decode"]
    return made


def spliced(first: Batch, then: Batch, moment: int) -> Batch:
    """One window up to a moment, another from it on."""

    def joined(one: Tensor, other: Tensor) -> Tensor:
        return torch.cat([one[:, :moment], other[:, moment:]], dim=1)

    return replace(
        first,
        images=joined(first.images, then.images),
        at={name: joined(column, then.at[name]) for name, column in first.at.items()},
        between={name: joined(column, then.between[name]) for name, column in first.between.items()},
    )


def as_answered(model: UnifiedModel, batch: Batch, now: int, stream: str, prediction: Tensor, noise: Tensor) -> Tensor:
    """A prediction from pure noise as one denoise step makes an answer of it."""
    clean = noise - prediction if model.decoder(stream).predicts == "velocity" else prediction
    return model.decoder(stream).to_data(clean, Present(batch.images[:, now], batch.embodiment, batch.camera_is_pad))


def close(one: Tensor, other: Tensor, within: float = 1e-5) -> bool:
    return torch.allclose(one, other, rtol=0, atol=within)


@pytest.mark.parametrize("stride", [None, torch.tensor([4, 3, 2, 4, 1])], ids=["as the spec says", "of their own"])
@pytest.mark.parametrize("name", QUERIES)
def test_what_is_kept_answers_as_the_training_pass_does(name: str, stride: Tensor | None) -> None:
    model, batch = a_model(), replace(a_batch(), stride=stride)
    query, draws = model.query(name), pure_noise(model)
    trained = predictions(model, batch, query, draws)
    for now in range(MOMENTS - 1):
        noise = {stream: draws.noise[stream][:, now] for stream in query.wanted}
        answer = model.sample(batch, query, now, noise=noise)
        for stream in query.wanted:
            expected = as_answered(model, batch, now, stream, trained[stream][:, now], noise[stream])
            torch.testing.assert_close(answer[stream], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["policy", "world_model", "video", "joint"])
def test_no_query_sees_a_later_moment(name: str) -> None:
    model, batch = a_model(), a_batch()
    query, draws = model.query(name), pure_noise(model)
    same, moved = (predictions(model, w, query, draws) for w in (batch, spliced(batch, a_batch(seed=2), 2)))
    for stream in query.wanted:
        torch.testing.assert_close(same[stream][:, :2], moved[stream][:, :2], rtol=0, atol=1e-5)
        assert not close(same[stream][:, -1], moved[stream][:, -1], 1e-3)


def test_a_policy_sees_neither_the_past_nor_what_was_executed() -> None:
    model, batch, other = a_model(), a_batch(), a_batch(seed=3)
    query, draws = model.query("policy"), pure_noise(model)
    changed = replace(spliced(other, batch, 2), between=other.between)
    same, moved = (predictions(model, window, query, draws)["plan"] for window in (batch, changed))
    torch.testing.assert_close(same[:, 2:], moved[:, 2:], rtol=0, atol=1e-5)
    assert not close(same[:, :2], moved[:, :2], 1e-3)


@pytest.mark.parametrize(
    ("name", "sees_past", "sees_present"),
    [
        ("policy", False, False),
        ("inverse_dynamics", False, False),
        ("joint", True, False),
        ("video", True, False),
        ("world_model", True, True),
    ],
)
def test_the_executed_commands_are_hidden_from_whoever_shall_find_them(
    name: str, sees_past: bool, sees_present: bool
) -> None:
    model, batch, draws = a_model(), a_batch(), pure_noise(a_model())
    told, query = a_batch(seed=4).between[ACTION], model.query(name)
    plain = predictions(model, batch, query, draws)
    for step, is_seen in ((1, sees_past), (2, sees_present)):
        between = batch.between[ACTION].clone()
        between[:, step] = told[:, step]
        moved = predictions(model, replace(batch, between={ACTION: between}), query, draws)
        for stream in query.wanted:
            assert close(plain[stream][:, 2], moved[stream][:, 2]) != is_seen, (stream, step)


def test_a_stream_that_is_not_observed_says_nothing_even_through_the_others() -> None:
    model, batch = a_model(), a_batch()
    query = model.query(Query("by_sight", given=("video",), wanted=("action",), observed=("video",), history=1))
    noise = {"action": pure_noise(model).noise["action"][:, 1]}
    other = replace(batch, at=a_batch(seed=5).at)
    seen, unseen = (model.sample(window, query, 1, noise=noise)["action"] for window in (batch, other))
    torch.testing.assert_close(seen, unseen, rtol=0, atol=1e-6)


def test_a_change_is_seen_by_whoever_asks_for_changes_and_sees_both_of_its_moments() -> None:
    plain, model, batch = a_model(), a_model(), a_batch()
    with torch.no_grad():
        for name in ("images_change", "proprio_change"):
            model.positions.kinds[f"{MOMENT}_{name}"].add_(5.0)
    noise = {name: values[:, 1] for name, values in pure_noise(model).noise.items()}
    film = Query("film", wanted=("video",), changes=True)
    expected = {
        "policy": False,
        "world_model": False,
        "inverse_dynamics": True,
        "inverse_by_sight": True,
        film: True,
        replace(film, history=0): False,
    }
    for query, is_seen in expected.items():
        for stream, value in model.sample(batch, query, 1, noise=noise).items():
            assert close(value, plain.sample(batch, query, 1, noise=noise)[stream], 1e-4) != is_seen, (query, stream)


def test_a_query_sees_no_further_back_than_its_history() -> None:
    model, draws = a_model(), pure_noise(a_model())
    query = model.query(Query("short", wanted=("video",), history=1))
    batch, noise = a_batch(), {"video": draws.noise["video"][:, 2]}
    earlier, later = (spliced(a_batch(seed=5), batch, moment) for moment in (1, 2))
    expected = model.sample(batch, query, 2, noise=noise)["video"]
    torch.testing.assert_close(model.sample(earlier, query, 2, noise=noise)["video"], expected, rtol=0, atol=1e-6)
    assert not close(model.sample(later, query, 2, noise=noise)["video"], expected, 1e-3)


def test_what_is_kept_of_a_moment_knows_neither_the_instruction_nor_other_moments() -> None:
    model, batch = a_model(), a_batch()
    told = replace(spliced(a_batch(seed=2), batch, 2), task=("something else",) * ROWS)
    kept, other = (
        [item for item in model.remember(window) if item.part.moment == 2 or item.part.role == INSTRUCTION]
        for window in (batch, told)
    )
    for one, two in zip(kept, other, strict=True):
        is_told_or_compared = one.part.role == INSTRUCTION or one.part.segment.is_change
        assert close(one.past, two.past, 1e-6) != is_told_or_compared
    # So an instruction may change while what was seen is kept.
    query, noise = model.query("world_model"), pure_noise(model).noise
    start = {name: noise[name][:, 2] for name in query.wanted}
    present = Present(batch.images[:, 2], batch.embodiment, batch.camera_is_pad)
    edited = [model.remember(told)[0], *model.remember(batch)[1:]]
    fresh = model.sample(replace(batch, task=told.task), query, 2, noise=start)
    for name, value in model.answer(edited, query, present, 2, noise=start).items():
        torch.testing.assert_close(value, fresh[name], rtol=0, atol=1e-5)


def test_an_answer_depends_on_how_long_ago_things_were_in_seconds_and_on_nothing_else_of_time() -> None:
    model, batch = a_model(), replace(a_batch(), stride=torch.full((ROWS,), 2))
    slow = copy.deepcopy(model)
    slow.get_buffer("_control_dt")[1] *= 2  # the car's alone
    is_car = batch.embodiment == 1
    query = model.query(Query("film", wanted=("video",), past_actions=False))
    noise = {"video": pure_noise(model).noise["video"][:, 2]}
    answer = model.sample(batch, query, 2, noise=noise)["video"]
    halved = replace(batch, stride=torch.where(is_car, 1, 2))
    torch.testing.assert_close(slow.sample(halved, query, 2, noise=noise)["video"], answer, rtol=0, atol=1e-5)
    for other in (slow.sample(batch, query, 2, noise=noise), model.sample(halved, query, 2, noise=noise)):
        torch.testing.assert_close(other["video"][~is_car], answer[~is_car], rtol=0, atol=1e-5)
        assert not close(other["video"][is_car], answer[is_car], 1e-4)


def test_an_anchor_counts_as_one_stride_before_the_window_however_long_ago_it_was() -> None:
    model, batch = a_model(), a_batch()
    kept = model.remember(batch)
    later = [
        replace(item, part=replace(item.part, moment=item.part.moment + 50 * (item.part.moment > 0))) for item in kept
    ]
    query, noise = model.query("world_model"), pure_noise(model).noise
    present = Present(batch.images[:, 2], batch.embodiment, batch.camera_is_pad)
    start = {name: noise[name][:, 2] for name in query.wanted}
    near = model.answer(kept, query, present, 2, noise=start)
    far = model.answer(later, query, present, 52, noise=start)
    for name in query.wanted:
        torch.testing.assert_close(near[name], far[name], rtol=0, atol=1e-6)


def test_a_hundred_steps_with_a_cache_equal_recomputation_when_moments_are_evicted() -> None:
    model = a_model()
    long = a_batch(seed=6, moments=101)
    query, window, anchor = replace(model.query("world_model"), changes=True), 8, 1
    kept: list[Shown] = []
    for now in range(100):
        step = {name: column[:, now : now + 1] for name, column in long.between.items()}
        before = long.window(now - 1, now - 1) if now else None
        kept += model.remember(replace(long.window(now, now), between=step), first=now, before=before)
        kept = within(kept, now, window, anchor)
        if now % 33:
            continue
        present = Present(long.images[:, now], long.embodiment, long.camera_is_pad)
        noise = {
            name: torch.randn(ROWS, *model.decoder(name).event_shape(), generator=torch.Generator().manual_seed(now))
            for name in query.wanted
        }
        oldest = max(anchor, now + 1 - window)
        recomputed = [*model.remember(long.window(0, anchor)), *model.remember(long.window(oldest, now + 1), oldest)]
        recomputed = within(recomputed, now, window, anchor)
        cached, fresh = (model.answer(shown, query, present, now, noise=noise) for shown in (kept, recomputed))
        moved = model.answer([exchanged(item, now - 1, now - 2) for item in kept], query, present, now, noise=noise)
        for name in query.wanted:
            torch.testing.assert_close(cached[name], fresh[name], rtol=0, atol=1e-5)
            if now > window:  # the check can fail: in another order it is another answer
                assert not close(cached[name], moved[name])


def within(kept: list[Shown], now: int, window: int, anchor: int) -> list[Shown]:
    def is_seen(moment: int) -> bool:
        return 0 <= moment < anchor or now - window < moment <= now

    return [
        item
        for item in kept
        if is_seen(item.part.moment) and (not item.part.segment.is_change or is_seen(item.part.moment - 1))
    ]


def exchanged(item: Shown, one: int, other: int) -> Shown:
    moment = {one: other, other: one}.get(item.part.moment, item.part.moment)
    return replace(item, part=replace(item.part, moment=moment))


def test_how_noisy_a_moment_is_said_to_be_stays_with_the_moment() -> None:
    model, batch = a_model(), a_batch()
    query, noise = model.query("video"), torch.randn(batch.images.shape, generator=torch.Generator().manual_seed(0))
    level = torch.zeros(ROWS, MOMENTS)
    level[:, 1] = 0.3
    draws = replace(pure_noise(model), history=level, history_noise=noise)
    trained = predictions(model, batch, query, draws)
    noisy = replace(batch, images=batch.images + level[:, :, None, None, None, None] * noise, between={})
    kept = [
        *model.remember(noisy.window(0, 0)),
        *model.remember(noisy.window(1, 1), first=1, history=0.3, before=noisy.window(0, 0)),
        *model.remember(noisy.window(2, 2), first=2, before=noisy.window(1, 1)),
    ]
    query = replace(query, past_actions=False)
    trained = predictions(model, batch, query, draws)
    for now in (1, 2):
        start = {stream: draws.noise[stream][:, now] for stream in query.wanted}
        present = Present(batch.images[:, now], batch.embodiment, batch.camera_is_pad)
        answer = model.answer(kept, query, present, now, noise=start)
        for stream in query.wanted:
            expected = as_answered(model, batch, now, stream, trained[stream][:, now], start[stream])
            torch.testing.assert_close(answer[stream], expected, rtol=0, atol=1e-5)


def test_what_a_dream_needs_of_the_next_moment_is_imagined_and_not_carried_over() -> None:
    model, batch = a_model(), a_batch()
    shown = {segment.stream for segment in model.observation.segments()}
    assert shown <= set(model.query("world_model").wanted)
    still = replace(batch, at={name: column[:, :1].expand(-1, MOMENTS, -1) for name, column in batch.at.items()})
    noise = {name: pure_noise(model).noise[name][:, 1] for name in model.query("world_model").wanted}
    imagined = model.sample(still, "world_model", 1, noise=noise)["proprio"]
    assert not close(imagined[0], still.at["observation.state"][0, 1], 1e-2)


def test_training_goes_on_from_what_the_model_imagined_as_a_dream_does() -> None:
    model, batch = a_model(), replace(a_batch(), ahead={}, ahead_is_pad=None)
    noise = {name: part.clone() for name, part in pure_noise(model).noise.items()}
    rounds = torch.tensor([0, 1, 2, 3, 3])
    imagined = model._imagined(batch, replace(pure_noise(model), noise=noise, rounds=rounds))
    query = model.query("world_model")
    shown = batch
    for number in range(3):  # the same, moment by moment
        answers = {
            now: model.sample(shown, query, now, noise={name: noise[name][:, now] for name in query.wanted})
            for now in range(MOMENTS - 1)
        }
        images, proprio = shown.images.clone(), shown.at["observation.state"].clone()
        for now, answer in answers.items():
            images[:, now + 1], proprio[:, now + 1] = answer["video"], answer["proprio"]
        is_there = ~batch.camera_is_pad[:, None, :, None, None, None]  # pyright: ignore[reportOptionalSubscript]
        goes_on = rounds > number
        images = torch.where(goes_on[:, None, None, None, None, None] & is_there, images, shown.images)
        proprio = torch.where(goes_on[:, None, None], proprio, shown.at["observation.state"])
        shown = replace(shown, images=images, at={"observation.state": proprio})
    torch.testing.assert_close(imagined.images, shown.images, rtol=0, atol=1e-5)
    torch.testing.assert_close(imagined.at["observation.state"], shown.at["observation.state"], rtol=0, atol=1e-5)
    assert torch.equal(imagined.images[0], batch.images[0])
    assert not close(imagined.images[4, 1:], batch.images[4, 1:], 1e-2)


def test_own_rollouts_leave_every_weight_its_gradient_in_mixed_precision() -> None:
    model, batch = a_model(), a_batch()
    asked = torch.zeros(ROWS, dtype=torch.long)
    mixes = [tuple(model.query(name) for name in ("policy", "world_model", "inverse_dynamics"))]
    draws = replace(model.draw([(0, row) for row in range(ROWS)]), rounds=torch.full((ROWS,), 2))
    with torch.autocast("cpu", torch.bfloat16):
        errors = model.loss(batch, mixes, asked, draws)
    torch.stack([error.mean() for error, _ in errors.values()]).sum().backward()
    without = {name for name, weight in model.named_parameters() if weight.grad is None}
    assert without <= {"no_text"}, without


def test_which_rows_go_on_by_themselves_is_drawn_from_their_keys() -> None:
    config = replace(a_model().config, own_rollouts=0.5)
    model = UnifiedModel(config, a_model().spec)
    rounds = model.draw([(0, row) for row in range(200)]).rounds
    assert 60 < int((rounds > 0).sum()) < 140
    assert set(rounds.tolist()) == {0, *range(1, MOMENTS)}
    assert torch.equal(model.draw([(0, 7)]).rounds, rounds[7:8])
