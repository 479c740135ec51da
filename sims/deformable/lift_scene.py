# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""What the lifting worlds share: a body is grasped, lifted and held; one that is dropped stays lost."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from sims.arm.expert import Waypoint
from sims.common.base import Policy
from sims.deformable.moves import FINGERTIP, SteadyExpert, pinch
from sims.deformable.scene import DeformableEnv, grasp_yaw

LYING_TURN = 0.6  # radians about the vertical by which bodies lie turned in training
SPREAD = 0.08  # metres to each side over which bodies and the hand start
_OFF_TABLE = 0.03  # metres of rise from which on falling back counts as dropping


class LiftEnv(DeformableEnv):
    """A body on the table; done when it has been held high for a while, in one go.

    Success: it has risen by at least `RISE` metres for `HOLD_STEPS` env steps in a row, and never fell back to the
    table after it had left it: what was dropped once cannot succeed any more.
    """

    RISE = 0.08
    HOLD_STEPS = 10

    def _begin_lift(self) -> None:
        """Take the present height as that of lying; called at the end of `_draw_episode`."""
        self._rest_height = self.thing_position()[2]
        self._held, self._was_off, self._was_dropped = 0, False, False

    def thing_position(self) -> Float[np.ndarray, " 3"]:
        """Middle of the body, metres."""
        raise NotImplementedError

    def grasp_angle(self) -> float:
        """Direction in the plane along which the body is thickest, so that the fingers close across it, radians."""
        raise NotImplementedError

    def _judge(self) -> tuple[float, bool, dict[str, Any]]:
        rise = float(self.thing_position()[2] - self._rest_height)
        self._was_dropped |= self._was_off and rise < _OFF_TABLE / 3
        self._was_off |= rise > _OFF_TABLE
        self._held = self._held + 1 if rise > self.RISE else 0
        success = self._held >= self.HOLD_STEPS and not self._was_dropped
        return min(rise, self.RISE), success, {"metrics": {"rise_m": rise, "dropped": float(self._was_dropped)}}

    def _get_progress(self) -> Float64[np.ndarray, " 3"]:
        return np.array([self._held, self._was_off, self._was_dropped], np.float64)

    def _set_progress(self, progress: Float64[np.ndarray, " padded"]) -> None:
        self._held, self._was_off, self._was_dropped = int(progress[0]), bool(progress[1]), bool(progress[2])

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """Closes the fingers across the body where it is thin, lifts it and holds it still."""
        return _Expert(self, rng)


class _Expert(SteadyExpert):
    def plan(self) -> Iterator[Waypoint]:
        env = self.env
        for _ in range(3):

            def place() -> np.ndarray:
                thing = env.thing_position()
                return np.array([*thing[:2], max(FINGERTIP + 0.004, thing[2] - 0.005)])

            yield from pinch(env, place, grasp_yaw(env.grasp_angle()), lift=0.0)
            high = np.array([*env.hand_position[:2], place()[2] + env.RISE + 0.04])
            yield Waypoint(high, grip=-1.0, speed=0.5, max_steps=40, wait=env.HOLD_STEPS + 5)
            yield Waypoint(env.hand_position, grip=1.0, wait=4, max_steps=6)
