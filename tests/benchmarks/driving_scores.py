"""What a driving score costs: a 4 s scene with 20 tracks at a crossroads, in CPU milliseconds per proposal.

    python tests/benchmarks/driving_scores.py

Measured in CPU time of one thread, so that a busy machine does not matter; the median over rounds, every round a new
scene whose polygons nobody has built yet. "Long way" is the same score one step, one proposal, one track at a time
(`tests/sims/driving/scores/plain_navsim.py`).
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import shapely

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from sims.driving.scores.alpasim import alpasim_score
from sims.driving.scores.epdms import epdms_proposals
from sims.driving.scores.nuplan import nuplan_score
from sims.driving.scores.pdms import pdms_proposals
from sims.driving.scores.scene import EgoTrajectories, ScoredScene
from sims.driving.scores.tracking import simulate
from tests.sims.driving.scores.plain_navsim import plain_epdms
from tests.sims.driving.scores.scenes import crossroads, ego, line, random_drive, random_track

TRACKS = 20


def example(seed: int, proposals: int) -> tuple[ScoredScene, EgoTrajectories]:
    """A crossroads with 20 tracks and several drives."""
    rng = np.random.default_rng(seed)
    tracks = tuple(random_track(rng, f"t{i}") for i in range(TRACKS))
    way = np.vstack([line((-60, 0), (30, 0)), line((31, 0), (160, 0))])
    world = ScoredScene(crossroads(rng), tracks, way, history=random_drive(rng)[:14])
    return world, ego(*(random_drive(rng) for _ in range(proposals)))


def measure(score: Callable[[ScoredScene, EgoTrajectories], object], proposals: int, rounds: int) -> float:
    """CPU milliseconds per proposal, median over scenes."""
    spent = []
    for seed in range(rounds):
        world, drives = example(seed, proposals)
        start = time.process_time()
        score(world, drives)
        spent.append((time.process_time() - start) / proposals * 1e3)
    return float(np.median(spent))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="scenes per row (the long way: a tenth)")
    rounds = parser.parse_args().rounds
    rows: list[tuple[str, Callable[[ScoredScene, EgoTrajectories], object], int, int]] = [
        ("EPDMS, 1 proposal", epdms_proposals, 1, rounds),
        ("EPDMS, 15 proposals", epdms_proposals, 15, rounds),
        ("EPDMS, 256 proposals", epdms_proposals, 256, max(1, rounds // 10)),
        ("PDMS v1.1, 1 proposal", pdms_proposals, 1, rounds),
        ("PDMS v1.1, 15 proposals", pdms_proposals, 15, rounds),
        ("nuPlan closed loop", lambda world, drives: nuplan_score(world, drives, drives), 1, rounds),
        ("AlpaSim scene score", lambda world, drives: alpasim_score(world, drives, drives), 1, rounds),
        ("tracking a plan, 15 at once", lambda _, d: simulate(d.states[..., :3], d.states[0, 0]), 15, rounds),
        ("EPDMS, 1 proposal, long way", lambda world, d: plain_epdms(world, d.states), 1, max(1, rounds // 10)),
    ]
    epdms_proposals(*example(0, 2))  # imports and caches
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, one thread;", end=" ")
    print(
        f"numpy {np.__version__}, shapely {shapely.__version__} (GEOS {shapely.geos_version_string}); {TRACKS} tracks\n"
    )
    print("| score | CPU ms per proposal |\n|---|---|")
    for name, score, proposals, count in rows:
        print(f"| {name} | {measure(score, proposals, count):.2f} |", flush=True)


if __name__ == "__main__":
    main()
