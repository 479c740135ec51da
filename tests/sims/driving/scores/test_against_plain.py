"""The fast scores against the same rules written the long way, over random scenes."""

from collections import Counter
from collections.abc import Mapping

import pytest

from sims.driving.scores.epdms import epdms_proposals
from sims.driving.scores.pdms import pdms_proposals
from sims.driving.scores.result import ScoreResult
from tests.sims.driving.scores.plain_navsim import plain_epdms, plain_pdms
from tests.sims.driving.scores.scenes import random_scene

EXACT = {"NC", "DAC", "DDC", "TLC", "TTC", "LK", "HC", "C"}


def assert_agrees(result: ScoreResult, plain: Mapping[str, float], seed: int) -> None:
    assert set(plain) == {*result.terms, "score"}
    for term, value in {**result.terms, "score": result.score}.items():
        tolerance = 0.0 if term in EXACT else 1e-9
        assert abs(value - plain[term]) <= tolerance, f"seed {seed}: {term} {value} against {plain[term]}"


def compare(seeds: range) -> Counter[str]:
    """Counts of the values met, so that a test can see that both outcomes occurred."""
    seen: Counter[str] = Counter()
    for seed in seeds:
        world, drives = random_scene(seed)
        fast = {
            "v1.1": (pdms_proposals(world, drives), plain_pdms(world, drives.states, "v1.1")),
            "v1.0": (pdms_proposals(world, drives, "v1.0"), plain_pdms(world, drives.states, "v1.0")),
            "v2": (epdms_proposals(world, drives), plain_epdms(world, drives.states)),
        }
        for version, (results, plains) in fast.items():
            for result, plain in zip(results, plains, strict=True):
                assert_agrees(result, plain, seed)
                seen.update(f"{version} {term} {value}" for term, value in result.terms.items() if term in EXACT)
    return seen


def test_navsim_scores_agree_with_the_long_way_on_random_scenes() -> None:
    compare(range(6))


@pytest.mark.slow
def test_navsim_scores_agree_with_the_long_way_and_every_value_occurs() -> None:
    seen = compare(range(1000, 1024))
    halves = [f"v2 {term} 0.5" for term in ("NC", "DDC")]
    binary = [f"v2 {term} {value}" for term in ("NC", "DAC", "DDC", "TLC", "TTC", "LK", "HC") for value in (0.0, 1.0)]
    assert not [value for value in (*halves, *binary, "v1.1 C 0.0", "v1.1 C 1.0") if not seen[value]]
