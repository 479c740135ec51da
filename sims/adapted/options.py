"""What a suite's `adapter:` says of an environment, checked before the environment is made."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sims.adapted.places import RENDER, check_place
from sims.adapted.success import Success
from sims.common.errors import unknown_name


@dataclass(frozen=True)
class Adapter:
    """How an environment that others wrote is seen, steered and judged.

    A place names a value of the present step: `observation`, `observation.KEY`, `info.KEY`, `action` (the last one),
    `reward`; deeper keys follow after further dots.

    Attributes:
        task: the instruction in words.
        embodiment: name of the body; all environments that share it take the same actions and measure the same.
        success: what success is: a place that holds true or false (`info.success`), a place with a bound
            (`reward >= 100`, `return >= 475`, `info.distance < 0.05`), `terminated`, or `survived`.
        pictures: by camera, the place of a uint8 picture (height, width, 3), or `render` for what `render()` gives.
        proprio: places of numbers, which are laid one after another.
        control_hz: actions a second; default: `render_fps` of the environment's metadata.
        make: arguments for the environment's own constructor.
        action_bounds: for actions that have no bounds of their own.
        expert: `module:function`, called with the environment and its observation, for demonstrations.
    """

    task: str
    embodiment: str
    success: str
    pictures: Mapping[str, str]
    proprio: tuple[str, ...]
    control_hz: int | None = None
    make: Mapping[str, Any] = field(default_factory=dict[str, Any])
    action_bounds: tuple[float, float] | None = None
    expert: str | None = None


def read_adapter(values: Any) -> Adapter:
    """Options from YAML.

    Raises:
        ValueError: naming the option: unknown, missing, or with a value that means nothing.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"adapter must be a mapping such as {{task: ..., success: ...}}, got {values!r}.")
    known = {item.name: item for item in dataclasses.fields(Adapter)}
    for name in values:
        if name not in known:
            raise unknown_name("option of adapter", name, known)
    missing = [name for name, item in known.items() if _is_needed(item) and name not in values]
    if missing:
        raise ValueError(f"adapter lacks {', '.join(missing)}.")
    for name, value in values.items():
        is_right, wanted = _ALLOWED[name]
        if not is_right(value):
            raise ValueError(f"adapter.{name} must be {wanted}, got {value!r}.")
    for place in values["proprio"]:
        check_place("adapter.proprio", place)
    for camera, place in values["pictures"].items():
        if place != RENDER:
            check_place(f"adapter.pictures.{camera}", place)
    Success(values["success"])
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Adapter(**plain)


def _is_needed(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_text(item) for item in value)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) and all(_is_text(key) for key in value)


def _are_pictures(value: Any) -> bool:
    return _is_mapping(value) and all(camera.isidentifier() and _is_text(place) for camera, place in value.items())


def _is_span(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and value[0] < value[1]


_ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "task": (_is_text, "the instruction in words"),
    "embodiment": (_is_text, "the body's name"),
    "success": (_is_text, "a text such as 'info.success', 'reward >= 100', 'terminated' or 'survived'"),
    "pictures": (_are_pictures, "a mapping from cameras to places, such as {front: render}"),
    "proprio": (_are_texts, "a list of places such as [observation.joints], or [action] where nothing is measured"),
    "control_hz": (lambda value: isinstance(value, int) and 1 <= value <= 1000, "a whole number, 1 to 1000"),
    "make": (_is_mapping, "a mapping such as {continuous: true}"),
    "action_bounds": (_is_span, "two numbers such as [-1.0, 1.0], the lower first"),
    "expert": (lambda value: _is_text(value) and value.count(":") == 1, "a text such as 'package.module:function'"),
}
