"""Every family of driving scenarios with the privileged planner beside all baselines: success, PDMS, EPDMS.

    python -m tests.benchmarks.driving_experts [--seeds 50] [--planners privileged] [--families follow] [--json FILE]

Both splits of topologies are driven in turn. One core; a drive of the planner takes one to three seconds.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sims.driving.ego.planners import PLANNERS
from sims.driving.scenarios.library import FAMILIES
from tests.sims.driving.drives import DriveResult, drive
from unified.judging.intervals import wilson


def main() -> int:
    """Print a row for each family and planner; failures by id at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--planners", default=",".join(PLANNERS))
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--no-scores", action="store_true", help="success only; twice as fast")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results: list[DriveResult] = []
    sys.stdout.write(f"{'family':<20}{'planner':<18}{'n':>4}{'success':>9}{'PDMS':>7}{'EPDMS':>7}{'x real time':>13}\n")
    for family in args.families.split(","):
        for planner in args.planners.split(","):
            seeds = range(args.first_seed, args.first_seed + args.seeds)
            results += _row(family, planner, seeds, not args.no_scores)
    for result in results:
        if result.planner == "privileged" and not result.success:
            sys.stdout.write(f"failed: {result.scenario} {result.failure} step {result.bad_step}\n")
    if args.json:
        args.json.write_text(json.dumps(summary(results), indent=1) + "\n", encoding="utf-8")
    return 0


def summary(results: Sequence[DriveResult]) -> dict[str, Any]:
    """A row for each family and planner, and the planner's failures by scenario."""
    rows: list[dict[str, Any]] = []
    groups = dict.fromkeys((result.scenario.split("/")[0], result.planner) for result in results)
    for family, planner in groups:
        mine = [r for r in results if (r.scenario.split("/")[0], r.planner) == (family, planner)]
        solved = sum(r.success for r in mine)
        counts = {"drives": len(mine), "successes": solved, "success_ci95": list(wilson(solved, len(mine)))}
        scores = {name: round(float(np.mean([getattr(r, name) for r in mine])), 4) for name in ("pdms", "epdms")}
        rows.append({"family": family, "planner": planner, **counts, **scores})
    failed = [vars(r) for r in results if r.planner == "privileged" and not r.success]
    return {"rows": rows, "failed": failed}


def _row(family: str, planner: str, seeds: Sequence[int], with_scores: bool) -> list[DriveResult]:
    places = FAMILIES[family].topologies
    started = time.process_time()
    results = [drive(f"{family}/{places[seed % len(places)]}/{seed}", planner, with_scores) for seed in seeds]
    seconds = time.process_time() - started
    success, one, two = (np.mean([getattr(r, name) for r in results]) for name in ("success", "pdms", "epdms"))
    ratio = sum(result.seconds for result in results) / seconds
    sys.stdout.write(f"{family:<20}{planner:<18}{len(results):>4}{success:>9.2f}{one:>7.3f}{two:>7.3f}{ratio:>13.1f}\n")
    sys.stdout.flush()
    return results


if __name__ == "__main__":
    sys.exit(main())
