# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Sokoban under the arm's hand: free boxes on a floor with walls, pushed by the closed fingers onto the goals."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import mujoco
import numpy as np
from jaxtyping import Float64

from sims.arm.expert import Waypoint
from sims.arm.looks import draw_colour
from sims.common.base import Policy
from sims.games.board_parts import BOARD_HEIGHT, FINGERTIP, board_scene
from sims.games.expert import GameExpert
from sims.games.game_env import GameEnv, checked_level
from sims.games.sokoban_rules import LEVELS, STEPS, Push, Store

_WALL_HEIGHT = 0.022
_FLOOR = BOARD_HEIGHT
_CLEAR = 0.02  # metres that the fingertips pass over boxes
_LOW = _FLOOR + 0.01 + FINGERTIP  # metres, of the hand while it pushes
_FINGERS_HALF = (0.012, 0.010)  # metres, along x and along y, of the closed fingers
_ROOM = 0.014  # metres between the fingers and the box that they come down behind
_PRESS = 0.003  # metres that the hand aims beyond the side that it pushes
_IN_PLACE = 0.004  # metres off the middle of its cell up to which a box is not pushed on
_ARRIVED = 0.22  # share of the pitch within which a box stands on a cell
_UPRIGHT = 0.95
_FRICTION = (0.5, 0.04, 0.0001)  # of a box on felt, which does not turn when it is pushed beside its middle
_UNUSED = (0.0, 0.0, -0.3)  # inside the table's foot, where walls go that this warehouse has not
_SHAPE = mujoco.mjtGeom


class SokobanEnv(GameEnv):
    """Boxes with free joints; a push counts when the box has come to the next cell with the hand behind it.

    A box that went anywhere else, was carried, dragged, toppled or pushed by another box is an illegal move and ends
    the game, for a warehouse keeper has no other way to touch boxes. A box in a corner is lost for good.

    Attributes:
        box_half: half the side of a box, metres.
        cells: where each box stands by the rules.
    """

    max_env_steps_of: ClassVar[dict[str, int]] = {"easy": 200, "medium": 250, "hard": 450}

    def __init__(
        self,
        level: str = "easy",
        variant: str = "train",
        cameras: Sequence[str] = ("board", "board_side"),
        image_size: int = 64,
        max_env_steps: int | None = None,
        render_mode: str | None = None,
    ):
        """See `ArmEnv`; `level` is `easy`, `medium` or `hard`. Unseen floors are larger and in other colours."""
        puzzle = checked_level(level, LEVELS)
        self._size = puzzle.size
        pitch, self.box_half = (0.06, 0.022) if level == "easy" else (0.047, 0.017)
        self._pitch = pitch * (1.085 if variant == "unseen" else 1.0)
        self.away_height = _FLOOR + 2 * self.box_half
        super().__init__(
            spec=self._scene(puzzle.num_boxes, puzzle.num_walls),
            name="Sokoban",
            task="push every box onto a goal",
            level=level,
            puzzle=puzzle,
            variant=variant,
            cameras=cameras,
            image_size=image_size,
            max_env_steps=max_env_steps,
            render_mode=render_mode,
        )
        self._box_address = [self.model.joint(f"box{box}").qposadr[0] for box in range(puzzle.num_boxes)]
        self.cells: list[int] = []

    def _scene(self, num_boxes: int, num_walls: int) -> mujoco.MjSpec:
        half = self._size * self._pitch / 2
        thick = 0.006
        spec, board = board_scene(half + 2 * thick, half + 2 * thick)
        for name in ("wall", "goal", "box"):
            spec.add_material(name=name, specular=0.0, reflectance=0.0)
        height = _WALL_HEIGHT / 2
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            board.add_geom(
                type=_SHAPE.mjGEOM_BOX, material="wall", friction=(0.2, 0.005, 0.0001),
                pos=(x * (half + thick), y * (half + thick), _FLOOR + height),
                size=(thick if x else half + 2 * thick, thick if y else half + 2 * thick, height),
            )  # fmt: skip
        for number in range(num_walls):
            wall = board.add_body(name=f"wall{number}")
            size = (self._pitch / 2 - 0.001, self._pitch / 2 - 0.001, height)
            wall.add_geom(type=_SHAPE.mjGEOM_BOX, size=size, material="wall", friction=(0.2, 0.005, 0.0001))
        for number in range(num_boxes):
            goal = board.add_body(name=f"goal{number}")
            size = (self._pitch / 2 - 0.003, self._pitch / 2 - 0.003, 0.0005)
            goal.add_geom(type=_SHAPE.mjGEOM_BOX, size=size, material="goal", contype=0, conaffinity=0)
            self._add_box(spec.worldbody, number)
        return spec

    def _add_box(self, world: Any, number: int) -> None:
        body = world.add_body(name=f"piece{number}", pos=(0.5, 0, 0.1))
        body.add_joint(name=f"box{number}", type=mujoco.mjtJoint.mjJNT_FREE)
        body.add_geom(
            type=_SHAPE.mjGEOM_BOX, size=(self.box_half,) * 3, material="box", mass=0.08, friction=_FRICTION,
            condim=4, priority=1,
        )  # fmt: skip

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """Pushes as the shortest solution says, several cells in one go where it can."""
        return SokobanExpert(self, rng)

    def cell_place(self, cell: int) -> Float64[np.ndarray, " 2"]:
        """Middle of a cell on the board: row by row from the arm outwards, each from its right to its left, metres."""
        row, column = divmod(cell, self._size)
        return (np.array([row, column]) - (self._size - 1) / 2) * self._pitch

    def box_at(self, cell: int) -> int:
        """The number of the box that stands on a cell."""
        return self.cells.index(cell)

    def _draw_game(self, rng: np.random.Generator) -> None:
        self.state = self.puzzle.draw(rng)
        self._paint(rng)
        self._place("wall", sorted(self.state.walls), _FLOOR + _WALL_HEIGHT / 2)
        self._place("goal", sorted(self.state.goals), _FLOOR + 0.0005)
        mujoco.mj_kinematics(self.model, self.data)
        self.cells = [int(cell) for cell in rng.permutation(sorted(self.state.boxes))]
        for address, cell in zip(self._box_address, self.cells, strict=True):
            turn = rng.uniform(-0.03, 0.03)
            place = self.on_board(self.cell_place(cell), _FLOOR + self.box_half)
            self.data.qpos[address : address + 7] = *place, np.cos(turn / 2), 0, 0, np.sin(turn / 2)
        self._rest_hand(rng, _FLOOR + 0.09)

    def _paint(self, rng: np.random.Generator) -> None:
        is_unseen = self.variant == "unseen"
        self.looks.paint("plate", draw_colour(rng, saturation=(0.0, 0.3), value=(0.75, 0.9)))
        self.looks.paint("wall", draw_colour(rng, saturation=(0.1, 0.4), value=(0.1, 0.25)))
        self.looks.paint("goal", draw_colour(rng, (0.75, 0.9) if is_unseen else (0.28, 0.42), (0.6, 0.9), (0.6, 0.8)))
        self.looks.paint("box", draw_colour(rng, (0.5, 0.62) if is_unseen else (-0.04, 0.09), (0.8, 0.95), (0.75, 0.9)))

    def _place(self, name: str, cells: Sequence[int], height: float) -> None:
        for number, cell in enumerate(cells):
            self.model.body_pos[self.model.body(f"{name}{number}").id] = *self.cell_place(cell), height

    def _read_board(self) -> None:
        for box, cell in enumerate(self.cells):
            place = self.piece_position(box)
            is_upright = np.abs(self.data.xmat[self.model.body(f"piece{box}").id]).reshape(3, 3)[2].max() > _UPRIGHT
            if not is_upright or place[2] > _FLOOR + 1.7 * self.box_half:
                self._break_rule(ends_game=True)
                return
            reached = self._cell_of(place)
            if reached not in (None, cell):
                self.cells[box] = reached
                self._judge_push(cell, reached, place)
            if self.is_over:
                return

    def _judge_push(self, cell: int, reached: int, place: Float64[np.ndarray, " 3"]) -> None:
        """A box has come from one cell to another: by a legal push, or not."""
        (row, column), (row_before, column_before) = divmod(reached, self._size), divmod(cell, self._size)
        step = (row - row_before, column - column_before)
        push = Push(cell, step)
        behind = float((self.from_board(self.hand_position) - place)[:2] @ np.array(step)) < -0.8 * self.box_half
        if step in STEPS and behind and self.puzzle.refusal(self.state, push) is None:
            self._move(push)
        else:
            self._break_rule(ends_game=True)

    def _cell_of(self, place: Float64[np.ndarray, " 3"]) -> int | None:
        """The cell that a box stands on, or None between cells."""
        grid = place[:2] / self._pitch + (self._size - 1) / 2
        nearest = np.rint(grid)
        if np.abs(grid - nearest).max() > _ARRIVED or nearest.min() < 0 or nearest.max() >= self._size:
            return None
        return int(nearest[0]) * self._size + int(nearest[1])

    def _can_move(self, piece: int) -> bool:
        return any(push.box == self.cells[piece] for push in self.puzzle.legal_moves(self.state))

    def _get_board(self) -> Float64[np.ndarray, " board"]:
        return np.array(self.cells, np.float64)

    def _set_board(self, numbers: Float64[np.ndarray, " padded"]) -> None:
        self.cells = [int(number) for number in numbers[: len(self.cells)]]
        self.state = Store(self.state.walls, self.state.goals, frozenset(self.cells))


class SokobanExpert(GameExpert):
    """Down behind a box, forward until it stands in the middle of its cell, up."""

    env: SokobanEnv

    def decide(self) -> Waypoint:
        env = self.env
        for box, cell in enumerate(env.cells):
            off = env.cell_place(cell) - env.piece_position(box)[:2]
            for step in STEPS:
                if off @ step > _IN_PLACE and self._is_behind(box, step):
                    return self.push(box, step, cell)
        push = self.solution()[0]
        return self.push(env.box_at(push.box), push.step, env.puzzle.cell(push.box, push.step))

    def push(self, box: int, step: tuple[int, int], cell: int) -> Waypoint:
        """One env step of pushing a box one way until it stands on a cell."""
        env, way = self.env, np.array(step)
        place, goal = env.piece_position(box)[:2], env.cell_place(cell)
        reach, across = self._reach(step), way == 0
        if self._is_behind(box, step):
            end = goal - way * (reach - _PRESS)
            return self.go(np.where(across, place, end), _LOW, speed=0.7)
        behind = place - way * (reach + _ROOM)
        if self.is_over(behind, 0.5 * _ROOM):
            return self.go(behind, _LOW)
        over = self.go_over(behind, env.away_height + _CLEAR + FINGERTIP)
        return over if self.hand()[2] > _LOW + _ROOM else self._leave(over)

    def _is_behind(self, box: int, step: tuple[int, int]) -> bool:
        """Whether the hand is down and at one side of a box."""
        x, y = (self.hand() - self.env.piece_position(box))[:2]
        back, aside = (-x * step[0], y) if step[0] else (-y * step[1], x)
        is_low = self.hand()[2] < _LOW + 0.5 * _ROOM
        return bool(is_low and -0.5 * _ROOM < back - self._reach(step) < 2 * _ROOM and abs(aside) < _ROOM)

    def _reach(self, step: tuple[int, int]) -> float:
        """From the middle of a box to that of the fingers that touch it, metres."""
        return self.env.box_half + _FINGERS_HALF[step[0] == 0]

    def _leave(self, up: Waypoint) -> Waypoint:
        """Off the box that was pushed, on the way up: fingers that rub along it tilt it."""
        env, hand = self.env, self.hand()[:2]
        near = min((hand - env.piece_position(box)[:2] for box in range(len(env.cells))), key=np.linalg.norm)
        off = np.where(np.abs(near) == np.abs(near).max(), np.sign(near), 0) * _ROOM
        return replace(up, place=np.asarray(up.place) + np.append(off, 0))
