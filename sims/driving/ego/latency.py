"""Commands that arrive late: what was asked takes effect a fixed time afterwards."""

import numpy as np
from jaxtyping import Float, Float64

from sims.driving.ego.vehicle import CONTROL_DT_S

TICK_MS = 20  # the substep of both egos
MAX_LATENCY_MS = 1000
_SIZE = MAX_LATENCY_MS // round(1000 * CONTROL_DT_S) + 1


class Latency:
    """The commands still under way. Before the first one arrives the wheels are straight and no pedal is pressed.

    Attributes:
        size: length of the state vector, whatever the latency.
    """

    size = 2 * _SIZE

    def __init__(self, latency_ms: int) -> None:
        """Nothing is under way.

        Raises:
            ValueError: not a multiple of 20 ms between 0 and 1000.
        """
        if latency_ms not in range(0, MAX_LATENCY_MS + 1, TICK_MS):
            raise ValueError(
                f"latency_ms must be a multiple of {TICK_MS} from 0 to {MAX_LATENCY_MS}, got {latency_ms!r}."
            )
        whole, rest = divmod(latency_ms, round(1000 * CONTROL_DT_S))
        self._whole, self._rest_s = whole, rest / 1000
        self.commands: Float64[np.ndarray, " commands 2"] = np.zeros((_SIZE, 2))  # the newest first

    def delayed(self, command: Float[np.ndarray, " 2"]) -> list[tuple[Float64[np.ndarray, " 2"], float]]:
        """Take a command; give those that act during this control step, each with its seconds, in order."""
        self.commands = np.vstack([command, self.commands[:-1]])
        if self._rest_s == 0:
            return [(self.commands[self._whole], CONTROL_DT_S)]
        older, newer = self.commands[self._whole + 1], self.commands[self._whole]
        return [(older, self._rest_s), (newer, CONTROL_DT_S - self._rest_s)]
