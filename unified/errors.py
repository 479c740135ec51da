"""Errors that a user can cause, and the help that goes with a wrong name."""

import difflib
from collections.abc import Iterable


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
