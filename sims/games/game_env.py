# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""What all games share: an instance drawn per episode, moves read from the physics, counts, what ends a game."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import mujoco
import numpy as np
from jaxtyping import Float, Float64
from numpy.typing import ArrayLike

from sims.arm.env import ArmEnv
from sims.common.errors import unknown_name
from sims.games.board_parts import BOARD, BOARD_CENTRE, FINGERTIP, HAND_YAW
from sims.games.tally import NO_PIECE, SIZE, Tally

_HAND_BODIES = ("arm/hand", "arm/finger_left", "arm/finger_right")


def checked_level[Level](level: str, levels: Mapping[str, Level]) -> Level:
    """The rules of a level.

    Raises:
        ValueError: there is no such level.
    """
    if level not in levels:
        raise unknown_name("level", level, levels)
    return levels[level]


class GameEnv(ArmEnv):
    """A game on a board under the arm's hand.

    A game gives its pieces as bodies `piece<number>` of the scene and fills in `_draw_game`, `_read_board`,
    `_can_move`, `_show`, `_get_board`, `_set_board` and its expert. A move is what the physics has done, read after
    every action; nothing takes a move back, since a move that reverses another is one more move.

    Attributes:
        level: name of the difficulty.
        puzzle: the rules at this level.
        state: where the game stands by the rules.
        tally: what was counted in this episode.
    """

    main_views = ("board", "board_side")
    noise_axes = (0, 1)  # a hand that is pushed down moves pieces that nobody meant to move
    board_shift: ClassVar[dict[str, float]] = {"train": 0.01, "unseen": 0.025}  # metres to each side

    max_env_steps_of: ClassVar[dict[str, int]]  # by level
    away_height: ClassVar[float]  # metres of the fingertips over the table, from where they touch no piece

    def __init__(
        self,
        spec: mujoco.MjSpec,
        name: str,
        task: str,
        level: str,
        puzzle: Any,
        variant: str,
        cameras: Sequence[str],
        image_size: int,
        max_env_steps: int | None,
        render_mode: str | None,
        grip_newton: float = 20.0,
    ):
        """See `ArmEnv`; `name` is the game's, `puzzle` its rules at `level`, `max_env_steps` the level's by default."""
        self.level = level
        self.puzzle = puzzle
        self.tally = Tally()
        super().__init__(
            spec=spec,
            task_name=f"{name}-{level}",
            task=task,
            variant=variant,
            cameras=cameras,
            image_size=image_size,
            max_env_steps=self.max_env_steps_of[level] if max_env_steps is None else max_env_steps,
            render_mode=render_mode,
            grip_newton=grip_newton,
        )
        self.state: Any = None
        self._board = self.model.body(BOARD).id
        self.half_size = self.model.geom(BOARD).size[:2].copy()
        self._geom_piece = np.full(self.model.ngeom, NO_PIECE)
        self._geom_is_hand = np.zeros(self.model.ngeom, bool)
        for geom in range(self.model.ngeom):
            body = self.model.body(self.model.geom_bodyid[geom]).name
            self._geom_is_hand[geom] = body in _HAND_BODIES
            if body.startswith("piece"):
                self._geom_piece[geom] = int(body.removeprefix("piece"))

    def _draw_game(self, rng: np.random.Generator) -> None:
        """Set `state` and put the pieces where it says; colours too. The board is where it will stay."""
        raise NotImplementedError

    def _read_board(self) -> None:
        """Compare the physics with `state`; call `_move` or `_break_rule` for what has happened."""
        raise NotImplementedError

    def _can_move(self, piece: int) -> bool:
        """Whether the rules have a move for a piece."""
        raise NotImplementedError

    def _show(self) -> None:
        """Bring the looks up to date with `state`, where the physics alone does not show it."""

    def _get_board(self) -> Float[np.ndarray, " board"]:
        """The state of the rules, and whatever else `_read_board` remembers."""
        raise NotImplementedError

    def _set_board(self, numbers: Float64[np.ndarray, " padded"]) -> None:
        """Take back what `_get_board` gave; zeros may follow it."""
        raise NotImplementedError

    @property
    def is_over(self) -> bool:
        """Whether the game has ended, one way or the other; the board then counts nothing more."""
        return self.tally.is_lost or self.is_solved

    @property
    def is_solved(self) -> bool:
        """Whether the game was won."""
        return self.puzzle.is_solved(self.state) and not self.tally.is_lost

    def on_board(self, spot: ArrayLike, height: float) -> Float64[np.ndarray, " 3"]:
        """World coordinates of a point over a spot (x, y) seen from the middle of the board, metres."""
        return self.data.xpos[self._board] + self.data.xmat[self._board].reshape(3, 3) @ np.append(spot, height)

    def from_board(self, point: Float[np.ndarray, " 3"]) -> Float64[np.ndarray, " 3"]:
        """A world point seen from the middle of the board, metres."""
        return (point - self.data.xpos[self._board]) @ self.data.xmat[self._board].reshape(3, 3)

    def piece_position(self, piece: int) -> Float64[np.ndarray, " 3"]:
        """The middle of a piece, seen from the middle of the board, metres."""
        return self.from_board(self.data.body(f"piece{piece}").xpos)

    def _draw_episode(self, rng: np.random.Generator) -> None:
        is_unseen = self.variant == "unseen"
        shift = self.board_shift[self.variant]
        place = np.array([*BOARD_CENTRE, 0.0]) + rng.uniform(-shift, shift, 3) * (1, 1, 0)
        self.model.body_pos[self._board] = place
        self.looks.light(rng, is_unseen)
        for camera in ("board", "board_side"):
            metres, radians = (0.02, 0.04) if is_unseen else (0.005, 0.01)
            self.looks.shake_camera(camera, rng, metres, radians)
        mujoco.mj_kinematics(self.model, self.data)
        self._draw_game(rng)
        solution = self.puzzle.shortest(self.state)
        assert solution is not None, "an instance without a solution was drawn"
        self.tally.begin(len(solution))
        self._show()

    def _rest_hand(self, rng: np.random.Generator, height: float, opening: float = -1.0) -> None:
        """Put the hand over the edge of the board on the arm's side, where it hides nothing."""
        spot = (-self.half_size[0] + rng.uniform(-0.03, 0.01), rng.uniform(-0.06, 0.06))
        self.place_hand(self.on_board(spot, height + rng.uniform(0.0, 0.03)), HAND_YAW, opening)

    def _move(self, move: Any) -> None:
        """A legal move has been made."""
        self.state = self.puzzle.apply(self.state, move)
        solution = self.puzzle.shortest(self.state)
        self.tally.record_move(None if solution is None else len(solution))
        if self.tally.moves >= self.tally.shortest + self.puzzle.slack and not self.is_solved:
            self.tally.is_lost = True

    def _break_rule(self, ends_game: bool) -> None:
        """Something has been done that the rules forbid."""
        self.tally.illegal_moves += 1
        self.tally.is_lost |= ends_game

    def _judge(self) -> tuple[float, bool, dict[str, Any]]:
        if not self.is_over:
            events = self.tally.num_events
            self._watch_hand()
            self._read_board()
            if self.tally.num_events > events:
                self._show()
        tally, is_solved = self.tally, self.is_solved
        progress = 0.0 if tally.is_lost else 1.0 - tally.distance / max(tally.shortest, tally.distance, 1)
        return progress, is_solved, {"metrics": tally.metrics(is_solved)}

    def _watch_hand(self) -> None:
        """Tell the tally which piece the hand touches."""
        pairs = self.data.contact.geom
        hand, piece = self._geom_is_hand[pairs], self._geom_piece[pairs]
        touched = piece[hand[:, ::-1] & (piece != NO_PIECE)]
        if len(touched):
            self.tally.record_touch(int(touched[0]), self._can_move(int(touched[0])))
        else:
            self.tally.record_no_touch(self._is_away())

    def _is_away(self) -> bool:
        """Whether the fingertips are above all pieces, or beside the board."""
        x, y, z = self.from_board(self.hand_position)
        return z - FINGERTIP > self.away_height or abs(x) > self.half_size[0] or abs(y) > self.half_size[1]

    def _get_progress(self) -> Float64[np.ndarray, " progress"]:
        return np.concatenate([self.tally.get(), self._get_board()])

    def _set_progress(self, progress: Float64[np.ndarray, " padded"]) -> None:
        self.tally.set(progress[:SIZE])
        self._set_board(progress[SIZE:])
        self._show()
