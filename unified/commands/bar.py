"""The bar that a command shows while it works."""

from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def progress_bar(title: str, total: int | None = None) -> Generator[Callable[..., None]]:
    """A bar on stderr, and what moves it: called with how many are done, a note, and of how many if that was open."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        line = bar.add_task(title, total=total, note="")

        def show(done: int, note: str = "", total: int | None = None) -> None:
            bar.update(line, total=total, completed=done, note=note)

        yield show
