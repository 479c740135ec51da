# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""A soft body: a light core whose surface is a shell of small spheres on springs, under one skin.

Every vertex of the shell slides on a damped spring towards the core, so that fingers sink in and what they leave
springs back. Stable at 4 ms for any stiffness that a grasp can feel, and cheap: one degree of freedom a vertex.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float, Int

from sims.deformable.contact import GRASPABLE

_SKIN_DAMPING = 0.01  # newton second per metre along the edges between vertices


@dataclass(frozen=True)
class SoftBody:
    """Sizes of a soft ellipsoid, metres, kilograms, newton per metre.

    Attributes:
        name: the core's body is `<name>`, those of the shell `<name>_0`, `<name>_1`, ...
        radii: half axes of the ellipsoid that the outside of the spheres touches.
        bead: radius of the spheres.
        stiffness: of the spring of one sphere.
        mass: of the whole body.
    """

    name: str = "soft"
    radii: tuple[float, float, float] = (0.038, 0.027, 0.03)
    bead: float = 0.009
    stiffness: float = 120.0
    mass: float = 0.08


def add_soft_body(spec: mujoco.MjSpec, soft: SoftBody, material: str) -> None:
    """Add the body to a scene, resting just above z = 0 at the origin."""
    vertices, triangles = icosphere()
    inner = np.array(soft.radii) - soft.bead
    core = spec.worldbody.add_body(name=soft.name, pos=(0, 0, soft.radii[2]))
    core.add_freejoint(name=soft.name)
    core.mass, core.explicitinertial = soft.mass / 2, True
    core.inertia = soft.mass / 5 * np.array([inner[1] ** 2 + inner[2] ** 2, inner[0] ** 2 + inner[2] ** 2,
                                             inner[0] ** 2 + inner[1] ** 2])  # fmt: skip
    share = soft.mass / 2 / len(vertices)
    for number, direction in enumerate(vertices):
        place = direction * inner
        body = core.add_body(name=f"{soft.name}_{number}", pos=place)
        body.add_joint(
            type=mujoco.mjtJoint.mjJNT_SLIDE, axis=place, stiffness=(soft.stiffness, 0, 0),
            damping=(2 * np.sqrt(soft.stiffness * share), 0, 0), limited=1,
            range=(-0.6 * np.linalg.norm(place), 0.005), name=f"{soft.name}_{number}",
        )  # fmt: skip
        body.add_geom(
            name=f"{soft.name}_{number}", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=(soft.bead, 0, 0), mass=share,
            group=4, **GRASPABLE,
            contype=4, conaffinity=3,  # beads overlap and must not repel each other
        )  # fmt: skip
        spec.add_exclude(bodyname1=soft.name, bodyname2=f"{soft.name}_{number}")
    skin = spec.add_flex(
        name=soft.name, dim=2, radius=soft.bead, material=material, contype=0, conaffinity=0, edgedamping=_SKIN_DAMPING
    )
    skin.vertbody = [f"{soft.name}_{number}" for number in range(len(vertices))]
    skin.vert = np.zeros(vertices.size)
    skin.elem = triangles.ravel()


def icosphere() -> tuple[Float[np.ndarray, " 42 3"], Int[np.ndarray, " 80 3"]]:
    """Directions and triangles of an icosahedron whose edges are halved once."""
    golden = (1 + np.sqrt(5)) / 2
    corners = [np.roll((0.0, a, b * golden), k) for k in range(3) for a in (-1, 1) for b in (-1, 1)]
    points = np.array(corners) / np.linalg.norm(corners[0])
    gaps = np.linalg.norm(points[:, None] - points, axis=-1)
    near = (gaps > 0) & (gaps < 1.06)
    faces = [
        (a, b, c) for a in range(12) for b in range(a) for c in range(b) if near[a, b] and near[b, c] and near[a, c]
    ]
    vertices, middles, triangles = list(points), {}, []
    for face in faces:
        pairs = [tuple(sorted((face[k], face[(k + 1) % 3]))) for k in range(3)]
        for pair in pairs:
            if pair not in middles:
                middle = points[pair[0]] + points[pair[1]]
                middles[pair] = len(vertices)
                vertices.append(middle / np.linalg.norm(middle))
        m = [middles[pair] for pair in pairs]
        triangles += [(face[0], m[0], m[2]), (face[1], m[1], m[0]), (face[2], m[2], m[1]), tuple(m)]
    vertices = np.array(vertices)
    return vertices, np.array([_outward(triangle, vertices) for triangle in triangles])


def _outward(triangle: tuple[int, ...], vertices: Float[np.ndarray, " vertices 3"]) -> tuple[int, ...]:
    """The triangle counter-clockwise as seen from outside."""
    a, b, c = vertices[list(triangle)]
    return triangle if np.cross(b - a, c - a) @ (a + b + c) > 0 else triangle[::-1]
