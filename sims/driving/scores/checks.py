"""Checks of what is handed to a score: every message names what was wrong, what was got and what is allowed."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import shapely

RATE_TOLERANCE = 1e-6


def set_fields(instance: object, **values: Any) -> None:
    """Replace fields of a frozen dataclass while it is being built."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def frozen(values: Any, dtype: Any, shape: tuple[int | None, ...], what: str) -> np.ndarray:
    """A checked read-only copy; None in `shape` is any size."""
    wanted = tuple("any" if size is None else size for size in shape)
    try:
        array = _flags(values) if dtype is bool else np.array(values, dtype=dtype, order="C")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must be an array of shape {wanted}: {error}") from error
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        raise ValueError(f"{what} must have shape {wanted}, got {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite, got NaN or infinity.")
    array.setflags(write=False)
    return array


def _flags(values: Any) -> np.ndarray:
    array = np.array(values)
    if array.dtype != bool and not (array.dtype.kind in "iuf" and np.isin(array, (0, 1)).all()):
        raise ValueError(f"only True and False are allowed, got values of type {array.dtype}")
    return array.astype(bool)


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
    if not isinstance(control_dt_s, int | float | np.number) or not 0 < control_dt_s < np.inf:
        raise ValueError(f"{what} must be a positive number of seconds, got {control_dt_s!r}.")


def is_rate(control_dt_s: float, wanted_s: float) -> bool:
    """Whether two steps are equally long, to a millionth: 0.1 s is often the difference of two time stamps."""
    return abs(control_dt_s - wanted_s) <= RATE_TOLERANCE * wanted_s


def one_rate(**control_dt_s: float) -> None:
    """All of these must be sampled at one rate."""
    steps = list(control_dt_s.values())
    if not all(is_rate(step, steps[0]) for step in steps):
        got = ", ".join(f"{name} {step:g} s" for name, step in control_dt_s.items())
        raise ValueError(f"{', '.join(control_dt_s)} must have one rate, got steps of {got}; resample them first.")
