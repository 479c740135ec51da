"""Packages that only some worlds need."""

import importlib
from typing import Any


def optional_package(module: str, needed_for: str, distribution: str, extra: str) -> Any:
    """A module of a package that is not installed by default.

    Raises:
        ModuleNotFoundError: naming the package, what needs it, and the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{needed_for} needs the package {distribution}, which cannot be imported ({error}); install it with "
            f"`pip install {distribution}` (in a checkout: `.venv/bin/pip install -e '.[{extra}]'`)."
        ) from error
