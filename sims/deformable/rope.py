# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""A rope of short capsules, each a free body, held together end to end by equality constraints.

Faster than a chain of ball joints (one long chain makes a dense inertia matrix) and present in every MuJoCo version.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float

from sims.deformable.contact import GRASPABLE, SOLREF

# Free joints damp all six directions alike: this much stops a link of 2 g from spinning about its axis within 0.1 s and
# slows its travel within minutes only.
_DAMPING = 2e-6
MARKED = 3  # links at the tip that wear a colour of their own


@dataclass(frozen=True)
class Rope:
    """Sizes of a rope, metres and kilograms.

    Attributes:
        name: its links are bodies `<name>_0`, `<name>_1`, ...
        links: how many capsules.
        length: from end to end.
        radius: of the capsules.
        mass: of the whole rope.
        bending: stiffness of the springs over pairs of links that resist kinks, newton per metre.
    """

    name: str = "rope"
    links: int = 12
    length: float = 0.24
    radius: float = 0.01
    mass: float = 0.04
    bending: float = 10.0

    @property
    def link_length(self) -> float:
        """Length of one capsule's axis."""
        return self.length / self.links


def add_rope(spec: mujoco.MjSpec, rope: Rope, material: str, tip_material: str) -> None:
    """Add the links to a scene, stretched along x from the origin; the last `MARKED` wear `tip_material`."""
    step = rope.link_length
    for link in range(rope.links):
        body = spec.worldbody.add_body(name=f"{rope.name}_{link}", pos=(link * step, 0, rope.radius))
        body.add_joint(type=mujoco.mjtJoint.mjJNT_FREE, damping=(_DAMPING, 0, 0), name=f"{rope.name}_{link}")
        body.add_geom(
            name=f"{rope.name}_{link}", type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=(0, 0, 0, step, 0, 0),
            size=(rope.radius, 0, 0), mass=rope.mass / rope.links,
            material=tip_material if link >= rope.links - MARKED else material, **GRASPABLE,
        )  # fmt: skip
        body.add_site(name=f"{rope.name}_{link}", group=5)
        if link:
            _connect(spec, f"{rope.name}_{link - 1}", f"{rope.name}_{link}", step)
        if link > 1 and rope.bending:
            _resist_kinks(spec, rope, link)


def _resist_kinks(spec: mujoco.MjSpec, rope: Rope, link: int) -> None:
    """A spring over two links, slack when they are in line; it hardly feels gentle bends and resists sharp ones."""
    rest = 2 * rope.link_length
    spring = spec.add_tendon(
        name=f"{rope.name}_{link}", stiffness=(rope.bending, 0, 0), damping=(0.005 * rope.bending, 0, 0),
        springlength=(rest, 2 * rest), rgba=(0, 0, 0, 0), group=5,
    )  # fmt: skip
    spring.wrap_site(f"{rope.name}_{link - 2}")
    spring.wrap_site(f"{rope.name}_{link}")


def _connect(spec: mujoco.MjSpec, first: str, second: str, step: float) -> None:
    """Hold the end of one link to the beginning of the next; the two may overlap there."""
    joint = spec.add_equality(
        type=mujoco.mjtEq.mjEQ_CONNECT, objtype=mujoco.mjtObj.mjOBJ_BODY, name1=first, name2=second, solref=SOLREF
    )
    joint.data[:3] = (step, 0, 0)
    spec.add_exclude(bodyname1=first, bodyname2=second)


class RopeState:
    """Reads and writes the shape of one rope of a compiled model."""

    def __init__(self, model: mujoco.MjModel, rope: Rope):
        self.rope = rope
        self._bodies = np.array([model.body(f"{rope.name}_{link}").id for link in range(rope.links)])
        self._qpos = model.jnt_qposadr[model.body_jntadr[self._bodies]]

    def line(self, data: mujoco.MjData) -> Float[np.ndarray, " corners 3"]:
        """The rope as a line through the ends of its links, in metres."""
        starts = data.xpos[self._bodies]
        last = data.xmat[self._bodies[-1]].reshape(3, 3)[:, 0] * self.rope.link_length
        return np.concatenate([starts, starts[-1:] + last])

    def place(self, data: mujoco.MjData, line: Float[np.ndarray, " corners 3"]) -> None:
        """Lay the links along a line whose segments have the length of a link; at rest."""
        along = np.diff(line, axis=0)
        for address, start, direction in zip(self._qpos, line[:-1], along, strict=True):
            data.qpos[address : address + 3] = start
            data.qpos[address + 3 : address + 7] = _from_x_to(direction / np.linalg.norm(direction))


def _from_x_to(direction: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 4"]:
    """The shortest rotation that turns the x axis into a direction other than -x."""
    quaternion = np.array([1 + direction[0], 0.0, -direction[2], direction[1]])
    norm = np.linalg.norm(quaternion)
    return quaternion / norm if norm > 1e-9 else np.array([0.0, 0.0, 0.0, 1.0])


def wandering_line(
    rng: np.random.Generator, links: int, link_length: float, bend: float, smooth: int = 4
) -> Float[np.ndarray, " corners 2"]:
    """A random plane curve of equal segments, centred; `bend` is the largest turn between segments in radians."""
    knots = rng.uniform(-bend, bend, links // smooth + 2)
    turns = np.interp(np.arange(links) / smooth, np.arange(len(knots)), knots)
    heading = np.cumsum(turns) + rng.uniform(-np.pi, np.pi)
    steps = link_length * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    line = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    return line - line.mean(axis=0)
