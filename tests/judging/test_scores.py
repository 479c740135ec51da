"""Scores against values computed by hand, and against the model asked directly."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.rollout.test_policies import SAWYER, make_model
from unified.data.heldout import HeldOutWindows, choose_windows
from unified.errors import UserError
from unified.judging.scores import (
    MOVING_THRESHOLD,
    action_scores,
    bootstrap,
    film_errors,
    film_scores,
    partners,
    psnr,
)
from unified.model.batch import Batch, Observation
from unified.model.spec import DataSpec

SPEC = DataSpec(embodiments=(SAWYER,), cameras=("corner2",), image_size=(32, 32))


class TensorWindows:
    """Windows that lie in memory: two tasks, four episodes of six windows each. A window's actions end with it."""

    spec = replace(SPEC, action_horizon=1)

    class source:  # noqa: N801
        class cache:  # noqa: N801
            bounds = np.array([0, 6, 12, 18, 24])
            task = np.array([0] * 18 + [1] * 6)
            action = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)

    sources = (source,)

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(24, 1, 2, 3, 32, 32, generator=generator) * 2 - 1
        images[:, :, 1, :, 16:] = images[:, :, 0, :, 16:]  # the lower half stands still
        observation = Observation(
            images=images[:, :, :1],
            proprio=torch.randn(24, 1, 4, generator=generator),
            embodiment=torch.zeros(24, dtype=torch.long),
            task=("reach",) * 18 + ("push",) * 6,
        )
        self.batch = Batch(
            observation=observation,
            video=images[:, :, 1:],
            action=torch.randn(24, 8, 4, generator=generator),
            action_is_pad=torch.arange(8).expand(24, -1) >= 6,
        )
        self.episodes = np.repeat(np.arange(4), 6)

    def fetch(self, rows):
        return self.batch.select(torch.as_tensor(rows[1]))


def held_out() -> HeldOutWindows:
    dataset = TensorWindows()
    return HeldOutWindows(dataset, np.zeros(24, np.int64), np.arange(24), dataset.episodes)


def test_psnr_has_its_textbook_values():
    assert psnr(np.array([0.01, 1.0, 0.0]), np.ones(3)).tolist() == pytest.approx([20, 0, 100])


def test_film_errors_count_moving_pixels_and_skip_padding():
    last = torch.zeros(1, 1, 1, 3, 2, 2)
    truth = torch.zeros(1, 1, 2, 3, 2, 2)
    truth[0, 0, :, 0, 0, 0] = 0.4  # one colour of one pixel, a fifth of the range
    truth[0, 0, :, 1, 1, 1] = MOVING_THRESHOLD  # half the threshold: stands still
    observation = Observation(last, torch.zeros(1, 1, 4), torch.zeros(1, dtype=torch.long), ("",))
    batch = Batch(observation, video=truth, video_is_pad=torch.tensor([[False, True]]))
    errors = film_errors(torch.zeros_like(truth), batch)
    still = (MOVING_THRESHOLD / 2) ** 2
    assert errors[0, 0].tolist() == pytest.approx([0.2**2 + still, 12, 0.2**2, 3])
    assert errors[0, 1].tolist() == [0, 0, 0, 0]


def test_film_errors_leave_out_cameras_that_are_not_there():
    images = torch.zeros(1, 2, 1, 3, 4, 4)
    observation = Observation(
        images, torch.zeros(1, 1, 4), torch.zeros(1, dtype=torch.long), ("",), torch.tensor([[False, True]])
    )
    errors = film_errors(torch.ones_like(images), Batch(observation, video=images))
    assert errors[0, 0, 1] == 48


def test_partners_are_other_episodes_of_the_same_task():
    windows = held_out()
    chosen = partners(windows, seed=3)
    assert (chosen[18:] == -1).all(), "the only push episode has no partner"
    assert (windows.episode[chosen[:18]] != windows.episode[:18]).all()
    assert (chosen[:18] < 18).all()
    assert len(set(chosen[:18])) > 5


def test_partners_come_from_any_episode_and_have_all_their_actions():
    windows = held_out()
    windows.dataset.spec = SPEC
    assert (partners(windows, seed=3) == -1).all(), "no episode is as long as eight actions"
    windows.dataset.spec = replace(SPEC, action_horizon=5)
    few = windows.pick(np.arange(6))
    chosen = partners(few, seed=3)
    assert set(chosen) <= {6, 7, 12, 13}, "episodes that are not among the windows lend theirs, whole ones"


def test_the_interval_resamples_episodes_and_not_windows():
    sums = np.stack([np.repeat([0.0, 1.0] * 8, 50), np.ones(800)], axis=1)
    by_episode = bootstrap(lambda t: t[:, 0] / t[:, 1], sums, np.repeat(np.arange(16), 50))
    by_window = bootstrap(lambda t: t[:, 0] / t[:, 1], sums, np.arange(800))
    assert by_episode["value"] == by_window["value"] == 0.5
    width = by_episode["ci95"][1] - by_episode["ci95"][0]
    assert width == pytest.approx(2 * 1.96 * 0.5 / 4, rel=0.15)
    assert by_window["ci95"][1] - by_window["ci95"][0] < width / 4


def test_one_episode_has_no_interval():
    assert bootstrap(lambda t: t[:, 0], np.ones((5, 1)), np.zeros(5, np.int64)) == {"value": 5.0, "ci95": None}


@torch.no_grad()
def test_film_scores_equal_the_model_asked_directly():
    model, windows = make_model(SPEC).eval(), held_out()
    scores = film_scores(model, windows, num_steps=1, batch_size=24)
    batch = windows.dataset.batch
    film = model.sample(batch, "world_model", generator=torch.Generator().manual_seed(0))["video"].clamp(-1, 1)
    expected = -10 * torch.log10(((film - batch.video) / 2).square().mean()).item()
    assert scores["arms"]["true_actions"]["psnr"] == pytest.approx(expected, abs=1e-4)
    copied = -10 * torch.log10(((batch.observation.images - batch.video) / 2).square().mean()).item()
    assert scores["arms"]["copy_last"]["psnr"] == pytest.approx(copied, abs=1e-4)
    assert scores["gain_over_copy_db"]["value"] == pytest.approx(expected - copied, abs=1e-4)
    assert scores["arms"]["copy_last"]["moving_psnr"] < copied
    assert 0.4 < scores["moving_share"] < 0.5
    assert (scores["windows"], scores["episodes"], scores["shuffled_windows"]) == (24, 4, 18)
    assert scores["arms"]["true_actions"]["psnr_per_frame"] == [pytest.approx(expected, abs=1e-4)]
    low, high = scores["gain_over_copy_db"]["ci95"]
    assert low <= scores["gain_over_copy_db"]["value"] <= high


def test_shuffled_actions_really_reach_the_model():
    scores = film_scores(make_model(SPEC).eval(), held_out())
    assert scores["arms"]["shuffled_actions"]["psnr"] != scores["arms"]["true_actions"]["psnr"]
    assert scores["shuffled_cost_db"]["value"] != 0
    same = held_out()
    same.dataset.batch = replace(same.dataset.batch, action=torch.ones(24, 8, 4))
    assert film_scores(make_model(SPEC).eval(), same)["shuffled_cost_db"]["value"] == 0


@torch.no_grad()
def test_action_scores_equal_the_model_asked_directly_and_skip_padding():
    model, windows = make_model(SPEC).eval(), held_out()
    std = [0.5, 1.0, 2.0, 4.0]
    model.set_stats(
        {
            "metaworld": {
                "action": {"mean": [0.1] * 4, "std": std},
                "observation.state": {"mean": [0.0] * 4, "std": [1.0] * 4},
            }
        }
    )
    scores = action_scores(model, windows, batch_size=24)
    batch = windows.dataset.batch
    target = (batch.action - 0.1) / torch.tensor(std)
    assert scores["arms"]["mean_predictor"]["mse"] == pytest.approx(target[:, :6].square().mean().item(), rel=1e-5)
    guess = model.sample(batch, "inverse_dynamics", generator=torch.Generator().manual_seed(0))["action"]
    expected = ((guess - batch.action) / torch.tensor(std))[:, :6].square().mean().item()
    assert scores["arms"]["inverse_dynamics"]["mse"] == pytest.approx(expected, rel=1e-4)
    ratio = scores["arms"]["inverse_dynamics"]["mse"] / scores["arms"]["policy"]["mse"]
    assert scores["inverse_over_policy"]["value"] == pytest.approx(ratio)
    assert set(scores["arms"]) == {"mean_predictor", "hold_action", "policy", "inverse_dynamics", "joint"}


def test_repeating_the_last_action_is_judged_where_there_is_one_and_each_action_stands_alone():
    model, windows = make_model(SPEC).eval(), held_out()
    before = windows.dataset.source.cache.action
    known = np.arange(24) % 6 > 0  # an episode's first frame has no frame before
    error = windows.dataset.batch.action[known, :6] - torch.from_numpy(before[np.flatnonzero(known) - 1])[:, None]
    scores = action_scores(model, windows, batch_size=7)["arms"]["hold_action"]
    assert scores["mse"] == pytest.approx(error.square().mean().item(), rel=1e-5)
    assert scores["mse_per_action"] == pytest.approx(error.square().mean((0, 1)).tolist(), rel=1e-5)


def test_windows_that_all_begin_their_episodes_have_no_last_action_to_be_compared_with():
    model, windows = make_model(SPEC).eval(), held_out()
    first = replace(windows, **{name: getattr(windows, name)[::6] for name in ("source", "frame", "episode")})
    assert "hold_action" not in action_scores(model, first, batch_size=7)["arms"]


def test_an_interval_is_drawn_from_the_episodes_in_which_something_counts():
    model, windows = make_model(SPEC).eval(), held_out()
    rows = [0, 6, 7, 12]  # only the second episode has a frame with a frame before it
    some = replace(windows, **{name: getattr(windows, name)[rows] for name in ("source", "frame", "episode")})
    assert action_scores(model, some, batch_size=7)["arms"]["hold_action"]["mse_ci95"] is None


class Lengths:
    """What `choose_windows` reads of a source: 3 episodes of 10, 4 and 20 rows, the second not held out."""

    class cache:  # noqa: N801
        bounds = np.array([0, 10, 14, 34])

    frames = np.array([*range(10), *range(14, 34)])


def test_chosen_windows_are_spread_and_stay_inside_their_episode():
    class Dataset:
        sources = (Lengths, Lengths)

    windows = choose_windows(Dataset, count=1000, steps_ahead=8)
    assert windows.frame[windows.source == 0].tolist() == [0, 1, *range(14, 26)]
    assert sorted(set(windows.episode.tolist())) == [0, 2, 3, 5]
    few = choose_windows(Dataset, count=7, steps_ahead=8)
    assert len(few) == 7
    assert set(few.source.tolist()) == {0, 1}
    with pytest.raises(UserError, match="longer than 20 env steps"):
        choose_windows(Dataset, count=7, steps_ahead=20)
