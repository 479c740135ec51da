# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Thread a rope through a ring."""

from typing import Any

import mujoco
import numpy as np

from sims.arm.expert import Waypoint
from sims.common.base import Policy
from sims.deformable.contact import GRASPABLE
from sims.deformable.measures import length_past_plane, signed_crossings
from sims.deformable.rope_scene import RopeEnv, RopeExpert
from sims.deformable.scene import near_table
from sims.deformable.textures import goal_colour

_PIECES = 12
_WIRE = 0.005
_UP = np.array([0.0, 0.0, 1.0])
_CLEAR = 0.04  # metres from the ring's axis within which the rope's end is lowered, all the way from half of it
_RISEN = 0.02  # metres above the ring over which the rope's end begins to move aside
_DEPTH = 0.13  # metres by which it is lowered


class RopeThreadEnv(RopeEnv):
    """A level ring on a post and a rope on the table; done when the rope hangs through the ring from above.

    Success: the rope crosses the ring's disc downwards once more than upwards (counted from the tip), and at least
    `MIN_PAST` metres of it are below the disc on the far side of that crossing.
    `unseen`: a narrower ring on a higher post.
    """

    MIN_PAST = 0.04

    def __init__(self, variant: str = "train", **common: Any):
        """See `ArmEnv` for the arguments."""
        self._radius, self._height = (0.04, 0.09) if variant == "unseen" else (0.046, 0.08)
        super().__init__("rope-thread", "Thread the rope through the ring.", variant, **common)
        self._ring = self.model.body("ring").id

    def _make_scene(self, variant: str) -> mujoco.MjSpec:
        spec = near_table(width=0.5, height=0.12)
        spec.add_material(name="ring", specular=0.3)
        ring = spec.worldbody.add_body(name="ring", pos=(0.5, 0, self._height))
        angle = np.linspace(0, 2 * np.pi, _PIECES + 1)
        corners = self._radius * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
        shape = mujoco.mjtGeom.mjGEOM_CAPSULE
        for k in range(_PIECES):
            ring.add_geom(
                name=f"ring_{k}", type=shape, fromto=(*corners[k], *corners[k + 1]), size=(_WIRE, 0, 0),
                material="ring", **GRASPABLE,
            )  # fmt: skip
        foot = np.array([self._radius + 0.005, 0, 0])
        ring.add_geom(
            name="post", type=shape, fromto=(*foot, *(foot - self._height * _UP)), size=(0.006, 0, 0), material="ring",
            **GRASPABLE,
        )  # fmt: skip
        return spec

    def _draw_episode(self, rng: np.random.Generator) -> None:
        self._draw_surroundings(rng)
        self.looks.paint("ring", goal_colour(self.is_unseen, rng))
        side = rng.choice([-1.0, 1.0])
        centre = self._draw_place(rng, 0.04, aside=side * 0.1)
        self.model.body_pos[self._ring] = *centre, self._height
        angle = rng.uniform(-np.pi, np.pi)
        self.model.body_quat[self._ring] = np.cos(angle / 2), 0, 0, np.sin(angle / 2)
        heading = rng.uniform(-0.6, 0.6) + np.pi * rng.integers(2)
        along = np.linspace(-0.5, 0.5, self.rope.rope.links + 1)[:, None] * self.rope.rope.length
        self._lay(self._draw_place(rng, 0.02, aside=-side * 0.1) + along * (np.cos(heading), np.sin(heading)))
        self.place_hand(np.array([*self._draw_place(rng, 0.08), 0.25]))

    def ring_centre(self) -> np.ndarray:
        """Middle of the ring, metres."""
        return self.model.body_pos[self._ring].copy()

    def length_through(self) -> float:
        """Length of rope below the ring if it goes through it downwards from the tip, otherwise 0, metres."""
        line, centre = self.line()[::-1], self.ring_centre()
        if signed_crossings(line, centre, _UP, self._radius) != -1:
            return 0.0
        return length_past_plane(line, centre, _UP)

    def _judge(self) -> tuple[float, bool, dict[str, Any]]:
        through = self.length_through()
        tail = self.line()[0]
        reward = -float(np.linalg.norm(tail - self.ring_centre())) if through == 0 else through
        return reward, through > self.MIN_PAST, {"metrics": {"length_through_m": through}}

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """Lifts the rope by its tip, lets the other end hang over the ring and lowers it through."""
        return _Expert(self, rng)


class _Expert(RopeExpert):
    def decide(self) -> Waypoint:
        tip = self.env.rope.rope.links - 2  # the fingers are as wide as a link and slip off the very end
        is_held = self.env.is_gripped(tip + 1, tip, tip - 1, tip - 2)  # it slides a little
        return self._lower_through(tip) if is_held else self.take_link(tip)

    def _lower_through(self, tip: int) -> Waypoint:
        """Hang the rope over the ring and lower it as in a funnel, the nearer its end to the ring's axis the lower."""
        env = self.env
        ring, hand, end = env.ring_centre(), env.hand_position, env.line()[0]
        high = ring[2] + env.rope.rope.length + 0.015
        is_through = env.length_through() > 0
        off = float(np.linalg.norm(end[:2] - ring[:2]))
        share = 1.0 if is_through else np.clip(2 * (_CLEAR - off) / _CLEAR, 0, 1)
        beside = np.clip(env.link(tip - 4)[:2] - hand[:2], -0.03, 0.03)  # the rope hangs from beside the fingers
        aside = max(share, np.clip((end[2] - ring[2]) / _RISEN, 0, 1))  # up first, beside the ring
        place = hand[:2] + aside * (ring[:2] - beside - hand[:2])
        return Waypoint(np.array([*place, high - _DEPTH * share * aside]), None, -1.0, speed=0.4)
