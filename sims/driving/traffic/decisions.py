"""How traffic decides: the intelligent driver model along a path, MOBIL between paths."""

import numpy as np
from jaxtyping import Float, Float64

from sims.driving.traffic.actors import Driver

FREE_M = 1e4  # a gap so wide that it doesn't matter
_MIN_GAP_M = 0.1


def idm_acceleration(
    speed: Float[np.ndarray, " *batch"],
    desired: Float[np.ndarray, " *batch"],
    gap: Float[np.ndarray, " *batch"],
    leader_speed: Float[np.ndarray, " *batch"],
    driver: "Driver | DriverTable",
) -> Float64[np.ndarray, " *batch"]:
    """Acceleration of the intelligent driver model; `gap` is from bumper to bumper.

    Source: Treiber, Hennecke, Helbing 2000, equations 3 and 4.
    """
    approach = speed * (speed - leader_speed) / (2 * np.sqrt(driver.acceleration_mps2 * driver.braking_mps2))
    wanted = driver.standstill_m + np.maximum(0.0, speed * driver.time_gap_s + approach)
    free = (speed / np.maximum(desired, 0.1)) ** driver.exponent
    return driver.acceleration_mps2 * (1 - free - (wanted / np.maximum(gap, _MIN_GAP_M)) ** 2)


def mobil_wants_change(
    own_gain: Float[np.ndarray, " *batch"],
    new_follower: Float[np.ndarray, " *batch"],
    new_follower_loss: Float[np.ndarray, " *batch"],
    old_follower_gain: Float[np.ndarray, " *batch"],
    driver: "Driver | DriverTable",
) -> np.ndarray:
    """Whether to change lanes: nobody behind must brake hard, and one gains more than others lose.

    Args:
        own_gain: own acceleration there minus here.
        new_follower: acceleration of the one behind there, after the change.
        new_follower_loss: what that one loses.
        old_follower_gain: what the one behind here gains.
        driver: who decides.

    Source: Kesting, Treiber, Helbing 2007, equations 2 and 3.
    """
    is_safe = new_follower >= -driver.safe_braking_mps2
    return is_safe & (own_gain + driver.politeness * (old_follower_gain - new_follower_loss) > driver.gain_mps2)


class DriverTable:
    """Parameters of many drivers as arrays, under the names of `Driver`."""

    def __init__(self, drivers: list[Driver]):
        names = list(vars(Driver()))
        columns = {name: np.array([getattr(driver, name) for driver in drivers], np.float64) for name in names}
        self.acceleration_mps2 = columns["acceleration_mps2"]
        self.braking_mps2 = columns["braking_mps2"]
        self.time_gap_s = columns["time_gap_s"]
        self.standstill_m = columns["standstill_m"]
        self.exponent = columns["exponent"]
        self.politeness = columns["politeness"]
        self.gain_mps2 = columns["gain_mps2"]
        self.safe_braking_mps2 = columns["safe_braking_mps2"]
