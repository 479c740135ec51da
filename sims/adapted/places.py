"""Values in what an environment says, by the names that they have in YAML."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from sims.common.errors import unknown_name

RENDER = "render"
ROOTS = ("observation", "info", "action", "reward", "return", "terminated", "survived")


def check_place(role: str, place: str) -> None:
    """Refuse a place that begins with none of `ROOTS`.

    Raises:
        ValueError: with the nearest right name.
    """
    root = place.split(".")[0]
    if root not in ROOTS:
        raise unknown_name(f"place {place!r} in {role}: it begins with", root, ROOTS)


def find(values: Any, place: str, role: str) -> Any:
    """The value at a place such as `observation.robot.joints`; keys may hold dots themselves.

    Raises:
        ValueError: if there is none; it says what there is beside it.
    """
    rest, path = place, ""
    while rest:
        if not isinstance(values, Mapping):
            raise ValueError(f"{role}: {path} holds no {rest!r}, it is {_short(values)}.")
        key = rest if rest in values else rest.split(".")[0]
        if key not in values:
            beside = ", ".join(map(str, values)) or "nothing"
            raise ValueError(f"{role}: there is no {place!r}; {path or 'a step'} holds {beside}.")
        values, rest, path = values[key], rest[len(key) + 1 :], f"{path}.{key}".strip(".")
    return values


def as_vector(value: Any, place: str) -> Float32[np.ndarray, " size"]:
    """Numbers as a vector.

    Raises:
        ValueError: they are no numbers, or not finite.
    """
    try:
        vector = np.ravel(np.asarray(value)).astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"adapter.proprio: {place} must hold numbers, it is {_short(value)}.") from error
    if not np.isfinite(vector).all():
        raise ValueError(f"adapter.proprio: {place} is not finite, it is {_short(value)}.")
    return vector


def as_picture(value: Any, camera: str, place: str) -> UInt8[np.ndarray, " height width 3"]:
    """A picture as it is stored everywhere here.

    Raises:
        ValueError: another type or shape.
    """
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8 or value.ndim != 3 or value.shape[2] != 3:
        raise ValueError(
            f"adapter.pictures.{camera}: {place} must give uint8 (height, width, 3), it is {_short(value)}."
        )
    return value


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, Mapping):
        return f"a mapping with {', '.join(map(str, value))}"
    return repr(value)[:60]
