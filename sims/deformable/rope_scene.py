# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""What the worlds with a rope share: building it, laying it out, grasping it."""

from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float

from sims.arm.env import YAW_LIMIT
from sims.arm.expert import Waypoint
from sims.deformable.moves import FINGERTIP, LOWEST, ReactiveExpert, grips
from sims.deformable.rope import Rope, RopeState, add_rope
from sims.deformable.scene import DeformableEnv, grasp_yaw, near_table
from sims.deformable.textures import mark_colour, thing_colour

_THICKEST = 0.043  # metres between fingers that hold the rope, or two strands of it


class RopeEnv(DeformableEnv):
    """A table with one rope, whose tip is marked."""

    MAX_LYING = 0.04  # metres; a link above is being held

    def __init__(self, task_name: str, task: str, variant: str, **common: Any):
        """Put a rope on the table; see `ArmEnv` for the other arguments. `unseen`: thinner, heavier, other colours."""
        rope = Rope(radius=0.008, mass=0.05) if variant == "unseen" else Rope()
        spec = self._make_scene(variant)
        for material in ("rope", "tip"):
            spec.add_material(name=material, specular=0.1)
        add_rope(spec, rope, "rope", "tip")
        super().__init__(spec, task_name, task, variant=variant, **common)
        self.rope = RopeState(self.model, rope)

    def _make_scene(self, variant: str) -> mujoco.MjSpec:
        """The scene without rope and arm."""
        return near_table()

    def _draw_surroundings(self, rng: np.random.Generator) -> None:
        super()._draw_surroundings(rng)
        self.looks.paint("rope", thing_colour(self.is_unseen, rng))
        self.looks.paint("tip", mark_colour(rng))

    def _lay(self, line: Float[np.ndarray, " corners 2"]) -> None:
        """Lay the rope along a line on the table."""
        self.rope.place(self.data, np.column_stack([line, np.full(len(line), self.rope.rope.radius)]))

    def line(self) -> Float[np.ndarray, " corners 3"]:
        """The rope as a line, metres; the tip comes last."""
        return self.rope.line(self.data)

    def middles(self) -> Float[np.ndarray, " links 3"]:
        """Middle of every link, metres; the tip's comes last."""
        line = self.line()
        return (line[:-1] + line[1:]) / 2

    def link(self, number: int) -> Float[np.ndarray, " 3"]:
        """Middle of a link, metres; -1 is the tip's."""
        return self.middles()[number]

    def link_angle(self, number: int) -> float:
        """Direction of a link in the plane, towards the tip, radians."""
        along = np.diff(self.line(), axis=0)[number]
        return float(np.arctan2(along[1], along[0]))

    def is_lying_free(self) -> bool:
        """Whether nothing holds the rope up and the hand has let go of it."""
        line = self.line()
        away = np.linalg.norm(line - self.hand_position, axis=1).min() > 0.03
        return bool(away and line[:, 2].max() < self.MAX_LYING)

    def is_gripped(self, *numbers: int) -> bool:
        """Whether any of these links is between closed fingers."""
        middles = self.middles()
        return any(grips(self, middles[number], _THICKEST) for number in numbers)


class RopeExpert(ReactiveExpert):
    """Takes a rope by one of its links."""

    def take_link(self, number: int) -> Waypoint:
        """Down around a link, and close."""
        middle = self.env.link(number)
        place = np.array([*middle[:2], max(LOWEST, middle[2] - self.env.rope.rope.radius + FINGERTIP)])
        return self.take(place, grasp_yaw(self.env.link_angle(number)))


def turned_yaw(env: RopeEnv, number: int, angle: float) -> float:
    """The turn of the hand that brings a held link into a direction in the plane, as far as the wrist goes."""
    turn = (angle - env.link_angle(number) + np.pi) % (2 * np.pi) - np.pi
    return float(np.clip(env.hand_yaw + turn, -YAW_LIMIT, YAW_LIMIT))
