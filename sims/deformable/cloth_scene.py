# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""What the worlds with a cloth share: building it, laying it out, how much it covers."""

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float

from sims.arm.expert import Waypoint
from sims.deformable import measures
from sims.deformable.cloth import Cloth, ClothState, add_cloth
from sims.deformable.contact import GRASPABLE
from sims.deformable.moves import ALIGNED, LOWEST, ReactiveExpert, corner_yaw, grips
from sims.deformable.scene import DeformableEnv, near_table
from sims.deformable.textures import add_patterns, dress, mark_colour

_SHOWN, _HIDDEN = 0, 4  # geometry groups; cameras show the first
_BEAD = 0.015  # metres, radius of a bead
_THICKEST = 0.036  # metres between fingers that hold the cloth


class ClothEnv(DeformableEnv):
    """A table with one cloth.

    Attributes:
        bead: the vertex that wears the bead of this episode, where it has one.
    """

    MAX_LYING = 0.06  # metres; a vertex above is being held

    def __init__(self, task_name: str, task: str, cloth: Cloth, variant: str, **common: Any):
        """Put a cloth of this size on the table; see `ArmEnv` for the other arguments."""
        spec = self._make_scene(variant)
        add_cloth(spec, cloth, add_patterns(spec, variant == "unseen"))
        for corner in cloth.corners:
            spec.body(f"{cloth.name}_{corner}").add_geom(
                name=f"bead_{corner}", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=(_BEAD, 0, 0), mass=0,
                group=_HIDDEN, **GRASPABLE,
            )  # fmt: skip
        super().__init__(spec, task_name, task, variant=variant, **common)
        self.cloth = ClothState(self.model, cloth)
        self.bead = cloth.corners[0]
        self._show_bead(None)

    def _make_scene(self, variant: str) -> mujoco.MjSpec:
        """The scene without cloth and arm."""
        return near_table()

    def _draw_surroundings(self, rng: np.random.Generator) -> None:
        super()._draw_surroundings(rng)
        dress(self.model, self.is_unseen, rng)

    def _place_with_bead(
        self, vertices: Float[np.ndarray, " vertices 3"], corner: int, rng: np.random.Generator
    ) -> None:
        """Lay the cloth out with a bead on one corner, as that which is to be grasped; the others have none."""
        self.bead = corner
        self._show_bead(corner)
        self.model.geom(f"bead_{corner}").rgba[:3] = mark_colour(rng)
        vertices = vertices.copy()
        vertices[corner, 2] = _BEAD
        self.cloth.place(self.data, vertices)

    def _show_bead(self, corner: int | None) -> None:
        """Let one corner's bead be seen and felt, and no other.

        All are compiled to touch and switched off here: MuJoCo looks for contacts only among what was compiled so, and
        at the size that it had then.
        """
        for other in self.cloth.cloth.corners:
            geom, is_bead = self.model.geom(f"bead_{other}"), other == corner
            geom.group = _SHOWN if is_bead else _HIDDEN
            geom.contype = geom.conaffinity = int(is_bead)

    def opposite_of_bead(self) -> int:
        """The corner across the cloth from the bead."""
        corners = self.cloth.cloth.corners
        return corners[(corners.index(self.bead) + 2) % 4]

    def is_gripped(self, vertex: int) -> bool:
        """Whether a vertex is between closed fingers."""
        return grips(self, self.cloth.vertices(self.data)[vertex], _THICKEST)

    def _flat(self, centre: Sequence[float] | np.ndarray, turn: float) -> Float[np.ndarray, " vertices 3"]:
        """Vertices of the spread cloth at a place, turned by `turn` radians."""
        cos, sin = np.cos(turn), np.sin(turn)
        plane = self.cloth.cloth.flat() @ np.array([[cos, sin], [-sin, cos]]) + np.asarray(centre)
        return np.column_stack([plane, np.full(len(plane), self.cloth.cloth.radius)])

    def coverage(self) -> float:
        """Area that the cloth covers seen from above, as a share of its flat area."""
        vertices = self.cloth.vertices(self.data)[:, :2]
        return measures.covered_area(vertices, self.cloth.triangles) / self.cloth.cloth.width**2

    def is_lying_free(self) -> bool:
        """Whether nothing holds the cloth up and the hand has let go of it."""
        vertices = self.cloth.vertices(self.data)
        away = np.linalg.norm(vertices - self.hand_position, axis=1).min() > 0.03
        return bool(away and vertices[:, 2].max() < self.MAX_LYING)


class BeadExpert(ReactiveExpert):
    """Takes a cloth by its bead."""

    def take_bead(self, outside: float = 0.0, aligned: float = ALIGNED) -> Waypoint:
        """Down around the bead, `outside` metres out of the cloth, and close; see `take`."""
        env = self.env
        bead = env.cloth.vertices(env.data)[env.bead]
        out = outside * env.cloth.outward(env.data, env.bead)
        place = np.array([*(bead[:2] + out), max(bead[2], LOWEST)])
        return self.take(place, corner_yaw(env, env.cloth, env.bead), aligned)
