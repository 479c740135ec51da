"""How a car is told what to do: by wheel and pedal, or by a whole plan that a tracking controller follows."""

from typing import Protocol

import gymnasium
import numpy as np
from gymnasium.error import InvalidAction
from jaxtyping import Float32, Float64

from sims.driving.ego.planners import PLAN_STEPS, Planner
from sims.driving.ego.vehicle import CONTROL_DT_S, control_for
from sims.driving.scores.scene import AX, HEADING, STEER, VehicleParameters, X, Y
from sims.driving.scores.tracking import reference_poses, simulate
from sims.driving.world import World

MAX_PLAN_MPS = 60.0  # no pose of a plan lies further away than this speed leads
_NOISE_SHARE = np.array([0.1, 0.5], np.float32)  # of wheel and pedal; a tenth of the wheel already leaves the lane
_SWERVE_M, _SWERVED_S, _STRETCH = 2.5, 2.0, 0.7  # what noise of 1 does to a plan
_CREEP_M = 0.05  # in a step; who moves less has no direction
_COLUMNS = ("x", "y", "heading")


class Control(Protocol):
    """The action space of a car.

    Attributes:
        embodiment: name of the body that has it.
        space: of actions.
        noise_size: numbers that disturb an action.
    """

    embodiment: str
    space: gymnasium.spaces.Box
    noise_size: int

    def check(self, action: object) -> None:
        """Refuse, with better words than the space has, what is no action.

        Raises:
            InvalidAction: saying what is wrong.
        """
        ...

    def command(self, action: Float32[np.ndarray, " action"], ego: Float64[np.ndarray, " 11"]) -> np.ndarray:
        """Wheel and pedal (2,), each in [-1, 1], that an action asks for in a state of the ego."""
        ...

    def action_of(self, planner: Planner, world: World) -> Float32[np.ndarray, " action"]:
        """What a planner wants, as an action."""
        ...

    def perturbed(
        self, action: Float32[np.ndarray, " action"], noise: Float32[np.ndarray, " noise"]
    ) -> Float32[np.ndarray, " action"]:
        """An action that drives a little elsewhere."""
        ...


class Pedals:
    """(steer, pedal) in [-1, 1]: left and gas are positive."""

    embodiment = "car"
    noise_size = 2

    def __init__(self) -> None:
        self.space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def check(self, action: object) -> None:
        """Two numbers need no better words."""

    def command(self, action: Float32[np.ndarray, " 2"], ego: Float64[np.ndarray, " 11"]) -> Float64[np.ndarray, " 2"]:
        """The action itself."""
        return action.astype(np.float64)

    def action_of(self, planner: Planner, world: World) -> Float32[np.ndarray, " 2"]:
        """The planner's control."""
        return planner(world).astype(np.float32)

    def perturbed(
        self, action: Float32[np.ndarray, " 2"], noise: Float32[np.ndarray, " 2"]
    ) -> Float32[np.ndarray, " 2"]:
        """Noise is added, a tenth of it to the wheel and half to the pedal."""
        return np.clip(action + _NOISE_SHARE * noise, self.space.low, self.space.high)


class Trajectories:
    """The next 4 s at 10 Hz: 40 poses x, y (m), heading (rad) of the rear axle in the vehicle's frame of now, in a row.

    nuPlan's tracking controller (NAVSIM's as it was meant, see `scores.tracking`) follows the plan for one step, with
    the grip and the delays that the car has; then the next plan is due.
    """

    embodiment = "car_trajectory"
    noise_size = 2

    def __init__(self) -> None:
        reach = MAX_PLAN_MPS * CONTROL_DT_S * np.arange(1, PLAN_STEPS + 1)
        high = np.stack([reach, reach, np.full(PLAN_STEPS, np.pi)], axis=1).astype(np.float32).ravel()
        self.space = gymnasium.spaces.Box(-high, high, dtype=np.float32)
        self._vehicle = VehicleParameters()

    def check(self, action: object) -> None:
        """Name the pose that is wrong.

        Raises:
            InvalidAction: another length, NaN, a pose out of reach.
        """
        try:
            plan = np.asarray(action, np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidAction(f"a plan must be an array of {3 * PLAN_STEPS} numbers, got {action!r}.") from error
        if plan.shape != self.space.shape:
            raise InvalidAction(
                f"a plan must have shape {self.space.shape}: x, y, heading of {PLAN_STEPS} poses, 0.1 s apart, "
                f"in a row; got {plan.shape}."
            )
        wrong = np.flatnonzero(~(np.abs(plan) <= self.space.high * (1 + 1e-5)))
        if len(wrong):
            row, column = divmod(int(wrong[0]), 3)
            limit = f"at most {self.space.high[wrong[0]]:.4g} {'rad' if column == 2 else 'm'} either way"
            raise InvalidAction(
                f"pose {row} of the plan ({(row + 1) * CONTROL_DT_S:.1f} s ahead): {_COLUMNS[column]} is "
                f"{plan[wrong[0]]:g}; it must be finite and {limit}, in the vehicle's frame of now; clip it to "
                "env.action_space."
            )

    def command(
        self, action: Float32[np.ndarray, " 120"], ego: Float64[np.ndarray, " 11"]
    ) -> Float64[np.ndarray, " 2"]:
        """What the tracking controller asks for first."""
        plan = action.astype(np.float64).reshape(PLAN_STEPS, 3)
        reference = reference_poses(plan, CONTROL_DT_S, ego[[X, Y, HEADING]])
        drive = simulate(reference[None], ego, self._vehicle, CONTROL_DT_S, num_steps=1, smoothing="nuplan")
        following = drive.states[0, 1]
        return control_for(following[STEER], following[AX])

    def action_of(self, planner: Planner, world: World) -> Float32[np.ndarray, " 120"]:
        """The planner's states ahead, seen from the vehicle."""
        states, ego = planner.states_ahead(world), world.ego
        cos, sin = np.cos(ego[HEADING]), np.sin(ego[HEADING])
        ahead = (states[:, [X, Y]] - ego[[X, Y]]) @ np.array([[cos, -sin], [sin, cos]])
        turn = states[:, HEADING] - ego[HEADING]
        plan = np.column_stack([ahead, np.arctan2(np.sin(turn), np.cos(turn))])
        return np.clip(plan.ravel(), self.space.low, self.space.high).astype(np.float32)

    def perturbed(
        self, action: Float32[np.ndarray, " 120"], noise: Float32[np.ndarray, " 2"]
    ) -> Float32[np.ndarray, " 120"]:
        """The plan swerved to the left within two seconds, and stretched; a car at rest stays where it is.

        Noise of 1 swerves by 2.5 m and makes the way 1.7 times as long. The headings swerve too: the tracking, which
        begins anew at every step, steers by them alone.
        """
        plan = action.astype(np.float64).reshape(PLAN_STEPS, 3)
        share = np.minimum(np.arange(PLAN_STEPS + 1) * CONTROL_DT_S / _SWERVED_S, 1.0)
        way = np.append(0.0, np.hypot(np.diff(plan[:, 0], prepend=0.0), np.diff(plan[:, 1], prepend=0.0)).cumsum())
        swerve = _SWERVE_M * float(noise[0]) * share**2 * (3 - 2 * share) * np.minimum(way, 1.0)
        angle = np.arctan2(np.diff(swerve), np.maximum(np.diff(way), _CREEP_M))
        stretch = max(0.0, 1.0 + _STRETCH * float(noise[1]))
        x = stretch * plan[:, 0] - swerve[1:] * np.sin(plan[:, 2])
        y = stretch * plan[:, 1] + swerve[1:] * np.cos(plan[:, 2])
        moved = np.column_stack([x, y, plan[:, 2] + angle]).ravel()
        return np.clip(moved, self.space.low, self.space.high).astype(np.float32)


CONTROLS: dict[str, type[Pedals] | type[Trajectories]] = {"pedals": Pedals, "trajectory": Trajectories}
