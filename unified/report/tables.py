"""An evaluation as tables in a terminal: successes by task, and what else environments measure."""

import sys
from collections.abc import Mapping
from typing import Any

from unified.rollout.builtin import labels


def print_tables(results: Mapping[str, Any]) -> None:
    """Successes of each task, one column a policy; then the means of every metric."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    columns = summaries(results)
    table = Table(title=f"successes (95 % interval, {results['summary']['interval'].title()})", box=SIMPLE)
    for name in ("task", *columns):
        table.add_column(name, no_wrap=True)
    for env_id in results["summary"]["per_task"]:
        table.add_row(env_id.split(":")[-1], *(_cell(summary["per_task"][env_id]) for summary in columns.values()))
    table.add_section()
    table.add_row("all", *(_cell(summary) for summary in columns.values()))
    console = Console(file=sys.stdout)
    console.width = max(100, console.width)
    console.print(table)
    names = metric_names(results)
    if names:
        means = Table(title="means over episodes [95 % interval]", box=SIMPLE)
        for name in ("metric", *columns):
            means.add_column(name, no_wrap=True)
        for name in names:
            means.add_row(name, *(mean_text(summary.get("metrics", {}).get(name)) for summary in columns.values()))
        console.print(means)


def print_scores(queries: Mapping[str, Any]) -> None:
    """What was measured on held-out recordings, a line for each number."""
    for name, scores in queries.items():
        lines = [f"judged on episodes that were {scores['episodes']['judged']}"]
        lines += [f"the {query} query was not trained" for query in scores["not_trained"]]
        lines += [f"the {query} query wants nothing that is scored" for query in scores["not_scored"]]
        action, film = scores.get("action", {}), scores.get("film", {})
        for arm, row in action.get("arms", {}).items():
            asked = "" if row.get("trained", True) else ", not trained"
            lines.append(f"action error of {arm} {row['mse']:.4f}{asked}")
        lines += [
            f"action error of {arm} against the expert {row['mse']:.4f}"
            for arm, row in action.get("on_expert", {}).items()
        ]
        for arm, row in film.get("arms", {}).items():
            likeness = "" if row["ssim"] is None else f", SSIM {row['ssim']:.3f}"
            lines.append(
                f"film of {arm} {row['psnr']:.2f} dB, moving pixels {row['moving_psnr']:.2f} dB{likeness}, "
                f"{film['steps_ahead']} env steps ahead"
            )
        sys.stdout.write("".join(f"{name}: {line}\n" for line in lines))


def summaries(results: Mapping[str, Any]) -> dict[str, Any]:
    """Short name -> summary of the policy and of what stands beside it."""
    others = {name: row["summary"] for name, row in results.get("baselines", {}).items()}
    name, *_ = labels([results["policy"], *others])
    return {name: results["summary"], **others}


def metric_names(results: Mapping[str, Any]) -> list[str]:
    """What was measured of any of the policies."""
    return list(dict.fromkeys(name for row in summaries(results).values() for name in row.get("metrics", {})))


def mean_text(row: Mapping[str, Any] | None) -> str:
    """A mean with its interval."""
    if row is None:
        return "-"
    return f"{row['mean']:.3g} [{row['ci95'][0]:.3g}, {row['ci95'][1]:.3g}]"


def mean_change(row: Mapping[str, Any]) -> str:
    """The difference of two means with its interval."""
    if row["difference_ci95"] is None:
        return f"{row['difference']:+.3g}"
    low, high = row["difference_ci95"]
    return f"{row['difference']:+.3g} [{low:+.3g} to {high:+.3g}]"


def points(share: float) -> str:
    """A difference of shares in percentage points."""
    return f"{100 * share:+.1f}".replace("-", "\N{MINUS SIGN}")


def task_name(env_id: str) -> str:
    """What tables and captions call an environment: without the name of our own module."""
    return env_id.removeprefix("sims:")


def _cell(row: Mapping[str, Any]) -> str:
    low, high = row["success_ci95"]
    return f"{row['successes']}/{row['episodes']} ({100 * low:.0f} to {100 * high:.0f} %)"
