"""What the games' experts share."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from sims.arm.expert import ArmExpert, Style, Waypoint
from sims.games.board_parts import HAND_YAW

_EASY_PACE = 0.5  # of the speed elsewhere: one picture of 64 pixels must do for several actions
_LEVEL = 0.008  # metres still to rise below which the hand goes sideways already


class GameExpert(ArmExpert):
    """An expert that decides anew in every env step, by where the pieces and the hand are and by nothing else.

    A policy without memory that sees the board can do the same. On its way the hand rises first: what comes down among
    the pieces makes moves of its own.
    """

    style = Style(wobble=0.0, pause=0.0)

    def decide(self) -> Waypoint:
        """Where the hand goes in this env step; see `push_down`."""
        raise NotImplementedError

    def plan(self) -> Iterator[Waypoint]:
        while not self.env.is_over:
            yield self.decide()

    def _begin(self) -> None:
        self._solved: tuple[Any, list[Any]] | None = None
        super()._begin()

    def _aim(self, pace: float) -> Float[np.ndarray, " 5"]:
        return super()._aim(pace * (_EASY_PACE if self.env.level == "easy" else 1.0))

    def solution(self) -> list[Any]:
        """The shortest solution from here."""
        state = self.env.state
        if self._solved is None or self._solved[0] != state:
            self._solved = (state, self.env.puzzle.shortest(state))
        return self._solved[1]

    def go_over(self, spot: Float[np.ndarray, " 2"], high: float, grip: float = -1.0) -> Waypoint:
        """One env step up to a height above all pieces, and there towards a spot of the board, metres."""
        x, y, z = self.hand()
        return self.go(np.array([x, y]) if z < high - _LEVEL else spot, high, grip)

    def push_down(self, spot: Float[np.ndarray, " 2"], high: float, low: float, tolerance: float) -> Waypoint:
        """One env step on the way up, sideways and down to a spot; down only where the hand is upright over it."""
        return self.go(spot, low) if self.is_over(spot, tolerance) else self.go_over(spot, high)

    def is_over(self, spot: Float[np.ndarray, " 2"], tolerance: float) -> bool:
        """Whether the hand is upright over a spot of the board or down on it, up to so many metres along x and y."""
        return bool(np.abs(self.hand()[:2] - spot).max() < tolerance)

    def hand(self) -> Float64[np.ndarray, " 3"]:
        """The tool centre point, seen from the middle of the board, metres."""
        return self.env.from_board(self.env.hand_position)

    def go(self, spot: Float[np.ndarray, " 2"], height: float, grip: float = -1.0, speed: float = 1.0) -> Waypoint:
        """One env step straight to a spot of the board and a height over it, metres."""
        place = self.env.on_board(spot, height)
        return Waypoint(place, HAND_YAW, grip, speed, tolerance=0.0, max_steps=1, is_exact=True)
