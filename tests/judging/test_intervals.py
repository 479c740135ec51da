import math

import numpy as np
import pytest

from unified.judging.intervals import (
    bootstrap,
    clopper_pearson,
    mean_interval,
    paired_difference_interval,
    repeated_interval,
    weighted_mean_interval,
    wilson,
)

# Newcombe (1998), Statistics in Medicine 17, table I: methods 3 (score) and 5 (exact).
PUBLISHED = [
    (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
    (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
    (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
    (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
]


@pytest.mark.parametrize(("successes", "trials", "score", "exact"), PUBLISHED)
def test_intervals_equal_newcombes_published_table(successes, trials, score, exact):
    assert wilson(successes, trials) == pytest.approx(score, abs=5e-5)
    assert clopper_pearson(successes, trials) == pytest.approx(exact, abs=5e-5)


def test_all_and_none_have_closed_forms():
    assert clopper_pearson(20, 20) == pytest.approx((0.025 ** (1 / 20), 1.0), abs=1e-12)
    assert clopper_pearson(0, 7) == pytest.approx((0.0, 1 - 0.025 ** (1 / 7)), abs=1e-12)
    assert wilson(0, 0) == (0.0, 1.0)
    assert clopper_pearson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
def test_intervals_mirror_and_hold_many_trials(interval):
    low, high = interval(3, 17)
    assert interval(14, 17) == pytest.approx((1 - high, 1 - low), abs=1e-12)
    low, high = interval(4321, 10_000)
    assert 0.42 < low < 0.4321 < high < 0.45


@pytest.mark.parametrize("counts", [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="successes must lie between"):
        wilson(*counts)


def test_the_interval_of_a_mean_of_one_rate_is_its_own_and_shrinks_with_more():
    own = wilson(7, 10)
    assert weighted_mean_interval([0.7], [own], [1.0]) == pytest.approx(own)
    low, high = weighted_mean_interval([0.7] * 4, [own] * 4, [0.25] * 4)
    assert high - low == pytest.approx((own[1] - own[0]) / 2)


def test_the_mean_of_zeros_and_ones_has_wilsons_interval_and_other_values_their_standard_error():
    assert mean_interval([1.0] * 15 + [0.0] * 133) == pytest.approx(wilson(15, 148), abs=1e-12)
    low, high = mean_interval([0.0] * 5)
    assert low == 0
    assert high > 0.3, "five zeros are no proof"
    low, high = mean_interval([10.0, 12.0, 14.0])
    assert (low, high) == pytest.approx((12 - 1.96 * 2 / 3**0.5, 12 + 1.96 * 2 / 3**0.5), abs=1e-3)
    assert mean_interval([7.0]) == (7.0, 7.0)
    with pytest.raises(ValueError, match="no values"):
        mean_interval([])


def test_the_bootstrap_resamples_episodes_and_not_windows():
    sums = np.stack([np.repeat([0.0, 1.0] * 8, 50), np.ones(800)], axis=1)
    by_episode = bootstrap(lambda t: t[:, 0] / t[:, 1], sums, np.repeat(np.arange(16), 50))
    by_window = bootstrap(lambda t: t[:, 0] / t[:, 1], sums, np.arange(800))
    assert by_episode["value"] == by_window["value"] == 0.5
    width = by_episode["ci95"][1] - by_episode["ci95"][0]
    assert width == pytest.approx(2 * 1.96 * 0.5 / 4, rel=0.15)
    assert by_window["ci95"][1] - by_window["ci95"][0] < width / 4


def test_one_episode_has_no_interval():
    assert bootstrap(lambda t: t[:, 0], np.ones((5, 1)), np.zeros(5, np.int64)) == {"value": 5.0, "ci95": None}


# Both, only the first, only the second, none: Bentur et al. (2009) and Cavo et al. (2012), with the intervals that
# Fagerland, Lydersen and Laake (2013) and the tests of the R package `contingencytables` print.
@pytest.mark.parametrize(
    ("counts", "published"), [((1, 7, 1, 12), (-0.507, -0.026)), ((59, 16, 6, 80), (-0.1186, -0.0046))]
)
def test_paired_intervals_equal_published_ones(counts, published):
    both, one, other, neither = counts
    assert paired_difference_interval(both, one, other, neither) == pytest.approx(published, abs=5e-4)
    low, high = paired_difference_interval(both, other, one, neither)
    assert (-high, -low) == pytest.approx(paired_difference_interval(both, one, other, neither))


def test_paired_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    chances = np.array([0.8, 0.1, 0.05, 0.05])
    drawn, counts = np.unique(rng.multinomial(40, chances, size=4000), axis=0, return_counts=True)
    limits = np.array([paired_difference_interval(*map(int, row)) for row in drawn])
    truth = chances[2] - chances[1]
    held = (limits[:, 0] <= truth) & (truth <= limits[:, 1])
    assert 0.94 < counts[held].sum() / counts.sum() < 0.98


def test_cases_that_are_all_alike_leave_a_doubt():
    low, high = paired_difference_interval(20, 0, 0, 20)
    assert low == -high
    assert 0.02 < high < 0.1
    with pytest.raises(ValueError, match="no cases"):
        paired_difference_interval(0, 0, 0, 0)


def test_trainings_that_differ_by_more_than_chance_widen_the_interval():
    assert repeated_interval([(7, 20)]) == wilson(7, 20)
    assert repeated_interval([(7, 20), (7, 20), (7, 20)]) == wilson(21, 60)
    low, high = repeated_interval([(50, 100), (60, 100), (70, 100)])
    half = 4.302653 * 0.1 / math.sqrt(3)  # Student's t of two degrees of freedom; the rates' deviation is 0.1
    assert (low, high) == pytest.approx((0.6 - half, 0.6 + half))
    assert repeated_interval([(0, 10), (10, 10)]) == (0.0, 1.0)
    assert repeated_interval([(0, 10), (0, 10)]) == wilson(0, 20)
