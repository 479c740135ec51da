"""results.json: one schema for every suite and policy. This module documents it, writes it and checks it.

Top level:
    schema_version: 1.
    suite: name of the suite; `split`: which of its seeds ("test" unless asked otherwise).
    policy: "expert", "random", ... or the checkpoint that was judged; `policy_settings`: its sampler settings.
    git_commit: commit of this project, with "-dirty" if the tree was changed; null outside a repository.
    versions: package -> version for everything that can change a number (simulator included).
    seed: seed of the policy's own noise. The environments' seeds stand with the episodes.
    command: the command line that made the file; `created`: UTC time; `duration_s`: wall seconds of the rollouts.
    episodes: list, in the order of the suite, of
        env_id, task (the instruction in words), seed (of the environment), success (bool), return (sum of rewards),
        length (env steps until success or the end), metrics (numbers: decisions, decision_ms = milliseconds of model
        time per decision, and what the environment reports), failure (null, "time_limit" or "terminated"),
        film (path relative to this file) where one was made, film_stride (env steps from one picture to the next; the
        last one shows the end), facts (plain values) where the environment states any:
        which variant it was; `bad_step`, the env step at which success was lost, and what else it says of that;
        `moment`, the path of a short film around it; scores, where metrics are made of something: name -> the terms,
        weights, measured values and events (term, step, actor, what happened) of that score.
    summary: see `summarise`.
    baselines: name -> {"summary": ..., "episodes": number} of other policies on the same episodes (may be empty).
    inside: the same policy in a dream: `checkpoint` that dreams, `watch` if one looked on, and `episodes`, as above.
    env_kwargs: arguments of the environments that differ from the suite's (only where there are any).
    environments: list, a part of the suite each: env_ids, env_kwargs (all of their arguments), max_env_steps.
    training: losses of the run that the checkpoint lies in, {"training" and "held-out": [[step, loss], ...]}.
    queries: what `unified.judging.open_loop` measured on held-out windows, dataset name -> scores (may be empty).
"""

import importlib.metadata
import json
import math
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import unified
from unified.atomic import write_text
from unified.errors import UserError
from unified.judging.intervals import clopper_pearson, mean_interval, weighted_mean_interval, wilson

SCHEMA_VERSION = 1
INTERVALS = {"wilson": wilson, "clopper-pearson": clopper_pearson}
_OF_THE_POLICY = ("decisions", "decision_ms")  # no scores of what was done
_PACKAGES = ("torch", "numpy", "gymnasium", "mujoco", "metaworld", "lerobot", "pytorch-lightning")


@dataclass
class EpisodeResult:
    """How one episode went; `failure` is None, "time_limit" or "terminated".

    Attributes:
        env_return: sum of rewards until the episode ended ("return" in the file).
        length: env steps until success or the end.
        film: path of a film, relative to results.json; `film_stride` env steps lie between two of its pictures.
        facts: what the environment says about the episode besides numbers.
        scores: what the scores among the metrics are made of.
    """

    env_id: str
    task: str
    seed: int
    success: bool
    env_return: float
    length: int
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    failure: str | None = None
    film: str | None = None
    film_stride: int | None = None
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    scores: dict[str, Any] = field(default_factory=dict[str, Any])

    def to_dict(self) -> dict[str, Any]:
        """The episode as it stands in the file."""
        values: dict[str, Any] = {
            "env_id": self.env_id,
            "task": self.task,
            "seed": self.seed,
            "success": self.success,
            "return": self.env_return,
            "length": self.length,
            "metrics": self.metrics,
            "failure": self.failure,
        }
        more = {"film": self.film, "film_stride": self.film_stride, "facts": self.facts, "scores": self.scores}
        return {**values, **{name: value for name, value in more.items() if value}}


def results_of(episode: Mapping[str, Any]) -> EpisodeResult:
    """An episode as it stands in a file, read again."""
    return EpisodeResult(env_return=episode["return"], **{key: episode[key] for key in episode if key != "return"})


def summarise(
    episodes: Sequence[EpisodeResult], groups: Mapping[str, str] | None = None, method: str = "wilson"
) -> dict[str, Any]:
    """The numbers of a table: per task, per group and over all, each with its 95 % interval.

    Returns:
        success_rate, success_ci95, episodes, successes: over all episodes; interval: the method.
        metrics: name -> {mean, ci95, episodes} of what environments report, over the episodes that have it; the
            interval is `unified.judging.intervals.mean_interval`.
        per_task: env_id -> the same numbers, group, mean_length, mean_return.
        per_group: group -> success_rate (mean of its tasks' rates), success_ci95, tasks.
        task_mean, group_mean: {success_rate, success_ci95}; means over tasks, and over groups whatever their sizes
            (papers on MT50 print either: name the one that is meant). Their intervals are MOVER's.
    """
    interval = INTERVALS[method]
    groups = groups or {}
    per_task: dict[str, dict[str, Any]] = {}
    for env_id in dict.fromkeys(episode.env_id for episode in episodes):
        mine = [episode for episode in episodes if episode.env_id == env_id]
        per_task[env_id] = {
            **_proportion([episode.success for episode in mine], interval),
            "task": mine[0].task,
            "group": groups.get(env_id, "all"),
            "metrics": _metrics(mine),
            "mean_length": sum(episode.length for episode in mine) / len(mine),
            "mean_return": sum(episode.env_return for episode in mine) / len(mine),
        }
    names = dict.fromkeys(row["group"] for row in per_task.values())
    members = {name: [row for row in per_task.values() if row["group"] == name] for name in names}
    per_group = {name: {**_mean(rows), "tasks": len(rows)} for name, rows in members.items()}
    return {
        **_proportion([episode.success for episode in episodes], interval),
        "interval": method,
        "metrics": _metrics(episodes),
        "per_task": per_task,
        "per_group": per_group,
        "task_mean": _mean(list(per_task.values())),
        "group_mean": _mean(list(per_group.values())),
    }


def write_results(path: Path | str, results: Mapping[str, Any]) -> None:
    """Check and write results.json, whole or not at all.

    Raises:
        UserError: if a field is missing, of a wrong type or not a finite number.
    """
    check_results(results, str(path))
    write_text(path, json.dumps(results, indent=1, allow_nan=False) + "\n")


def read_results(path: Path | str) -> dict[str, Any]:
    """Read and check a results.json.

    Raises:
        UserError: if there is no such file or it does not follow the schema; the message names the first wrong field.
    """
    path = Path(path)
    path = path / "results.json" if path.is_dir() else path
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"There is no {path}. `unified evaluate` writes one.") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); it may be cut short. Evaluate again.") from error
    check_results(values, str(path))
    return values


_TOP: dict[str, type | tuple[type, ...]] = {
    "schema_version": int,
    "suite": str,
    "policy": str,
    "git_commit": (str, type(None)),
    "versions": dict,
    "seed": int,
    "episodes": list,
    "summary": dict,
}
_EPISODE: dict[str, type | tuple[type, ...]] = {
    "env_id": str,
    "task": str,
    "seed": int,
    "success": bool,
    "return": (int, float),
    "length": int,
    "metrics": dict,
    "failure": (str, type(None)),
}
_SUMMARY: dict[str, type | tuple[type, ...]] = {"success_rate": (int, float), "success_ci95": list, "per_task": dict}


def check_results(values: Any, where: str) -> None:
    """Compare with the schema.

    Raises:
        UserError: naming the first field that is missing or wrong.
    """
    _check_fields(values, _TOP, where)
    if values["schema_version"] != SCHEMA_VERSION:
        raise UserError(f"{where}: schema_version is {values['schema_version']}, this version reads {SCHEMA_VERSION}.")
    for index, episode in enumerate(values["episodes"]):
        _check_fields(episode, _EPISODE, f"{where}: episodes[{index}]")
    _check_fields(values["summary"], _SUMMARY, f"{where}: summary")
    if _find_not_finite(values, ""):
        raise UserError(f"{where}: {_find_not_finite(values, '')} is not a finite number.")


def provenance(command: str | None = None) -> dict[str, Any]:
    """What is needed to make the numbers again: git_commit, versions, command, machine."""
    versions = {"python": platform.python_version(), "unified": unified.__version__}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"git_commit": git_commit(), "versions": versions, "command": command}


def git_commit() -> str | None:
    """Commit of the checkout this code runs from, "-dirty" if tracked files differ, None outside a checkout."""
    folder = Path(__file__).resolve().parent
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def _proportion(successes: Sequence[bool], interval: Any) -> dict[str, Any]:
    count, total = sum(successes), len(successes)
    rate = count / total if total else 0.0
    return {"success_rate": rate, "success_ci95": list(interval(count, total)), "successes": count, "episodes": total}


def measured(metrics: Mapping[str, float]) -> dict[str, float]:
    """What was measured of the episode, without what the policy cost."""
    return {name: value for name, value in metrics.items() if name not in _OF_THE_POLICY}


def _metrics(episodes: Sequence[EpisodeResult]) -> dict[str, Any]:
    names = dict.fromkeys(name for episode in episodes for name in measured(episode.metrics))
    rows: dict[str, Any] = {}
    for name in names:
        values = [episode.metrics[name] for episode in episodes if name in episode.metrics]
        rows[name] = {
            "mean": sum(values) / len(values),
            "ci95": list(mean_interval(values)),
            "episodes": len(values),
        }
    return rows


def _mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if not rows:
        return {"success_rate": 0.0, "success_ci95": [0.0, 1.0]}
    rates = [row["success_rate"] for row in rows]
    weights = [1 / len(rows)] * len(rows)
    limits = weighted_mean_interval(rates, [tuple(row["success_ci95"]) for row in rows], weights)
    return {"success_rate": sum(rates) / len(rates), "success_ci95": list(limits)}


def _check_fields(values: Any, fields: Mapping[str, type | tuple[type, ...]], where: str) -> None:
    if not isinstance(values, dict):
        raise UserError(f"{where} must be a mapping, got {type(values).__name__}.")
    for name, kinds in fields.items():
        if name not in values:
            raise UserError(f"{where}: {name} is missing.")
        value = values[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            wanted = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
            raise UserError(f"{where}: {name} must be {wanted}, got {value!r}.")


def _find_not_finite(value: Any, name: str) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return name
    if isinstance(value, dict):
        return next((bad for key, item in value.items() if (bad := _find_not_finite(item, f"{name}.{key}"))), "")
    if isinstance(value, list):
        return next((bad for i, item in enumerate(value) if (bad := _find_not_finite(item, f"{name}[{i}]"))), "")
    return ""
