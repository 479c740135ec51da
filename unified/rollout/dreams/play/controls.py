"""Which keys and gamepad axes move which numbers of a body's actions."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from unified.model.spec import Embodiment


@dataclass(frozen=True)
class Control:
    """One number of an action.

    Attributes:
        name: for people.
        minus, plus: keys that push it down and up, as browsers call them (`KeyboardEvent.code`).
        axis: of a gamepad; -1: none.
        flips: the gamepad's axis counts the other way.
    """

    name: str
    minus: str
    plus: str
    axis: int = -1
    flips: bool = False


_CAR = (Control("wheel", "ArrowRight", "ArrowLeft", 0, True), Control("pedal", "ArrowDown", "ArrowUp", 1, True))
_KEYS = (
    ("ArrowLeft", "ArrowRight"),
    ("ArrowDown", "ArrowUp"),
    ("KeyS", "KeyW"),
    ("KeyA", "KeyD"),
    ("KeyQ", "KeyE"),
    ("KeyF", "KeyR"),
    ("KeyG", "KeyT"),
    ("KeyH", "KeyY"),
)
NAMED: dict[str, tuple[Control, ...]] = {
    "car": _CAR,
    "metaworld": (
        Control("right", "ArrowLeft", "ArrowRight", 0),
        Control("forward", "ArrowDown", "ArrowUp", 1, True),
        Control("up", "KeyS", "KeyW", 3, True),
        Control("grip", "KeyQ", "KeyE", 2),
    ),
}


def controls_of(body: Embodiment) -> tuple[Control, ...]:
    """Those of a body: its own, or pairs of keys for its first actions; further ones stay at rest."""
    if body.name in NAMED:
        return NAMED[body.name]
    count = min(body.action_dim, len(_KEYS))
    return tuple(Control(f"action {i}", *_KEYS[i], axis=i if i < 4 else -1) for i in range(count))


def action_of(
    pushes: Sequence[float], low: Float32[np.ndarray, " action_dim"], high: Float32[np.ndarray, " action_dim"]
) -> Float32[np.ndarray, " action_dim"]:
    """An action from pushes in [-1, 1], one a control: 0 is rest, which is 0 if that can be done."""
    rest = np.clip(np.zeros_like(low), low, high)
    action = rest.copy()
    for number, push in enumerate(np.clip(pushes, -1, 1)):
        end = high[number] if push > 0 else low[number]
        action[number] = rest[number] + abs(push) * (end - rest[number])
    return action.astype(np.float32)


def to_dicts(controls: Sequence[Control]) -> list[dict[str, Any]]:
    """For the page."""
    return [asdict(control) for control in controls]
