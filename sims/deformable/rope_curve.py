# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Lay a rope along a curve drawn on the table."""

from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float

from sims.arm.expert import Waypoint
from sims.common.base import Policy
from sims.deformable.measures import distance_between_polylines
from sims.deformable.rope_scene import RopeEnv, RopeExpert, turned_yaw
from sims.deformable.scene import near_table

_DASHES = 24
_THICKNESS = 0.001
_LAID = 0.008  # metres from its place on the curve within which a link is left
_CARRIED_HEIGHT = 0.03  # of the hand that draws a link there, metres


class RopeCurveEnv(RopeEnv):
    """A curve drawn on the table and a rope of its length beside it; done when the rope lies on the curve.

    Success: the mean distance between rope and curve, counted both ways, is below `MAX_MEAN`, the largest below
    `MAX_LARGEST`, and the rope lies on the table, let go. Either end of the rope may be at either end of the curve.
    """

    MAX_MEAN = 0.012
    MAX_LARGEST = 0.03

    def __init__(self, variant: str = "train", **common: Any):
        """See `ArmEnv` for the arguments."""
        super().__init__("rope-curve", "Lay the rope along the line.", variant, **common)
        self._dashes = np.array([self.model.geom(f"dash_{k}").id for k in range(_DASHES)])
        self.curve = np.zeros((_DASHES + 1, 2))

    def _make_scene(self, variant: str) -> mujoco.MjSpec:
        spec = near_table()
        spec.add_material(name="ink", rgba=(0.05, 0.05, 0.07, 1), specular=0.0)
        for k in range(_DASHES):
            spec.worldbody.add_geom(
                name=f"dash_{k}", type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.007, 0.004, _THICKNESS), pos=(0.1, 0.1, 0),
                contype=0, conaffinity=0, material="ink", euler=(0, 0, 0.1),
            )  # fmt: skip
        return spec

    def _draw_episode(self, rng: np.random.Generator) -> None:
        self._draw_surroundings(rng)
        length = self.rope.rope.length
        curve, heading = _drawn_curve(rng, length, 1.6 if self.is_unseen else 1.2)
        side = rng.choice([-1.0, 1.0])
        self.curve = curve + self._draw_place(rng, 0.03, aside=side * 0.06) - curve.mean(axis=0)
        self._draw_dashes()
        heading += rng.uniform(-0.2, 0.2) + np.pi * rng.integers(2)
        along = np.linspace(-0.5, 0.5, self.rope.rope.links + 1)[:, None] * length
        centre = self._draw_place(rng, 0.02, aside=-side * 0.07)
        self._lay(centre + along * (np.cos(heading), np.sin(heading)))
        self.place_hand(np.array([*self._draw_place(rng, 0.1), 0.2]))

    def _draw_dashes(self) -> None:
        """Put the dashes of the drawing along the curve."""
        along = np.diff(self.curve, axis=0)
        angle = np.arctan2(along[:, 1], along[:, 0])
        self.model.geom_pos[self._dashes, :2] = (self.curve[:-1] + self.curve[1:]) / 2
        self.model.geom_pos[self._dashes, 2] = 0.0
        self.model.geom_quat[self._dashes] = np.stack([np.cos(angle / 2), 0 * angle, 0 * angle, np.sin(angle / 2)], 1)

    def _judge(self) -> tuple[float, bool, dict[str, Any]]:
        mean, largest = distance_between_polylines(self.line()[:, :2], self.curve)
        success = mean < self.MAX_MEAN and largest < self.MAX_LARGEST and self.is_lying_free()
        return -mean, success, {"metrics": {"mean_distance_m": mean, "largest_distance_m": largest}}

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """Draws tip, tail and middle of the rope to their places on the curve, then what is furthest from its own."""
        return _Expert(self, rng)


def _drawn_curve(rng: np.random.Generator, length: float, bend: float) -> tuple[Float[np.ndarray, " corners 2"], float]:
    """A smooth random arc or S of this length, and its mean heading, about away from the arm.

    `bend` is its largest turn in radians.
    """
    share = np.linspace(0, 1, _DASHES)
    mean = rng.uniform(-0.4, 0.4)
    heading = mean + rng.uniform(-bend, bend) * np.cos(np.pi * (rng.uniform(1.0, 2.0) * share + rng.uniform(0, 0.5)))
    steps = length / _DASHES * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    line = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    chord = line[-1] - line[0]
    return line, float(np.arctan2(chord[1], chord[0]))


class _Expert(RopeExpert):
    def decide(self) -> Waypoint:
        env = self.env
        links, curve = env.rope.rope.links, self._curve()
        shares = (np.arange(links) + 0.5) / links
        goals = np.stack([np.interp(shares, np.linspace(0, 1, len(curve)), curve[:, k]) for k in range(2)], axis=1)
        middle = env.middles()
        gaps = np.linalg.norm(middle[:, :2] - goals, axis=1)
        held = int(np.linalg.norm(middle - env.hand_position, axis=1).argmin())
        if env.is_gripped(held):
            if gaps[held] < _LAID:
                return self.release()
            ahead = goals[min(held + 1, links - 1)] - goals[max(held - 1, 0)]
            yaw = turned_yaw(env, held, float(np.arctan2(ahead[1], ahead[0])))
            slip = env.hand_position[:2] - middle[held][:2]
            return Waypoint(np.array([*(goals[held] + slip), _CARRIED_HEIGHT]), yaw, -1.0, speed=0.5)
        off = [link for link in (links - 1, 0, links // 2) if gaps[link] > 2 * _LAID]
        link = off[0] if off else int(gaps.argmax())
        return self.take_link(link) if gaps[link] > _LAID else self.leave()

    def _curve(self) -> np.ndarray:
        """The drawn curve from the end that the rope's tail is nearer to."""
        curve, line = self.env.curve, self.env.line()[:, :2]
        same = np.linalg.norm(curve[0] - line[0]) + np.linalg.norm(curve[-1] - line[-1])
        other = np.linalg.norm(curve[-1] - line[0]) + np.linalg.norm(curve[0] - line[-1])
        return curve[::-1] if other < same else curve
