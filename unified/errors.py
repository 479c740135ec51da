"""Errors that a user can cause, and the help that goes with a wrong name."""

import difflib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class UserError(Exception):
    """Something the user asked for cannot be done; the message says what, what is allowed and the way out.

    The command line prints it as one line, without a traceback, and exits with status 1.
    """


class DataError(UserError):
    """A file or a dataset holds something that may not be trained on; the message names file and episode."""


def unknown_name(kind: str, name: str, allowed: Iterable[str]) -> UserError:
    """The error for a name that is not in a table: it lists the nearest right one and, if short, all of them."""
    choices = sorted(set(allowed))
    nearest = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    more = f" and {len(choices) - 12} more" if len(choices) > 12 else ""
    listing = f" Known: {', '.join(choices[:12])}{more}." if not more or not nearest else ""
    return UserError(f"Unknown {kind} {name!r}.{hint}{listing}")


def first_line(error: BaseException) -> str:
    """What an error says, fit for the end of a one-line message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def unreadable(path: Path, error: BaseException) -> str:
    """What to say of a file that a library cannot read; Git's stand-ins for large files are known by their content."""
    try:
        with path.open("rb") as file:
            is_pointer = file.read(42).startswith(b"version https://git-lfs.github.com/spec")
    except OSError:
        is_pointer = False
    if is_pointer:
        return f"{path} is a Git LFS pointer, not the file itself: run `git lfs pull` where it was cloned."
    return f"{path} cannot be read, it is damaged or half-written ({first_line(error)}). Copy or make it again."


def check_numbers(
    least: int | float | None = None,
    above: int | float | None = None,
    most: int | float | None = None,
    below: int | float | None = None,
    prefix: str = "",
    **values: Any,
) -> None:
    """Refuse options that are not finite or out of range; None is an option that was not given.

    Raises:
        UserError: naming the option, as `prefix` and its name, what it was and what is allowed.
    """
    words = {"at least": least, "above": above, "at most": most, "below": below}
    for name, value in values.items():
        is_in_range = value is None or (
            isinstance(value, int | float)
            and math.isfinite(value)
            and (least is None or value >= least)
            and (above is None or value > above)
            and (most is None or value <= most)
            and (below is None or value < below)
        )
        if not is_in_range:
            limits = " and ".join(f"{word} {limit}" for word, limit in words.items() if limit is not None)
            raise UserError(f"{prefix}{name} must be {limits or 'a finite number'}, got {value!r}.")
