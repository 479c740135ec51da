# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Joint angles that put the arm's hand where it is wanted, looking down."""

import mujoco
import numpy as np
from jaxtyping import Float

from sims.arm.model import HOME, JOINTS, TCP, Position, attach_arm

_DAMPING = 1e-4
_MAX_TURN = 0.2  # radians per iteration and joint
_HOMING = 0.05  # share of the way to the home posture per iteration, where the hand does not feel it
_CLOSE = np.array([1e-4] * 3 + [1e-3] * 3)  # metres, radians; the rest is made up for in the next step


class ArmKinematics:
    """Damped least squares on a model of the arm alone, so the cost does not grow with the scene.

    It keeps no state between calls: equal arguments give equal answers.
    """

    def __init__(self, base: Position = (0.0, 0.0, 0.0)):
        spec = mujoco.MjSpec()
        attach_arm(spec, base)
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._site = self._model.site(TCP).id
        self._qpos = self._data.qpos  # views, since every look-up of a field costs as much as the mathematics
        self._position, self._matrix = self._data.site_xpos[self._site], self._data.site_xmat[self._site]
        joints = [self._model.joint(name).id for name in JOINTS]
        self._low, self._high = self._model.jnt_range[joints].T
        self._size = len(joints)
        self._jacobian = np.zeros((6, self._model.nv))

    def solve(
        self,
        position: Float[np.ndarray, " 3"],
        yaw: float,
        start: Float[np.ndarray, " 7"],
        max_iterations: int = 4,
    ) -> Float[np.ndarray, " 7"]:
        """Joint angles for the tool centre point at `position` (metres), turned by `yaw` (radians) from home.

        Where the point cannot be reached, the nearest that was found.

        Source: damped least squares with a null-space task, Buss, "Introduction to Inverse Kinematics" (2009).
        """
        data, count = self._data, self._size
        wanted = np.array([0.0, np.cos(yaw / 2), np.sin(yaw / 2), 0.0])  # at home half a turn about x: looking down
        angles = start.copy()
        error, along, jacobian = np.empty(6), np.empty(6), self._jacobian
        for _ in range(max_iterations):
            self._qpos[:count] = angles
            mujoco.mj_kinematics(self._model, data)
            error[:3] = position - self._position
            error[3:] = _rotation_to(wanted, self._matrix)
            if (np.abs(error) < _CLOSE).all():
                break
            mujoco.mj_comPos(self._model, data)
            mujoco.mj_jacSite(self._model, data, jacobian[:3], jacobian[3:], self._site)
            arm = jacobian[:, :count]
            homing = _HOMING * (HOME - angles)
            square = arm @ arm.T
            square.flat[:: len(square) + 1] += _DAMPING
            mujoco.mju_cholFactor(square, 0.0)
            mujoco.mju_cholSolve(along, square, error - arm @ homing)
            turn = arm.T @ along + homing
            angles = angles + turn * min(1.0, _MAX_TURN / np.abs(turn).max())
            angles = np.minimum(np.maximum(angles, self._low), self._high)  # np.clip takes as long as the rest
        return angles


def _rotation_to(wanted: Float[np.ndarray, " 4"], matrix: Float[np.ndarray, " 9"]) -> Float[np.ndarray, " 3"]:
    """Rotation vector in world axes that turns the frame `matrix` into `wanted`."""
    present, back, turn, vector = np.empty(4), np.empty(4), np.empty(4), np.empty(3)
    mujoco.mju_mat2Quat(present, matrix)
    mujoco.mju_negQuat(back, present)
    mujoco.mju_mulQuat(turn, wanted, back)
    mujoco.mju_quat2Vel(vector, turn, 1.0)
    return vector
