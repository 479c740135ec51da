"""Whether two policies differ on the same episodes, and how large a loss so many episodes can show.

An episode *breaks* where the old policy succeeds and the new one fails; it is *mended* where it is the other way round.
"""

import numpy as np
from jaxtyping import Float

ALPHA = 0.05  # two-sided
WANTED_POWER = 0.8


def mcnemar(broken: int, mended: int) -> float:
    """The exact two-sided p-value: whether as many break as are mended. Episodes that end alike say nothing of it."""
    from scipy.stats import binomtest

    return float(binomtest(broken, broken + mended).pvalue) if broken + mended else 1.0


def power_of_loss(episodes: int, broken: float, mended: float) -> float:
    """The chance that so many episodes show a loss: `mcnemar` below ALPHA, and more broken than mended.

    Args:
        episodes: independent pairs.
        broken, mended: the chance of an episode to break and to be mended.
    """
    from scipy.stats import binom

    changed = np.arange(episodes + 1)
    chance = binom.pmf(changed, episodes, min(1.0, broken + mended))
    return float(chance @ _found(changed, broken / ((broken + mended) or 1.0)))


def detectable_loss(episodes: int, background: float) -> float | None:
    """The smallest loss of success that so many episodes show with WANTED_POWER; None if they show none so surely.

    Args:
        episodes: independent pairs.
        background: the chance of an episode to be mended, and to break beyond the loss: what changes without a reason.
    """
    from scipy.optimize import brentq

    def lacking(loss: float) -> float:
        return power_of_loss(episodes, background + loss, background) - WANTED_POWER

    largest = max(0.0, 1 - 2 * background)
    if lacking(largest) < 0:
        return None
    return float(brentq(lacking, 0.0, largest, xtol=1e-4))  # pyright: ignore[reportArgumentType]


def _found(changed: np.ndarray, broken_share: float) -> Float[np.ndarray, " changed"]:
    """Of each number of changed episodes the chance that so many are broken that `mcnemar` is below ALPHA."""
    from scipy.stats import binom

    fewest_mended = binom.ppf(ALPHA / 2, changed, 0.5) - 1  # the most of them that still are significantly few
    return binom.sf(changed - fewest_mended - 1, changed, broken_share)
