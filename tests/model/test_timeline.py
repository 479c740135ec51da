"""The timeline model: training's one pass and answering from what is kept agree, and nothing of the future leaks."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from unified.errors import UserError
from unified.model.answers import Shown
from unified.model.batch import Batch
from unified.model.config import ClassSpec, ModelConfig
from unified.model.model import Draws, UnifiedModel
from unified.model.network.backbone import UViT
from unified.model.queries import QUERIES, Query
from unified.model.spec import ACTION, PROPRIO, DataSpec, Embodiment
from unified.model.stream import Present

MOMENTS, ROWS = 4, 5


def a_model() -> UnifiedModel:
    """Two bodies of unlike rates and cameras; weights large enough that every path counts."""
    torch.manual_seed(0)
    arm, car = Embodiment("arm", 4, 7, ("a",), 0.0125), Embodiment("car", 2, 3, ("a", "b"), 0.1)
    spec = DataSpec((arm, car), ("a", "b"), (16, 16), num_moments=MOMENTS)
    config = ModelConfig(
        dim=32,
        depth=3,
        num_heads=2,
        num_registers=2,
        observation=ClassSpec("decoders.observation.ObservationEncoder", {"patch_size": 8, "width": 8, "keypoints": 4}),
        text=ClassSpec("decoders.observation.TextEncoder", {"num_buckets": 64, "word_dim": 16}),
        decoders={
            "plan": ClassSpec("decoders.actions.PlanDecoder", {"actions_per_token": 4}),
            "action": ClassSpec("decoders.actions.ActionDecoder"),
            "video": ClassSpec("decoders.pixels.PixelDecoder", {"patch_size": 8, "copy_gate": True}),
            "proprio": ClassSpec("decoders.proprio.ProprioDecoder"),
        },
    )
    model = UnifiedModel(config, spec)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def a_batch(seed: int = 1, moments: int = MOMENTS) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(ROWS, *shape, generator=generator)

    kinds = torch.arange(ROWS) % 2
    return Batch(
        images=draw(moments, 2, 3, 16, 16).clamp(-1, 1),
        at={PROPRIO: draw(moments, 7)},
        between={ACTION: draw(moments - 1, 4, 4)},
        ahead={ACTION: draw(moments, 8, 4)},
        embodiment=kinds,
        task=tuple("open it" if kind else "close it" for kind in kinds.tolist()),
        camera_is_pad=torch.tensor([[False, True], [False, False]])[kinds],
    )


def pure_noise(model: UnifiedModel, seed: int = 0) -> Draws:
    draws = model.draw([(seed, row) for row in range(ROWS)])
    return dataclasses.replace(draws, t={name: torch.ones_like(t) for name, t in draws.t.items()})


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


def known_at(batch: Batch, now: int, query: Query) -> Batch:
    """What is known of a window when the query is asked at this moment, and no more."""
    needs_next = bool({"video", "proprio"} & set(query.given))
    known = batch.window(0, now + needs_next)
    steps = now + (ACTION in query.given)
    return dataclasses.replace(known, between={ACTION: batch.between[ACTION][:, :steps]} if steps else {})


def as_velocity(model: UnifiedModel, name: str, prediction: Tensor, noise: Tensor) -> Tensor:
    return prediction if model.decoder(name).predicts == "velocity" else noise - prediction


@pytest.mark.parametrize("name", QUERIES)
def test_what_is_kept_answers_as_the_training_pass_does(name: str) -> None:
    model, batch = a_model(), a_batch()
    query, draws = model.query(name), pure_noise(model)
    trained = predictions(model, batch, query, draws)
    for now in range(MOMENTS - 1):
        noise = {stream: draws.noise[stream][:, now] for stream in query.wanted}
        known = known_at(batch, now, query)
        answer = model.sample(known, query, now=now, noise=noise)
        present = Present(batch.images[:, now], batch.embodiment, batch.camera_is_pad)
        for stream in query.wanted:
            clean = noise[stream] - as_velocity(model, stream, trained[stream][:, now], noise[stream])
            expected = model.decoder(stream).to_data(clean, present)
            torch.testing.assert_close(answer[stream], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["policy", "world_model", "video", "joint"])
def test_no_query_sees_a_later_moment(name: str) -> None:
    model, batch = a_model(), a_batch()
    query, draws = model.query(name), pure_noise(model)
    other = a_batch(seed=2)
    changed = dataclasses.replace(
        batch,
        images=torch.cat([batch.images[:, :2], other.images[:, 2:]], dim=1),
        at={PROPRIO: torch.cat([batch.at[PROPRIO][:, :2], other.at[PROPRIO][:, 2:]], dim=1)},
        between={ACTION: torch.cat([batch.between[ACTION][:, :2], other.between[ACTION][:, 2:]], dim=1)},
    )
    same, moved = (predictions(model, window, query, draws) for window in (batch, changed))
    noisy = {name for name in query.wanted if model.decoder(name).where == "next"}
    for stream in query.wanted:
        # What is asked at moment 1 is pure noise, so nothing of what it predicts may come from after it.
        torch.testing.assert_close(same[stream][:, :2], moved[stream][:, :2], rtol=0, atol=1e-5)
        assert not torch.allclose(same[stream][:, -1], moved[stream][:, -1], atol=1e-3) or stream not in noisy


def test_a_policy_sees_neither_the_past_nor_what_was_executed() -> None:
    model, batch = a_model(), a_batch()
    query, draws, other = model.query("policy"), pure_noise(model), a_batch(seed=3)
    changed = dataclasses.replace(
        batch,
        images=torch.cat([other.images[:, :2], batch.images[:, 2:]], dim=1),
        at={PROPRIO: torch.cat([other.at[PROPRIO][:, :2], batch.at[PROPRIO][:, 2:]], dim=1)},
        between=other.between,
    )
    same, moved = (predictions(model, window, query, draws)["plan"] for window in (batch, changed))
    torch.testing.assert_close(same[:, 2:], moved[:, 2:], rtol=0, atol=1e-5)
    assert not torch.allclose(same[:, :2], moved[:, :2], atol=1e-3)


def test_the_commands_of_the_present_step_are_hidden_from_whoever_is_asked_for_them() -> None:
    model, batch = a_model(), a_batch()
    draws = pure_noise(model)
    other = dataclasses.replace(batch, between=a_batch(seed=4).between)
    for name, sees_the_last in [("inverse_dynamics", False), ("joint", False), ("video", False), ("world_model", True)]:
        query = model.query(name)
        stream = query.wanted[0]
        last = 1 if name == "inverse_dynamics" else 0
        first = dataclasses.replace(batch.window(0, last), between={ACTION: batch.between[ACTION][:, :1]})
        told = dataclasses.replace(first, between={ACTION: other.between[ACTION][:, :1]})
        noise = {wanted: draws.noise[wanted][:, 0] for wanted in query.wanted}
        one, two = (model.sample(window, query, now=0, noise=noise)[stream] for window in (first, told))
        assert torch.allclose(one, two, atol=1e-5) != sees_the_last, name


def test_inverse_dynamics_sees_no_commands_of_the_past_either() -> None:
    model, batch = a_model(), a_batch()
    noise = {ACTION: pure_noise(model).noise[ACTION][:, 1]}
    told = dataclasses.replace(batch, between=a_batch(seed=9).between)
    one, two = (model.sample(window, "inverse_dynamics", now=1, noise=noise)[ACTION] for window in (batch, told))
    torch.testing.assert_close(one, two, rtol=0, atol=1e-6)


def test_an_anchor_counts_as_one_stride_before_the_window_however_long_ago_it_was() -> None:
    model, batch = a_model(), a_batch()
    kept = model.remember(batch)
    later = [
        dataclasses.replace(
            item, part=dataclasses.replace(item.part, moment=item.part.moment + 50 * (item.part.moment > 0))
        )
        for item in kept
    ]
    query, noise = model.query("world_model"), pure_noise(model).noise
    present = Present(batch.images[:, 2], batch.embodiment, batch.camera_is_pad)
    start = {name: noise[name][:, 2] for name in query.wanted}
    near = model.answer(kept, query, present, 2, noise=start)
    far = model.answer(later, query, present, 52, noise=start)
    for name in query.wanted:
        torch.testing.assert_close(near[name], far[name], rtol=0, atol=1e-6)


def test_a_stream_that_is_not_observed_says_nothing_even_through_the_others() -> None:
    model, batch = a_model(), a_batch()
    query = model.query(Query("by_sight", given=("video",), wanted=("action",), observed=("video",), history=1))
    noise = {"action": pure_noise(model).noise["action"][:, 1]}
    other = dataclasses.replace(batch, at=a_batch(seed=5).at)
    seen, unseen = (model.sample(window, query, now=1, noise=noise)["action"] for window in (batch, other))
    torch.testing.assert_close(seen, unseen, rtol=0, atol=1e-6)


def test_a_hundred_steps_with_a_cache_equal_recomputation_when_moments_are_evicted() -> None:
    model = a_model()
    long = a_batch(seed=6, moments=101)
    query, window, anchor = model.query("world_model"), 8, 1
    kept = model.remember(long.window(0, 0))
    for now in range(100):
        known = dataclasses.replace(long.window(now, now), between={ACTION: long.between[ACTION][:, now : now + 1]})
        if now:
            kept += [item for item in model.remember(known, first=now) if item.part.moment == now]
        else:
            kept += [item for item in model.remember(known) if item.part.segment.name == ACTION]
        kept = within(kept, now, window, anchor)
        if now % 33 and now != 99:
            continue
        present = Present(long.images[:, now], long.embodiment, long.camera_is_pad)
        noise = {
            name: torch.randn(ROWS, *model.decoder(name).event_shape(), generator=torch.Generator().manual_seed(now))
            for name in query.wanted
        }
        cached = model.answer(kept, query, present, now, noise=noise)
        fresh = model.answer(recomputed(model, long, now, window, anchor), query, present, now, noise=noise)
        moved = model.answer([exchanged(item, now - 1, now - 2) for item in kept], query, present, now, noise=noise)
        for name in query.wanted:
            torch.testing.assert_close(cached[name], fresh[name], rtol=0, atol=1e-5)
            if now > window:  # the check can fail: in another order it is another answer
                assert not torch.allclose(cached[name], moved[name], rtol=0, atol=1e-5)


def within(kept: list[Shown], now: int, window: int, anchor: int) -> list[Shown]:
    return [item for item in kept if item.part.moment < anchor or item.part.moment > now - window]


def exchanged(item: Shown, one: int, other: int) -> Shown:
    moment = {one: other, other: one}.get(item.part.moment, item.part.moment)
    return dataclasses.replace(item, part=dataclasses.replace(item.part, moment=moment))


def recomputed(model: UnifiedModel, long: Batch, now: int, window: int, anchor: int) -> list[Shown]:
    """The same moments and commands, computed together and not one after the other."""
    whole = dataclasses.replace(long.window(0, now), between={ACTION: long.between[ACTION][:, : now + 1]})
    return within(model.remember(whole), now, window, anchor)


def test_a_rows_draws_do_not_depend_on_the_other_rows() -> None:
    model = a_model()
    all_rows, some = (model.draw([(7, row) for row in rows]) for rows in ([0, 1, 2, 3], [2, 3]))
    for name, noise in some.noise.items():
        assert torch.equal(all_rows.noise[name][2:], noise)
        assert torch.equal(all_rows.t[name][2:], some.t[name])


def test_padding_of_any_kind_changes_no_error_and_gives_no_nan() -> None:
    model, batch = a_model(), a_batch()
    is_pad = torch.zeros(ROWS, MOMENTS, dtype=torch.bool)
    is_pad[:, -1] = True
    stride = torch.tensor([4, 3, 2, 4, 1])
    batch = dataclasses.replace(batch, moment_is_pad=is_pad, stride=stride)
    other = a_batch(seed=8)
    lost = dataclasses.replace(
        batch,
        images=torch.cat([batch.images[:, :-1], other.images[:, -1:]], dim=1),
        at={PROPRIO: torch.cat([batch.at[PROPRIO][:, :-1], other.at[PROPRIO][:, -1:]], dim=1)},
        between={ACTION: torch.cat([batch.between[ACTION][:, :-1], other.between[ACTION][:, -1:]], dim=1)},
    )
    mix = tuple(model.query(name) for name in ("policy", "world_model", "inverse_dynamics"))
    draws, asked = pure_noise(model), torch.zeros(ROWS, dtype=torch.long)
    with torch.no_grad():
        one, two = (model.loss(window, [mix], asked, draws) for window in (batch, lost))
    for name, (error, is_known) in one.items():
        assert torch.isfinite(error).all()
        if name != "plan":
            assert not is_known[:, -1].any()
            torch.testing.assert_close(error, two[name][0], rtol=0, atol=1e-5)


def test_rows_are_asked_different_queries_in_one_pass() -> None:
    model, batch, draws = a_model(), a_batch(), pure_noise(a_model())
    mixes = [tuple(model.query(name) for name in names) for names in (("policy", "world_model"), ("policy", "joint"))]
    with torch.no_grad():
        both = model.loss(batch, mixes, torch.tensor([0, 1, 0, 1, 0]), draws)
        alone = [model.loss(batch, [mix], torch.zeros(ROWS, dtype=torch.long), draws) for mix in mixes]
    for row, mix in enumerate([0, 1, 0, 1, 0]):
        for name, (error, is_known) in both.items():
            if name in alone[mix]:
                torch.testing.assert_close(error[row], alone[mix][name][0][row], rtol=0, atol=1e-5)
            else:
                assert not is_known[row].any()


def test_guidance_of_one_is_none_and_more_follows_the_instruction() -> None:
    model, batch = a_model(), a_batch()
    noise = {"plan": pure_noise(model).noise["plan"][:, 0]}
    plain, same, more = (
        model.sample(batch.window(0, 0), "policy", noise=noise, guidance=value)["plan"] for value in (1.0, 1.0, 3.0)
    )
    assert torch.equal(plain, same)
    assert not torch.allclose(plain, more, atol=1e-3)


def test_questions_that_cannot_be_asked_are_refused_by_name() -> None:
    model = a_model()
    with pytest.raises(UserError, match="depth"):
        model.query(Query("far", wanted=("depth",)))
    with pytest.raises(UserError, match="both given and wanted"):
        Query("odd", given=("action",), wanted=("action",))
    with pytest.raises(UserError, match="observd"):
        Query.from_dict("policy", {"observd": ["video"]})
    with pytest.raises(UserError, match="no such step"):
        model.sample(a_batch(), "world_model", now=MOMENTS)


def test_backbone_asked_for_few_tokens_or_told_of_a_past_gives_the_same() -> None:
    torch.manual_seed(0)
    backbone = UViT(32, 5, 2).eval()
    tokens, seconds = torch.randn(2, 6, 32), torch.arange(6)[None] / 10
    mask = torch.ones(6, 6, dtype=torch.bool)
    mask[:4] = torch.eye(6, dtype=torch.bool)[:4]
    t, groups = torch.zeros(2, 1), torch.zeros(6, dtype=torch.long)
    whole = backbone(tokens, t, groups, mask[None], seconds)[:, 4:]
    torch.testing.assert_close(backbone(tokens, t, groups, mask[None], seconds, num_asked=2), whole)
    past = backbone.keys_values(tokens[:, :4], t, groups[:4], mask[None, :4, :4])
    torch.testing.assert_close(backbone(tokens[:, 4:], t, groups[4:], None, seconds, past=past), whole)
    # Moments matter, and only relative to each other.
    assert not torch.allclose(backbone(tokens, t, groups, mask[None], 2 * seconds)[:, 4:], whole, atol=1e-4)
    torch.testing.assert_close(backbone(tokens, t, groups, mask[None], seconds + 1)[:, 4:], whole, rtol=0, atol=1e-4)


def test_everything_learns() -> None:
    torch.manual_seed(0)
    model, batch = a_model().train(), a_batch()
    mix = tuple(model.query(name) for name in ("policy", "world_model", "inverse_dynamics"))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    draws, asked = pure_noise(model), torch.zeros(ROWS, dtype=torch.long)
    losses = []
    for _ in range(60):
        errors = model.loss(batch, [mix], asked, draws)
        loss = torch.stack([error.mean() for error, _ in errors.values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    unused = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert unused == ["no_text"] or not unused
