# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Straighten a rope."""

from typing import Any

import mujoco
import numpy as np

from sims.arm.expert import Waypoint
from sims.common.base import Policy
from sims.deformable.measures import straightness
from sims.deformable.rope import wandering_line
from sims.deformable.rope_scene import RopeEnv, RopeExpert
from sims.deformable.scene import near_table

_AHEAD = 0.09  # metres by which the rope begins further from the arm than the middle of the table
_NEAREST, _FURTHEST = 0.29, 0.7  # metres from the arm to which its tip, and its tail, is drawn
_DRAWN_HEIGHT = 0.03  # of the hand that draws, metres


class RopeStraightenEnv(RopeEnv):
    """A rope in a random bend, its tip towards the arm; done when it lies straight.

    Success: its ends are at least `MIN_CHORD` of its length apart, no point is further than `MAX_BOW` metres, the
    rope's own thickness, from the line between them, and it lies on the table, let go.
    """

    MIN_CHORD = 0.96
    MAX_BOW = 0.02

    def __init__(self, variant: str = "train", **common: Any):
        """See `ArmEnv` for the arguments."""
        super().__init__("rope-straighten", "Straighten the rope.", variant, **common)

    def _make_scene(self, variant: str) -> mujoco.MjSpec:
        return near_table(width=0.48, ahead=0.04)

    def _draw_episode(self, rng: np.random.Generator) -> None:
        self._draw_surroundings(rng)
        rope, bend = self.rope.rope, 0.75 if self.is_unseen else 0.6
        line = wandering_line(rng, rope.links, rope.link_length, bend)
        while not (0.35 if self.is_unseen else 0.5) < straightness(line)[0] < 0.85 or _is_tangled(line):
            line = wandering_line(rng, rope.links, rope.link_length, bend)
        self._lay(_with_tip_to_arm(line, rng.uniform(-0.4, 0.4)) + self._draw_place(rng, 0.04, ahead=_AHEAD))
        self.place_hand(np.array([*self._draw_place(rng, 0.1), 0.2]))

    def _judge(self) -> tuple[float, bool, dict[str, Any]]:
        chord, bow = straightness(self.line())
        success = chord > self.MIN_CHORD and bow < self.MAX_BOW and self.is_lying_free()
        return chord - 1, success, {"metrics": {"chord_share": chord, "bow_m": bow}}

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """Draws the tip to the arm until the rope follows in a line, or the tail away from it."""
        return _Expert(self, rng)


def _with_tip_to_arm(line: np.ndarray, turn: float) -> np.ndarray:
    """The line turned so that its last part points to the arm, give or take a turn in radians."""
    along = line[-1] - line[-5]
    angle = np.pi + turn - np.arctan2(along[1], along[0])
    cos, sin = np.cos(angle), np.sin(angle)
    return line @ np.array([[cos, sin], [-sin, cos]])


def _is_tangled(line: np.ndarray) -> bool:
    """Whether parts of the line come so near to each other that the rope would overlap itself."""
    gaps = np.linalg.norm(line[:, None] - line, axis=-1)
    apart = np.abs(np.subtract.outer(np.arange(len(line)), np.arange(len(line)))) > 3
    return bool(gaps[apart].min() < 0.035)


class _Expert(RopeExpert):
    def decide(self) -> Waypoint:
        env = self.env
        tip, tail = env.rope.rope.links - 2, 1  # the fingers are as wide as a link and slip off the very ends
        if env.is_gripped(tip + 1, tip, tip - 1):
            return self._draw(_NEAREST)
        if env.is_gripped(tail - 1, tail, tail + 1):
            return self._draw(_FURTHEST)
        return self.take_link(tail if env.line()[-1][0] < _NEAREST + 0.03 else tip)

    def _draw(self, end: float) -> Waypoint:
        """Straight to or from the arm, where the rest of the rope follows in a line; let go at the end."""
        hand = self.env.hand_position
        way = 1.0 if end == _FURTHEST else -1.0
        if way * (hand[0] - end) > 0:
            return self.release()
        return Waypoint(np.array([end + 0.02 * way, hand[1], _DRAWN_HEIGHT]), 0.0, -1.0, speed=0.6)
