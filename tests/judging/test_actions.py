"""Scores of commands against values computed by hand, and against the model asked directly."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.judging.conftest import SPEC, TOY, a_model, held_out
from tests.worlds import small_config
from unified.data.heldout import HeldOutWindows
from unified.data.windows import WindowSource
from unified.judging.actions import RATIOS, action_scores, linear_guesses
from unified.model.model import UnifiedModel
from unified.model.queries import Query
from unified.model.spec import ACTION, PROPRIO
from unified.model.stored.history import History

MEAN, STD = 0.1, torch.tensor([0.5, 1.0, 2.0])


def mse(guess: torch.Tensor, truth: torch.Tensor) -> float:
    return ((guess - truth) / STD).square().mean().item()


@torch.no_grad()
def test_action_scores_equal_the_model_asked_directly(windows: HeldOutWindows, model: UnifiedModel):
    windows = windows.pick(np.array([3, 14, 15, 30]))
    scores = action_scores(model, windows)
    batch = windows.fetch()
    executed, expert = batch.between[ACTION][:, 1], batch.ahead[ACTION][:, 1, :2]
    assert not torch.equal(executed, expert)

    def ask(query: str) -> torch.Tensor:
        answer = model.sample(batch, query, now=1, generator=torch.Generator().manual_seed(0))
        return answer["plan"][:, :2] if query == "policy" else answer["action"]

    arms = scores["arms"]
    assert arms["mean_predictor"]["mse"] == pytest.approx(mse(torch.full_like(executed, MEAN), executed), rel=1e-5)
    for query in ("policy", "inverse_dynamics", "inverse_by_sight", "joint"):
        assert arms[query]["mse"] == pytest.approx(mse(ask(query), executed), rel=1e-4), query
    assert scores["on_expert"].keys() == {"policy"}
    assert scores["on_expert"]["policy"]["mse"] == pytest.approx(mse(ask("policy"), expert), rel=1e-4)
    for name, (over, under) in RATIOS.items():
        assert scores[name]["value"] == pytest.approx(arms[over]["mse"] / arms[under]["mse"])
    queries = {"policy", "inverse_dynamics", "inverse_by_sight", "joint"}
    assert set(arms) == {"mean_predictor", "hold_action", "linear_proprio", *queries}
    assert (scores["windows"], scores["episodes"], scores["commands"]) == (4, 3, 2)


@torch.no_grad()
def test_inverse_dynamics_is_shown_no_actions_and_by_sight_alone_no_measurements(
    windows: HeldOutWindows, model: UnifiedModel
):
    batch = windows.pick(np.array([3, 14])).fetch()
    others = {
        "commands": replace(batch, between={ACTION: -batch.between[ACTION]}),
        "measurements": replace(batch, at={PROPRIO: -batch.at[PROPRIO]}),
        "pictures": replace(batch, images=-batch.images),
    }

    def ask(query: str, known: object) -> torch.Tensor:
        return model.sample(known, query, now=1, generator=torch.Generator().manual_seed(0))["action"]  # pyright: ignore[reportArgumentType]

    for query, seen in (("inverse_dynamics", {"measurements", "pictures"}), ("inverse_by_sight", {"pictures"})):
        before = ask(query, batch)
        assert {name for name, other in others.items() if not torch.equal(before, ask(query, other))} == seen


def test_repeating_the_last_action_is_judged_where_there_is_one_and_each_action_stands_alone(source: WindowSource):
    model, windows = a_model(), held_out(source, known=1, steps=1)
    action = source.cache.columns[ACTION]
    known = ~np.isin(windows.present, source.cache.bounds)
    assert not known.all()
    last = torch.from_numpy(action[windows.present[known] - 1])[:, None]
    error = ((windows.fetch().between[ACTION][torch.from_numpy(known), 0] - last) / STD).square()
    scores = action_scores(model, windows, batch_size=17)["arms"]["hold_action"]
    assert scores["mse"] == pytest.approx(error.mean().item(), rel=1e-5)
    assert scores["mse_per_action"] == pytest.approx(error.mean((0, 1)).tolist(), rel=1e-5)


def test_windows_that_all_begin_their_episodes_have_no_last_action_to_be_compared_with(source: WindowSource):
    windows = held_out(source, known=1, steps=1)
    first = windows.pick(np.flatnonzero(np.isin(windows.frame, source.cache.bounds)))
    assert "hold_action" not in action_scores(a_model(SPEC, "policy"), first)["arms"]


def test_an_interval_is_drawn_from_the_episodes_in_which_something_counts(source: WindowSource):
    windows = held_out(source, known=1, steps=1)
    first = np.flatnonzero(np.isin(windows.frame, source.cache.bounds))
    some = windows.pick(np.array([*first, first[0] + 1]))  # one window has a frame before it
    scores = action_scores(a_model(SPEC, "policy"), some)
    assert scores["arms"]["hold_action"]["mse_ci95"] is None
    assert scores["arms"]["policy"]["mse_ci95"] is not None


def test_a_line_through_the_states_finds_commands_that_are_differences_of_them(source: WindowSource):
    """Least squares on the moments around the step, of the episodes that were trained on alone."""
    windows, columns = held_out(source), source.cache.columns
    original = dict(columns)
    proprio = original[PROPRIO]
    try:
        moved = np.concatenate([proprio[2:], proprio[-2:]]) - proprio
        columns[ACTION] = np.concatenate([0.5 + moved, proprio[:, :1]], axis=1)
        guesses, fitted = linear_guesses(windows)
        executed = windows.fetch().between[ACTION][:, 1].numpy()
        np.testing.assert_allclose(guesses[:, 0], executed[:, 0], atol=1e-5)
        assert fitted == sum(length - 4 for length in (20, 22, 18))
        columns[ACTION][source.frames] = 7.0  # what was held out teaches nothing
        np.testing.assert_array_equal(linear_guesses(windows)[0], guesses)
    finally:
        columns.update(original)


def test_without_episodes_that_were_trained_on_there_is_no_regression(windows: HeldOutWindows, model: UnifiedModel):
    scores = action_scores(model, replace(windows, trained=()).pick(np.array([3, 14])))
    assert scores["linear_steps"] == 0
    assert "linear_proprio" not in scores["arms"]


def test_the_measured_state_stands_beside_the_rest_where_commands_are_positions(source: WindowSource):
    columns = source.cache.columns
    original = dict(columns)
    try:
        columns[PROPRIO] = -original[ACTION]
        spec = replace(SPEC, embodiments=(replace(TOY, proprio_dim=3),))
        model = a_model(spec, "policy")
        windows = held_out(source, spec)
        assert "hold_state" not in action_scores(model, windows)["arms"], "worse than the mean"
        columns[ACTION] = columns[PROPRIO] = np.cumsum(original[ACTION], axis=0, dtype=np.float32)
        arms = action_scores(model, windows)["arms"]
        assert arms["hold_state"]["mse"] < arms["mean_predictor"]["mse"]
    finally:
        columns.update(original)


def test_what_was_not_learned_is_asked_only_by_sight_and_marked(windows: HeldOutWindows):
    arms = action_scores(a_model(SPEC, "inverse_dynamics", "world_model"), windows.pick(np.array([3, 14])))["arms"]
    assert {"inverse_dynamics", "inverse_by_sight"} < set(arms)
    assert not {"policy", "joint"} & set(arms)
    assert arms["inverse_by_sight"]["trained"] is False
    assert "trained" not in arms["inverse_dynamics"]


def test_a_query_of_ones_own_is_judged_under_its_name(windows: HeldOutWindows):
    model = a_model()
    model.history = History({"blind": Query("blind", given=("proprio",), wanted=("action",), observed=("proprio",))})
    arms = action_scores(model, windows.pick(np.array([3, 14])))["arms"]
    assert set(arms) == {"mean_predictor", "hold_action", "linear_proprio", "blind"}


def test_a_model_that_plans_and_imagines_nothing_is_judged_by_its_plan(source: WindowSource):
    decoders = {"plan": small_config().decoders["plan"]}
    spec = replace(SPEC, num_moments=1, action_horizon=1)
    model, windows = a_model(spec, config=small_config(decoders=decoders)), held_out(source, spec, known=1, steps=1)
    play = replace(windows.dataset.sources[0], is_demonstration=False)
    windows.dataset.sources = (play,)
    windows.dataset._has_play = True
    scores = action_scores(model, windows)
    assert scores["commands"] == 1
    executed = windows.fetch().between[ACTION][:, 0, :1]
    mean = torch.full_like(executed, MEAN)
    assert scores["arms"]["mean_predictor"]["mse"] == pytest.approx(mse(mean, executed), rel=1e-5)


@pytest.mark.parametrize("streams", [("plan",), ("plan", "action"), ("action", "video", "proprio")])
def test_commands_beyond_a_shorter_stride_do_not_count(source: WindowSource, streams: tuple[str, ...]):
    decoders = {name: small_config().decoders[name] for name in streams}
    model, windows = a_model(config=small_config(decoders=decoders)), held_out(replace(source, frame_stride=1))
    executed = windows.fetch().between[ACTION][:, 1, :1]
    expected = mse(torch.full_like(executed, MEAN), executed)
    assert action_scores(model, windows)["arms"]["mean_predictor"]["mse"] == pytest.approx(expected, rel=1e-5)
