"""From (steer, pedal) to what a world of highway-env takes, and back; left and gas are positive."""

from typing import Any, Protocol

import numpy as np
from jaxtyping import Float32

_IDLE = 5**-0.5  # so that uniform actions are uniform over the five decisions
_IDLE_ALONE = 1 / 3  # so that uniform pedals are uniform over three


class Control(Protocol):
    """How a car is told what to do.

    Attributes:
        embodiment: name of the body.
    """

    embodiment: str

    def command(self, action: Float32[np.ndarray, " 2"]) -> Any:
        """What the package's `step` takes."""
        ...

    def action_of(self, wanted: Any) -> Float32[np.ndarray, " 2"]:
        """The action that does what a driver wants: a steering angle and an acceleration, or a decision's name."""
        ...

    def slower(self, world: Any) -> Float32[np.ndarray, " 2"]:
        """Brake."""
        ...


class Wheel:
    """Steering angle and acceleration, both scaled to [-1, 1] by the world's ranges."""

    embodiment = "highway_wheel"

    def __init__(self, world: Any) -> None:
        kind = world.action_type
        self._has_pedal = kind.longitudinal
        self._max_steer, self._max_acceleration = kind.steering_range[1], kind.acceleration_range[1]
        self._dt = 1 / world.config["policy_frequency"]

    def command(self, action: Float32[np.ndarray, " 2"]) -> Float32[np.ndarray, " size"]:
        """Its wheel turns to the right."""
        steer, pedal = action
        return np.array([pedal, -steer] if self._has_pedal else [-steer], np.float32)

    def action_of(self, wanted: tuple[float, float]) -> Float32[np.ndarray, " 2"]:
        """From radians to the right and m/s^2."""
        steer, acceleration = wanted
        shares = np.array([-steer / self._max_steer, acceleration / self._max_acceleration])
        return np.clip(shares, -1, 1).astype(np.float32)

    def slower(self, world: Any) -> Float32[np.ndarray, " 2"]:
        """Until it stands: the same pedal would reverse."""
        return self.action_of((0.0, -float(world.vehicle.speed) / self._dt))


class Decisions:
    """LANE_LEFT, LANE_RIGHT, FASTER, SLOWER or IDLE: the greater of steer and pedal chooses, small ones do nothing.

    Where there are no lanes to change to, the pedal alone decides.
    """

    embodiment = "highway_decisions"

    def __init__(self, world: Any) -> None:
        self._numbers: dict[str, int] = dict(world.action_type.actions_indexes)
        self._has_lanes = "LANE_LEFT" in self._numbers

    def command(self, action: Float32[np.ndarray, " 2"]) -> int:
        """The decision's number."""
        steer, pedal = (float(value) for value in action)
        if self._has_lanes and abs(steer) > max(abs(pedal), _IDLE):
            return self._numbers["LANE_LEFT" if steer > 0 else "LANE_RIGHT"]
        if abs(pedal) > (_IDLE if self._has_lanes else _IDLE_ALONE):
            return self._numbers["FASTER" if pedal > 0 else "SLOWER"]
        return self._numbers["IDLE"]

    def action_of(self, wanted: str) -> Float32[np.ndarray, " 2"]:
        """Fully there: what lies between decisions is for learners."""
        steer = {"LANE_LEFT": 1.0, "LANE_RIGHT": -1.0}.get(wanted, 0.0)
        pedal = {"FASTER": 1.0, "SLOWER": -1.0}.get(wanted, 0.0)
        return np.array([steer, pedal], np.float32)

    def slower(self, world: Any) -> Float32[np.ndarray, " 2"]:
        """The decision SLOWER."""
        return self.action_of("SLOWER")


CONTROLS: dict[str, type[Wheel] | type[Decisions]] = {"wheel": Wheel, "decisions": Decisions}
