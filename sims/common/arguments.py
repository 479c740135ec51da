"""Checks of the arguments that all environments share."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sims.common.errors import unknown_name


def checked_cameras(cameras: Iterable[str], views: Mapping[str, Any]) -> tuple[str, ...]:
    """The cameras as a tuple, each known and named once.

    Raises:
        ValueError: otherwise, with the nearest right name.
    """
    if isinstance(cameras, str):
        raise ValueError(f"cameras must be a list of names, got the text {cameras!r}; write [{cameras!r}].")
    chosen = tuple(cameras)
    for camera in chosen:
        if camera not in views:
            raise unknown_name("camera", camera, views)
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"cameras names one twice: {', '.join(chosen)}.")
    return chosen


def checked_integer(name: str, value: int, low: int, high: int) -> int:
    """The value as an int between the bounds, both allowed.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, got {value!r}.")
    return int(value)
