"""A column of the data as a stream: what is encoded, what is learned, and what comes out, in the data's own units."""

import dataclasses
from typing import Any

import pytest
import torch

from decoders.columns import ColumnDecoder
from tests.worlds import mixed_spec, random_batch, small_config, small_model
from unified.errors import UserError
from unified.model.config import ClassSpec
from unified.model.queries import Query
from unified.model.spec import PROPRIO, DataSpec
from unified.model.stream import Present

REWARD, SUCCESS = "next.reward", "next.success"


def reward_spec(**changes: Any) -> DataSpec:
    """Of two bodies, only the arm's recordings have a reward and say whether it was done."""
    arm, car = mixed_spec().embodiments
    bodies = (dataclasses.replace(arm, columns={REWARD: 1, SUCCESS: 1}), car)
    return mixed_spec(embodiments=bodies, **changes)


def test_rewards_are_summed_over_a_step_and_success_is_true_if_it_ever_was() -> None:
    spec = reward_spec(frame_stride=3)
    batch = dataclasses.replace(random_batch(spec, size=2), embodiment=torch.zeros(2, dtype=torch.long))
    values = torch.tensor([[[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 5.0], [0.0, 1.0, 0.0]]])[..., None]
    between = {REWARD: values, SUCCESS: (values == 5) | (values == 1)}
    batch = dataclasses.replace(batch, between={name: value.float() for name, value in between.items()})
    present = Present(batch.images[:, :2].flatten(0, 1), torch.zeros(4, dtype=torch.long))

    def out(decoder: ColumnDecoder, stride: torch.Tensor | None = None) -> list[float]:
        clean = decoder.encode(dataclasses.replace(batch, stride=stride))
        return decoder.to_data(clean.flatten(0, 1), present).flatten().tolist()

    reward, success = ColumnDecoder(8, spec, REWARD, "sum"), ColumnDecoder(8, spec, SUCCESS, "any")
    reward.set_stats({"arm": {REWARD: {"mean": [2.0], "std": [4.0]}}, "car": {}})
    assert reward.encode(batch)[0, 0].item() == pytest.approx((6 / 3 - 2) / 4)
    assert out(reward) == pytest.approx([6, 0, 5, 0 + 1])
    assert out(success) == [1, 0, 1, 1]
    # The second sample's own steps are two env steps long: what the window holds of the third is the next step's.
    stride = torch.tensor([3, 2])
    assert out(reward, stride) == pytest.approx([6, 0, 0, 1])
    assert out(success, stride) == [1, 0, 0, 1]


def test_a_body_without_the_column_and_steps_past_the_end_teach_nothing() -> None:
    spec = reward_spec()
    batch = dataclasses.replace(random_batch(spec, size=2), embodiment=torch.tensor([0, 1]))
    batch = dataclasses.replace(batch, moment_is_pad=torch.tensor([[False, False, True]] * 2))
    for decoder in (ColumnDecoder(8, spec, REWARD, "sum"), ColumnDecoder(8, spec, SUCCESS, "any")):
        assert decoder.is_pad(batch)[..., 0].tolist() == [[False, True], [True, True]]
        assert (decoder.encode(batch)[1] == 0).all()
        present = Present(batch.images[:, 0], batch.embodiment)
        assert decoder.to_data(torch.ones(2, 1), present)[1] == 0


def test_a_model_imagines_every_column_that_it_has_a_stream_of_and_answers_a_query_of_ones_own() -> None:
    spec = reward_spec()
    streams = {
        "reward": ClassSpec("decoders.columns.ColumnDecoder", {"column": REWARD, "reduce": "sum"}),
        "success": ClassSpec("decoders.columns.ColumnDecoder", {"column": SUCCESS, "reduce": "any"}),
    }
    model = small_model(small_config(decoders={**small_config().decoders, **streams}), spec)
    batch = random_batch(spec, size=4)
    assert set(model.sample(batch, "world_model", now=1)) == {"video", "proprio", "reward", "success"}
    value = model.query(Query("value", given=("action",), wanted=("reward",)))
    assert model.sample(batch, value, now=1)["reward"].shape == (4, 1)
    errors = model.loss(batch, [(value,)], torch.zeros(4, dtype=torch.long), model.draw([(row,) for row in range(4)]))
    error, is_known = errors["reward"]
    assert torch.equal(is_known, (batch.embodiment == 0)[:, None].expand(-1, 2))
    assert (error[is_known] > 0).all()


def test_what_is_measured_is_that_of_the_next_moment() -> None:
    spec = mixed_spec()
    batch = random_batch(spec)
    decoder = ColumnDecoder(8, spec, PROPRIO)
    has = ~decoder.normalizer.is_pad[batch.embodiment][:, None]
    torch.testing.assert_close(decoder.encode(batch), batch.at[PROPRIO][:, 1:] * has)


@pytest.mark.parametrize(
    ("column", "reduce", "message"),
    [("next.rewrd", "sum", "Did you mean 'next.reward'"), (REWARD, "summe", "Did you mean 'sum'")],
)
def test_unknown_columns_and_reductions_are_refused(column: str, reduce: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ColumnDecoder(8, reward_spec(), column, reduce)
