# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Nim under the arm's hand: pegs that stay down, pushed in turn by the fingers and by the board's own magnets."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import mujoco
import numpy as np
from jaxtyping import Float64

from sims.arm.expert import Waypoint
from sims.arm.looks import draw_colour
from sims.common.base import Policy
from sims.games.board_parts import (
    BOARD_HEIGHT,
    BUTTON_HEIGHT,
    BUTTON_TRAVEL,
    FINGERTIP,
    PEG_RADIUS,
    add_button,
    add_peg,
    board_scene,
)
from sims.games.expert import GameExpert
from sims.games.game_env import GameEnv, checked_level
from sims.games.nim_rules import LEVELS, Take

_TOP = BOARD_HEIGHT + BUTTON_HEIGHT
_CLEAR = 0.035  # metres that the fingertips pass over the pegs
_DOWN = -0.6 * BUTTON_TRAVEL
_PULL = 3.0  # newtons, the magnet under a peg
_NO_ROW = -1


class NimEnv(GameEnv):
    """Pegs on friction slides, which stay where they are pushed, and a bell that ends the hand's turn.

    The opponent pulls its pegs down with a magnet under each, one after the other, as soon as the bell has been rung.
    A turn in two rows, one of too many pegs, or pushing while the opponent plays is an illegal move and loses the game;
    ringing before a peg was pushed is illegal and changes nothing. A move is a whole turn, counted when the bell rings,
    or when the last peg goes down: who pushes it wins.
    """

    away_height = _TOP + 0.01
    max_env_steps_of: ClassVar[dict[str, int]] = {"easy": 150, "medium": 250, "hard": 500}

    def __init__(
        self,
        level: str = "easy",
        variant: str = "train",
        cameras: Sequence[str] = ("board", "board_side"),
        image_size: int = 64,
        max_env_steps: int | None = None,
        render_mode: str | None = None,
        opponent_strength: float | None = None,
    ):
        """See `ArmEnv`; `level` is `easy`, `medium` or `hard`. Unseen boards are larger and in other colours.

        Args:
            opponent_strength: how often the opponent plays perfectly, 0 to 1; None for the level's own.

        Raises:
            ValueError: unknown level or variant, a strength outside of [0, 1], and what `SimEnv` refuses.
        """
        puzzle = checked_level(level, LEVELS)
        if opponent_strength is not None:
            if not 0 <= opponent_strength <= 1:
                raise ValueError(f"opponent_strength must lie in [0, 1], got {opponent_strength!r}.")
            puzzle = dataclasses.replace(puzzle, strength=float(opponent_strength))
        self._shape = (puzzle.num_rows, puzzle.row_length)
        is_easy = level == "easy"
        self.peg_radius = 0.021 if is_easy else PEG_RADIUS
        self._pitch = np.array((0.064, 0.058) if is_easy else (0.038, 0.033)) * (1.1 if variant == "unseen" else 1.0)
        self._bell_room = 2.2 * self.peg_radius + 0.012
        self.bell = puzzle.num_rows * puzzle.row_length
        super().__init__(
            spec=self._scene(),
            name="Nim",
            task=f"push 1 to {puzzle.max_take} pegs of one row, then the bell, and take the last peg of all",
            level=level,
            puzzle=puzzle,
            variant=variant,
            cameras=cameras,
            image_size=image_size,
            max_env_steps=max_env_steps,
            render_mode=render_mode,
        )
        names = [f"peg{peg}" for peg in range(self.bell)]
        self._peg_address = np.array([self.model.joint(name).qposadr[0] for name in names])
        self._peg_geoms = np.array([self.model.geom(name).id for name in names])
        self._magnets = np.array([self.model.actuator(f"magnet{peg}").id for peg in range(self.bell)])
        self._bell_address = self.model.joint(f"button{self.bell}").qposadr[0]
        self._bell_geom = self.model.geom(f"button{self.bell}").id
        self._is_down = np.zeros(self.bell, bool)
        self._is_bell_down = False
        self.turn = Take(_NO_ROW, 0)
        self.reply = Take(_NO_ROW, 0)

    def _scene(self) -> mujoco.MjSpec:
        rows, length = self._shape
        half_x, half_y = rows * self._pitch[0] / 2 + 0.008, (length * self._pitch[1] + self._bell_room) / 2 + 0.008
        spec, board = board_scene(half_y, half_x)
        for peg in range(self.bell):
            add_peg(spec, board, peg, *self._slot(peg), self.peg_radius)
        add_button(board, self.bell, *self._slot(self.bell), 1.15 * self.peg_radius)
        return spec

    def _slot(self, piece: int) -> tuple[float, float]:
        """Where a peg is on the board, a row from the arm's right to its left; the bell stands at its left."""
        rows, length = self._shape
        if piece == self.bell:
            return 0.0, length * self._pitch[1] / 2
        row, column = divmod(piece, length)
        return (row - (rows - 1) / 2) * self._pitch[0], (column - (length - 1) / 2) * self._pitch[
            1
        ] - self._bell_room / 2

    def place_of(self, piece: int) -> Float64[np.ndarray, " 3"]:
        """Middle of the top of a peg or of the bell when it is up, metres."""
        return self.on_board(self.spot_of(piece), _TOP)

    def spot_of(self, piece: int) -> Float64[np.ndarray, " 2"]:
        """Middle of a peg or of the bell on the board, metres."""
        return np.array(self._slot(piece))

    def standing(self, row: int) -> list[int]:
        """The pegs of a row that are up."""
        return [peg for peg in range(self.bell) if peg // self._shape[1] == row and not self._is_down[peg]]

    @property
    def is_opponents_turn(self) -> bool:
        """Whether the opponent is pulling its pegs."""
        return self.reply.pegs > 0

    def is_down(self, piece: int) -> bool:
        """Whether a peg counts as pushed, or the bell as rung."""
        return self._is_bell_down if piece == self.bell else bool(self._is_down[piece])

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """Plays a forced win."""
        return NimExpert(self, rng)

    def _draw_game(self, rng: np.random.Generator) -> None:
        self.state = self.puzzle.draw(rng)
        columns = np.arange(self._shape[1])
        self._is_down = np.concatenate([columns >= count for count in self.state])
        self.data.qpos[self._peg_address] = np.where(self._is_down, -BUTTON_TRAVEL, 0.0)
        self._is_bell_down = False
        self.turn = self.reply = Take(_NO_ROW, 0)
        is_unseen = self.variant == "unseen"
        self.looks.paint("plate", draw_colour(rng, saturation=(0.0, 0.3), value=(0.08, 0.18)))
        self._up = draw_colour(rng, (0.8, 0.95) if is_unseen else (0.45, 0.6), (0.5, 0.8), (0.9, 1.0))
        self._bell_colour = draw_colour(rng, (0.3, 0.4) if is_unseen else (-0.04, 0.05), (0.8, 0.95), (0.85, 0.95))
        self._rest_hand(rng, _TOP + 0.06)

    def _show(self) -> None:
        """Pegs that are down lose their light; the bell is dim while the opponent plays."""
        rgba = self.model.geom_rgba
        rgba[self._peg_geoms, :3] = np.where(self._is_down[:, None], (0.25, 0.25, 0.27), self._up)
        rgba[self._bell_geom, :3] = np.array(self._bell_colour) * (0.35 if self.is_opponents_turn else 1.0)

    def _read_board(self) -> None:
        is_down = self._is_down | (self.data.qpos[self._peg_address] < _DOWN)
        pushed = [int(peg) for peg in np.flatnonzero(is_down & ~self._is_down)]
        self._is_down = is_down
        depth = self.data.qpos[self._bell_address]
        is_bell_down = bool(depth < _DOWN or (self._is_bell_down and depth < _DOWN / 2))
        is_rung = is_bell_down and not self._is_bell_down
        self._is_bell_down = is_bell_down
        if self.is_opponents_turn:
            self._pull(pushed)
            return
        for peg in pushed:
            self._take(peg // self._shape[1])
        if not self.is_over and (is_rung or not any(self._left())):
            self._end_turn()

    def _take(self, row: int) -> None:
        """The hand has pushed a peg."""
        self.tally.parts += 1
        if self.turn.row not in (_NO_ROW, row) or self.turn.pegs == self.puzzle.max_take:
            self._break_rule(ends_game=True)
        self.turn = Take(row, self.turn.pegs + 1)

    def _left(self) -> tuple[int, ...]:
        """Pegs that stand in each row, this turn's moves included."""
        return tuple(len(self.standing(row)) for row in range(self._shape[0]))

    def _end_turn(self) -> None:
        if self.turn.pegs == 0:
            self._break_rule(ends_game=False)
            return
        self._move(self.turn)
        self.turn = Take(_NO_ROW, 0)
        if not self.is_over:
            rng = np.random.default_rng([*self.episode_key, self.tally.moves])
            self.reply = self.puzzle.reply(self.state, rng)
            self._magnet(self.reply.row)

    def _move(self, move: Take) -> None:
        """A turn of the hand; giving the win away does not lose yet, since the opponent may err too."""
        self.state = self.puzzle.apply(self.state, move)
        left = self.puzzle.turns_left(self.state)
        tally = self.tally
        tally.moves, tally.good_moves = tally.moves + 1, tally.good_moves + (left is not None)
        tally.distance = tally.shortest if left is None else left
        tally.is_lost = tally.moves >= tally.shortest + self.puzzle.slack and not self.puzzle.is_solved(self.state)

    def _pull(self, pushed: list[int]) -> None:
        """The opponent's turn goes on: its next peg, or the hand's turn again."""
        if not pushed:
            return
        was_hand = any(not self.data.ctrl[self._magnets[peg]] for peg in pushed)
        self.data.ctrl[self._magnets] = 0.0
        if was_hand:
            self._break_rule(ends_game=True)
            return
        row, left = self.reply.row, self.reply.pegs - 1
        self.state = self.puzzle.apply(self.state, Take(row, 1))
        self.reply = Take(row, left) if left else Take(_NO_ROW, 0)
        if left:
            self._magnet(row)
        elif self.puzzle.is_solved(self.state):
            self.tally.is_lost = True
        self._show()

    def _magnet(self, row: int) -> None:
        """Switch on the magnet under the last standing peg of a row."""
        self.data.ctrl[self._magnets[self.standing(row)[-1]]] = _PULL

    def _can_move(self, piece: int) -> bool:
        if self.is_opponents_turn or piece == self.bell:
            return not self.is_opponents_turn and self.turn.pegs > 0
        row = piece // self._shape[1]
        return self.turn.row in (_NO_ROW, row) and self.turn.pegs < self.puzzle.max_take and not self._is_down[piece]

    def _get_board(self) -> Float64[np.ndarray, " board"]:
        flags = [*self.turn, *self.reply, self._is_bell_down]
        return np.array([*self.state, *flags, *self._is_down], np.float64)

    def _set_board(self, numbers: Float64[np.ndarray, " padded"]) -> None:
        rows = self._shape[0]
        values = [int(number) for number in numbers[: rows + 5 + self.bell]]
        self.state = tuple(values[:rows])
        self.turn, self.reply = Take(*values[rows : rows + 2]), Take(*values[rows + 2 : rows + 4])
        self._is_bell_down = bool(values[rows + 4])
        self._is_down = np.array(values[rows + 5 :], bool)


class NimExpert(GameExpert):
    """Closed fingers: from the end of a row as many pegs as the turn takes, then the bell, then waiting over it.

    Of all winning turns it makes one in the longest row: on two rows it levels them and rings, so that what stands
    says what to do, also in the middle of a turn.
    """

    env: NimEnv

    def decide(self) -> Waypoint:
        if self.env.is_opponents_turn:
            return self.go_over(self.env.spot_of(self.env.bell), _TOP + FINGERTIP + _CLEAR)
        return self.press(self.choose())

    def choose(self) -> int:
        """The peg to push now, or the bell."""
        env, turn = self.env, self.env.turn
        fitting = [
            take
            for take in env.puzzle.winning_moves(env.state)
            if turn.pegs == 0 or (take.row == turn.row and take.pegs >= turn.pegs)
        ]
        take = max(fitting, key=lambda take: env.state[take.row]) if fitting else Take(self._longest_row(), 1)
        return env.standing(take.row)[-1] if take.pegs > turn.pegs else env.bell

    def _longest_row(self) -> int:
        return max(range(len(self.env.state)), key=lambda row: len(self.env.standing(row)))

    def press(self, piece: int) -> Waypoint:
        """One env step towards a peg or the bell and down on it."""
        top, spot = _TOP + FINGERTIP, self.env.spot_of(piece)
        return self.push_down(spot, top + _CLEAR, top - BUTTON_TRAVEL - 0.006, 0.4 * self.env.peg_radius)
