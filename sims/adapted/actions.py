"""Actions of strangers as vectors of numbers between bounds, and back."""

from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float32


class Actions(Protocol):
    """How actions translate.

    Attributes:
        space: what is decided here.
        none: no action, or what is nearest to it.
    """

    space: spaces.Box
    none: Float32[np.ndarray, " action"]

    def command(self, action: Float32[np.ndarray, " action"]) -> Any:
        """What the environment's `step` takes."""
        ...

    def action_of(self, command: Any) -> Float32[np.ndarray, " action"]:
        """The action that is translated into this command."""
        ...


class Numbers:
    """A box of numbers, as it is but in a row."""

    def __init__(self, theirs: spaces.Box, bounds: tuple[float, float] | None) -> None:
        low, high = (np.ravel(edge).astype(np.float32) for edge in (theirs.low, theirs.high))
        if bounds is not None:
            low, high = np.maximum(low, np.float32(bounds[0])), np.minimum(high, np.float32(bounds[1]))
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise ValueError("its actions have no bounds; give adapter.action_bounds, such as [-1.0, 1.0].")
        if (low >= high).any():
            raise ValueError(f"adapter.action_bounds leave nothing of its own, {theirs.low.min():g} to "
                             f"{theirs.high.max():g}.")  # fmt: skip
        self._theirs = theirs
        self.space: spaces.Box = spaces.Box(low, high, dtype=np.float32)
        self.none = np.clip(np.zeros_like(low), low, high)

    def command(self, action: Float32[np.ndarray, " action"]) -> np.ndarray:
        """In its own shape and type."""
        return action.reshape(self._theirs.shape).astype(self._theirs.dtype)

    def action_of(self, command: Any) -> Float32[np.ndarray, " action"]:
        """Clipped to the bounds."""
        return np.clip(np.ravel(command).astype(np.float32), self.space.low, self.space.high)


class Choices:
    """One number from -1 to 1 for every choice, and the greatest is taken; one such group for every decision."""

    def __init__(self, sizes: tuple[int, ...], first: int, is_vector: bool) -> None:
        self._sizes, self._first, self._is_vector = sizes, first, is_vector
        self.space: spaces.Box = spaces.Box(-1.0, 1.0, (sum(sizes),), np.float32)
        self.none = np.zeros(sum(sizes), np.float32)

    def command(self, action: Float32[np.ndarray, " action"]) -> Any:
        """The number of the choice, or a vector of them."""
        groups = np.split(action, np.cumsum(self._sizes)[:-1])
        chosen = np.array([int(group.argmax()) for group in groups], np.int64)
        return chosen if self._is_vector else int(chosen[0]) + self._first

    def action_of(self, command: Any) -> Float32[np.ndarray, " action"]:
        """1 for what is chosen, -1 for the rest."""
        chosen = np.ravel(command).astype(int) - self._first
        rows = [np.where(np.arange(size) == one, 1, -1) for size, one in zip(self._sizes, chosen, strict=True)]
        return np.concatenate(rows).astype(np.float32)


def translate(theirs: gymnasium.Space[Any], bounds: tuple[float, float] | None = None) -> Actions:
    """How the actions of a space are translated.

    Raises:
        ValueError: actions of another kind, or without bounds.
    """
    if isinstance(theirs, spaces.Box):
        return Numbers(theirs, bounds)
    if bounds is not None:
        raise ValueError(f"adapter.action_bounds means nothing for {theirs}; leave it out.")
    if isinstance(theirs, spaces.Discrete):
        return Choices((int(theirs.n),), int(theirs.start), is_vector=False)
    if isinstance(theirs, spaces.MultiDiscrete) and theirs.nvec.ndim == 1 and not theirs.start.any():
        return Choices(tuple(map(int, theirs.nvec)), 0, is_vector=True)
    raise ValueError(f"its actions are {theirs}; Box, Discrete and MultiDiscrete in one row are understood.")
