# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Fold a cloth in half along its diagonal."""

from typing import Any

import mujoco
import numpy as np

from sims.arm.expert import Waypoint
from sims.common.base import Policy
from sims.deformable import measures
from sims.deformable.cloth import Cloth
from sims.deformable.cloth_scene import BeadExpert, ClothEnv
from sims.deformable.scene import near_table

_TOGETHER = 0.018  # metres between two corners that lie on each other
_BEYOND = {"train": 0.0, "unseen": 0.01}  # metres past the opposite corner, since a stiff cloth springs back
_PUT_HEIGHT = 0.035  # of the hand that lets go, metres


class ClothFoldEnv(ClothEnv):
    """A spread cloth with a bead on one corner; done when one half lies on the other along a diagonal.

    Success: the vertices of the two halves lie within `MAX_FOLD_ERROR` of its width (15 mm of 18 cm) of each other on
    average, seen from above; the cloth covers at most `MAX_AREA` of its flat area; and it lies on the table, let go.
    `unseen`: a cloth of 20 cm instead of 18, heavier and stiffer.
    """

    MAX_FOLD_ERROR = 1 / 12
    MAX_AREA = 0.6

    def __init__(self, variant: str = "train", **common: Any):
        """See `ArmEnv` for the arguments."""
        cloth = Cloth(width=0.2, mass=0.08, bending=0.3) if variant == "unseen" else Cloth()
        super().__init__("cloth-fold", "Fold the cloth in half.", cloth, variant, **common)
        count = self.cloth.cloth.count
        grid = np.arange(count * count).reshape(count, count)
        self._mirrors = [np.stack([grid.ravel(), other.ravel()], 1) for other in (grid.T, grid[::-1, ::-1].T)]

    def _make_scene(self, variant: str) -> mujoco.MjSpec:
        return near_table(width=0.4)

    def _draw_episode(self, rng: np.random.Generator) -> None:
        self._draw_surroundings(rng)
        vertices = self._flat(self._draw_place(rng, 0.05), rng.uniform(-0.4, 0.4))
        self._place_with_bead(vertices, self.cloth.cloth.corners[0], rng)
        self.place_hand(np.array([*self._draw_place(rng, 0.1), 0.2]))

    def fold_error(self) -> float:
        """Mean gap of mirrored vertices for the better of the two diagonals, metres."""
        vertices = self.cloth.vertices(self.data)
        return min(measures.fold_error(vertices, pairs) for pairs in self._mirrors)

    def is_folded(self) -> bool:
        """Whether the halves lie on each other closely enough."""
        return self.fold_error() < self.MAX_FOLD_ERROR * self.cloth.cloth.width

    def _judge(self) -> tuple[float, bool, dict[str, Any]]:
        error, area = self.fold_error(), self.coverage()
        success = self.is_folded() and area < self.MAX_AREA and self.is_lying_free()
        return -error, success, {"metrics": {"fold_error_m": error, "coverage": area}}

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """Takes one corner to the opposite one, and again if it was lost."""
        return _Expert(self, rng)


class _Expert(BeadExpert):
    _misjudges = 0.005  # a hand that comes down beside the corner may crumple the cloth beyond what one corner mends

    def decide(self) -> Waypoint:
        env = self.env
        opposite = env.opposite_of_bead()
        corner, goal = env.cloth.vertices(env.data)[[env.bead, opposite]]
        if env.is_gripped(env.bead):
            if np.linalg.norm(goal - corner) < _TOGETHER:  # both are between the fingers
                return self.release()
            slip = env.hand_position[:2] - corner[:2]
            beyond = _BEYOND[env.variant] * env.cloth.outward(env.data, opposite)
            return self.put(np.array([*(goal[:2] + slip + beyond), _PUT_HEIGHT]), speed=0.6)
        if env.is_folded():
            return self.leave()
        return self.take_bead()
