"""What went wrong in each failed episode, where its environment says so: the step, the cause, a short film."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unified.report.html import Html, join, media, table, tag
from unified.report.tables import task_name

MAX_MOMENTS = 24
_SAID_ELSEWHERE = ("moment",)


def failures(results: Mapping[str, Any], folder: Path) -> Html:
    """A row for each failed episode that has a `bad_step`, and the films around these steps.

    Args:
        results: the content of results.json.
        folder: that its paths are relative to.
    """
    failed = [episode for episode in results["episodes"] if "bad_step" in episode.get("facts", {})]
    if not failed:
        return Html("")
    names = list(dict.fromkeys(name for episode in failed for name in episode["facts"] if name not in _SAID_ELSEWHERE))
    rows: list[list[object]] = [
        [task_name(episode["env_id"]), *(_text(episode["facts"].get(name)) for name in names)] for episode in failed
    ]
    moments = [episode for episode in failed if (folder / episode["facts"].get("moment", " ")).is_file()]
    figures = [
        media(folder / episode["facts"]["moment"], f"{task_name(episode['env_id'])}, seed {episode['seed']}", 192)
        for episode in moments[:MAX_MOMENTS]
    ]
    head = ["task", *(name.replace("_", " ") for name in names)]
    films = [tag("div", *figures, class_="films")] if figures else []
    return join([tag("h2", "What went wrong first"), table(head, rows, numbers_from=len(head)), *films])


def _text(value: object) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
