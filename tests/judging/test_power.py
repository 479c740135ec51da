import numpy as np
import pytest
from scipy.stats import binomtest

from unified.judging.power import WANTED_POWER, detectable_loss, mcnemar, power_of_loss


def test_the_exact_test_equals_a_published_one():
    # Cavo et al. (2012): 6 and 16 discordant pairs; Fagerland, Lydersen and Laake (2013) print p = 0.0525.
    assert mcnemar(16, 6) == pytest.approx(0.052479, abs=5e-7)
    assert mcnemar(0, 0) == 1.0


@pytest.mark.parametrize(("episodes", "broken", "mended"), [(40, 0.2, 0.05), (40, 0.16, 0.0), (200, 0.12, 0.04)])
def test_power_agrees_with_a_simulation(episodes, broken, mended):
    """Draw pairs of evaluations, test each, count how often a loss is found."""
    chances = [broken, mended, 1 - broken - mended]
    drawn = np.random.default_rng(0).multinomial(episodes, chances, size=10_000)[:, :2]
    outcomes, counts = np.unique(drawn, axis=0, return_counts=True)
    found = [one > two and binomtest(int(one), int(one + two)).pvalue < 0.05 for one, two in outcomes]
    assert power_of_loss(episodes, broken, mended) == pytest.approx(counts[found].sum() / counts.sum(), abs=0.015)


@pytest.mark.parametrize(("episodes", "background"), [(40, 0.0), (40, 0.025), (400, 0.1)])
def test_the_detectable_loss_is_found_as_often_as_it_says(episodes, background):
    loss = detectable_loss(episodes, background)
    assert loss is not None
    assert power_of_loss(episodes, background + loss, background) == pytest.approx(WANTED_POWER, abs=0.01)


def test_few_episodes_show_nothing():
    assert detectable_loss(5, 0.0) is None, "even if all five break, p = 0.06"
    assert power_of_loss(5, 1.0, 0.0) == 0.0
    assert detectable_loss(6, 0.0) is not None
    assert detectable_loss(40, 0.5) is None, "all change by themselves"


def test_without_a_loss_one_is_rarely_found():
    assert 0 < power_of_loss(40, 0.2, 0.2) <= 0.025
