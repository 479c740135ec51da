"""Pieces of a web page that needs nothing but itself: escaped text, tables, bars, films inside the file."""

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

MEDIA_TYPES = {".mp4": "video/mp4", ".webp": "image/webp", ".png": "image/png", ".jpg": "image/jpeg"}


class Html(str):
    """Text that is markup already; everything else is escaped where it is put into a page."""


def escape(value: object) -> Html:
    """Make text safe inside markup and attributes; `Html` stays as it is."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def tag(name: str, *children: object, **attributes: object) -> Html:
    """An element; `class_` stands for the attribute class, and an attribute that is True has no value."""
    parts = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        parts.append(key if value is True else f'{key}="{escape(value)}"')
    return Html(f"<{' '.join(parts)}>{join(children)}</{name}>")


def join(pieces: Iterable[object]) -> Html:
    """Pieces one after another, escaped where they are plain text."""
    return Html("".join(escape(piece) for piece in pieces))


def table(headers: Sequence[object], rows: Iterable[Sequence[object]], numbers_from: int = 1) -> Html:
    """A table; columns from `numbers_from` on are set as numbers."""

    def cells(name: str, values: Sequence[object]) -> Html:
        kinds = ["num" if index >= numbers_from else "text" for index in range(len(values))]
        return join(tag(name, value, class_=kind) for value, kind in zip(values, kinds, strict=True))

    head = tag("thead", tag("tr", cells("th", headers)))
    return tag("div", tag("table", head, tag("tbody", *(tag("tr", cells("td", row)) for row in rows))), class_="scroll")


def bar(share: float, interval: Sequence[float] | None = None, kind: str = "") -> Html:
    """A bar from 0 to 1 with a whisker over its interval."""
    whisker = Html("")
    if interval is not None:
        low, high = (100 * min(1.0, max(0.0, limit)) for limit in interval)
        whisker = tag("i", class_="whisker", style=f"left:{low:.1f}%;width:{high - low:.1f}%")
    fill = tag("i", class_=f"fill {kind}".strip(), style=f"width:{100 * min(1.0, max(0.0, share)):.1f}%")
    return tag("div", fill, whisker, class_="bar", aria_hidden="true")


def media(path: Path, caption: object = "", width: int | None = None) -> Html:
    """A film or picture, stored inside the page, with a caption.

    Raises:
        ValueError: for a kind of file that browsers do not show.
    """
    if path.suffix not in MEDIA_TYPES:
        raise ValueError(f"{path} must be one of {', '.join(MEDIA_TYPES)} to be shown in a page.")
    source = f"data:{MEDIA_TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
    size = {} if width is None else {"width": width}
    if path.suffix == ".mp4":
        shown = tag("video", src=source, autoplay=True, loop=True, muted=True, playsinline=True, **size)
    else:
        shown = Html(tag("img", src=source, alt=str(caption), **size).removesuffix("</img>"))
    limit = {} if width is None else {"style": f"max-width:{width}px"}
    return tag("figure", shown, tag("figcaption", caption), **limit)


def page(title: str, *sections: object) -> str:
    """A whole document, light or dark as the reader's system is, that asks no other address for anything."""
    policy = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    head = join(
        [
            Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
            Html('<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'),
            tag("title", title),
            Html(f"<style>{_STYLE}</style>"),
        ]
    )
    body = tag("body", tag("main", *sections))
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n{body}\n</html>\n'


_STYLE = """
:root { --ink: #1c2430; --soft: #5d6b7e; --line: #e3e8ef; --ground: #f6f8fb; --card: #ffffff; --main: #2563eb;
  --expert: #0f9d76; --random: #9aa5b4; --other: #d97706; --whisker: #1c2430; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7ecf3; --soft: #98a5b8; --line: #2a3442; --ground: #10151c; --card: #18202a; --main: #6ea0ff;
    --expert: #34d0a3; --random: #66748a; --other: #f0a23b; --whisker: #e7ecf3; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px; }
header h1 { margin: 0; font-size: 26px; letter-spacing: -0.01em; }
header p { margin: 4px 0 20px; color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 20px 24px;
  margin: 0 0 18px; }
h2 { margin: 0 0 6px; font-size: 18px; }
h3 { margin: 18px 0 6px; font-size: 15px; }
p { margin: 6px 0 12px; max-width: 75ch; } .soft, figcaption, small { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; font-size: 12.5px; color: var(--soft); border-bottom: 1px solid var(--line); }
th, td { padding: 7px 10px 7px 0; vertical-align: middle; } td { border-bottom: 1px solid var(--line); }
tr:last-child td { border-bottom: 0; } .num { white-space: nowrap; } td small { display: block; }
.verdict { display: flex; flex-wrap: wrap; gap: 8px 36px; margin: 4px 0 16px; }
.verdict div { min-width: 130px; } .verdict b { display: block; font-size: 34px; line-height: 1.15;
  letter-spacing: -0.02em; } .verdict span { color: var(--soft); font-size: 13px; }
.bar { position: relative; height: 10px; min-width: 110px; border-radius: 5px; background: var(--line); }
.bar i { position: absolute; display: block; } .fill { left: 0; top: 0; bottom: 0; border-radius: 5px;
  background: var(--main); } .fill.expert { background: var(--expert); } .fill.random { background: var(--random); }
.fill.other { background: var(--other); }
.whisker { top: 4px; height: 2px; background: var(--whisker); opacity: 0.75; }
.whisker::before, .whisker::after { content: ""; position: absolute; top: -3px; height: 8px; width: 2px;
  background: var(--whisker); } .whisker::after { right: 0; }
.films { display: flex; flex-wrap: wrap; gap: 14px; } figure { margin: 0; max-width: 100%; }
section > figure { margin-top: 12px; }
figure video, figure img { display: block; max-width: 100%; border-radius: 8px; border: 1px solid var(--line);
  image-rendering: pixelated; } figcaption { font-size: 12.5px; margin-top: 4px; max-width: 34ch; }
.ok { color: var(--expert); font-weight: 600; } .bad { color: var(--other); font-weight: 600; }
code, pre { font: 12.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { background: var(--ground); border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px;
  white-space: pre-wrap; overflow-wrap: anywhere; }
"""
