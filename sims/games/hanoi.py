# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Tower of Hanoi under the arm's hand: square plates, gripped by their edges and stacked on three places."""

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
from sims.games.hanoi_rules import LEVELS, PLACES, Lift, Towers

_THICK = 0.015  # metres, every plate
_SMALLEST, _LARGEST = 0.013, 0.029  # metres, half a side
_ON_PLACE = 0.016  # metres from the middle of a place, within which a plate lies on it
_AT_REST = 0.05  # m/s
_UPRIGHT = 0.97
_HOLD = 0.004  # metres of the fingertips over the lower edge of the plate they grip
_OPEN = 1.0  # of the gripper over a plate
_LOOSE = 0.006  # metres that the fingers are further apart than a plate's sides when they do not hold it
_CLEAR = 0.02  # metres that a plate passes over all others
_ABOVE = 0.007  # metres off the middle up to which the hand goes down
_AT_HEIGHT = 0.003  # metres over the right height up to which the fingers close or open
_GRIP_NEWTON = 4.0  # thirty times the weight of the largest plate; a grip of 20 tilts the smaller ones
_SHAPE = mujoco.mjtGeom


class HanoiEnv(GameEnv):
    """Free plates, held by friction alone. A move is made when a plate lies still on another place, let go.

    A larger plate put on a smaller one, or several plates moved at once, is an illegal move and loses the game. A plate
    dropped beside the places is not a move yet: it can be picked up again.
    """

    away_height = 0.0  # a grip does not let go on its way, so any pause is the end of an attempt
    max_env_steps_of: ClassVar[dict[str, int]] = {"easy": 250, "medium": 350, "hard": 800}

    def __init__(
        self,
        level: str = "easy",
        variant: str = "train",
        cameras: Sequence[str] = ("board", "board_side"),
        image_size: int = 64,
        max_env_steps: int | None = None,
        render_mode: str | None = None,
    ):
        """See `ArmEnv`; `level` is `easy`, `medium` or `hard`. Unseen places are further apart, colours others."""
        puzzle = checked_level(level, LEVELS)
        self._pitch = 0.085 if variant == "unseen" else 0.077
        self.half_sides = np.linspace(_SMALLEST, _LARGEST, puzzle.num_discs)
        super().__init__(
            spec=self._scene(),
            name="Hanoi",
            task="stack all plates on the marked place, never a larger one on a smaller one",
            level=level,
            puzzle=puzzle,
            variant=variant,
            cameras=cameras,
            image_size=image_size,
            max_env_steps=max_env_steps,
            render_mode=render_mode,
            grip_newton=_GRIP_NEWTON,
        )
        joints = [self.model.joint(f"plate{disc}") for disc in range(puzzle.num_discs)]
        self._qpos_of = [joint.qposadr[0] for joint in joints]
        self._qvel_of = [joint.dofadr[0] for joint in joints]

    def _scene(self) -> mujoco.MjSpec:
        spec, board = board_scene(1.5 * self._pitch + 0.008, 0.045)
        spec.add_material(name="place", specular=0.0, reflectance=0.0)
        spec.add_material(name="target", specular=0.0, reflectance=0.0)
        for place in range(PLACES):
            x, y = self.place_of(place)
            side = _LARGEST + 0.006
            board.add_geom(
                name=f"place{place}", type=_SHAPE.mjGEOM_BOX, size=(side, side, 0.0005), pos=(x, y, BOARD_HEIGHT),
                material="place", contype=0, conaffinity=0,
            )  # fmt: skip
        for disc, half in enumerate(self.half_sides):
            spec.add_material(name=f"plate{disc}", specular=0.0, reflectance=0.0)
            self._add_plate(spec.worldbody, disc, float(half))
        return spec

    def _add_plate(self, world: Any, disc: int, half: float) -> None:
        body = world.add_body(name=f"piece{disc}", pos=(0.5, 0, 0.2))
        body.add_joint(name=f"plate{disc}", type=mujoco.mjtJoint.mjJNT_FREE)
        body.add_geom(
            type=_SHAPE.mjGEOM_BOX, size=(half, half, _THICK / 2), material=f"plate{disc}", density=700, condim=4,
            friction=(1.0, 0.02, 0.001),
        )  # fmt: skip

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """Grips and carries as the shortest solution says."""
        return HanoiExpert(self, rng)

    def place_of(self, place: int) -> Float64[np.ndarray, " 2"]:
        """Middle of a place on the board, from the arm's right to its left, metres."""
        return np.array([0.0, (place - (PLACES - 1) / 2) * self._pitch])

    def top_of(self, place: int, without: int) -> float:
        """Height of what lies on a place by the rules, one plate left out, metres over the table."""
        count = sum(other == place for disc, other in enumerate(self.state.places) if disc != without)
        return BOARD_HEIGHT + count * _THICK

    def _draw_game(self, rng: np.random.Generator) -> None:
        self.state = self.puzzle.draw(rng)
        self._paint(rng)
        heights = [BOARD_HEIGHT] * PLACES
        for disc in reversed(range(self.puzzle.num_discs)):
            place = self.state.places[disc]
            x, y = self.place_of(place) + rng.uniform(-0.002, 0.002, 2)
            turn = rng.uniform(-0.04, 0.04)
            address = self._qpos_of[disc]
            position = self.on_board((x, y), heights[place] + _THICK / 2 + 2e-4)
            self.data.qpos[address : address + 7] = *position, np.cos(turn / 2), 0, 0, np.sin(turn / 2)
            heights[place] += _THICK + 2e-4
        self._rest_hand(rng, BOARD_HEIGHT + 6 * _THICK + 0.03, opening=0.6)

    def _paint(self, rng: np.random.Generator) -> None:
        is_unseen = self.variant == "unseen"
        self.looks.paint("plate", draw_colour(rng, saturation=(0.0, 0.3), value=(0.1, 0.22)))
        self.looks.paint("place", draw_colour(rng, saturation=(0.0, 0.1), value=(0.4, 0.5)))
        self.looks.paint("target", draw_colour(rng, (0.8, 0.9) if is_unseen else (0.3, 0.4), (0.7, 0.9), (0.8, 0.95)))
        for place in range(PLACES):
            material = "target" if place == self.state.target else "place"
            self.model.geom_matid[self.model.geom(f"place{place}").id] = self.model.material(material).id
        first = rng.uniform(-0.02, 0.02) + (0.5 if is_unseen else 0.0)
        for disc in range(self.puzzle.num_discs):
            hue = first + 0.62 * (disc % 2) + 0.07 * (disc // 2)
            self.looks.paint(f"plate{disc}", draw_colour(rng, (hue, hue + 0.01), (0.7, 0.85), (0.85, 0.95)))

    def _read_board(self) -> None:
        moved = {disc: place for disc in range(self.puzzle.num_discs) if (place := self._new_place(disc)) is not None}
        if not moved:
            return
        disc, place = next(iter(moved.items()))
        lift = Lift(self.state.places[disc], place)
        is_top = self.state.places.index(lift.source) == disc
        if len(moved) == 1 and is_top and lift in self.puzzle.legal_moves(self.state):
            self._move(lift)
        else:
            self._break_rule(ends_game=True)

    def _new_place(self, disc: int) -> int | None:
        """The place on which a plate lies still, upright and let go, if it is not the one it lay on before."""
        position = self.piece_position(disc)
        distances = [float(np.abs(position[:2] - self.place_of(place)).max()) for place in range(PLACES)]
        place = int(np.argmin(distances))
        if place == self.state.places[disc] or distances[place] > _ON_PLACE:
            return None
        is_upright = self.data.xmat[self.model.body(f"piece{disc}").id][8] > _UPRIGHT
        velocity = self.data.qvel[self._qvel_of[disc] : self._qvel_of[disc] + 3]
        lies = position[2] < self.top_of(place, disc) + 0.7 * _THICK
        is_still = is_upright and lies and float(np.abs(velocity).max()) < _AT_REST
        return place if is_still and not self.is_held(disc) else None

    def is_held(self, disc: int) -> bool:
        """Whether the hand touches a plate."""
        pairs = self.data.contact.geom
        hand, piece = self._geom_is_hand[pairs], self._geom_piece[pairs]
        return bool((hand[:, ::-1] & (piece == disc)).any())

    def _can_move(self, piece: int) -> bool:
        return any(self.state.places.index(lift.source) == piece for lift in self.puzzle.legal_moves(self.state))

    def _get_board(self) -> Float64[np.ndarray, " board"]:
        return np.array(self.state.places, np.float64)

    def _set_board(self, numbers: Float64[np.ndarray, " padded"]) -> None:
        places = tuple(int(number) for number in numbers[: self.puzzle.num_discs])
        self.state = Towers(places, self.state.target)


class HanoiExpert(GameExpert):
    """Grip the topmost plate, over, down, let go; a plate that was dropped is picked up from where it lies."""

    env: HanoiEnv

    def decide(self) -> Waypoint:
        lift = self.solution()[0]
        return self.carry(self.env.state.places.index(lift.source), lift.destination)

    def carry(self, disc: int, destination: int) -> Waypoint:
        """One env step of bringing a plate to a place."""
        env = self.env
        plate, goal, half = env.piece_position(disc), env.place_of(destination), env.half_sides[disc]
        over = max(env.top_of(place, disc) for place in range(PLACES)) + _CLEAR + FINGERTIP
        is_held = env.is_held(disc)
        if is_held and env.hand_opening < 2 * half + _LOOSE:
            return self._bring(plate, goal, over + _HOLD, env.top_of(destination, disc) + _HOLD + FINGERTIP)
        if np.abs(plate[:2] - goal).max() < _ON_PLACE:  # let go; it counts as soon as it lies still
            x, y, z = self.hand()
            return self.go(np.array([x, y]), z if is_held else over, _OPEN)
        low = plate[2] - _THICK / 2 + _HOLD + FINGERTIP
        if not self.is_over(plate[:2], _ABOVE):
            return self.go_over(plate[:2], max(over, low + _THICK), _OPEN)
        return self.go(plate[:2], low, _OPEN if self.hand()[2] > low + _AT_HEIGHT else -1.0)

    def _bring(
        self, plate: Float64[np.ndarray, " 3"], goal: Float64[np.ndarray, " 2"], high: float, low: float
    ) -> Waypoint:
        """Up with a plate in the hand, over its place and down; open the fingers there."""
        spot = goal + np.clip(self.hand() - plate, -0.01, 0.01)[:2]
        if not self.is_over(spot, _ABOVE):
            return self.go_over(spot, high)
        return self.go(spot, low, -1.0 if self.hand()[2] > low + _AT_HEIGHT else _OPEN)
