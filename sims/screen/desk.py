# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""The desk: a monitor whose picture is a live texture, a mouse that slides on a pad, and the mouse's electronics."""

from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float

from sims.arm.model import tabletop

SCREEN_SIZE = 128  # pixels, both ways
SCREEN = "screen"  # the texture, its material and the camera that looks straight at it
MOUSE = "mouse"
BUTTON = "mouse_button"
MOUSE_CENTRE = np.array([0.45, 0.0])
HOLD_HEIGHT = 0.036  # metres, of the tool centre point when the hand rests around the shell
PRESS_DEPTH = 0.012  # metres the shell can be pushed down
_PRESSED, _RELEASED = -0.007, -0.004  # metres; apart, or a resting click would chatter
_LIFTED = 0.009  # metres, height of the base's middle from which the sensor sees nothing; 0.005 at rest
_HALF_WIDTH = 0.15  # metres, of the monitor's picture


def desk() -> mujoco.MjSpec:
    """The scene without the arm.

    The mouse is a free body: only friction with the pad and the fingers moves it. Its shell is sprung against its base;
    pushed down far enough, it closes the switch.
    """
    spec = tabletop(table_size=(0.42, 0.5, 0.02), table_centre=(0.6, 0.0), table_friction=(0.3, 0.005, 0.0001))
    spec.add_material(name="pad", rgba=(0.12, 0.12, 0.15, 1), specular=0.0)
    spec.add_material(name=MOUSE, rgba=(0.8, 0.8, 0.82, 1), specular=0.0)
    spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.15, 0.17, 0.0005), pos=(*MOUSE_CENTRE, 0.0002), material="pad",
        contype=0, conaffinity=0,
    )  # fmt: skip
    _add_monitor(spec)
    _add_mouse(spec)
    return spec


def _add_monitor(spec: mujoco.MjSpec) -> None:
    flat = mujoco.mjtBuiltin.mjBUILTIN_FLAT
    spec.add_texture(
        name=SCREEN, type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=flat, width=SCREEN_SIZE, height=SCREEN_SIZE,
        nchannel=3,
    )  # fmt: skip
    material = spec.add_material(name=SCREEN, emission=0.75, specular=0.0)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = SCREEN
    world, shape = spec.worldbody, mujoco.mjtGeom
    monitor = world.add_body(name="monitor", pos=(0.95, 0.0, 0.24))
    dark = {"rgba": (0.1, 0.1, 0.1, 1), "contype": 0, "conaffinity": 0}
    frame = _HALF_WIDTH + 0.012
    monitor.add_geom(type=shape.mjGEOM_BOX, size=(0.012, frame, frame), pos=(0.014, 0, 0), **dark)
    monitor.add_geom(type=shape.mjGEOM_BOX, size=(0.012, 0.03, 0.05), pos=(0.03, 0, -0.2), **dark)
    monitor.add_geom(type=shape.mjGEOM_BOX, size=(0.06, 0.09, 0.006), pos=(0.03, 0, -0.234), **dark)
    towards_hand = np.array([0.5, 0.5, -0.5, -0.5])  # the plane's normal along -x, its own x to the right as seen
    monitor.add_geom(
        name=SCREEN, type=shape.mjGEOM_PLANE, size=(_HALF_WIDTH, _HALF_WIDTH, 0.01), quat=towards_hand,
        material=SCREEN, contype=0, conaffinity=0,
    )  # fmt: skip
    # Between the hand and the monitor, so that the arm never hides the picture.
    distance = 0.3
    fovy = 2 * np.degrees(np.arctan((_HALF_WIDTH + 0.005) / distance))
    world.add_camera(name=SCREEN, pos=(0.95 - distance, 0.0, 0.24), xyaxes=(0, -1, 0, 0, 0, 1), fovy=fovy)
    world.add_camera(name="hand", pos=(0.45, -0.3, 0.12), xyaxes=(1, 0, 0, 0, 0.3, 0.95), fovy=60)


def _add_mouse(spec: mujoco.MjSpec) -> None:
    box = mujoco.mjtGeom.mjGEOM_BOX
    base = spec.worldbody.add_body(name=MOUSE, pos=(*MOUSE_CENTRE, 0.005))
    base.add_freejoint(name=MOUSE)
    base.add_geom(
        type=box, size=(0.045, 0.026, 0.005), mass=0.09, rgba=(0.2, 0.2, 0.22, 1), condim=4,
        friction=(0.3, 0.005, 0.0001),
    )  # fmt: skip
    shell = base.add_body(name="mouse_shell", pos=(0.0, 0.0, 0.03), gravcomp=1)
    shell.add_joint(
        name=BUTTON, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=(0, 0, 1), range=(-PRESS_DEPTH, 0.004), stiffness=250,
        damping=6, armature=0.01, limited=mujoco.mjtLimited.mjLIMITED_TRUE,
    )  # fmt: skip
    shell.add_geom(type=box, size=(0.042, 0.022, 0.011), mass=0.04, material=MOUSE, condim=4, friction=(1, 0.02, 0.001))
    wheel = {"type": mujoco.mjtGeom.mjGEOM_CYLINDER, "size": (0.007, 0.003, 0), "zaxis": (0, 1, 0)}
    shell.add_geom(**wheel, pos=(0.022, 0, 0.009), rgba=(0.15, 0.15, 0.15, 1), contype=0, conaffinity=0, mass=0)


@dataclass
class MouseSensor:
    """From the mouse's pose to the cursor: displacement in the mouse's own axes times a gain, clipped at the edges.

    Attributes:
        gain: pixels per metre.
        cursor: pixels right and down from the top left corner.
        is_pressed: the switch.
        x, y: where the mouse was when it was last read, metres.
    """

    gain: float
    cursor: Float[np.ndarray, " 2"]
    x: float
    y: float
    is_pressed: bool = False

    def read(self, x: float, y: float, z: float, yaw: float, button: float) -> None:
        """Take a new pose (metres, radians) and the shell's travel (metres, negative is down)."""
        if z < _LIFTED:
            cos, sin = np.cos(yaw), np.sin(yaw)
            forward, left = cos * (x - self.x) + sin * (y - self.y), cos * (y - self.y) - sin * (x - self.x)
            moved = self.cursor - self.gain * np.array([left, forward])
            self.cursor = np.clip(moved, 0.0, SCREEN_SIZE - 1.0)
        self.x, self.y = x, y
        self.is_pressed = button < (_RELEASED if self.is_pressed else _PRESSED)

    def way_to(self, point: Float[np.ndarray, " 2"], yaw: float) -> Float[np.ndarray, " 2"]:
        """How far the mouse must move, metres in the world, for the cursor to come to a point on the screen."""
        left, forward = (self.cursor - point) / self.gain
        return np.array([np.cos(yaw) * forward - np.sin(yaw) * left, np.sin(yaw) * forward + np.cos(yaw) * left])
