# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""A square cloth: a grid of point masses whose edges keep their lengths, with one collision sphere for every vertex.

The flex itself takes no part in contacts: spheres rest steadily, can be grasped by friction and cost a third.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float, Int

from sims.deformable.contact import GRASPABLE


@dataclass(frozen=True)
class Cloth:
    """Sizes of a cloth, metres and kilograms.

    Attributes:
        name: its vertices are bodies `<name>_0`, `<name>_1`, ...; vertex `row * count + column`.
        count: vertices along a side.
        width: length of a side.
        radius: of the collision spheres, half the thickness that contacts feel.
        mass: of the whole cloth.
        bending: stiffness of the springs between every other vertex that resist creases, newton per metre.
    """

    name: str = "cloth"
    count: int = 7
    width: float = 0.18
    radius: float = 0.008
    mass: float = 0.06
    bending: float = 0.15

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """Vertices of the corners, around the cloth."""
        last = self.count - 1
        return 0, last, self.count * self.count - 1, last * self.count

    def flat(self) -> Float[np.ndarray, " vertices 2"]:
        """The vertices of the spread cloth about its middle."""
        side = np.linspace(-self.width / 2, self.width / 2, self.count)
        return np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)

    def triangles(self) -> Int[np.ndarray, " triangles 3"]:
        """Two triangles for each cell of the grid."""
        index = np.arange(self.count**2).reshape(self.count, self.count)
        a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
        return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def add_cloth(spec: mujoco.MjSpec, cloth: Cloth, material: str) -> None:
    """Add the cloth to a scene, spread at the origin just above z = 0."""
    step = cloth.width / (cloth.count - 1)
    flex = spec.worldbody.make_flex(
        cloth.name, type="grid", dim=2, count=(cloth.count, cloth.count, 1), spacing=(step, step, step),
        radius=0.002, mass=cloth.mass, equality=1, pos=(0, 0, cloth.radius),
    )  # fmt: skip
    flex.contype = flex.conaffinity = 0
    flex.material = material
    side = np.arange(cloth.count) / (cloth.count - 1)
    flex.texcoord = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).ravel()
    for vertex in range(cloth.count**2):
        spec.body(f"{cloth.name}_{vertex}").add_geom(
            name=f"{cloth.name}_{vertex}", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=(cloth.radius, 0, 0), mass=0,
            group=4, **GRASPABLE,
        )  # fmt: skip
    if cloth.bending:
        _resist_creases(spec, cloth)


def _resist_creases(spec: mujoco.MjSpec, cloth: Cloth) -> None:
    """Springs between vertices two apart along both sides, slack when stretched.

    A flex's own bending needs another integrator than the arm's contacts.
    """
    index = np.arange(cloth.count**2).reshape(cloth.count, cloth.count)
    rest = 2 * cloth.width / (cloth.count - 1)
    for vertex in index.ravel():
        spec.body(f"{cloth.name}_{vertex}").add_site(name=f"{cloth.name}_{vertex}", group=5)
    lines = np.concatenate([np.stack([index[:-2], index[2:]], -1).reshape(-1, 2),
                            np.stack([index[:, :-2], index[:, 2:]], -1).reshape(-1, 2)])  # fmt: skip
    for first, second in lines:
        spring = spec.add_tendon(
            name=f"{cloth.name}_{first}_{second}", stiffness=(cloth.bending, 0, 0),
            damping=(0.01 * cloth.bending, 0, 0), springlength=(rest, 2 * rest), rgba=(0, 0, 0, 0), group=5,
        )  # fmt: skip
        spring.wrap_site(f"{cloth.name}_{first}")
        spring.wrap_site(f"{cloth.name}_{second}")


class ClothState:
    """Reads and writes the shape of one cloth of a compiled model."""

    def __init__(self, model: mujoco.MjModel, cloth: Cloth):
        self.cloth = cloth
        self.triangles = cloth.triangles()
        self._bodies = np.array([model.body(f"{cloth.name}_{k}").id for k in range(cloth.count**2)])
        self._qpos = model.jnt_qposadr[model.body_jntadr[self._bodies]]
        self._rest = model.body_pos[self._bodies].copy()

    def vertices(self, data: mujoco.MjData) -> Float[np.ndarray, " vertices 3"]:
        """Positions of the vertices, metres."""
        return data.xpos[self._bodies]

    def outward(self, data: mujoco.MjData, corner: int) -> Float[np.ndarray, " 2"]:
        """Horizontal unit vector out of the cloth at a corner, however that lies now."""
        count = self.cloth.count
        row, column = (1 if k == 0 else count - 2 for k in divmod(corner, count))
        vertices = self.vertices(data)
        way = (vertices[corner] - vertices[row * count + column])[:2]
        return way / max(1e-6, float(np.linalg.norm(way)))

    def place(self, data: mujoco.MjData, vertices: Float[np.ndarray, " vertices 3"]) -> None:
        """Put the vertices somewhere, at rest; edges that are too long or short will pull themselves right."""
        data.qpos[self._qpos[:, None] + np.arange(3)] = vertices - self._rest


def folded_over(
    vertices: Float[np.ndarray, " vertices 3"],
    point: Float[np.ndarray, " 2"],
    normal: Float[np.ndarray, " 2"],
    thickness: float,
) -> Float[np.ndarray, " vertices 3"]:
    """The sheet with the side that `normal` points to turned over onto the other along the line through `point`."""
    height = (vertices[:, :2] - point) @ normal
    turned = height > 0
    result = vertices.copy()
    result[turned, :2] -= 2 * height[turned, None] * normal
    result[turned, 2] += thickness
    return result
