# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Parts of the games' scenes: a table with a board and its cameras, sprung buttons, pegs that stay down."""

from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float

from sims.arm.model import tabletop

BOARD = "board"
BOARD_CENTRE = (0.5, 0.0)
BOARD_HEIGHT = 0.016  # metres, the top of the plate over the table
HAND_YAW = np.pi / 2  # the hand's narrow side to the cameras, the fingers open along x
FINGERTIP = 0.01  # metres below the tool centre point
BUTTON_RADIUS = 0.014
PEG_RADIUS = 0.012
_FOVY = 37.0  # degrees, the cameras
_MARGIN = 1.12  # of the picture over the board
BUTTON_HEIGHT = 0.012  # metres over the plate, not pressed
BUTTON_TRAVEL = 0.008
# The hand and free bodies collide with these; these do not collide with each other (a button with its plate).
_FOR_OTHERS_ONLY = {"contype": 0, "conaffinity": 3}
_SHAPE = mujoco.mjtGeom


def board_scene(half_width: float, half_height: float) -> tuple[mujoco.MjSpec, Any]:
    """A table with a plate on it, and the cameras `board` and `board_side`.

    `board` looks from across the table, `board_side` from the arm's right: each sees what the hand hides from the
    other, and both look in under the hand when it is raised. The plate fills their pictures.

    Args:
        half_width: half the plate's size along y, to the sides, metres.
        half_height: half the plate's size along x, away from the arm, metres.

    Returns:
        The scene and the plate's body, whose origin is on the table in the middle of the board.
    """
    spec = tabletop()
    x, y = BOARD_CENTRE
    corners = np.array([(x + i * half_height, y + j * half_width, BOARD_HEIGHT) for i in (-1, 1) for j in (-1, 1)])
    add_board_camera(spec, "board", corners, np.array([0.75, 0.0, 0.66]))
    add_board_camera(spec, "board_side", corners, np.array([0.25, -0.7, 0.66]))
    spec.add_material(name="plate", rgba=(0.2, 0.22, 0.26, 1), specular=0.0, reflectance=0.0)
    board = spec.worldbody.add_body(name=BOARD, pos=(x, y, 0))
    board.add_geom(
        name=BOARD, type=_SHAPE.mjGEOM_BOX, size=(half_height, half_width, BOARD_HEIGHT / 2),
        pos=(0, 0, BOARD_HEIGHT / 2), material="plate", **_FOR_OTHERS_ONLY,
    )  # fmt: skip
    return spec, board


def add_camera(
    spec: mujoco.MjSpec, name: str, position: Float[np.ndarray, " 3"], target: Float[np.ndarray, " 3"], fovy: float
) -> None:
    """A camera that looks at a point, upright."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    spec.worldbody.add_camera(name=name, pos=position, xyaxes=(*right, *np.cross(right, forward)), fovy=fovy)


def add_board_camera(
    spec: mujoco.MjSpec, name: str, corners: Float[np.ndarray, " 4 3"], direction: Float[np.ndarray, " 3"]
) -> None:
    """A camera that looks at a board from a direction, as near as it can be and a little further."""
    target = corners.mean(0)
    back = direction / np.linalg.norm(direction)
    right = np.cross((0.0, 0.0, 1.0), back)
    right /= np.linalg.norm(right)
    depth = (corners - target) @ back
    tangent = np.tan(np.deg2rad(_FOVY) / 2) / _MARGIN
    away = [np.abs((corners - target) @ axis) / tangent + depth for axis in (right, np.cross(back, right))]
    add_camera(spec, name, target + back * float(np.max(away)), target, _FOVY)


def add_button(board: Any, piece: int, x: float, y: float, radius: float = BUTTON_RADIUS, newton: float = 1.0) -> None:
    """A round button that sinks `BUTTON_TRAVEL` into the plate and comes back; its geom is `button<piece>`.

    Args:
        board: the body it sits on.
        piece: its number.
        x, y: where on the board, metres from the middle.
        radius: metres.
        newton: force that holds it pressed.
    """
    body = board.add_body(name=f"piece{piece}", pos=(x, y, BOARD_HEIGHT + BUTTON_HEIGHT / 2))
    body.add_joint(
        name=f"button{piece}", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=(0, 0, 1), range=(-BUTTON_TRAVEL, 0),
        limited=True, stiffness=newton / (2 * BUTTON_TRAVEL), springref=BUTTON_TRAVEL, damping=1.0, armature=0.01,
    )  # fmt: skip
    body.add_geom(
        name=f"button{piece}", type=_SHAPE.mjGEOM_CYLINDER, size=(radius, BUTTON_HEIGHT / 2, 0), mass=0.02,
        rgba=(0.5, 0.5, 0.5, 1), **_FOR_OTHERS_ONLY,
    )  # fmt: skip


def add_peg(spec: mujoco.MjSpec, board: Any, piece: int, x: float, y: float, radius: float = PEG_RADIUS) -> None:
    """A round peg that stays where it is pushed, with a magnet under it: actuator `magnet<piece>`, newtons downwards.

    Args:
        spec: the scene, which holds the actuators.
        board: the body the peg sits in.
        piece: its number; its geom and its joint are `peg<piece>`.
        x, y: where on the board, metres from the middle.
        radius: metres.
    """
    body = board.add_body(name=f"piece{piece}", pos=(x, y, BOARD_HEIGHT + BUTTON_HEIGHT / 2), gravcomp=1)
    body.add_joint(
        name=f"peg{piece}", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=(0, 0, 1), range=(-BUTTON_TRAVEL, 0), limited=True,
        frictionloss=0.8, damping=2.0, armature=0.01,
    )  # fmt: skip
    body.add_geom(
        name=f"peg{piece}", type=_SHAPE.mjGEOM_CYLINDER, size=(radius, BUTTON_HEIGHT / 2, 0), mass=0.02,
        rgba=(0.5, 0.5, 0.5, 1), **_FOR_OTHERS_ONLY,
    )  # fmt: skip
    actuator = spec.add_actuator(
        name=f"magnet{piece}", target=f"peg{piece}", trntype=mujoco.mjtTrn.mjTRN_JOINT,
        gaintype=mujoco.mjtGain.mjGAIN_FIXED, biastype=mujoco.mjtBias.mjBIAS_NONE,
    )  # fmt: skip
    actuator.gainprm[0] = -1.0
