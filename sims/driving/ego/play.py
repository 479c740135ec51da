"""Driving without a goal: the data from which a world model learns what wheel and pedals do.

Every few seconds it draws what to do next: follow the expert, hold a speed and a place across the road, weave, brake,
or turn the wheel for a moment. Pure pursuit of a moving point keeps it near the route most of the time.
"""

import numpy as np
from jaxtyping import Float64

from sims.driving.ego.planners import PLAN_STEPS, PrivilegedPlanner
from sims.driving.ego.vehicle import MAX_STEER_RAD, roll
from sims.driving.scores.scene import HEADING, VX, X, Y
from sims.driving.world import World

_PLANS = {"cruise": 0.35, "weave": 0.2, "brake": 0.1, "swerve": 0.1, "expert": 0.25}
_MEAN_STEPS = {"cruise": 25, "weave": 30, "brake": 8, "swerve": 5, "expert": 25}
_MIN_STEPS = 4


class Player:
    """One player, a `Planner`; it holds its plan and its random stream, so use one per episode."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self._expert = rng, PrivilegedPlanner()
        self._wander = np.zeros(2)
        self._choose()

    def __call__(self, world: World) -> Float64[np.ndarray, " 2"]:
        """The next control, in [-1, 1]."""
        if self._steps_left == 0:
            self._choose()
        self._steps_left -= 1
        self._phase += self._tempo
        self._wander = 0.85 * self._wander + self._rng.normal(scale=(0.03, 0.10))
        if self._plan == "expert":
            wanted = self._expert(world).astype(np.float32).astype(np.float64)  # an action, as the expert's are
        else:
            wanted = np.array([self._steer(world), self._pedal(world)])
        return np.clip(wanted + self._wander, -1, 1)

    def states_ahead(self, world: World) -> Float64[np.ndarray, " time 11"]:
        """Where the next control leads if it is held."""
        control = self(world)
        return roll(world.ego, lambda _: control, PLAN_STEPS, world.friction_here, world.vehicle.wheelbase_m)

    def _choose(self) -> None:
        """Draw the next plan, for how long, how fast and where across the road."""
        rng = self._rng
        self._plan = str(rng.choice(list(_PLANS), p=list(_PLANS.values())))
        self._steps_left = _MIN_STEPS + int(rng.exponential(_MEAN_STEPS[self._plan]))
        self._speed_mps = rng.uniform(1.0, 14.0)
        self._offset_m = rng.normal(scale=1.0)
        self._tempo, self._phase = rng.uniform(0.1, 0.35), rng.uniform(0, 2 * np.pi)
        self._turn = rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 1.0)
        self._brake = -rng.uniform(0.1, 0.8)

    def _steer(self, world: World) -> float:
        """Towards a point of the route ahead, shifted sideways."""
        if self._plan == "swerve":
            return self._turn
        ego, look_m = world.ego, 4.0 + 0.8 * float(world.ego[VX])
        offset = self._offset_m + (1.5 * np.sin(self._phase) if self._plan == "weave" else 0.0)
        x, y, heading = world.scenario.route.at(np.array(world.route_m + look_m))
        x, y = x - offset * np.sin(heading) - ego[X], y + offset * np.cos(heading) - ego[Y]
        bearing = np.arctan2(y, x) - ego[HEADING]
        curvature = 2 * np.sin(bearing) / max(np.hypot(x, y), 1.0)
        return float(np.arctan(world.vehicle.wheelbase_m * curvature)) / MAX_STEER_RAD

    def _pedal(self, world: World) -> float:
        if self._plan == "brake":
            return self._brake
        return 0.3 * (self._speed_mps - float(world.ego[VX]))
