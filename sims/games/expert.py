"""What the games' experts share."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from sims.arm import MAX_MOVE
from sims.arm_expert import ArmExpert, Style, Waypoint
from sims.games.board_parts import HAND_YAW

_EASY_PACE = 0.5  # of the speed elsewhere: one picture of 64 pixels must do for several actions
_LEVEL = 0.008  # metres still to rise below which the hand goes sideways already
_STEEP = 0.012  # metres still to rise above which the hand goes up before it goes sideways


class GameExpert(ArmExpert):
    """An expert that keeps its height: what wobbles down among the pieces makes moves of its own.

    Slips go sideways and up, and on its way the hand rises first.
    """

    def _next(self) -> None:
        super()._next()
        self._slip_move[2] = abs(self._slip_move[2])

    def _next_wobble(self) -> Float[np.ndarray, " 4"]:
        return super()._next_wobble() * (1, 1, 0, 1)

    def _aim(self, pace: float) -> Float[np.ndarray, " 5"]:
        action, waypoint = super()._aim(pace), self._waypoint
        assert waypoint is not None
        if not waypoint.is_exact:
            rise = float(waypoint.target[2] - self.env.commanded_hand[2])
            if rise > 0:
                action[2] = rise / MAX_MOVE
            if rise > _STEEP:
                action[:2] *= 0.2
        return action


class PressExpert(GameExpert):
    """An expert that decides anew in every env step, by where the pieces and the hand are and by nothing else.

    A policy without memory that sees the board can do the same. Of several moves that are equally good it makes the
    first by the pieces' order.
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

    def go_over(self, spot: Float[np.ndarray, " 2"], high: float) -> Waypoint:
        """One env step up to a height above all pieces, and there towards a spot of the board, metres."""
        x, y, z = self._hand()
        return self._go(np.array([x, y]) if z < high - _LEVEL else spot, high)

    def push_down(self, spot: Float[np.ndarray, " 2"], high: float, low: float, tolerance: float) -> Waypoint:
        """One env step on the way up, sideways and down to a spot; down only where the hand is upright over it."""
        x, y, _ = self._hand()
        if max(abs(x - spot[0]), abs(y - spot[1])) < tolerance:
            return self._go(spot, low)
        return self.go_over(spot, high)

    def _hand(self) -> Float64[np.ndarray, " 3"]:
        """The tool centre point, seen from the middle of the board, metres."""
        return self.env.from_board(self.env.hand_position)

    def _go(self, spot: Float[np.ndarray, " 2"], height: float) -> Waypoint:
        place = self.env.on_board(spot, height)
        return Waypoint(place, HAND_YAW, -1.0, tolerance=0.0, max_steps=1, is_exact=True)
