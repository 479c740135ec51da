"""How well a dream ranks policies: success inside it beside success outside, over evaluations with `--inside`.

    python -m tests.benchmarks.inside EVALUATION... [--json FILE]

Pearson's and Spearman's correlation, and the mean maximum rank violation (MMRV, arXiv:2405.05941): for each policy, by
how much the worst pair that the dream orders wrongly differs outside, as a mean. Intervals resample policies and starts
together. Beside the dream two rankers that cost nothing: the training step and the loss on held-out windows, negated.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import pearsonr, spearmanr

DRAWS = 2000


def mmrv(inside: Float[np.ndarray, " policy"], outside: Float[np.ndarray, " policy"]) -> float:
    """0: whatever differs outside is ordered so inside; at most the largest difference outside."""
    gaps = np.abs(outside[:, None] - outside)
    is_wrong = (inside[:, None] < inside) != (outside[:, None] < outside)
    return float((gaps * is_wrong).max(1).mean())


def agreement(inside: np.ndarray, outside: np.ndarray) -> dict[str, float]:
    """All three; NaN where all policies are alike."""
    if np.ptp(inside) == 0 or np.ptp(outside) == 0:
        return {"pearson": float("nan"), "spearman": float("nan"), "mmrv": mmrv(inside, outside)}
    return {
        "pearson": float(pearsonr(inside, outside).statistic),
        "spearman": float(spearmanr(inside, outside).statistic),
        "mmrv": mmrv(inside, outside),
    }


def with_intervals(
    inside: Float[np.ndarray, " policy start"], outside: Float[np.ndarray, " policy start"], seed: int = 0
) -> dict[str, Any]:
    """Agreement of the means over starts, with 95 % intervals over policies and starts."""
    rng, (policies, starts) = np.random.default_rng(seed), inside.shape
    drawn = []
    for _ in range(DRAWS):
        rows, columns = rng.integers(policies, size=policies), rng.integers(starts, size=starts)
        drawn.append(agreement(*(each[rows][:, columns].mean(1) for each in (inside, outside))))
    found = agreement(inside.mean(1), outside.mean(1))
    return {
        name: {"value": value, "ci95": np.nanquantile([one[name] for one in drawn], [0.025, 0.975]).tolist()}
        for name, value in found.items()
    }


def trained(policy: str) -> dict[str, float]:
    """Training steps and the last loss on held-out windows of the run that a checkpoint lies in."""
    run = Path(policy).parent if Path(policy).name == "pretrained" else Path(policy)
    path = run / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    losses = [row["val/loss_policy_plan"] for row in rows if row.get("val/loss_policy_plan") is not None]
    return {
        "step": max((row["step"] + 1 for row in rows), default=float("nan")),
        "held-out loss": losses[-1] if losses else float("nan"),
    }


def read(folders: Sequence[Path]) -> tuple[list[dict[str, Any]], np.ndarray, np.ndarray]:
    """A row for each policy; successes (policy, start) inside and outside, of the same starts."""
    rows, inside, outside, starts = [], [], [], None
    for folder in folders:
        results = json.loads((folder / "results.json").read_text())
        real, dreamt = results["episodes"], results["inside"]["episodes"]
        keys = [(each["env_id"], each["seed"]) for each in real]
        if keys != [(each["env_id"], each["seed"]) for each in dreamt] or keys != (starts or keys):
            raise SystemExit(f"{folder}: other starts than {folders[0]}")
        starts = keys
        outside.append([each["success"] for each in real])
        inside.append([each["success"] for each in dreamt])
        rows.append(
            {
                "policy": results["policy"],
                "outside": float(np.mean(outside[-1])),
                "inside": float(np.mean(inside[-1])),
                "agree": float(np.mean(np.array(inside[-1]) == outside[-1])),
                **trained(results["policy"]),
            }
        )
    return rows, np.array(inside, float), np.array(outside, float)


def main() -> int:
    """Print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="EVALUATION")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows, inside, outside = read(args.folders)
    content: dict[str, Any] = {"starts": inside.shape[1], "policies": rows, "dream": with_intervals(inside, outside)}
    for ranker, sign in (("step", 1), ("held-out loss", -1)):
        known = [number for number, row in enumerate(rows) if np.isfinite(row[ranker])]
        values = np.array([sign * rows[number][ranker] for number in known])
        content[ranker] = agreement(values, outside[known].mean(1)) | {"policies": len(known)}
    for row in rows:
        sys.stdout.write(f"{row['outside']:>6.0%} outside {row['inside']:>6.0%} inside  {row['policy']}\n")
    for name, found in content["dream"].items():
        low, high = found["ci95"]
        others = ", ".join(f"{ranker} {content[ranker][name]:.2f}" for ranker in ("step", "held-out loss"))
        sys.stdout.write(f"{name:<10}{found['value']:>6.2f} [{low:.2f} to {high:.2f}]   {others}\n")
    if args.json:
        args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
