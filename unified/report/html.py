"""Pages that need nothing but themselves: jinja2 templates, with films and pictures stored inside the file."""

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from unified.report.tables import mean_change, mean_text, points, task_name

DASH = "\N{EN DASH}"
MEDIA_TYPES = {".mp4": "video/mp4", ".webp": "image/webp", ".png": "image/png", ".jpg": "image/jpeg"}


def render_page(template: str, **values: Any) -> str:
    """A template of this folder as text; everything that is put into it is escaped."""
    return _templates().get_template(template).render(values)


@cache
def _templates() -> Environment:
    folder = FileSystemLoader(Path(__file__).parent / "templates")
    templates = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {
        "change": mean_change,
        "data_uri": data_uri,
        "fact": lambda value: "-" if value is None else f"{value:g}" if isinstance(value, float) else value,
        "interval": _interval,
        "mean": mean_text,
        "percent": _percent,
        "points": points,
        "task": task_name,
        "width": lambda share: f"{100 * min(1.0, max(0.0, share)):.1f}%",
    }
    templates.globals["number"] = _number
    return templates


def data_uri(path: Path) -> str:
    """A film or picture as an address that holds it.

    Raises:
        ValueError: for a kind of file that browsers do not show.
    """
    if path.suffix not in MEDIA_TYPES:
        raise ValueError(f"{path} must be one of {', '.join(MEDIA_TYPES)} to be shown in a page.")
    return f"data:{MEDIA_TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


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
