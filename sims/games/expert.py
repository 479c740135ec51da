"""What the games' experts share."""

import numpy as np
from jaxtyping import Float

from sims.arm import MAX_MOVE
from sims.arm_expert import ArmExpert

_STEEP = 0.012  # metres still to rise above which the hand goes up before it goes sideways


class GameExpert(ArmExpert):
    """An expert that keeps its height: what wobbles down among the pieces makes moves of its own.

    Slips go sideways and up, and on its way the hand rises first.
    """

    def _next(self) -> None:
        super()._next()
        self._slip_move[2] = abs(self._slip_move[2])

    def _next_wobble(self) -> Float[np.ndarray, " 4"]:
        return super()._next_wobble() * (1, 1, 0, 1)

    def _aim(self, pace: float) -> Float[np.ndarray, " 5"]:
        action, waypoint = super()._aim(pace), self._waypoint
        assert waypoint is not None
        if not waypoint.is_exact:
            rise = float(waypoint.target[2] - self.env.commanded_hand[2])
            if rise > 0:
                action[2] = rise / MAX_MOVE
            if rise > _STEEP:
                action[:2] *= 0.2
        return action
