"""Works the mouse: grips it, brings the cursor to the puzzle's next goal by feedback, and clicks or drags."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float

from sims.arm.env import MAX_MOVE
from sims.arm.expert import ArmExpert, Style, Waypoint
from sims.screen.desk import HOLD_HEIGHT, PRESS_DEPTH
from sims.screen.puzzle import Goal

_GRIPPED = 0.05  # metres between the fingers; the shell is 0.044 wide
_PRESS_SPEED = 0.15  # share of full speed
_ASTRAY = 1.5  # times its tolerance from the goal, a button is no longer pushed or let go
_GRAB_REACH = 0.02  # metres by which the hand may be off the mouse and still hold it


class ScreenExpert(ArmExpert):
    """One for all puzzles: each says itself what is to be done next (`Puzzle.goal`)."""

    style = Style(speed=(0.12, 0.25), wobble=0.05, pause=0.06)

    def plan(self) -> Iterator[Waypoint]:
        """Goal after goal, until the puzzle has none.

        What is done next follows from cursor, button and goal alone: a hand half-way down presses over the goal and
        rises beside it, wherever it came from, or a copy could not tell the two apart and would stay between them.
        """
        while True:
            if not self._is_holding:
                yield from self._grab()
            goal = self.env.puzzle.goal()
            if self.env.mouse.is_pressed and (goal is None or not goal.is_held):
                yield self._release()
            elif goal is None or self.env.puzzle.is_locked:
                return
            else:
                yield from self._pursue(goal)

    @property
    def _is_holding(self) -> bool:
        off = np.abs(self.env.hand_position[:2] - self.env.mouse_position[:2]).max()
        return self.env.hand_opening < _GRIPPED and off < _GRAB_REACH

    def _grab(self) -> Iterator[Waypoint]:
        """Open, go down around the mouse along its own axes, close."""
        at_mouse = self._over_mouse(HOLD_HEIGHT)
        if np.abs(self.env.hand_position - at_mouse).max() > _GRAB_REACH:
            yield Waypoint(self._over_mouse(0.12), yaw=self.env.mouse_yaw)
            yield Waypoint(self._over_mouse(HOLD_HEIGHT), yaw=self.env.mouse_yaw, is_exact=True)
        holding = Waypoint(
            self.env.hand_position, grip=-1.0, max_steps=6, until=lambda: self._is_holding, is_exact=True, tolerance=0.0
        )
        yield holding

    def _over_mouse(self, height: float) -> Float[np.ndarray, " 3"]:
        return np.array([*self.env.mouse_position[:2], height])

    def _pursue(self, goal: Goal) -> Iterator[Waypoint]:
        """Move until the cursor is there, then change the button if the goal asks for it."""
        height = HOLD_HEIGHT - PRESS_DEPTH if goal.is_held else HOLD_HEIGHT
        is_there = lambda: self._is_over(goal) or (goal.click and self._is_near(1.0))  # noqa: E731 - read as one line
        yield Waypoint(lambda: self._for_cursor(height), grip=-1.0, tolerance=0.0, max_steps=40, until=is_there)
        if not self._is_over(goal) and self._is_near(1.0):
            yield self._switch(goal)

    def _aim(self, pace: float) -> Float[np.ndarray, " 5"]:
        """As a waypoint wants it, but the height by itself and slowly, so that a press can be seen to be under way."""
        action = super()._aim(pace)
        if self._is_holding:
            assert self._waypoint is not None
            height = self._waypoint.target[2]
            rise = (height - self.env.commanded_hand[2]) / MAX_MOVE
            action[2] = np.clip(rise, -_PRESS_SPEED, _PRESS_SPEED)
        return action

    def _switch(self, goal: Goal) -> Waypoint:
        """Push the shell down or let it up, still following the goal, and give it up where the cursor is led astray."""
        height = HOLD_HEIGHT if goal.is_held else HOLD_HEIGHT - PRESS_DEPTH
        is_over = lambda: self._is_over(goal) or not self._is_near(_ASTRAY)  # noqa: E731 - read as one line
        return self._hold(lambda: self._for_cursor(height), is_over)

    def _release(self) -> Waypoint:
        """Let the shell up where the hand is."""
        here = np.array([*self.env.commanded_hand[:2], HOLD_HEIGHT])
        return self._hold(lambda: here, lambda: not self.env.mouse.is_pressed)

    def _hold(self, place: Callable[[], Float[np.ndarray, " 3"]], until: Callable[[], bool]) -> Waypoint:
        return Waypoint(place, grip=-1.0, tolerance=0.0, max_steps=10, until=until, is_exact=True)

    def _is_near(self, slack: float) -> bool:
        """Whether the cursor is where the puzzle wants it, within so many of the goal's tolerances."""
        goal = self.env.puzzle.goal()
        return goal is not None and bool(np.linalg.norm(self.env.mouse.cursor - goal.point) <= slack * goal.tolerance)

    def _is_over(self, goal: Goal) -> bool:
        """Whether the puzzle wants another kind of thing than this goal, or the button is not as on the way to it."""
        present = self.env.puzzle.goal()
        if present is None or self.env.mouse.is_pressed != goal.is_held:
            return True
        return present.click != goal.click or present.is_held != goal.is_held

    def _for_cursor(self, height: float) -> Float[np.ndarray, " 3"]:
        """Where the hand must be for the cursor to be at the goal."""
        goal = self.env.puzzle.goal()
        hand = self.env.hand_position
        if goal is not None:
            hand[:2] += self.env.mouse.way_to(goal.point, self.env.mouse_yaw)
        hand[2] = height
        return hand
