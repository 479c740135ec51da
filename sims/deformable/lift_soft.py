# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Lift a soft body without dropping it."""

from typing import Any

import numpy as np

from sims.deformable.lift_scene import LYING_TURN, SPREAD, LiftEnv
from sims.deformable.scene import near_table
from sims.deformable.soft import SoftBody, add_soft_body
from sims.deformable.textures import add_patterns, dress


class SoftLiftEnv(LiftEnv):
    """A soft ellipsoid that yields between the fingers; see `LiftEnv` for when it counts as lifted.

    `unseen`: rounder, softer and heavier than in training.
    """

    def __init__(self, variant: str = "train", **common: Any):
        """See `ArmEnv` for the arguments."""
        soft = SoftBody(radii=(0.034, 0.029, 0.032), stiffness=80.0, mass=0.1) if variant == "unseen" else SoftBody()
        spec = near_table()
        add_soft_body(spec, soft, add_patterns(spec, variant == "unseen"))
        super().__init__(spec, "soft-lift", "Lift the soft object without dropping it.", variant=variant, **common)
        self._height = soft.radii[2]
        self._body = self.model.body(soft.name).id
        self._thing_qpos = int(self.model.joint(soft.name).qposadr[0])

    def _draw_episode(self, rng: np.random.Generator) -> None:
        self._draw_surroundings(rng)
        dress(self.model, self.is_unseen, rng)
        half = rng.uniform(-1, 1) * (np.pi if self.is_unseen else LYING_TURN) / 2
        place = np.array([*self._draw_place(rng, SPREAD), self._height + 0.002])
        self.data.qpos[self._thing_qpos : self._thing_qpos + 7] = *place, np.cos(half), 0, 0, np.sin(half)
        self.place_hand(np.array([*self._draw_place(rng, SPREAD), 0.16]))
        self._settle()
        self._begin_lift()

    def thing_position(self) -> np.ndarray:
        return self.data.xpos[self._body].copy()

    def grasp_angle(self) -> float:
        axis = self.data.xmat[self._body].reshape(3, 3)[:, 0]
        return float(np.arctan2(axis[1], axis[0]))
