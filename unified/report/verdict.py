"""The verdict between two evaluations as a page, as films side by side, and as tables in a terminal."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av

from unified.atomic import write_text
from unified.errors import UserError, unreadable
from unified.report.html import render_page
from unified.report.tables import mean_change, points, task_name
from unified.report.video import Film, file_name, first_difference, read_fps, read_video, side_by_side, write_mp4

MAX_FILMS = 24
SIDES = ("old", "new")
_CHANGED = ("seed", "change", "films_part_at_step")


def write_films(comparison: Mapping[str, Any], folders: Mapping[str, Path], folder: Path) -> None:
    """Put both films of every changed episode side by side; the episode is told where they lie and where they part.

    Args:
        comparison: see `unified.judging.comparison`.
        folders: where the two evaluations lie, as "old" and "new".
        folder: its `films` will hold the new films.

    Raises:
        UserError: for a film that cannot be read.
    """
    for episode in comparison["changed"]:
        paths = {side: folders[side] / episode[side].get("film", "") for side in SIDES}
        if not all(path.is_file() for path in paths.values()):
            continue
        films = {side: _read(path) for side, path in paths.items()}
        if films["old"].shape[1:] != films["new"].shape[1:]:
            continue
        name = file_name(task_name(episode["env_id"]))
        labels = [f"{side}: {'success' if episode[side]['success'] else 'failure'}" for side in SIDES]
        both = side_by_side([films[side] for side in SIDES], labels)
        episode["film"] = f"films/{name}-{episode['seed']}-{episode['change']}.mp4"
        episode["films_part_at_step"] = _parting(films, episode)
        write_mp4(folder / episode["film"], both, read_fps(paths["new"]), quality=26)


def write_verdict(folder: Path, comparison: Mapping[str, Any]) -> Path:
    """Make `compare.html`, which holds everything it shows."""
    filmed = [episode for episode in comparison["changed"] if "film" in episode]
    page = render_page(
        "compare.html",
        title=f"{comparison['new']['name']} against {comparison['old']['name']} on {comparison['suite']}",
        comparison=comparison,
        summary=comparison["summary"],
        folder=folder,
        sentences=sentences(comparison),
        shown=filmed[:MAX_FILMS],
        num_filmed=len(filmed),
        failing=failing,
        cause=cause,
    )
    write_text(folder / "compare.html", page)
    return folder / "compare.html"


def sentences(comparison: Mapping[str, Any]) -> list[str]:
    """The verdict in words: what changed, whether that can be chance, what so many episodes could show."""
    row, power = comparison["summary"], comparison["power"]
    low, high = row["difference_ci95"]
    judged = "more than chance" if row["p_value"] < power["alpha"] else "may be chance"
    said = [
        f"New: {row['both'] + row['mended']} of {row['episodes']} succeed; old: {row['both'] + row['broken']}. "
        f"{row['broken']} broke, {row['mended']} {'was' if row['mended'] == 1 else 'were'} mended.",
        f"Difference {points(row['difference'])} points, 95 % interval {points(low)} to {points(high)}; McNemar's "
        f"exact test p = {row['p_value']:.2g}: {judged}.",
        _power_in_words(row["episodes"], power),
    ]
    gate = comparison.get("gate")
    if gate is not None:
        said.append(f"Gate: {'FAILED, ' + ', '.join(gate['passed']) if gate['passed'] else 'passed'}.")
        if gate["power"] is not None:
            said.append(
                f"A true loss as large as the margin would be significant in {100 * gate['power']:.0f} % of cases."
            )
    return said


def failing(episode: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the results that failed say of a changed episode."""
    return episode["new" if episode["change"] == "broken" else "old"]


def cause(episode: Mapping[str, Any]) -> str:
    """Why the failing side failed: what, at which step, with whom."""
    side = failing(episode)
    facts = side.get("facts", {})
    what = str(facts.get("failure") or side["failure"] or "failure").replace("_", " ")
    if "bad_step" not in facts:
        return f"{what} after {side['length']} steps"
    kind, actor = facts.get("bad_actor_kind"), facts.get("bad_actor")
    who = "" if actor is None else f", {kind or 'actor'} {actor}"
    sight = facts.get("in_sight_s")
    return f"{what} at step {facts['bad_step']}{who}" + ("" if sight is None else f", in sight for {sight:g} s")


def print_verdict(comparison: Mapping[str, Any]) -> None:
    """The sentences, the tables by group and task, the means, and each changed episode."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console(file=sys.stdout)
    console.width = max(110, console.width)

    def show(title: str, names: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        table = Table(title=title, box=SIMPLE)
        for name in names:
            table.add_column(name, no_wrap=True)
        for row in rows:
            table.add_row(*row)
        if rows:
            console.print(table)

    parts = {**comparison["per_task"], **_groups(comparison), "all": comparison["summary"]}
    rows = [(task_name(name), *_cells(row)) for name, row in parts.items()]
    show("success on the same episodes", ("", "old", "new", "broken", "mended", "difference [95 % interval]"), rows)
    means = [
        (name, f"{row['old']:.3g}", f"{row['new']:.3g}", mean_change(row))
        for name, row in comparison["summary"]["metrics"].items()
    ]
    show("means of the same episodes", ("", "old", "new", "difference [95 % interval]"), means)
    changed = [
        (task_name(item["env_id"]), *(str(item.get(name, "-")) for name in _CHANGED), cause(item))
        for item in comparison["changed"]
    ]
    show("changed episodes", ("", "seed", "", "films part at step", "why the one failed"), changed)
    for sentence in (*comparison["notes"], *sentences(comparison)):
        console.print(sentence, highlight=False)


def _groups(comparison: Mapping[str, Any]) -> dict[str, Any]:
    groups = comparison["per_group"]
    return groups if len(groups) > 1 else {}


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = row["difference_ci95"]
    successes = (row["both"] + row["broken"], row["both"] + row["mended"])
    return (
        *(f"{count}/{row['episodes']}" for count in successes),
        str(row["broken"]),
        str(row["mended"]),
        f"{points(row['difference'])} [{points(low)} to {points(high)}]",
    )


def _power_in_words(episodes: int, power: Mapping[str, Any]) -> str:
    loss, chance = power["detectable_loss"], f"{100 * power['wanted']:.0f} %"
    if loss is None:
        return f"{episodes} episodes are too few to show any loss in {chance} of cases."
    return f"{episodes} episodes show a loss of {100 * loss:.1f} points in {chance} of cases (p < {power['alpha']:g})."


def _read(path: Path) -> Film:
    try:
        return read_video(path)
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise UserError(unreadable(path, error)) from error


def _parting(films: Mapping[str, Film], episode: Mapping[str, Any]) -> int | None:
    """The env step at which two films part; where one ends before that, its end."""
    at, shorter = first_difference(films["old"], films["new"]), min(SIDES, key=lambda side: len(films[side]))
    if at is None and len(films["old"]) == len(films["new"]):
        return None
    end = episode[shorter]["length"]
    return end if at is None else min(at * episode["new"]["film_stride"], end)
