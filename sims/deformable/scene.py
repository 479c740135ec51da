# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""What the deformable worlds share: a table seen from near, coarse enough time steps, looks, a gentle gripper."""

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from sims.arm.env import CONTROL_DT, ArmEnv
from sims.arm.looks import draw_colour
from sims.arm.model import PREFIX, tabletop
from sims.deformable.contact import SOLIMP, SOLREF

SIM_DT = CONTROL_DT / 12  # 4.2 ms: half the steps of a rigid scene; contacts with time constants of 9 ms are stable
GRIP_NEWTON = 3.0  # firmer, and the masses of a cloth (1 g) sink into the fingers and squirt out
CENTRE = (0.48, 0.0)  # of what the cameras show, metres
_DISTANCE, _ELEVATION = 0.85, np.deg2rad(42)  # of the cameras from the middle of their pictures, metres; radians
_AZIMUTHS = {"near": np.deg2rad(-35), "left": np.deg2rad(55)}  # of the cameras about the middle, 0 opposite to the arm


class DeformableEnv(ArmEnv):
    """A table with something that bends, flows or yields; success is read off its geometry.

    `train` and `unseen` differ in sizes, stiffness, colours, textures, light and cameras; each world says how.
    """

    main_views = ("near", "left")
    workspace = ((0.25, -0.35, 0.012), (0.72, 0.35, 0.5))

    def __init__(
        self,
        spec: mujoco.MjSpec,
        task_name: str,
        task: str,
        cameras: Sequence[str] = ("near", "left"),
        grip_newton: float = GRIP_NEWTON,
        **common: Any,
    ):
        """Add the arm to the scene; see `ArmEnv` for the arguments, of which `common` are the others."""
        super().__init__(spec, task_name=task_name, task=task, cameras=cameras, grip_newton=grip_newton, **common)
        for side in ("left", "right"):
            pad = self.model.geom(f"{PREFIX}pad_{side}").id
            self.model.geom_solref[pad], self.model.geom_solimp[pad] = SOLREF, SOLIMP

    @property
    def is_unseen(self) -> bool:
        """Whether episodes come from the held-out variant."""
        return self.variant == "unseen"

    def _draw_surroundings(self, rng: np.random.Generator) -> None:
        """Light, table and cameras of this episode."""
        self.looks.light(rng, self.is_unseen)
        hue = (0.3, 0.55) if self.is_unseen else (0.05, 0.13)
        self.looks.paint("table", draw_colour(rng, hue, (0.15, 0.4), (0.45, 0.75)))
        for camera in ("near", "left"):
            metres, radians = (0.05, 0.05) if self.is_unseen else (0.002, 0.002)
            self.looks.shake_camera(camera, rng, metres, radians)

    def _draw_place(
        self, rng: np.random.Generator, reach: float, ahead: float = 0.0, aside: float = 0.0
    ) -> Float[np.ndarray, " 2"]:
        """A point at most `reach` metres on each axis from the place `ahead` (x) and `aside` (y) of the middle."""
        return np.array(CENTRE) + np.array([ahead, aside]) + rng.uniform(-reach, reach, 2)

    def _settle(self, seconds: float = 0.4, calm: float = 0.005, max_rounds: int = 6) -> None:
        """Let the physics run while the arm stands still, until nothing moves faster than `calm` (m/s, rad/s)."""
        self.data.qvel[:] = 0
        for _ in range(max_rounds):
            mujoco.mj_step(self.model, self.data, round(seconds / SIM_DT))
            if np.abs(self.data.qvel).max() < calm:
                break
        self.data.qvel[:] = 0
        self.data.time = 0


def near_table(width: float = 0.34, height: float = 0.04, ahead: float = 0.0) -> mujoco.MjSpec:
    """The table with the cameras `near` (from the front, a little right) and `left` (from the front, far left).

    They look at right angles to each other and against the arm, so that one of them sees the fingertips and what is
    between them.

    Args:
        width: of what they show, metres.
        height: what they look at, metres above the table.
        ahead: by which it is further from the arm than `CENTRE`, metres.
    """
    spec = tabletop(table_friction=(0.6, 0.01, 0.001))
    spec.option.timestep = SIM_DT
    spec.option.impratio = 100
    spec.option.viscosity = 0.05  # air drag and inner friction of light things, without which ropes swing for minutes
    spec.option.iterations = 30
    spec.option.tolerance = 1e-6
    target = np.array([CENTRE[0] + ahead, CENTRE[1], height])
    fovy = float(np.rad2deg(2 * np.arctan(width / 2 / _DISTANCE)))
    for name, azimuth in _AZIMUTHS.items():
        level, up = _DISTANCE * np.cos(_ELEVATION), _DISTANCE * np.sin(_ELEVATION)
        position = tuple(target + np.array([level * np.cos(azimuth), level * np.sin(azimuth), up]))
        spec.worldbody.add_camera(name=name, pos=position, fovy=fovy, xyaxes=_towards(position, target))
    return spec


def _towards(position: Sequence[float], target: npt.ArrayLike) -> tuple[float, ...]:
    """The x and y axes of a camera at `position` that looks at `target` with the horizon level."""
    back = np.array(position) - np.array(target)
    back /= np.linalg.norm(back)
    right = np.cross((0.0, 0.0, 1.0), back)
    right /= np.linalg.norm(right)
    return (*right, *np.cross(back, right))


def grasp_yaw(angle: float) -> float:
    """The turn of the hand, within a quarter turn, that closes the fingers across a direction in the plane."""
    return (angle + np.pi / 2) % np.pi - np.pi / 2
