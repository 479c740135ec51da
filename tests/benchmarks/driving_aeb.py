"""Braking recall against false brakes, over the threshold: from two evaluations of one policy on suite driving-aeb.

    unified evaluate --policy P --suite driving-aeb --output runs/aeb
    unified evaluate --policy P --suite driving-aeb --env-kwargs '{calm: true}' --output runs/aeb-calm
    python -m tests.benchmarks.driving_aeb runs/aeb runs/aeb-calm [--json FILE]

An episode counts as braked at a threshold where its hardest deceleration before the end or the first failure reaches
it. Recall is the share of drives with a hazard that braked; false brakes are the share of their twins that did. Both
with Wilson's 95 % interval. A policy that brakes for nothing lies on the diagonal.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unified.judging.intervals import wilson
from unified.judging.results import read_results

METRIC = "hardest_braking_mps2"
THRESHOLDS_MPS2 = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)


def main() -> int:
    """Print the curve, over all families and of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hazard", type=Path)
    parser.add_argument("calm", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    hazard, calm = (read_results(folder)["episodes"] for folder in (args.hazard, args.calm))
    curves = {"all": curve(hazard, calm)}
    for env_id in dict.fromkeys(episode["env_id"] for episode in hazard):
        curves[env_id] = curve(*([e for e in episodes if e["env_id"] == env_id] for episodes in (hazard, calm)))
    for name, points in curves.items():
        sys.stdout.write(f"\n{name}: area under the curve {area(hazard, calm, name):.3f}\n")
        sys.stdout.write(f"{'at least':>10}{'recall':>24}{'false brakes':>24}\n")
        for point in points:
            cells = "".join(f"{_share(point[key]):>24}" for key in ("recall", "false_brakes"))
            sys.stdout.write(f"{point['threshold_mps2']:>5.1f} m/s2{cells}\n")
    if args.json:
        args.json.write_text(json.dumps(curves, indent=1) + "\n")
    return 0


def curve(hazard: Sequence[dict[str, Any]], calm: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Recall and false-brake rate, each {share, ci95, episodes}, at every threshold."""
    return [
        {"threshold_mps2": limit, "recall": _braked(hazard, limit), "false_brakes": _braked(calm, limit)}
        for limit in THRESHOLDS_MPS2
    ]


def area(hazard: Sequence[dict[str, Any]], calm: Sequence[dict[str, Any]], env_id: str = "all") -> float:
    """Chance that a drive with a hazard braked harder than one without; 0.5 is blind braking."""
    first, second = (
        [episode["metrics"][METRIC] for episode in episodes if env_id in ("all", episode["env_id"])]
        for episodes in (hazard, calm)
    )
    wins = sum((a > b) + 0.5 * (a == b) for a in first for b in second)
    return wins / (len(first) * len(second))


def _braked(episodes: Sequence[dict[str, Any]], limit: float) -> dict[str, Any]:
    count = sum(episode["metrics"][METRIC] >= limit for episode in episodes)
    return {"share": count / len(episodes), "ci95": wilson(count, len(episodes)), "episodes": len(episodes)}


def _share(row: dict[str, Any]) -> str:
    low, high = row["ci95"]
    return f"{100 * row['share']:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


if __name__ == "__main__":
    sys.exit(main())
