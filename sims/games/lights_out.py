# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Lights Out under the arm's hand: every press switches a button and its neighbours; all lights shall go out."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from sims.arm.expert import Waypoint
from sims.arm.looks import draw_colour
from sims.common.base import Policy
from sims.games.board_parts import (
    BOARD_HEIGHT,
    BUTTON_HEIGHT,
    BUTTON_RADIUS,
    BUTTON_TRAVEL,
    FINGERTIP,
    add_button,
    board_scene,
)
from sims.games.expert import GameExpert
from sims.games.game_env import GameEnv, checked_level
from sims.games.lights_out_rules import LEVELS

_TOP = BOARD_HEIGHT + BUTTON_HEIGHT
_CLEAR = 0.035  # metres that the fingertips pass over the buttons
_PRESSED, _RELEASED = -0.6 * BUTTON_TRAVEL, -0.3 * BUTTON_TRAVEL


class LightsOutEnv(GameEnv):
    """A board of sprung buttons with a lamp in each; a press counts when a button has sunk far enough.

    While one button is down the others are dead, and pressing a second one then is an illegal move.
    """

    away_height = _TOP + 0.01
    max_env_steps_of: ClassVar[dict[str, int]] = {"easy": 150, "medium": 200, "hard": 400}

    def __init__(
        self,
        level: str = "easy",
        variant: str = "train",
        cameras: Sequence[str] = ("board", "board_side"),
        image_size: int = 64,
        max_env_steps: int | None = None,
        render_mode: str | None = None,
    ):
        """See `ArmEnv`; `level` is `easy`, `medium` or `hard`. Unseen boards are a little larger."""
        puzzle = checked_level(level, LEVELS)
        self._pitch, self.button_radius = (0.06, 0.022) if level == "easy" else (0.042, BUTTON_RADIUS)
        self._pitch *= 1.1 if variant == "unseen" else 1.0
        edge = self._pitch * puzzle.size / 2 + 0.01
        spec, board = board_scene(edge, edge)
        for cell in range(puzzle.size**2):
            add_button(board, cell, *self._cell_place(cell, puzzle.size), self.button_radius)
        super().__init__(
            spec=spec,
            name="LightsOut",
            task="press the buttons so that all lights go out",
            level=level,
            puzzle=puzzle,
            variant=variant,
            cameras=cameras,
            image_size=image_size,
            max_env_steps=max_env_steps,
            render_mode=render_mode,
        )
        joints = [self.model.joint(f"button{cell}").qposadr[0] for cell in range(puzzle.size**2)]
        self._depth_address = np.array(joints)
        self._geoms = np.array([self.model.geom(f"button{cell}").id for cell in range(puzzle.size**2)])
        self._is_down = np.zeros(puzzle.size**2, bool)

    def button_place(self, cell: int) -> Float64[np.ndarray, " 3"]:
        """Middle of a button's top when it is not pressed, metres."""
        return self.on_board(self.button_spot(cell), _TOP)

    def button_spot(self, cell: int) -> Float64[np.ndarray, " 2"]:
        """Middle of a button on the board, metres."""
        return np.array(self._cell_place(cell, self.puzzle.size))

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """Presses the buttons of the shortest solution, in their order."""
        return LightsOutExpert(self, rng)

    def _cell_place(self, cell: int, size: int) -> tuple[float, float]:
        """Row by row from the arm outwards, each from its right to its left: as the camera `board` shows them."""
        row, column = divmod(cell, size)
        middle = (size - 1) / 2
        return (row - middle) * self._pitch, (column - middle) * self._pitch

    def _draw_game(self, rng: np.random.Generator) -> None:
        self.state = self.puzzle.draw(rng)
        self._is_down[:] = False
        self.looks.paint("plate", draw_colour(rng, value=(0.1, 0.25)))
        hue = (0.28, 0.5) if self.variant == "unseen" else (0.08, 0.17)
        self._lit = draw_colour(rng, hue, (0.5, 0.8), (0.95, 1.0))
        self._dark = draw_colour(rng, (0.55, 0.75), (0.2, 0.4), (0.35, 0.45))
        self._rest_hand(rng, _TOP + 0.06)

    def _show(self) -> None:
        lights = np.array(self.state)[:, None]
        self.model.geom_rgba[self._geoms, :3] = np.where(lights, self._lit, self._dark)

    def _read_board(self) -> None:
        depth = self.data.qpos[self._depth_address]
        is_down = (depth < _PRESSED) | (self._is_down & (depth < _RELEASED))
        pressed = np.flatnonzero(is_down & ~self._is_down)
        if len(pressed) == 1 and not self._is_down.any():
            self._move(int(pressed[0]))
        elif len(pressed):
            self._break_rule(ends_game=False)
        self._is_down = is_down

    def is_down(self, cell: int) -> bool:
        """Whether a button counts as pressed."""
        return bool(self._is_down[cell])

    def _can_move(self, piece: int) -> bool:
        return True

    def _get_board(self) -> Float64[np.ndarray, " board"]:
        return np.array([*self.state, *self._is_down], np.float64)

    def _set_board(self, numbers: Float64[np.ndarray, " padded"]) -> None:
        count = self.puzzle.size**2
        self.state = tuple(bool(light) for light in numbers[:count])
        self._is_down = numbers[count : 2 * count].astype(bool)


class LightsOutExpert(GameExpert):
    """Closed fingers above the first button of the solution and down on it; as soon as it counts, the next one."""

    env: LightsOutEnv

    def decide(self) -> Waypoint:
        return self.press(self.solution()[0])

    def press(self, cell: int) -> Waypoint:
        """One env step towards a button and down on it."""
        top, spot = _TOP + FINGERTIP, self.env.button_spot(cell)
        return self.push_down(spot, top + _CLEAR, top - BUTTON_TRAVEL - 0.006, 0.4 * self.env.button_radius)
