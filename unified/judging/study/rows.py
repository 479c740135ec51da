"""How a study came out: one results.json a condition, one row of numbers each, a table and a picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from unified.atomic import atomic_path, write_text
from unified.judging.intervals import repeated_interval
from unified.judging.results import provenance, read_results, results_of, summarise, write_results
from unified.judging.study.file import Run, Study
from unified.judging.study.stages import evaluation

PLOT, TABLE, ROWS, TENSORBOARD = "study.png", "study.md", "study.json", "tensorboard"


@dataclass(frozen=True)
class Row:
    """One condition judged in one way, over all of its seeds that are done.

    Attributes:
        arm, budget, round, evaluation: which.
        curve, x: where in the plot; x is the arm's own, else the corrective episodes a task, else the budget.
        seeds, rates: of training, and the success rate of each.
        successes, episodes, success_rate, success_ci95: over all of them, see `intervals.repeated_interval`.
    """

    arm: str
    budget: str
    round: int
    evaluation: str
    curve: str
    x: float
    seeds: list[int]
    rates: list[float]
    successes: int
    episodes: int
    success_rate: float
    success_ci95: tuple[float, float]


def collect(study: Study) -> list[Row]:
    """The rows of all that is done, each beside its results.json."""
    has_rounds = any("corrections" in run.options for run in study.runs)
    groups: dict[tuple[Path, str], list[tuple[Run, int, dict[str, Any]]]] = {}
    for run in study.runs:
        for number in range(len(run.rounds)):
            for key in run.options.get("evaluate", {}):
                file = evaluation(run.folder(number), key) / "results.json"
                members = groups.setdefault((run.condition(number), key), [])
                is_same = not number and "start" in run.options  # one model, whatever the seed
                if file.exists() and not (is_same and members):
                    members.append((run, number, read_results(file)))
    return [_row(folder, key, members, has_rounds) for (folder, key), members in groups.items() if members]


def _row(folder: Path, key: str, members: Sequence[tuple[Run, int, dict[str, Any]]], has_rounds: bool) -> Row:
    run, number, _ = members[0]
    _pool(folder / f"{key}.json", members)
    counts = [(each["summary"]["successes"], each["summary"]["episodes"]) for _, _, each in members]
    successes, episodes = (sum(values) for values in zip(*counts, strict=True))
    own_episodes = list(accumulate(run.rounds))[number]
    x = run.options.get("x", own_episodes if has_rounds else run.budget)
    return Row(
        run.arm, f"{run.budget:g} {run.unit}", number, key, run.options.get("curve", run.arm), float(x),
        [each.seed for each, _, _ in members], [wins / total for wins, total in counts],
        successes, episodes, successes / episodes, repeated_interval(counts),
    )  # fmt: skip


def _pool(path: Path, members: Sequence[tuple[Run, int, dict[str, Any]]]) -> None:
    """The episodes of all seeds in one file; each says which training it is of."""
    run, number, first = members[0]
    groups = {env_id: row["group"] for env_id, row in first["summary"]["per_task"].items()}
    episodes = [
        {**episode, "facts": {**episode.get("facts", {}), "training_seed": each.seed}}
        for each, _, results in members
        for episode in results["episodes"]
    ]
    kept = {key: first[key] for key in ("schema_version", "suite", "split", "seed", "max_env_steps", "created")}
    more = {"policy": str(run.condition(number)), "commands": [results["command"] for _, _, results in members]}
    summary = summarise([results_of(episode) for episode in episodes], groups)
    write_results(path, {**kept, **provenance(), **more, "summary": summary, "episodes": episodes})


def write_outcome(study: Study, rows: Sequence[Row]) -> str:
    """Write study.json, study.md, study.png and TensorBoard's files; returns the table."""
    text = json.dumps({"study": study.name, "rows": [asdict(row) for row in rows]}, indent=1)
    write_text(study.root / ROWS, text + "\n")
    table = as_table(rows)
    write_text(study.root / TABLE, table)
    if rows:
        with atomic_path(study.root / PLOT) as temporary:
            draw(rows, study.axis or _axis(study.runs), temporary)
        _log(study.root, rows)
    return table


def as_table(rows: Sequence[Row]) -> str:
    """In Markdown."""
    lines = [("arm", "budget", "round", "evaluation", "seeds", "success", "95 % interval"), ("---",) * 7]
    for row in rows:
        low, high = row.success_ci95
        counts = f"{row.successes} of {row.episodes} ({row.success_rate:.0%})"
        own = (row.arm, row.budget, str(row.round), row.evaluation, ", ".join(map(str, row.seeds)))
        lines.append((*own, counts, f"{low:.0%} to {high:.0%}"))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def draw(rows: Sequence[Row], axis: str, path: Path) -> None:
    """One panel an evaluation: a line with intervals for each curve; where every curve is a point, one place each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys(row.evaluation for row in rows))
    curves = _curves(rows)
    is_points = len(curves) == len({(row.curve, row.evaluation) for row in rows}) == len(rows)
    figure = Figure(figsize=(1.5 + 4.5 * len(panels), 4), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (panel, axes) in enumerate(zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True)):
        for name, points in curves.items():
            mine = [row for row in points if row.evaluation == panel]
            below = [row.success_rate - row.success_ci95[0] for row in mine]
            above = [row.success_ci95[1] - row.success_rate for row in mine]
            x = [name for _ in mine] if is_points else [row.x for row in mine]
            y = [row.success_rate for row in mine]
            axes.errorbar(x, y, yerr=[below, above], marker="o", capsize=3, label=name)
        axes.set(
            title=panel, xlabel="" if is_points else axis, ylabel="success" if not place else "", ylim=(-0.03, 1.03)
        )
        axes.grid(alpha=0.3)
        if not is_points and not place:
            axes.legend()
    figure.savefig(path, dpi=120, format="png")


def _curves(rows: Sequence[Row]) -> Mapping[str, list[Row]]:
    ordered = sorted(rows, key=lambda row: row.x)
    return {name: [row for row in ordered if row.curve == name] for name in dict.fromkeys(row.curve for row in rows)}


def _axis(runs: Sequence[Run]) -> str:
    if any("corrections" in run.options for run in runs):
        return "corrective episodes a task"
    return "optimiser steps" if runs[0].unit == "steps" else "minutes of processor time"


def _log(root: Path, rows: Sequence[Row]) -> None:
    """The curves and the picture in TensorBoard; x stands there as the step."""
    import numpy as np
    from PIL import Image
    from torch.utils.tensorboard import SummaryWriter

    with atomic_path(root / TENSORBOARD, replaces_folder=True) as folder:
        for name, points in _curves(rows).items():
            with SummaryWriter(str(folder / name)) as writer:
                for row in points:
                    values = {"success": row.success_rate, "low": row.success_ci95[0], "high": row.success_ci95[1]}
                    for key, value in values.items():
                        writer.add_scalar(f"{row.evaluation}/{key}", value, round(row.x))
        with SummaryWriter(str(folder / "picture")) as writer:
            writer.add_image("study", np.asarray(Image.open(root / PLOT).convert("RGB")), dataformats="HWC")
