"""The ego car as a kinematic bicycle whose tyres hold no more than friction allows.

A control is (steer, acceleration) in [-1, 1]. Steering moves the front wheels towards `steer * MAX_STEER_RAD` at a
limited rate; acceleration asks for up to `MAX_ACCELERATION_MPS2`, or `MAX_BRAKING_MPS2` the other way, which is more
than any road gives, so full braking always uses all the friction there is.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Float64

from sims.driving.scores.scene import AX, AY, HEADING, STATE_SIZE, STEER, STEER_RATE, VX, VY, YAW_ACC, YAW_RATE, X, Y

GRAVITY_MPS2 = 9.81
MAX_STEER_RAD = 0.6
MAX_STEER_RATE_RADPS = 0.8
MAX_ACCELERATION_MPS2 = 3.0
MAX_BRAKING_MPS2 = 10.0
CONTROL_DT_S = 0.1


def ego_state(x: float, y: float, heading: float, speed_mps: float) -> Float64[np.ndarray, " 11"]:
    """A car that drives straight on."""
    state = np.zeros(STATE_SIZE)
    state[[X, Y, HEADING, VX]] = x, y, heading, speed_mps
    return state


def step_bicycle(
    state: Float[np.ndarray, " *batch 11"],
    control: Float[np.ndarray, " *batch 2"],
    friction: "float | Float[np.ndarray, ' *batch']",
    wheelbase_m: float,
    dt_s: float = CONTROL_DT_S,
    num_substeps: int = 5,
) -> Float64[np.ndarray, " *batch 11"]:
    """The car's state (columns of `scores.scene`, rear axle) after `dt_s` under a control.

    Where braking and cornering together ask for more than friction x gravity, both shrink alike: the car runs wide and
    stops late. Between substeps it moves on exact arcs.

    Source: kinematic single-track model, CommonRoad vehicle models (Althoff et al. 2017), section 5.
    """
    state = np.array(state, np.float64)
    steer_target = control[..., 0] * MAX_STEER_RAD
    pedal = control[..., 1]
    wanted = np.where(pedal > 0, pedal * MAX_ACCELERATION_MPS2, pedal * MAX_BRAKING_MPS2)
    before = state[..., YAW_RATE].copy()
    h = dt_s / num_substeps
    for _ in range(num_substeps):
        _substep(state, steer_target, wanted, friction * GRAVITY_MPS2, wheelbase_m, h)
    state[..., YAW_ACC] = (state[..., YAW_RATE] - before) / dt_s
    return state


def _substep(
    state: np.ndarray,
    steer_target: np.ndarray,
    wanted: np.ndarray,
    grip_mps2: "float | np.ndarray",
    wheelbase_m: float,
    h: float,
) -> None:
    steer, speed, heading = state[..., STEER], state[..., VX], state[..., HEADING]
    turned = np.clip(steer_target - steer, -MAX_STEER_RATE_RADPS * h, MAX_STEER_RATE_RADPS * h)
    steer = steer + turned
    curvature = np.tan(steer) / wheelbase_m
    demand = np.hypot(wanted, speed * speed * curvature)
    share = np.minimum(1.0, grip_mps2 / np.maximum(demand, 1e-9))
    acceleration = np.maximum(wanted * share, -speed / h)  # brakes stop a car, they don't drive it backwards
    moved = (speed + 0.5 * acceleration * h) * h
    turn = moved * curvature * share
    half = 0.5 * turn
    chord = moved * np.sinc(half / np.pi)
    state[..., X] += chord * np.cos(heading + half)
    state[..., Y] += chord * np.sin(heading + half)
    state[..., HEADING] = heading + turn
    state[..., VX] = speed + acceleration * h
    state[..., VY] = 0.0
    state[..., YAW_RATE] = turn / h
    state[..., AX] = acceleration
    state[..., AY] = state[..., VX] * state[..., YAW_RATE]
    state[..., STEER] = steer
    state[..., STEER_RATE] = turned / h


def roll(
    state: Float[np.ndarray, " 11"],
    control: Callable[[Float64[np.ndarray, " 11"]], Sequence[float] | Float64[np.ndarray, " 2"]],
    num_steps: int,
    friction: float,
    wheelbase_m: float,
) -> Float64[np.ndarray, " time 11"]:
    """The car's next states while a control is a function of its own state."""
    states = [np.array(state, np.float64)]
    for _ in range(num_steps):
        wanted = np.array(control(states[-1]), np.float64)
        states.append(step_bicycle(states[-1], wanted, friction, wheelbase_m))
    return np.stack(states[1:])


def control_for(
    steer_rad: Float[np.ndarray, " *batch"], acceleration_mps2: Float[np.ndarray, " *batch"]
) -> Float64[np.ndarray, " *batch 2"]:
    """The control that asks for a wheel angle and an acceleration, clipped to what there is."""
    scale = np.where(np.asarray(acceleration_mps2) > 0, MAX_ACCELERATION_MPS2, MAX_BRAKING_MPS2)
    return np.clip(np.stack([steer_rad / MAX_STEER_RAD, acceleration_mps2 / scale], axis=-1), -1.0, 1.0)
