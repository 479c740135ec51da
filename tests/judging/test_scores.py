"""Scores of films against values computed by hand, and against the model asked directly."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

from tests.judging.conftest import SPEC, a_model, held_out
from tests.worlds import random_batch, small_config
from unified.data.heldout import HeldOutWindows
from unified.data.windows import WindowDataset, WindowSource
from unified.errors import UserError
from unified.judging.scores import MOVING_THRESHOLD, compared, film_errors, film_scores, imagine, partners, psnr
from unified.model.model import UnifiedModel
from unified.model.queries import Query
from unified.model.spec import ACTION
from unified.model.stored.history import History


def test_psnr_has_its_textbook_values():
    assert psnr(np.array([0.01, 1.0, 0.0]), np.ones(3)).tolist() == pytest.approx([20, 0, 100])


def test_film_errors_count_moving_pixels_and_skip_padding():
    batch = random_batch(SPEC, 1)
    images = torch.zeros(1, 3, 1, 3, 2, 2)
    images[0, 1:, 0, 0, 0, 0] = 0.4  # one colour of one pixel, a fifth of the range
    images[0, 1:, 0, 1, 1, 1] = MOVING_THRESHOLD  # half the threshold: stands still
    batch = replace(batch, images=images, moment_is_pad=torch.tensor([[False, False, True]]))
    errors = film_errors(torch.zeros(1, 2, 1, 3, 2, 2), batch)
    still = (MOVING_THRESHOLD / 2) ** 2
    assert errors[0, 0, :4].tolist() == pytest.approx([0.2**2 + still, 12, 0.2**2, 3])
    assert errors[0, 1, :4].tolist() == [0, 0, 0, 0]


def test_film_errors_leave_out_cameras_that_are_not_there():
    batch = replace(
        random_batch(SPEC, 1, moments=2),
        images=torch.zeros(1, 2, 2, 3, 12, 12),
        camera_is_pad=torch.tensor([[False, True]]),
    )
    errors = film_errors(torch.ones(1, 1, 2, 3, 12, 12), batch)
    assert errors[0, 0, 1] == 3 * 144
    assert errors[0, 0, 5] == 1


def test_partners_are_other_episodes_of_the_same_task_with_all_their_commands(windows: HeldOutWindows):
    cache = windows.dataset.sources[0].cache
    chosen = partners(windows, seed=3)
    assert (chosen >= 0).all()
    tasks, starts = np.asarray(cache.task), windows.present
    assert (tasks[chosen] == tasks[starts]).all()
    ends = np.searchsorted(cache.bounds, chosen, side="right")
    assert (ends != np.searchsorted(cache.bounds, starts, side="right")).all()
    assert (chosen + 8 <= cache.bounds[ends]).all()
    assert len(set(ends.tolist())) > 4, "episodes that were trained on lend theirs too"
    assert not np.array_equal(chosen, partners(windows, seed=4))


def test_commands_are_lent_from_the_row_that_was_chosen(windows: HeldOutWindows):
    action = windows.dataset.sources[0].cache.columns[ACTION]
    lent = windows.commands_from(np.arange(len(windows)))
    assert lent.shape == (len(windows), 4, 2, 3)
    np.testing.assert_array_equal(lent[5].reshape(8, 3), action[5:13])


def test_the_true_commands_are_those_of_the_windows(windows: HeldOutWindows):
    told = windows.fetch().between[ACTION][:, windows.known - 1 :]
    np.testing.assert_array_equal(told, windows.commands_from(windows.present))


@torch.no_grad()
def test_film_scores_equal_the_model_asked_directly(windows: HeldOutWindows, model: UnifiedModel):
    windows = windows.pick(np.array([3, 14, 15, 30]))
    scores = film_scores(model, windows, batch_size=3)
    batch = windows.fetch()
    films = imagine(model, batch, torch.from_numpy(windows.commands_from(windows.present)), known=2)
    truth = (batch.images[:, 5] + 1) / 2  # eight env steps after moment 1, the present

    def expected(film: torch.Tensor) -> tuple[float, float]:
        imagined = (film[:, 3].flatten(0, 1) + 1) / 2
        measures = PeakSignalNoiseRatio(data_range=1.0), StructuralSimilarityIndexMeasure(data_range=1.0)
        return tuple(measure(imagined, truth.flatten(0, 1)).item() for measure in measures)  # pyright: ignore[reportReturnType]

    for arm in ("true_actions", "no_actions", "joint", "copy_last"):
        made = scores["arms"][arm]
        assert (made["psnr"], made["ssim"]) == pytest.approx(expected(films[arm]), abs=1e-3), arm
        assert made["psnr_per_frame"][3] == pytest.approx(made["psnr"])
        assert len(made["psnr_per_frame"]) == len(made["ssim_per_frame"]) == 4
    assert set(scores["arms"]) == {"true_actions", "shuffled_actions", "no_actions", "joint", "copy_last"}
    gain = scores["arms"]["true_actions"]["psnr"] - scores["arms"]["copy_last"]["psnr"]
    assert scores["gain_over_copy_db"]["value"] == pytest.approx(gain)
    low, high = scores["gain_over_copy_db"]["ci95"]
    assert low <= gain <= high
    assert (scores["steps_ahead"], scores["env_steps"], scores["known_moments"]) == (8, [2, 4, 6, 8], 2)
    assert (scores["windows"], scores["episodes"], scores["shuffled_windows"]) == (4, 3, 4)
    assert scores["proprio"] == "imagined"


@torch.no_grad()
def test_films_come_from_the_known_moments_the_told_commands_and_nothing_else(
    source: WindowSource, model: UnifiedModel
):
    batch = held_out(source, steps=2).pick(np.array([3])).fetch()
    lent = torch.zeros(1, 2, 2, 3)

    def imagined(**changes: object) -> dict[str, torch.Tensor]:
        return imagine(model, replace(batch, **changes), lent, known=2)  # pyright: ignore[reportArgumentType]

    def after_the_present(values: torch.Tensor, first: int = 2) -> torch.Tensor:
        return torch.cat([values[:, :first], -values[:, first:]], dim=1)

    films = imagined()
    blind = imagined(
        images=after_the_present(batch.images), at={name: after_the_present(value) for name, value in batch.at.items()}
    )
    assert all(torch.equal(films[arm], blind[arm]) for arm in films), "nothing is seen of the truth"
    told = imagined(between={ACTION: after_the_present(batch.between[ACTION], first=1)})
    moved = {arm for arm in films if not torch.equal(films[arm], told[arm])}
    assert moved == {"true_actions"}, "the commands after the present reach the world model alone"
    past = imagined(images=torch.cat([-batch.images[:, :1], batch.images[:, 1:]], dim=1))
    assert not torch.equal(films["true_actions"][:, 0], past["true_actions"][:, 0]), "earlier moments are seen"


def test_shuffled_actions_really_reach_the_model(windows: HeldOutWindows, model: UnifiedModel):
    windows = windows.pick(np.array([3, 14]))
    assert film_scores(model, windows)["shuffled_cost_db"]["value"] != 0
    action = windows.dataset.sources[0].cache.columns[ACTION]
    windows.dataset.sources[0].cache.columns[ACTION] = np.ones_like(action)
    try:
        assert film_scores(model, windows)["shuffled_cost_db"]["value"] == 0
    finally:
        windows.dataset.sources[0].cache.columns[ACTION] = action


def test_scores_do_not_depend_on_the_size_of_a_batch(windows: HeldOutWindows, model: UnifiedModel):
    windows = windows.pick(np.array([3, 14, 30]))
    some, all_ = (film_scores(model, windows, batch_size=size)["arms"]["true_actions"] for size in (2, 64))
    assert some["psnr_per_frame"] == pytest.approx(all_["psnr_per_frame"], abs=1e-4)


def test_arms_of_queries_that_were_not_learned_are_left_out_and_ones_own_stand_beside_the_rest(
    windows: HeldOutWindows,
):
    windows = windows.pick(np.array([3, 14]))
    scores = film_scores(a_model(SPEC, "video"), windows)
    assert set(scores["arms"]) == {"no_actions", "copy_last"}
    assert "gain_over_copy_db" not in scores
    model = a_model()
    model.history = History({"short": Query("short", given=("action",), wanted=("next",), history=0)})
    assert set(film_scores(model, windows)["arms"]) == {"short", "copy_last"}


def test_a_model_without_a_stream_of_proprio_says_that_it_holds_it(windows: HeldOutWindows):
    decoders = {name: part for name, part in small_config().decoders.items() if name != "proprio"}
    model = a_model(config=small_config(decoders=decoders))
    assert film_scores(model, windows.pick(np.array([3, 14])))["proprio"] == "held"


@pytest.mark.parametrize(("stride", "steps", "expected"), [(1, 8, 8), (2, 4, 8), (2, 6, 8), (3, 3, 9), (2, 2, 4)])
def test_films_are_compared_eight_env_steps_ahead_or_at_their_end(
    source: WindowSource, stride: int, steps: int, expected: int
):
    spec = replace(SPEC, frame_stride=max(stride, 2))
    windows = held_out(replace(source, frame_stride=stride), spec, known=1, steps=steps)
    assert (compared(windows) + 1) * stride == expected


def test_chosen_windows_are_spread_whole_and_stay_inside_their_episode(source: WindowSource):
    windows = held_out(source, known=3, steps=4)
    bounds = source.cache.bounds
    first, last = windows.frame, windows.frame + 2 * 6
    assert (np.searchsorted(bounds, first, side="right") == np.searchsorted(bounds, last, side="right")).all()
    assert sorted(set(windows.episode.tolist())) == [3, 4, 5, 6]
    assert len(windows) == sum(length - 12 for length in (24, 20, 16, 19))
    assert (windows.present == first + 4).all()
    batch = windows.fetch()
    assert batch.moment_is_pad is not None
    assert not batch.moment_is_pad.any()


def test_windows_know_fewer_moments_where_episodes_are_short(source: WindowSource):
    windows = held_out(source, known=100, steps=4)
    assert windows.known == 8, "the longest of them has 24 frames, 12 moments"
    assert windows.steps == 4
    with pytest.raises(UserError, match="longer than 24 env steps"):
        held_out(source, known=2, steps=12)


def test_the_instruction_is_that_of_the_present(source: WindowSource):
    """The toy's task changes in the middle of every episode."""
    windows = held_out(source, known=6, steps=1)
    first = WindowDataset(windows.dataset.sources, windows.dataset.spec).fetch((windows.source, windows.frame))
    told = set(zip(first.task, windows.fetch().task, strict=True))
    assert ("task 1", "then rest") in told
