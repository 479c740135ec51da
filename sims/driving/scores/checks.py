"""Checks of what is handed to a score: every message names what was wrong, what was got and what is allowed."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import shapely


def set_fields(instance: object, **values: Any) -> None:
    """Replace fields of a frozen dataclass while it is being built."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def frozen(values: Any, dtype: Any, shape: tuple[int | None, ...], what: str) -> np.ndarray:
    """A checked read-only copy; None in `shape` is any size."""
    array = np.array(values, dtype=dtype, order="C")
    wanted = tuple("any" if size is None else size for size in shape)
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        raise ValueError(f"{what} must have shape {wanted}, got {array.shape}.")
    if dtype is not bool and not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite, got NaN or infinity.")
    array.setflags(write=False)
    return array


def ring(points: Any, what: str) -> np.ndarray:
    """A simple polygon as (corners, 2), without the first corner repeated at the end."""
    ring = frozen(points, np.float64, (None, 2), what)
    if len(ring) > 1 and (ring[0] == ring[-1]).all():
        ring = frozen(ring[:-1], np.float64, (None, 2), what)
    if len(np.unique(ring, axis=0)) < 3:
        raise ValueError(f"{what} must have at least 3 different corners, got {len(np.unique(ring, axis=0))}.")
    polygon = shapely.Polygon(ring)
    if not polygon.is_valid or polygon.area == 0.0:
        raise ValueError(f"{what} must be a simple polygon with an area: {shapely.is_valid_reason(polygon)}.")
    return ring


def line(points: Any, what: str) -> np.ndarray:
    """A line as (points, 3): x, y, heading."""
    line = frozen(points, np.float64, (None, 3), what)
    if len(line) < 2 or not np.diff(line[:, :2], axis=0).any():
        raise ValueError(f"{what} must have at least 2 different points, got {len(line)} point(s).")
    return line


def unique(ids: Iterable[str], what: str) -> set[str]:
    """The ids as a set, each of which may occur once."""
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise ValueError(f"{what} ids must be unique, got {name!r} twice.")
        seen.add(name)
    return seen


def check_dt(control_dt_s: float, what: str) -> None:
    """Seconds between two samples must be positive."""
    if not np.isfinite(control_dt_s) or control_dt_s <= 0:
        raise ValueError(f"{what} must be a positive number of seconds, got {control_dt_s!r}.")
