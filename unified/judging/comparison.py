"""Two evaluations of the same episodes: what broke, what was mended, and how sure the difference is.

The comparison as a mapping (compare.json):
    schema_version: 1.
    suite, split; old, new: {path, policy, policy_settings, seed, git_commit, versions, episodes}.
    left_out: {old, new}, the number of episodes that only one of the two holds.
    notes: what else differs, in words (versions, seeds of the policies' noise).
    summary: see `paired_row`, over all episodes.
    power: what so many episodes can show, see `_power`.
    per_task, per_group: name -> the same numbers as in `summary`; those of a task also have `task` and `group`.
    changed: list of the episodes that broke or were mended: env_id, task, seed, change ("broken" or "mended"), old and
        new (what each results.json says), and where both were filmed `film` (path of both side by side) and
        `films_part_at_step` (env step; null where they look alike to the end).
    gate: see `judge`, where margins were given.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unified.errors import UserError, unknown_name
from unified.judging.intervals import paired_difference_interval
from unified.judging.power import ALPHA, WANTED_POWER, detectable_loss, mcnemar, power_of_loss
from unified.judging.results import measured

SCHEMA_VERSION = 1
_SHOWN = 3  # differences in one message
_OUTCOMES = ((True, True), (True, False), (False, True), (False, False))  # of the old and the new
Key = tuple[str, int]
Episode = Mapping[str, Any]


@dataclass(frozen=True)
class Pair:
    """An episode in both evaluations."""

    group: str
    old: Episode
    new: Episode

    @property
    def change(self) -> str | None:
        """What became of it."""
        if self.old["success"] == self.new["success"]:
            return None
        return "broken" if self.old["success"] else "mended"


@dataclass(frozen=True)
class Margin:
    """How much worse a mean may be.

    Attributes:
        name: "success", or a metric.
        amount: by how much.
        is_rise: whether it is worse if it rises; otherwise it is worse if it falls.
    """

    name: str
    amount: float
    is_rise: bool = False

    def is_passed(self, summary: Mapping[str, Any]) -> bool:
        """Whether the new evaluation is worse by more than this."""
        change = _difference(self.name, summary)
        return (change if self.is_rise else -change) > self.amount + 1e-12

    def __str__(self) -> str:
        return f"{self.name} {'rises' if self.is_rise else 'falls'} by more than {self.amount:g}"


def compare(old: Mapping[str, Any], new: Mapping[str, Any], only_common: bool = False) -> dict[str, Any]:
    """Compare two results.json of the same suite, split and episodes.

    Args:
        old, new: as `unified.judging.results.read_results` gives them.
        only_common: leave out the episodes that only one of them holds; suites may then differ.

    Raises:
        UserError: if they hold other episodes or these ran under other conditions; the message says what differs.
    """
    pairs = _pair(old, new, only_common)
    per_group = {name: [pair for pair in pairs if pair.group == name] for name in _in_order(p.group for p in pairs)}
    env_ids = _in_order(pair.new["env_id"] for pair in pairs)
    per_task = {name: [pair for pair in pairs if pair.new["env_id"] == name] for name in env_ids}
    summary = paired_row(pairs)
    return {
        "schema_version": SCHEMA_VERSION,
        "suite": new["suite"],
        "split": new.get("split", "test"),
        "old": _origin(old),
        "new": _origin(new),
        "left_out": {"old": len(old["episodes"]) - len(pairs), "new": len(new["episodes"]) - len(pairs)},
        "notes": _notes(old, new),
        "summary": summary,
        "power": _power(summary),
        "per_group": {name: paired_row(members) for name, members in per_group.items()},
        "per_task": {
            name: {"task": members[0].new["task"], "group": members[0].group, **paired_row(members)}
            for name, members in per_task.items()
        },
        "changed": [_changed(pair) for pair in pairs if pair.change is not None],
    }


def paired_row(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Successes and means of the same episodes.

    Returns:
        episodes, both, neither, broken, mended: numbers of episodes.
        old_rate, new_rate, difference, difference_ci95: of success (Newcombe's paired interval).
        p_value: McNemar's exact test.
        metrics: name -> {episodes, old, new, difference, difference_ci95}: means over the episodes in which both report
            it; the interval is Student's of the differences, null where these are fewer than two or all the same.
            `return` (sum of rewards) and `length` (env steps) are among them.
    """
    counts = [sum((p.old["success"], p.new["success"]) == how for p in pairs) for how in _OUTCOMES]
    both, broken, mended, neither = counts
    total = len(pairs)
    return {
        "episodes": total,
        "both": both,
        "neither": neither,
        "broken": broken,
        "mended": mended,
        "old_rate": (both + broken) / total,
        "new_rate": (both + mended) / total,
        "difference": (mended - broken) / total,
        "difference_ci95": list(paired_difference_interval(both, broken, mended, neither)),
        "p_value": mcnemar(broken, mended),
        "metrics": _metrics(pairs),
    }


def judge(comparison: Mapping[str, Any], margins: Sequence[Margin]) -> dict[str, Any]:
    """Whether the new evaluation is worse than allowed.

    Returns:
        margins, passed: what was not to happen, in words, and what of it did.
        power: the chance that a true loss of success as large as its margin is significant; null without such a margin.

    Raises:
        UserError: for a metric that is not compared.
    """
    summary = comparison["summary"]
    background = _background(summary)
    losses = [min(margin.amount, 1 - 2 * background) for margin in margins if margin.name == "success"]
    power = [power_of_loss(summary["episodes"], background + loss, background) for loss in losses]
    return {
        "margins": list(map(str, margins)),
        "passed": [str(margin) for margin in margins if margin.is_passed(summary)],
        "power": power[0] if power else None,
    }


def _difference(name: str, summary: Mapping[str, Any]) -> float:
    if name == "success":
        return summary["difference"]
    if name not in summary["metrics"]:
        raise unknown_name("measure for --margin", name, ["success", *summary["metrics"]])
    return summary["metrics"][name]["difference"]


def _power(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What the test can find: `detectable_loss` of success, with a chance of `wanted`, at the level `alpha`.

    `background` is the share of episodes that is taken to change either way without a reason: that of the rarer change.
    """
    background = _background(summary)
    loss = detectable_loss(summary["episodes"], background)
    return {"alpha": ALPHA, "wanted": WANTED_POWER, "background": background, "detectable_loss": loss}


def _background(summary: Mapping[str, Any]) -> float:
    return min(summary["broken"], summary["mended"]) / summary["episodes"]


def _metrics(pairs: Sequence[Pair]) -> dict[str, Any]:
    values = [(_measures(pair.old), _measures(pair.new)) for pair in pairs]
    names = _in_order(name for _, new in values for name in new)
    rows: dict[str, Any] = {}
    for name in names:
        known = np.array([(old[name], new[name]) for old, new in values if name in old and name in new])
        if len(known):
            rows[name] = _mean_difference(known)
    return rows


def _measures(episode: Episode) -> dict[str, float]:
    return {**measured(episode["metrics"]), "return": episode["return"], "length": episode["length"]}


def _mean_difference(values: np.ndarray) -> dict[str, Any]:
    from scipy.stats import sem, t

    differences = values[:, 1] - values[:, 0]
    old, new = values.mean(axis=0)
    interval = None
    if len(values) > 1 and np.ptp(differences) > 0:
        low, high = t.interval(0.95, len(values) - 1, differences.mean(), sem(differences))
        interval = [float(low), float(high)]
    return {
        "episodes": len(values),
        "old": float(old),
        "new": float(new),
        "difference": float(differences.mean()),
        "difference_ci95": interval,
    }


def _changed(pair: Pair) -> dict[str, Any]:
    who = {name: pair.new[name] for name in ("env_id", "task", "seed")}
    return {**who, "change": pair.change, "old": pair.old, "new": pair.new}


def _pair(old: Mapping[str, Any], new: Mapping[str, Any], only_common: bool) -> list[Pair]:
    rows, others = _by_key(old, "the old results"), _by_key(new, "the new results")
    shared = [key for key in others if key in rows]
    differences = [] if only_common else _other_episodes(old, new, list(rows), list(others))
    way_out = f" --common compares the {len(shared)} episodes that both hold." if differences and shared else ""
    if not differences:
        differences = _other_conditions(old, new, shared)
        if not shared:
            differences = ["they have no episode in common"]
    if differences:
        more = f"; and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        raise UserError(f"These results cannot be compared: {'; '.join(differences[:_SHOWN])}{more}.{way_out}")
    groups = {name: row.get("group", "all") for name, row in new["summary"]["per_task"].items()}
    return [Pair(groups.get(key[0], "all"), rows[key], others[key]) for key in shared]


def _by_key(results: Mapping[str, Any], whose: str) -> dict[Key, Episode]:
    episodes: dict[Key, Episode] = {}
    for episode in results["episodes"]:
        key = episode["env_id"], episode["seed"]
        if key in episodes:
            raise UserError(f"{whose} hold {key[0]} seed {key[1]} twice; evaluate again.")
        episodes[key] = episode
    return episodes


def _other_episodes(
    old: Mapping[str, Any], new: Mapping[str, Any], first: Sequence[Key], second: Sequence[Key]
) -> list[str]:
    found = [
        f"the {name} is {old.get(name)!r} in the old and {new.get(name)!r} in the new"
        for name in ("suite", "split")
        if old.get(name) != new.get(name)
    ]
    for where, ours, theirs in (("old", first, second), ("new", second, first)):
        only = sorted(set(ours) - set(theirs))
        if only:
            found.append(f"{len(only)} episodes are only in the {where} (such as {only[0][0]} seed {only[0][1]})")
    return found


def _other_conditions(old: Mapping[str, Any], new: Mapping[str, Any], shared: Sequence[Key]) -> list[str]:
    """How the same episodes were not the same: horizon, arguments of the environment, instruction, scenario."""
    before, after = _conditions(old, "old"), _conditions(new, "new")
    found: list[str] = []
    for env_id in _in_order(env_id for env_id, _ in shared):
        one, two = before.get(env_id, {}), after.get(env_id, {})
        found += [
            f"{name} of {env_id} is {one.get(name, 'not given')} in the old and {two.get(name, 'not given')} in the new"
            for name in _in_order([*one, *two])
            if one.get(name, "not given") != two.get(name, "not given")
        ]
    rows, others = _by_key(old, "old"), _by_key(new, "new")
    for key in shared:
        found += [
            f"{key[0]} seed {key[1]} is {ours!r} in the old and {theirs!r} in the new"
            for ours, theirs in zip(_variant(rows[key]), _variant(others[key]), strict=True)
            if ours != theirs
        ]
    return found


def _conditions(results: Mapping[str, Any], which: str) -> dict[str, dict[str, Any]]:
    """What holds for all episodes of an environment, by its id."""
    if "environments" not in results:
        raise UserError(f"The {which} results do not say how their environments were made; evaluate again.")
    return {
        env_id: {"max_env_steps": part["max_env_steps"]}
        | {f"env_kwargs.{name}": value for name, value in part["env_kwargs"].items()}
        for part in results["environments"]
        for env_id in part["env_ids"]
    }


def _variant(episode: Episode) -> tuple[str, Any]:
    return episode["task"], episode.get("facts", {}).get("scenario")


def _origin(results: Mapping[str, Any]) -> dict[str, Any]:
    names = ("policy", "policy_settings", "seed", "git_commit", "versions", "created", "command")
    return {name: results[name] for name in names if name in results} | {"episodes": len(results["episodes"])}


def _notes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    notes = [] if old["seed"] == new["seed"] else [f"seed of the policy's own noise: {old['seed']} and {new['seed']}"]
    before, after = old["versions"], new["versions"]
    return notes + [
        f"version of {name}: {before.get(name, 'none')} and {after.get(name, 'none')}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
