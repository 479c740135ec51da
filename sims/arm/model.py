# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Parts that scenes of the arm are composed of: the arm itself, and a table to put it on.

A world takes `tabletop()`, adds its bodies to it with MuJoCo's MjSpec, and hands it to `ArmEnv`, which adds the arm and
compiles once.
"""

from pathlib import Path

import mujoco
import numpy as np

PREFIX = "arm/"
SIM_DT = 0.002
JOINTS = tuple(f"{PREFIX}j{number}" for number in range(1, 8))
FINGERS = (f"{PREFIX}left", f"{PREFIX}right")
TCP = f"{PREFIX}tcp"
WRIST_CAMERA = f"{PREFIX}wrist"
HOME = np.array([0.0, 0.0, 0.0, -1.5708, 0.0, 1.5708, 0.7853])
FINGER_TRAVEL = 0.04  # metres, each finger
FINGER_SQUEEZE = 0.01  # metres that a closed finger aims past the middle, so that thin things are held too

Position = tuple[float, float, float]
_FILE = Path(__file__).with_name("arm.xml")


def attach_arm(
    spec: mujoco.MjSpec,
    base: Position = (0.0, 0.0, 0.0),
    grip_newton: float = 20.0,
    pad_friction: Position = (1.5, 0.05, 0.001),
) -> None:
    """Add the arm to a scene; all its names get the prefix `arm/`.

    Args:
        spec: the scene, not compiled yet.
        base: where the arm stands, metres.
        grip_newton: greatest force of each finger.
        pad_friction: sliding, torsional and rolling friction of the fingertips.
    """
    arm = mujoco.MjSpec.from_file(str(_FILE))
    for side in ("left", "right"):
        arm.actuator(side).forcerange = (-grip_newton, grip_newton)
        arm.geom(f"pad_{side}").friction = pad_friction
    spec.attach(arm, prefix=PREFIX, frame=spec.worldbody.add_frame(pos=base))


def tabletop(
    table_size: Position = (0.4, 0.6, 0.02),
    table_centre: tuple[float, float] = (0.5, 0.0),
    table_friction: Position = (1.0, 0.01, 0.001),
) -> mujoco.MjSpec:
    """A room with a table whose top is the plane z = 0, a light (`lamp`) and the cameras `front` and `side`.

    Contacts as grasping wants them (elliptic cones, impratio 10) and few facets, since vertices cost most at 64 pixels.

    Args:
        table_size: half sizes, metres; the third is half the thickness of the top.
        table_centre: middle of the top, metres.
        table_friction: sliding, torsional and rolling friction.
    """
    spec = mujoco.MjSpec()
    spec.option.timestep = SIM_DT
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    quality = spec.visual.quality
    quality.numslices, quality.numstacks, quality.numquads, quality.offsamples = 12, 8, 1, 0
    light = spec.visual.headlight
    light.ambient, light.diffuse, light.specular = (0.4, 0.4, 0.4), (0.4, 0.4, 0.4), (0.1, 0.1, 0.1)
    texture = mujoco.mjtTexture
    spec.add_texture(
        name="sky", type=texture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=(0.6, 0.7, 0.8), rgb2=(0.9, 0.9, 0.9), width=32, height=32,
    )  # fmt: skip
    spec.add_material(name="table", rgba=(0.6, 0.48, 0.37, 1), specular=0.0, reflectance=0.0)
    spec.add_material(name="floor", rgba=(0.4, 0.42, 0.45, 1), specular=0.0, reflectance=0.0)
    world, shape = spec.worldbody, mujoco.mjtGeom
    world.add_light(name="lamp", pos=(0.3, -0.5, 1.8), dir=(0.0, 0.3, -1.0), diffuse=(0.5, 0.5, 0.5))
    x, y = table_centre
    world.add_geom(
        name="table", type=shape.mjGEOM_BOX, size=table_size, pos=(x, y, -table_size[2]), material="table",
        friction=table_friction,
    )  # fmt: skip
    world.add_geom(name="floor", type=shape.mjGEOM_PLANE, size=(3, 3, 0.1), pos=(0, 0, -0.6), material="floor")
    world.add_camera(name="front", pos=(1.35, 0.0, 0.7), xyaxes=(0, 1, 0, -0.6, 0, 0.8), fovy=50)
    world.add_camera(name="side", pos=(0.45, -1.0, 0.65), xyaxes=(1, 0, 0, 0, 0.5, 0.87), fovy=50)
    return spec
