# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Lift a body of irregular shape without dropping it."""

from typing import Any

import mujoco
import numpy as np

from sims.deformable.irregular import add_irregular, reshape_irregular
from sims.deformable.lift_scene import LYING_TURN, SPREAD, LiftEnv
from sims.deformable.scene import near_table
from sims.deformable.textures import mark_colour, thing_colour

_GRIP_NEWTON = 6.0  # the body is rigid and heavier than a cloth's vertex


class IrregularLiftEnv(LiftEnv):
    """A rigid body of three primitives whose shape is drawn anew in every episode; see `LiftEnv` for success.

    `unseen`: made of other primitives than in training.
    """

    def __init__(self, variant: str = "train", **common: Any):
        """See `ArmEnv` for the arguments."""
        spec = near_table()
        spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_MIDPHASE)
        for material in ("thing", "mark"):
            spec.add_material(name=material, specular=0.1)
        add_irregular(spec, variant == "unseen", "thing", np.random.default_rng(0), "mark")
        super().__init__(
            spec, "irregular-lift", "Lift the object without dropping it.", variant=variant, grip_newton=_GRIP_NEWTON,
            **common,
        )  # fmt: skip
        self._body = self.model.body("thing").id
        self._thing_qpos = int(self.model.joint("thing").qposadr[0])

    def _draw_episode(self, rng: np.random.Generator) -> None:
        self._draw_surroundings(rng)
        self.looks.paint("thing", thing_colour(self.is_unseen, rng))
        self.looks.paint("mark", mark_colour(rng))
        reshape_irregular(self.model, self.is_unseen, rng)
        half = rng.uniform(-1, 1) * (np.pi if self.is_unseen else LYING_TURN) / 2
        place = np.array([*self._draw_place(rng, SPREAD), 0.002])
        self.data.qpos[self._thing_qpos : self._thing_qpos + 7] = *place, np.cos(half), 0, 0, np.sin(half)
        self.place_hand(np.array([*self._draw_place(rng, SPREAD), 0.16]))
        self._settle()
        self._begin_lift()

    def thing_position(self) -> np.ndarray:
        return self.data.xipos[self._body].copy()

    def grasp_angle(self) -> float:
        axis = self.data.xmat[self._body].reshape(3, 3)[:, 0]
        return float(np.arctan2(axis[1], axis[0]))
