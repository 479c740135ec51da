# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Rigid bodies of irregular shape: three primitives grown together, drawn anew for every episode."""

import mujoco
import numpy as np

from sims.deformable.contact import FRICTION

# Kinds of the left, middle and right part; training and held-out episodes are built of different ones.
PARTS = (
    (mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_ELLIPSOID),
    (mujoco.mjtGeom.mjGEOM_ELLIPSOID, mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER),
)
_DENSITY = 500.0  # kilograms per cubic metre, light wood
_GEOM_FIELDS = ("geom_size", "geom_pos", "geom_quat", "geom_rbound", "geom_aabb")
_BODY_FIELDS = ("body_mass", "body_inertia", "body_ipos", "body_iquat", "body_subtreemass", "body_invweight0")
_DOF_FIELDS = ("dof_invweight0", "dof_M0")


def add_irregular(
    spec: mujoco.MjSpec, is_unseen: bool, material: str, rng: np.random.Generator, middle_material: str | None = None
) -> None:
    """Add a free body `thing` of three touching parts in a row along x, drawn from `rng`, its lowest point at z = 0."""
    body = spec.worldbody.add_body(name="thing")
    body.add_freejoint(name="thing")
    for number, kind in enumerate(PARTS[is_unseen]):
        size = _draw_size(kind, rng)
        upright = kind == mujoco.mjtGeom.mjGEOM_CYLINDER
        height = size[1] if upright else size[0] if kind == mujoco.mjtGeom.mjGEOM_CAPSULE else size[2]
        aside = rng.uniform(-0.012, 0.012) * abs(number - 1)
        body.add_geom(
            name=f"thing_{number}", type=kind, size=size, density=_DENSITY,
            material=(middle_material or material) if number == 1 else material, friction=FRICTION,
            condim=4, pos=((number - 1) * rng.uniform(0.026, 0.032), aside, height),
            euler=(0, np.pi / 2, 0) if kind == mujoco.mjtGeom.mjGEOM_CAPSULE else (0, 0, 0),
        )  # fmt: skip


def _draw_size(kind: mujoco.mjtGeom, rng: np.random.Generator) -> tuple[float, float, float]:
    """Sizes such that the part is 3 to 5 cm thick, metres."""
    a, b, c = rng.uniform((0.016, 0.014, 0.016), (0.022, 0.02, 0.024))
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return float(b), 0.018, 0.0
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return float(b), float(c), 0.0
    return float(a), float(b), float(c)


def reshape_irregular(model: mujoco.MjModel, is_unseen: bool, rng: np.random.Generator) -> None:
    """Give the body `thing` of a compiled model another shape: compiled alone, then copied with its mass and inertia.

    The model must not use MuJoCo's mid-phase collision, whose trees are made when a model is compiled.
    """
    spec = mujoco.MjSpec()
    spec.add_material(name="plain")
    add_irregular(spec, is_unseen, "plain", rng)
    alone = spec.compile()
    here, there = model.body("thing"), alone.body("thing")
    geoms = slice(here.geomadr[0], here.geomadr[0] + here.geomnum[0])
    dofs = slice(here.dofadr[0], here.dofadr[0] + 6)
    for field in _GEOM_FIELDS:
        getattr(model, field)[geoms] = getattr(alone, field)
    for field in _BODY_FIELDS:
        getattr(model, field)[here.id] = getattr(alone, field)[there.id]
    for field in _DOF_FIELDS:
        getattr(model, field)[dofs] = getattr(alone, field)
