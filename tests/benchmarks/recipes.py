"""Trainings side by side: what `unified evaluate --data` said of each, means over seeds beside every seed's number.

    python -m tests.benchmarks.recipes "old=RESULTS_OF_SEED_0,RESULTS_OF_SEED_1" "new=..." [--json FILE]

Each file is a results.json of `unified evaluate --policy CHECKPOINT --suite SUITE --data DEMONSTRATIONS --data PLAY`.
Success is counted in episodes; films are PSNR at the compared moment; action errors are shares of the variance.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def numbers_of(results: Mapping[str, Any]) -> dict[str, float]:
    """The rows of the table, from one results.json."""
    per_task = results["summary"]["per_task"]
    rows: dict[str, float] = {"success": sum(row["success_rate"] * row["episodes"] for row in per_task.values())}
    rows["episodes"] = sum(row["episodes"] for row in per_task.values())
    rows |= {f"success {name.split('MetaWorld-')[-1]}": row["success_rate"] for name, row in per_task.items()}
    for name, scores in results.get("queries", {}).items():
        film, action = scores.get("film", {}), scores.get("action", {}).get("arms", {})
        rows |= {
            f"{name}: {key}": film[key]["value"] for key in ("gain_over_copy_db", "shuffled_cost_db") if key in film
        }
        for arm in ("true_actions", "copy_last"):
            if arm in film.get("arms", {}):
                rows[f"{name}: {arm} psnr"] = film["arms"][arm]["psnr"]
        rows |= {f"{name}: {arm} error": row["mse"] for arm, row in action.items()}
    return rows


def table(recipes: Mapping[str, Sequence[Path]]) -> dict[str, dict[str, list[float]]]:
    """Numbers by row and recipe, one a seed."""
    rows: dict[str, dict[str, list[float]]] = {}
    for recipe, files in recipes.items():
        for file in files:
            for row, value in numbers_of(json.loads(file.read_text(encoding="utf-8"))).items():
                rows.setdefault(row, {}).setdefault(recipe, []).append(value)
    return rows


def main() -> int:
    """Print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="+", help="NAME=FILE[,FILE...]")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    recipes = {}
    for recipe in args.recipe:
        name, _, files = recipe.partition("=")
        recipes[name] = [Path(file) for file in files.split(",")]
    rows = table(recipes)
    sys.stdout.write(f"| {'':<44} | " + " | ".join(recipes) + " |\n")
    for row, values in rows.items():
        cells = [
            f"{statistics.mean(seeds):.2f} ({', '.join(f'{value:.2f}' for value in seeds)})"
            if (seeds := values.get(name))
            else "-"
            for name in recipes
        ]
        sys.stdout.write(f"| {row:<44} | " + " | ".join(cells) + " |\n")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
