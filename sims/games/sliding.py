# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""The sliding-tile puzzle under the arm's hand: tiles in a tray, moved by a fingertip in the socket of each."""

from collections.abc import Sequence
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
from sims.games.sliding_rules import GAP, LEVELS

_GAP_WIDTH = 0.001  # metres on each side of a tile in its cell
_TILE_HEIGHT = 0.008
_LIFT = 0.0005  # metres between the plate and a tile in its grooves
_RIM = 0.0025  # metres, the thickness of the socket's wall
_RIM_HEIGHT = 0.012
_FINGERS_HALF = 0.012  # metres, along x, of the closed fingers; 0.010 along y
_TOP = BOARD_HEIGHT + _LIFT + _TILE_HEIGHT
_HIGH = _TOP + _RIM_HEIGHT + 0.025 + FINGERTIP  # metres, of the hand on its way
_LOW = _TOP + 0.003 + FINGERTIP  # and in a socket
_IN_PLACE = 0.002  # metres off the middle of its cell up to which a tile is not pushed on
_PRESS = 0.004  # metres that the hand aims beyond the wall of the socket that it pushes
_ARRIVED = 0.2  # share of the pitch within which a tile lies in a cell
_KEY_SIZE = 0.008  # metres, half a square of the small picture of the goal
_BOX = mujoco.mjtGeom.mjGEOM_BOX


class SlidingEnv(GameEnv):
    """Tiles held in their tray by grooves (they slide, and neither turn nor lift), with friction and real edges.

    Attributes:
        socket: metres from the middle of a tile to the wall of its socket.
        play: metres that the closed fingers can be off the middle of a socket.

    Pushing a row moves several tiles, one move each. Reaching for a tile that cannot slide is an illegal move.
    """

    away_height = _TOP + _RIM_HEIGHT
    max_env_steps_of: ClassVar[dict[str, int]] = {"easy": 200, "medium": 300, "hard": 450}

    def __init__(
        self,
        level: str = "easy",
        variant: str = "train",
        cameras: Sequence[str] = ("board", "board_side"),
        image_size: int = 64,
        max_env_steps: int | None = None,
        render_mode: str | None = None,
    ):
        """See `ArmEnv`; `level` is `easy`, `medium` or `hard`. Unseen tiles are larger and in other colours."""
        puzzle = checked_level(level, LEVELS)
        self._shape = (puzzle.rows, puzzle.columns)
        self._pitch = (0.062 if level == "easy" else 0.048) * (1.1 if variant == "unseen" else 1.0)
        self.socket = self._pitch / 2 - 0.005
        self.play = self.socket - _FINGERS_HALF
        super().__init__(
            spec=self._scene(),
            name="Sliding",
            task="slide the tiles until they lie like the colours on the small picture",
            level=level,
            puzzle=puzzle,
            variant=variant,
            cameras=cameras,
            image_size=image_size,
            max_env_steps=max_env_steps,
            render_mode=render_mode,
        )
        tiles = range(1, puzzle.rows * puzzle.columns)
        self._tile_address = np.array([[self.model.joint(f"{axis}{n}").qposadr[0] for axis in "xy"] for n in tiles])

    def _scene(self) -> mujoco.MjSpec:
        rows, columns = self._shape
        half_x, half_y = rows * self._pitch / 2, columns * self._pitch / 2
        spec, board = board_scene(half_y + 0.066, half_x + 0.012)
        wall, thick, reach = (_TOP - BOARD_HEIGHT) / 2, 0.004, 0.008
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            board.add_geom(
                type=_BOX, material="plate", friction=(0.2, 0.005, 0.0001),
                pos=(x * (half_x + thick), y * (half_y + thick), BOARD_HEIGHT + wall),
                size=(thick if x else half_x + reach, thick if y else half_y + reach, wall),
            )  # fmt: skip
        for tile in range(1, rows * columns):
            spec.add_material(name=f"tile{tile}", specular=0.0, reflectance=0.0)
            self._add_tile(board, tile)
            x, y = self.cell_place(tile - 1) * (2 * _KEY_SIZE / self._pitch)
            board.add_geom(
                type=_BOX, material=f"tile{tile}", contype=0, conaffinity=0, size=(_KEY_SIZE, _KEY_SIZE, 0.001),
                pos=(x, y - half_y - 0.036, BOARD_HEIGHT + 0.001),
            )  # fmt: skip
        return spec

    def _add_tile(self, board: Any, tile: int) -> None:
        """A square plate on two slides, with a rim that makes a socket for a fingertip."""
        half = self._pitch / 2 - _GAP_WIDTH
        body = board.add_body(name=f"piece{tile}", pos=(0, 0, BOARD_HEIGHT + _LIFT + _TILE_HEIGHT / 2))
        for axis, direction in (("x", (1, 0, 0)), ("y", (0, 1, 0))):
            body.add_joint(
                name=f"{axis}{tile}", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=direction, frictionloss=0.4, damping=1.0,
                armature=0.02,
            )  # fmt: skip
        body.add_geom(
            type=_BOX, size=(half, half, _TILE_HEIGHT / 2), material=f"tile{tile}", mass=0.04, contype=1,
            conaffinity=1, friction=(0.2, 0.005, 0.0001),
        )  # fmt: skip
        middle, reach = self.socket + _RIM / 2, self.socket + _RIM
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            body.add_geom(
                type=_BOX, material=f"tile{tile}", mass=0.002, contype=0, conaffinity=3,
                pos=(x * middle, y * middle, (_TILE_HEIGHT + _RIM_HEIGHT) / 2),
                size=(_RIM / 2 if x else reach, _RIM / 2 if y else reach, _RIM_HEIGHT / 2),
            )  # fmt: skip

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """Slides the tiles of the shortest solution."""
        return SlidingExpert(self, rng)

    def cell_place(self, cell: int) -> Float64[np.ndarray, " 2"]:
        """Middle of a cell on the board: row by row from the arm outwards, each from its right to its left, metres."""
        rows, columns = self._shape
        row, column = divmod(cell, columns)
        return np.array([row - (rows - 1) / 2, column - (columns - 1) / 2]) * self._pitch

    def home_of(self, tile: int) -> Float64[np.ndarray, " 2"]:
        """Middle of the cell in which a tile lies by the rules, metres."""
        return self.cell_place(self.state.index(tile))

    def tile_place(self, tile: int) -> Float64[np.ndarray, " 2"]:
        """Where a tile is on the board, metres."""
        return self.data.qpos[self._tile_address[tile - 1]]

    def _draw_game(self, rng: np.random.Generator) -> None:
        self.state = self.puzzle.draw(rng)
        for cell, tile in enumerate(self.state):
            if tile != GAP:
                self.data.qpos[self._tile_address[tile - 1]] = self.cell_place(cell)
        self.looks.paint("plate", draw_colour(rng, saturation=(0.0, 0.2), value=(0.08, 0.2)))
        count = len(self.state) - 1
        first, order = rng.uniform(-0.02, 0.02), 1
        if self.variant == "unseen":
            first, order = rng.uniform(0.0, 1.0), -1
        for tile in range(1, count + 1):
            hue = first + order * 0.85 * (tile - 1) / (count - 1)
            value = 0.95 if tile % 2 else 0.6
            self.looks.paint(f"tile{tile}", draw_colour(rng, (hue, hue), (0.75, 0.9), (value - 0.04, value + 0.04)))
        self._rest_hand(rng, _TOP + 0.06)

    def _read_board(self) -> None:
        reach = _ARRIVED * self._pitch
        while not self.is_over:
            gap = self.cell_place(self.state.index(GAP))
            arrived = [
                tile
                for tile in self.puzzle.legal_moves(self.state)
                if np.abs(self.tile_place(tile) - gap).max() < reach
            ]
            if not arrived:
                return
            self._move(arrived[0])

    def _can_move(self, piece: int) -> bool:
        return piece in self.puzzle.legal_moves(self.state)

    def _get_board(self) -> Float64[np.ndarray, " board"]:
        return np.array(self.state, np.float64)

    def _set_board(self, numbers: Float64[np.ndarray, " padded"]) -> None:
        self.state = tuple(int(number) for number in numbers[: len(self.state)])


class SlidingExpert(GameExpert):
    """Fingertip into the socket, across, out again; a tile left half-way is pushed on."""

    env: SlidingEnv

    def decide(self) -> Waypoint:
        env, following = self.env, self.solution()[0]
        for tile in env.state:
            if tile not in (GAP, following) and self._is_in_socket(tile):
                home = env.home_of(tile)
                if np.abs(env.tile_place(tile) - home).max() > _IN_PLACE:
                    return self._push(tile, home)
        return self.slide(following)

    def slide(self, tile: int) -> Waypoint:
        """One env step of moving a tile into the gap."""
        env = self.env
        if self._is_in_socket(tile):
            return self._push(tile, env.cell_place(env.state.index(GAP)))
        return self.push_down(env.tile_place(tile), _HIGH, _LOW, tolerance=0.5 * env.play)

    def _push(self, tile: int, goal: Float64[np.ndarray, " 2"]) -> Waypoint:
        env = self.env
        way = goal - env.tile_place(tile)
        way *= np.abs(way) == np.abs(way).max()
        return self.go(goal + np.sign(way) * (env.play + _PRESS), _LOW)

    def _is_in_socket(self, tile: int) -> bool:
        is_low = self.hand()[2] < _LOW + 0.5 * _RIM_HEIGHT
        return bool(is_low) and self.is_over(self.env.tile_place(tile), self.env.socket)
