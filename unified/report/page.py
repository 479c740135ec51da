"""One HTML file that says how good a policy is: what succeeded, beside what; what was imagined, beside what happened.

The page is made from results.json and the films beside it, and holds everything it shows: it opens from a disk or a
mail, offline. A section is a function from `Report` to markup, "" if it has nothing to say; a new one joins `SECTIONS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified.atomic import write_text
from unified.judging.results import read_results
from unified.report.failures import failures
from unified.report.html import Html, bar, join, media, page, table, tag
from unified.report.tables import mean_text, metric_names, task_name

MAX_FILMS = 12
DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Report:
    """What the sections read: a results.json (`unified.judging.results`) and the folder its paths are relative to."""

    results: Mapping[str, Any]
    folder: Path

    @property
    def columns(self) -> dict[str, Mapping[str, Any]]:
        """Name -> summary of the policy and of what stands beside it."""
        return {
            self.results["policy"]: self.results["summary"],
            **{name: baseline["summary"] for name, baseline in self.results.get("baselines", {}).items()},
        }


Section = Callable[[Report], Html]


def write_report(folder: Path | str, path: Path | str | None = None) -> Path:
    """Make `report.html` from the results.json in a folder.

    Raises:
        UserError: if there is none or it breaks the schema.
    """
    folder = Path(folder)
    path = folder / "report.html" if path is None else Path(path)
    write_text(path, render(Report(read_results(folder), folder)))
    return path


def render(report: Report, sections: Sequence[Section] | None = None) -> str:
    """The page as text."""
    results = report.results
    title = f"{_short(results['policy'])} on {results['suite']}"
    made = " · ".join(str(item) for item in (results.get("created"), f"commit {results['git_commit']}") if item)
    header = tag("header", tag("h1", title), tag("p", made))
    shown = [section(report) for section in (SECTIONS if sections is None else sections)]
    return page(title, header, *(tag("section", body) for body in shown if body))


# ---------------------------------------------------------------------------------------------------------- sections


def verdict(report: Report) -> Html:
    """Success per task with intervals, beside the others: the first thing to see."""
    results, columns = report.results, report.columns
    if not results["episodes"]:
        return Html("")
    tiles = [
        tag("div", tag("b", _percent(summary["success_rate"])), tag("span", f"{_short(name)} · {_interval(summary)}"))
        for name, summary in columns.items()
    ]
    per_task = results["summary"]["per_task"].values()
    solved = sum(row["success_rate"] >= 0.9 for row in per_task)
    tiles.append(tag("div", tag("b", f"{solved} / {len(per_task)}"), tag("span", "tasks at 90 % or more")))
    kinds = {
        name: name if name in ("expert", "random") else "" if place == 0 else "other"
        for place, name in enumerate(columns)
    }
    rows: list[list[object]] = []
    for env_id, row in results["summary"]["per_task"].items():
        cells: list[object] = [join([task_name(env_id), tag("small", row["task"])])]
        for name, summary in columns.items():
            other = summary["per_task"].get(env_id)
            cells.append(_rate_cell(other, kinds[name]) if other else DASH)
        rows.append(cells)
    note = (
        f"{results['summary']['successes']} of {results['summary']['episodes']} episodes succeeded, on seeds of the "
        f"{results.get('split', 'test')} split. An episode ends as a success when the simulator first says so, as a "
        f"failure after {results.get('max_env_steps', 'the allowed')} env steps. Whiskers and brackets are 95 % "
        f"intervals ({results['summary']['interval'].title()})."
    )
    return join(
        [
            tag("h2", "Closed-loop success"),
            tag("div", *tiles, class_="verdict"),
            table(["task", *(_short(name) for name in columns)], rows),
            tag("p", tag("small", note)),
        ]
    )


def groups(report: Report) -> Html:
    """Means per group, and the two means over all that papers print."""
    summary = report.results["summary"]
    if len(summary["per_group"]) < 2:
        return Html("")
    rows = [
        [name, row["tasks"], *(_rate_cell(column["per_group"].get(name)) for column in report.columns.values())]
        for name, row in summary["per_group"].items()
    ]
    for key, label in (("task_mean", "mean over tasks"), ("group_mean", "mean over groups")):
        cells = [_rate_cell(column[key]) for column in report.columns.values()]
        rows.append(
            [tag("b", label), len(summary["per_task"]) if key == "task_mean" else len(summary["per_group"]), *cells]
        )
    return join([tag("h2", "By group"), table(["group", "tasks", *map(_short, report.columns)], rows)])


def metrics(report: Report) -> Html:
    """What environments measure besides success: a table for each metric, tasks down, policies across."""
    names = metric_names(report.results)
    if not names:
        return Html("")
    columns = report.columns
    parts: list[object] = []
    for name in names:
        rows: list[list[object]] = []
        for env_id in report.results["summary"]["per_task"]:
            of_task = [summary["per_task"].get(env_id, {}) for summary in columns.values()]
            rows.append([task_name(env_id), *(mean_text(row.get("metrics", {}).get(name)) for row in of_task)])
        overall = [mean_text(summary.get("metrics", {}).get(name)) for summary in columns.values()]
        rows.append([tag("b", "all"), *overall])
        parts += [tag("h3", name), table(["task", *map(_short, columns)], rows)]
    note = "Means over episodes with 95 % intervals, as the environments report them."
    return join([tag("h2", "What was measured"), *parts, tag("p", tag("small", note))])


def films(report: Report) -> Html:
    """Films of the policy: a success and a failure of each task where there are both."""
    picked: list[Mapping[str, Any]] = []
    filmed = [episode for episode in report.results["episodes"] if _exists(report, episode.get("film"))]
    for env_id in report.results["summary"]["per_task"]:
        mine = [episode for episode in filmed if episode["env_id"] == env_id]
        for wanted in (True, False):
            picked += [episode for episode in mine if episode["success"] is wanted][:1]
    if not picked:
        return Html("")
    figures = [media(report.folder / episode["film"], _film_caption(episode), 192) for episode in picked[:MAX_FILMS]]
    left = len(filmed) - len(figures)
    more = tag("p", tag("small", f"{left} more films lie in {report.folder.name}/films.")) if left > 0 else ""
    return join([tag("h2", "What it did"), tag("div", *figures, class_="films"), more])


def went_wrong(report: Report) -> Html:
    """Step and cause of every failure that an environment explains."""
    return failures(report.results, report.folder)


def plans(report: Report) -> Html:
    """What the model imagined its own plan would look like, beside what then happened."""
    made = [plan for plan in report.results.get("plans", []) if _exists(report, plan.get("film"))]
    if not made:
        return Html("")
    intro = (
        "One answer of the joint query is a plan and its picture. The plan was executed to the pictured moment, "
        f"{made[0]['steps_ahead']} env steps ahead, then the model planned again. Differences are enlarged three times."
    )
    figures = [
        media(
            report.folder / plan["film"],
            f"{task_name(plan['env_id'])}, seed {plan['seed']}: imagined {plan['psnr']:.1f} dB, "
            f"copying the last frame {plan['copy_psnr']:.1f} dB",
            460,
        )
        for plan in made
    ]
    return join([tag("h2", "Plans and what then happened"), tag("p", intro), tag("div", *figures, class_="films")])


_ARM_NAMES = {
    "copy_last": "copy of the last frame",
    "true_actions": "world model, true actions",
    "no_actions": "video query, no actions",
    "shuffled_actions": "world model, another episode's actions",
    "mean_predictor": "mean action",
    "hold_action": "repeating the last action",
    "hold_state": "holding the measured state",
    "policy": "policy query (sees no future)",
    "inverse_dynamics": "inverse dynamics (sees the future frame)",
    "joint": "joint query (imagines the future)",
}


def world_model(report: Report) -> Html:
    """Imagined frames on held-out episodes: PSNR beside copying, and what the actions are worth."""
    parts: list[object] = []
    for name, scores in report.results.get("queries", {}).items():
        film = scores.get("film")
        if not film:
            continue
        order = [arm for arm in _ARM_NAMES if arm in film["arms"]]
        rows = [
            [_ARM_NAMES[arm], *(_decibel(film["arms"][arm], key) for key in ("psnr", "moving_psnr"))] for arm in order
        ]
        parts += [
            tag("h3", name),
            table(["frame imagined by", "all pixels", f"moving pixels ({_percent(film['moving_share'])})"], rows),
            tag("p", _film_sentence(film), " ", tag("small", _windows_note(film, scores))),
        ]
        if _exists(report, scores.get("strip")):
            parts.append(media(report.folder / scores["strip"], "Held-out windows, one a row."))
    if not parts:
        return Html("")
    return join([tag("h2", "The world it imagines"), *parts])


def inverse_dynamics(report: Report) -> Html:
    """Error of actions read off films, beside guessing from the observation alone."""
    parts: list[object] = []
    for name, scores in report.results.get("queries", {}).items():
        actions = scores.get("action")
        if not actions:
            continue
        worst = max(row["mse"] for row in actions["arms"].values())
        rows = [
            [_ARM_NAMES[arm], _number(row["mse"], row["mse_ci95"]), bar(row["mse"] / worst)]
            for arm, row in sorted(actions["arms"].items(), key=lambda item: list(_ARM_NAMES).index(item[0]))
        ]
        parts += [tag("h3", name), table(["actions guessed by", "squared error", ""], rows)]
        if "inverse_over_policy" in actions:
            ratio = actions["inverse_over_policy"]
            value = _number(ratio["value"], ratio["ci95"])
            sentence = f"Inverse dynamics over policy query: {value}. Below 1, the film helps."
            parts.append(tag("p", sentence, " ", tag("small", _windows_note(actions, scores))))
    if not parts:
        return Html("")
    intro = (
        "Squared error against the executed actions, in units of their variance (the mean action scores about 1). Most "
        "actions can be guessed from what is seen now, so the policy query stands beside inverse dynamics."
    )
    return join([tag("h2", "Actions from films"), tag("p", intro), *parts])


def provenance(report: Report) -> Html:
    """What is needed to make these numbers again."""
    results = report.results
    lengths = [episode["metrics"].get("decision_ms") for episode in results["episodes"]]
    times = sorted(value for value in lengths if value is not None)
    rows: list[list[object]] = [
        ["policy", results["policy"]],
        ["settings", ", ".join(f"{key} {value}" for key, value in results.get("policy_settings", {}).items()) or DASH],
        ["seeds", f"policy {results['seed']}; environments {_seeds(results['episodes'])}"],
        ["episodes", results["summary"]["episodes"]],
        ["model time a decision", f"{times[len(times) // 2]:.2f} ms (median over episodes)" if times else DASH],
        ["duration", f"{results['duration_s']:.0f} s" if "duration_s" in results else DASH],
        ["commit", results["git_commit"] or "not in a git checkout"],
        ["versions", ", ".join(f"{name} {version}" for name, version in results["versions"].items())],
    ]
    command = tag("pre", results["command"]) if results.get("command") else ""
    return join([tag("h2", "Provenance"), table(["", ""], rows, numbers_from=9), command])


SECTIONS: list[Section] = [
    verdict,
    groups,
    metrics,
    films,
    went_wrong,
    plans,
    world_model,
    inverse_dynamics,
    provenance,
]


# ----------------------------------------------------------------------------------------------------------- wording


def _rate_cell(row: Mapping[str, Any] | None, kind: str = "") -> Html:
    if row is None:
        return Html(DASH)
    text = f"{_percent(row['success_rate'])} {_interval(row)}"
    return join([text, bar(row["success_rate"], row["success_ci95"], kind)])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share in (0, 1) or 0.1 <= share <= 0.995 else f"{100 * share:.1f} %"


def _interval(row: Mapping[str, Any]) -> str:
    low, high = row["success_ci95"]
    return f"[{100 * low:.0f}{DASH}{100 * high:.0f}]"


def _number(value: float, interval: Sequence[float] | None, digits: int = 3, sign: str = "", unit: str = "") -> str:
    text = f"{value:{sign}.{digits}f}{unit}"
    if interval is None:
        return text
    return f"{text} [{interval[0]:{sign}.{digits}f}{' to ' if sign else DASH}{interval[1]:{sign}.{digits}f}]"


def _decibel(arm: Mapping[str, Any], key: str) -> str:
    return _number(arm[key], arm[f"{key}_ci95"], 2, unit=" dB")


def _film_sentence(film: Mapping[str, Any]) -> str:
    def gain(key: str) -> str:
        return _number(film[key]["value"], film[key]["ci95"], 2, "+", " dB")

    sentence = f"Against copying: {gain('gain_over_copy_db')}, moving pixels {gain('moving_gain_over_copy_db')}."
    if "shuffled_cost_db" in film:
        sentence += (
            f" Wrong actions cost {gain('shuffled_cost_db')}, moving pixels {gain('moving_shuffled_cost_db')} "
            f"({film['shuffled_windows']} windows)."
        )
    return sentence + f" No actions cost {gain('no_actions_cost_db')}."


def _windows_note(table: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    ahead = f", {scores['steps_ahead']} env steps ahead" if "steps_ahead" in scores else ""
    steps = f"{table['num_steps']} denoise step{'s' if table['num_steps'] > 1 else ''}"
    episodes = f"{table['episodes']} held-out episodes" if table["episodes"] > 1 else "one episode, so no intervals"
    return f"{table['windows']} windows of {episodes}{ahead}, {steps}."


def _film_caption(episode: Mapping[str, Any]) -> Html:
    how = tag("span", "success", class_="ok") if episode["success"] else tag("span", "failure", class_="bad")
    end = "" if episode["success"] else f" ({str(episode['failure']).replace('_', ' ')})"
    return join(
        [task_name(episode["env_id"]), ": ", how, end, f" after {episode['length']} steps, seed {episode['seed']}"]
    )


def _seeds(episodes: Sequence[Mapping[str, Any]]) -> str:
    seeds = [episode["seed"] for episode in episodes]
    return f"{min(seeds)} to {max(seeds)}" if seeds else DASH


def _short(policy: str) -> str:
    return Path(policy).name or policy if "/" in policy else policy


def _exists(report: Report, path: str | None) -> bool:
    return path is not None and (report.folder / path).is_file()
