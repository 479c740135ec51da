"""How sure a number is: 95 % intervals of proportions, of weighted means, and of whatever sums over episodes give."""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Float, Int

RESAMPLES = 1000


def wilson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion: right on average, never outside [0, 1], no width zero at 0 or all.

    Raises:
        ValueError: if the counts are impossible.

    Source: Wilson (1927); Brown, Cai and DasGupta (2001) recommend it for small samples.
    """
    return _proportion(successes, trials, confidence, "wilson")


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a mean of independent values.

    Where all lie in [0, 1]: Wilson's, as if their sum were a count. Nothing in [0, 1] varies more than a coin of the
    same mean, so it is wide enough, and not of width zero where all are 0 or all 1. Elsewhere: normal quantile times
    standard error; of a single value, the value itself.

    Raises:
        ValueError: if there are no values.
    """
    count = len(values)
    if not count:
        raise ValueError("a mean of no values has no interval")
    mean, z = math.fsum(values) / count, NormalDist().inv_cdf(0.5 + confidence / 2)
    if all(0 <= value <= 1 for value in values):
        return _score_interval(mean, count, z)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / max(count - 1, 1) / count)
    return mean - z * spread, mean + z * spread


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a proportion: at least `confidence` for every true rate, therefore wider than Wilson's.

    Raises:
        ValueError: if the counts are impossible.

    Source: Clopper and Pearson (1934).
    """
    return _proportion(successes, trials, confidence, "exact")


def repeated_interval(runs: Sequence[tuple[int, int]], confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a success rate over several trainings, each (successes, trials).

    Wilson's over all trials takes the trainings for equally good. Where their rates differ by more than chance, the
    t interval of their mean is wider; each limit is the wider one's.

    Raises:
        ValueError: if the counts are impossible.
    """
    from scipy.stats import t

    low, high = wilson(sum(successes for successes, _ in runs), sum(trials for _, trials in runs), confidence)
    if len(runs) > 1:
        rates = [successes / trials for successes, trials in runs]
        mean = math.fsum(rates) / len(rates)
        spread = math.sqrt(math.fsum((rate - mean) ** 2 for rate in rates) / (len(rates) - 1) / len(rates))
        half = spread * float(t.ppf(0.5 + confidence / 2, len(rates) - 1))
        low, high = max(0.0, min(low, mean - half)), min(1.0, max(high, mean + half))
    return low, high


def weighted_mean_interval(
    rates: Sequence[float], intervals: Sequence[tuple[float, float]], weights: Sequence[float]
) -> tuple[float, float]:
    """The interval of a weighted sum of independent rates from their own intervals (weights sum to one).

    Source: Zou and Donner (2008), "method of variance estimates recovery" (MOVER), with Wilson limits inside.
    """
    mean = sum(weight * rate for weight, rate in zip(weights, rates, strict=True))
    parts = list(zip(weights, rates, intervals, strict=True))
    below = math.sqrt(sum((weight * (rate - low)) ** 2 for weight, rate, (low, _) in parts))
    above = math.sqrt(sum((weight * (high - rate)) ** 2 for weight, rate, (_, high) in parts))
    return max(0.0, mean - below), min(1.0, mean + above)


def bootstrap(
    statistic: Callable[[Float[np.ndarray, " resample column"]], Float[np.ndarray, " resample"]],
    sums: Float[np.ndarray, " window column"],
    episodes: Int[np.ndarray, " window"],
    seed: int = 0,
) -> dict[str, Any]:
    """Value and 95 % percentile interval (None for a single episode) of a statistic of sums, resampling whole episodes.

    Args:
        statistic: from sums over windows, one row a resample, to numbers.
        sums: what each window adds.
        episodes: the episode of each window.
    """
    numbers, place = np.unique(episodes, return_inverse=True)
    per_episode = np.zeros((len(numbers), sums.shape[1]))
    np.add.at(per_episode, place, sums)
    value = float(statistic(per_episode.sum(axis=0, keepdims=True))[0])
    if len(numbers) < 2:
        return {"value": value, "ci95": None}
    share = np.full(len(numbers), 1 / len(numbers))
    counts = np.random.default_rng(seed).multinomial(len(numbers), share, size=RESAMPLES)
    low, high = np.quantile(statistic(counts @ per_episode), [0.025, 0.975])
    return {"value": value, "ci95": [float(low), float(high)]}


def paired_difference_interval(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
    """The 95 % interval of how much more often the second of two outcomes of the same cases is a success.

    The two Wilson intervals are combined as of two rates that go together as far as the cases show it. Where no case
    tells the two apart the interval still has a width.

    Args:
        both, first, second, neither: cases in which both, only the first, only the second, or none succeeded.

    Raises:
        ValueError: if there are no cases.

    Source: Newcombe (1998), Statistics in Medicine 17, 2635, method 10.
    """
    total = both + first + second + neither
    if not total:
        raise ValueError("a difference of no cases has no interval")
    counts = both + first, both + second
    rate, other = (count / total for count in counts)
    z = NormalDist().inv_cdf(0.975)
    (low, high), (other_low, other_high) = (_score_interval(share, total, z) for share in (rate, other))
    scale = math.sqrt(math.prod(count * (total - count) for count in counts))
    excess = both * neither - first * second
    together = max(0.0, excess - total / 2) if excess > 0 else excess
    correlation = together / scale if scale else 0.0

    def width(one: float, two: float) -> float:
        return math.sqrt(max(0.0, one**2 - 2 * correlation * one * two + two**2))

    difference = other - rate
    return difference - width(other - other_low, high - rate), difference + width(other_high - other, rate - low)


def _score_interval(rate: float, trials: int, z: float) -> tuple[float, float]:
    weight = z * z / trials
    centre = (rate + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(rate * (1 - rate) / trials + weight / (4 * trials))
    low = 0.0 if rate == 0 else max(0.0, centre - half)
    high = 1.0 if rate == 1 else min(1.0, centre + half)
    return low, high


def _proportion(successes: int, trials: int, confidence: float, method: str) -> tuple[float, float]:
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must lie between 0 and trials ({trials}), got {successes}")
    if trials == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest  # half a second that `unified --help` need not wait for

    low, high = binomtest(successes, trials).proportion_ci(confidence, method)
    return float(low), float(high)
