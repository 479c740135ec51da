"""One HTML file that says how good a policy is: what succeeded, beside what; what was imagined, beside what happened.

The page is made from results.json and the films beside it, and holds everything it shows: it opens from a disk or a
mail, offline. How it looks is in `templates/report.html`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unified.atomic import write_text
from unified.judging.results import read_results
from unified.report.html import DASH, render_page
from unified.report.tables import metric_names, summaries
from unified.rollout.builtin import label

MAX_FILMS, MAX_MOMENTS = 12, 24
_ARM_NAMES = {
    "copy_last": "copy of the last frame",
    "true_actions": "world model, true actions",
    "no_actions": "video query, no actions",
    "shuffled_actions": "world model, another episode's actions",
    "mean_predictor": "mean action",
    "hold_action": "repeating the last action",
    "hold_state": "holding the measured state",
    "linear_proprio": "linear regression on measured states",
    "policy": "policy query (sees no future)",
    "inverse_dynamics": "inverse dynamics (sees the next moment)",
    "inverse_by_sight": "inverse dynamics by sight alone",
    "joint": "joint query (imagines the future)",
}


def write_report(folder: Path | str, path: Path | str | None = None) -> Path:
    """Make `report.html` from the results.json in a folder.

    Raises:
        UserError: if there is none or it breaks the schema.
    """
    folder = Path(folder)
    path = folder / "report.html" if path is None else Path(path)
    write_text(path, render(read_results(folder), folder))
    return path


def render(results: Mapping[str, Any], folder: Path) -> str:
    """The page as text; paths in the results are relative to the folder."""

    def exists(path: str | None) -> bool:
        return path is not None and (folder / path).is_file()

    filmed = [episode for episode in results["episodes"] if exists(episode.get("film"))]
    failed = [episode for episode in results["episodes"] if "bad_step" in episode.get("facts", {})]
    shown = [episode for episode in failed if exists(episode["facts"].get("moment"))][:MAX_MOMENTS]
    return render_page(
        "report.html",
        title=f"Policy {label(results['policy'])} on {results['suite']}",
        results=results,
        folder=folder,
        columns=summaries(results),
        summary=results["summary"],
        per_task=results["summary"]["per_task"],
        metric_names=metric_names(results),
        picked=_success_and_failure_of_each_task(filmed)[:MAX_FILMS],
        num_filmed=len(filmed),
        failed=failed,
        facts=dict.fromkeys(name for episode in failed for name in episode["facts"] if name != "moment"),
        moment=lambda episode: episode in shown,
        exists=exists,
        queries=results.get("queries", {}),
        plans=[plan for plan in results.get("plans", []) if exists(plan.get("film"))],
        curves=_curves(results.get("training", {})),
        arm_name=lambda arm: _ARM_NAMES.get(arm, f"{arm} query"),
        in_order=lambda arms: sorted(arms, key=lambda arm: [*_ARM_NAMES, arm].index(arm)),
        provenance=_provenance(results),
    )


def _success_and_failure_of_each_task(episodes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    first: dict[tuple[str, bool], Mapping[str, Any]] = {}
    for episode in sorted(episodes, key=lambda episode: not episode["success"]):
        first.setdefault((episode["env_id"], episode["success"]), episode)
    order = list(dict.fromkeys(episode["env_id"] for episode in episodes))
    return sorted(first.values(), key=lambda episode: order.index(episode["env_id"]))


def _curves(training: Mapping[str, Any]) -> dict[str, Any] | None:
    """The losses of a run as lines in a square of 100, the last step at the right, the lowest loss at the bottom."""
    points = [point for line in training.values() for point in line]
    if len(points) < 2:
        return None
    (first, last), (low, high) = ((min(values), max(values)) for values in zip(*points, strict=True))
    width, height = max(last - first, 1), max(high - low, 1e-12)
    lines = {
        name: " ".join(f"{100 * (step - first) / width:.1f},{100 * (high - loss) / height:.1f}" for step, loss in line)
        for name, line in training.items()
    }
    return {"lines": lines, "first_step": first, "last_step": last, "low": low, "high": high}


def _provenance(results: Mapping[str, Any]) -> dict[str, Any]:
    """What is needed to make these numbers again."""
    episodes = results["episodes"]
    times = sorted(row["metrics"]["decision_ms"] for row in episodes if row["metrics"].get("decision_ms") is not None)
    seeds = [episode["seed"] for episode in episodes]
    span = f"{min(seeds)} to {max(seeds)}" if seeds else DASH
    return {
        "policy": results["policy"],
        "settings": ", ".join(f"{key} {value}" for key, value in results.get("policy_settings", {}).items()) or DASH,
        "seeds": f"policy {results['seed']}; environments {span}",
        "episodes": results["summary"]["episodes"],
        "model time a decision": f"{times[len(times) // 2]:.2f} ms (median over episodes)" if times else DASH,
        "duration": f"{results['duration_s']:.0f} s" if "duration_s" in results else DASH,
        "commit": results["git_commit"] or "not in a git checkout",
        "versions": ", ".join(f"{name} {version}" for name, version in results["versions"].items()),
    }
