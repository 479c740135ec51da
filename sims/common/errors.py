"""Errors that help: an unknown name gets the closest known one."""

import difflib
from collections.abc import Iterable


def unknown_name(role: str, name: object, known: Iterable[str]) -> ValueError:
    """A `ValueError` that names what was got, the closest known name, and all known ones."""
    known = list(known)
    nearest = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return ValueError(f"Unknown {role} {name!r}.{hint} Known: {', '.join(known)}.")
