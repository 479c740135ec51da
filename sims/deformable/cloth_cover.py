# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Cover an object with a cloth."""

from typing import Any

import mujoco
import numpy as np

from sims.arm.expert import Waypoint
from sims.common.base import Policy
from sims.deformable import measures
from sims.deformable.cloth import Cloth
from sims.deformable.cloth_scene import BeadExpert, ClothEnv
from sims.deformable.contact import GRASPABLE
from sims.deformable.scene import near_table
from sims.deformable.textures import goal_colour

_AHEAD, _BEHIND = 0.07, 0.145  # metres from the middle to the object, away from the arm, and to the cloth
_OVER, _DOWN = 0.13, 0.04  # metres above the table at which the hand crosses the object, and lets go behind it
_NEAR_END = 0.04  # metres from there within which it goes all the way down, and over which it descends before
_HANGING = 0.04  # metres above the table, and at most from the hand, where a bead lies against a finger
_BEAD_REACH = 0.02  # metres aside with which the fingers still close around the bead
_MASS = 0.8  # kilograms: the cloth does not drag it along


class ClothCoverEnv(ClothEnv):
    """A cloth beside a round object; done when the object cannot be seen from above.

    Success: at least `MIN_COVERED` of the object's outline lies under the cloth seen from above, the cloth lies on top
    of it, not beneath it, and the hand has let go.
    `unseen`: a wide, low object instead of a ball.
    """

    MIN_COVERED = 0.97
    MAX_LYING = 0.09

    def __init__(self, variant: str = "train", **common: Any):
        """See `ArmEnv` for the arguments."""
        self._outline_radius, self._height = (0.036, 0.05) if variant == "unseen" else (0.031, 0.06)
        super().__init__("cloth-cover", "Cover the object with the cloth.", Cloth(width=0.18), variant, **common)
        joint = self.model.joint("thing")
        self._thing_qpos = int(joint.qposadr[0])
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        self._outline = np.concatenate([share * self._outline_radius * ring for share in (0.3, 0.65, 1.0)])

    def _make_scene(self, variant: str) -> mujoco.MjSpec:
        spec = near_table(width=0.42)
        spec.add_material(name="thing", specular=0.1)
        body = spec.worldbody.add_body(name="thing", pos=(0, 0, 0.5))
        body.add_freejoint(name="thing")
        # Round, because a cloth of 3 cm cells would show edges through it; on a foot, so that it does not roll.
        shape, wide, high = mujoco.mjtGeom, self._outline_radius, self._height / 2
        common: dict[str, Any] = {"mass": _MASS / 2, "material": "thing", **GRASPABLE}
        body.add_geom(name="thing", type=shape.mjGEOM_ELLIPSOID, size=(wide, wide, high), **common)
        foot = (0.7 * wide, 0.004, 0)
        body.add_geom(name="foot", type=shape.mjGEOM_CYLINDER, size=foot, pos=(0, 0, 0.003 - high), **common)
        return spec

    def _draw_episode(self, rng: np.random.Generator) -> None:
        self._draw_surroundings(rng)
        self.looks.paint("thing", goal_colour(self.is_unseen, rng))
        heading = rng.uniform(-0.5, 0.5)
        ahead = np.array([np.cos(heading), np.sin(heading)])
        thing = self._draw_place(rng, 0.03) + _AHEAD * ahead
        cloth = self._draw_place(rng, 0.02) - _BEHIND * ahead
        self.data.qpos[self._thing_qpos : self._thing_qpos + 3] = *thing, self._height / 2 + 0.001
        vertices = self._flat(cloth, heading + np.pi / 4 + rng.uniform(-0.3, 0.3))
        self._place_with_bead(vertices, self.corner_towards_thing(vertices), rng)
        self.place_hand(np.array([*self._draw_place(rng, 0.1), 0.22]))

    def corner_towards_thing(self, vertices: np.ndarray) -> int:
        """The corner of the cloth that is furthest on the way from its middle to the object."""
        corners, middle = np.array(self.cloth.cloth.corners), vertices[:, :2].mean(axis=0)
        ahead = (vertices[corners, :2] - middle) @ (self.thing_position()[:2] - middle)
        return int(corners[ahead.argmax()])

    def thing_position(self) -> np.ndarray:
        """Middle of the object, metres."""
        return self.data.qpos[self._thing_qpos : self._thing_qpos + 3].copy()

    def covered_share(self) -> float:
        """Share of the object's outline under the cloth, seen from above; 0 if the cloth is beneath it."""
        vertices, thing = self.cloth.vertices(self.data), self.thing_position()
        above = np.linalg.norm(vertices[:, :2] - thing[:2], axis=1) < 0.7 * self._outline_radius
        if not above.any() or vertices[above, 2].min() < thing[2]:
            return 0.0
        points = thing[:2] + self._outline
        return float(measures.covered(points, vertices[:, :2], self.cloth.triangles).mean())

    def _judge(self) -> tuple[float, bool, dict[str, Any]]:
        covered = self.covered_share()
        success = covered > self.MIN_COVERED and self.is_lying_free()
        return covered - 1, success, {"metrics": {"covered": covered}}

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """Lifts the corner nearest to the object and draws the cloth over it, again if it was not enough."""
        return _Expert(self, rng)


class _Expert(BeadExpert):
    def decide(self) -> Waypoint:
        env = self.env
        if env.is_gripped(env.bead):
            return self._draw_over()
        if env.covered_share() > env.MIN_COVERED and not self._bead_hangs():
            return self.leave()
        return self.take_bead(outside=-0.004, aligned=_BEAD_REACH)

    def _bead_hangs(self) -> bool:
        """Whether the cloth, though no longer held, pulls the bead against a finger."""
        bead = self.env.cloth.vertices(self.env.data)[self.env.bead]
        return bool(bead[2] > _HANGING and np.linalg.norm(bead - self.env.hand_position) < _HANGING)

    def _draw_over(self) -> Waypoint:
        """High over the object until the cloth's middle is above it, and down behind it."""
        env = self.env
        thing, hand = env.thing_position()[:2], env.hand_position
        corner, opposite = env.cloth.vertices(env.data)[[env.bead, env.opposite_of_bead()]]
        way = thing - opposite[:2]
        way /= np.linalg.norm(way)
        end = thing + hand[:2] - corner[:2] + (env.cloth.cloth.width / np.sqrt(2) + 0.01) * way
        off = float(np.linalg.norm(end - hand[:2]))
        if hand[2] < _DOWN and off < _NEAR_END:
            return self.release()
        height = _DOWN - 0.02 + (_OVER - _DOWN + 0.02) * np.clip(off / _NEAR_END - 1, 0, 1)
        if hand[2] < 0.1 and off > 3 * _NEAR_END:  # up first
            end = hand[:2]
        return Waypoint(np.array([*end, height]), None, -1.0, speed=0.5)
