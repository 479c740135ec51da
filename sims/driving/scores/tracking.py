"""From a plan to a drive: NAVSIM's proposal simulation, a tracking controller (LQR) on a kinematic bicycle with lags.

A plan of poses becomes 41 reference poses at 10 Hz (`reference_poses`), and these become the states that the scores
judge (`simulate`). Velocities and accelerations of a plan play no part; they are estimated from its poses.

How smooth the estimated speeds are is where the two originals differ, and with them about one EPDMS in fourteen. The
difference matrix of the least squares is meant to penalise changes of acceleration, and nuPlan's does ("nuplan"). Every
released NAVSIM writes the upper diagonal first and then writes over it, so that all accelerations but the last pair are
penalised themselves ("navsim", the default: plans are scored as NAVSIM scores them).

Source: NAVSIM, `batch_lqr.py`, `batch_lqr_utils.py`, `batch_kinematic_bicycle.py`, `pdm_simulator.py`, `pdm_score.py`;
nuPlan-devkit, `lqr.py`, `tracker_utils.py`, `kinematic_bicycle.py`.
"""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64

from sims.driving.scores import checks
from sims.driving.scores.scene import (
    AX,
    AY,
    HEADING,
    STATE_SIZE,
    STEER,
    STEER_RATE,
    VX,
    VY,
    YAW_ACC,
    YAW_RATE,
    EgoTrajectories,
    VehicleParameters,
    X,
    Y,
)

HORIZON = 10  # steps that the controller looks ahead
SPEED_COST, ACCELERATION_COST = 10.0, 1.0
ERROR_COSTS, STEER_RATE_COST = np.array([1.0, 10.0, 0.0]), 1.0  # lateral error, heading error, steering angle
JERK_PENALTY, CURVATURE_RATE_PENALTY, CURVATURE_PENALTY = 1e-4, 1e-2, 1e-10
STOPPING_MPS, STOPPING_GAIN = 0.2, 0.5
ACCELERATION_LAG_S, STEER_LAG_S = 0.2, 0.05
MAX_STEER = np.pi / 3.0

Batch = Float64[np.ndarray, " proposals"]
Smoothing = Literal["navsim", "nuplan"]


def simulate(
    poses: Float64[np.ndarray, " proposals time 3"],
    initial: Float64[np.ndarray, " 11"],
    vehicle: VehicleParameters | None = None,
    control_dt_s: float = 0.1,
    num_steps: int | None = None,
    smoothing: Smoothing = "navsim",
) -> EgoTrajectories:
    """Track reference poses (x, y, heading of the rear axle, map frame; the first is the start) and return the states.

    Args:
        poses: of each proposal.
        initial: state at the first pose.
        vehicle: NAVSIM's by default.
        control_dt_s: between poses.
        num_steps: to drive, at most one less than there are poses; all of them by default.
        smoothing: of the speeds read from the poses; "navsim" as it was released, "nuplan" as it was meant.

    Raises:
        ValueError: fewer than four poses (less has no jerk to penalise), NaN, an initial state of another size, more
            steps than the poses cover, an unknown smoothing.
    """
    poses = checks.frozen(poses, np.float64, (None, None, 3), "poses")
    initial = checks.frozen(initial, np.float64, (STATE_SIZE,), "initial state")
    checks.check_dt(control_dt_s, "control_dt_s")
    if poses.shape[1] < 4:
        raise ValueError(f"a plan to be tracked needs at least 4 poses, got {poses.shape[1]}.")
    num_steps = poses.shape[1] - 1 if num_steps is None else num_steps
    if not 1 <= num_steps < poses.shape[1]:
        raise ValueError(f"num_steps must lie between 1 and {poses.shape[1] - 1}, got {num_steps}.")
    wheelbase = (VehicleParameters() if vehicle is None else vehicle).wheelbase_m
    speed, curvature = estimated_profiles(poses, control_dt_s, smoothing)
    states = np.zeros((len(poses), num_steps + 1, STATE_SIZE))
    states[:, 0] = initial
    for step in range(1, num_steps + 1):
        now = states[:, step - 1]
        command = _commands(now, poses[:, step - 1], speed, curvature, step - 1, wheelbase, control_dt_s)
        states[:, step] = _moved(now, *command, wheelbase, control_dt_s)
    return EgoTrajectories(states, control_dt_s)


def reference_poses(
    plan: Float64[np.ndarray, " poses 3"],
    plan_dt_s: float,
    start: Float64[np.ndarray, " 3"],
    num_steps: int = 41,
    control_dt_s: float = 0.1,
) -> Float64[np.ndarray, " time 3"]:
    """Poses at the controller's rate of a plan given in the ego's frame (x forward, y left), start included.

    Between poses x, y and the unwrapped heading are interpolated linearly; beyond the plan's end the last pose stays.

    Raises:
        ValueError: no poses, NaN, a rate that is not positive.
    """
    plan = checks.frozen(plan, np.float64, (None, 3), "plan")
    start = checks.frozen(start, np.float64, (3,), "start pose")
    checks.check_dt(plan_dt_s, "plan_dt_s")
    if not len(plan):
        raise ValueError("a plan needs at least one pose.")
    cos, sin = np.cos(start[2]), np.sin(start[2])
    x = start[0] + cos * plan[:, 0] - sin * plan[:, 1]
    y = start[1] + sin * plan[:, 0] + cos * plan[:, 1]
    poses = np.vstack([start, np.column_stack([x, y, plan[:, 2] + start[2]])])
    poses[:, 2] = np.unwrap(poses[:, 2])
    known = np.arange(len(poses)) * plan_dt_s
    wanted = np.minimum(np.arange(num_steps) * control_dt_s, known[-1])
    sampled = np.column_stack([np.interp(wanted, known, poses[:, column]) for column in range(3)])
    sampled[:, 2] = _wrapped(sampled[:, 2])
    return sampled


def estimated_profiles(
    poses: Float64[np.ndarray, " proposals time 3"], control_dt_s: float, smoothing: Smoothing = "navsim"
) -> tuple[Float64[np.ndarray, " proposals steps"], Float64[np.ndarray, " proposals steps"]]:
    """Speed and curvature between poses, by least squares that penalise jerk (see above) and change of curvature."""
    if smoothing not in get_args(Smoothing):
        raise ValueError(f"smoothing must be one of {', '.join(get_args(Smoothing))}; got {smoothing!r}.")
    moved = np.diff(poses, axis=1)
    count, dt = moved.shape[1], control_dt_s
    heading = poses[:, :-1, 2]
    facing = np.stack([np.cos(heading), np.sin(heading)], axis=-1)[..., None]  # (proposals, steps, 2, 1)
    # Displacement at a step: dt times the first speed, dt^2 times each acceleration before it.
    share = np.tri(count) * dt**2
    share[:, 0] = dt
    matrix = (facing * share[:, None, :]).reshape(len(poses), 2 * count, count)
    change = _change_of_acceleration(count, smoothing)
    solution = _least_squares(matrix, moved[..., :2].reshape(len(poses), -1), JERK_PENALTY * (change.T @ change))
    speed = _summed(solution, dt)
    turn_share = np.tri(count) * (speed * dt**2)[..., None]
    turn_share[..., 0] = speed * dt
    penalty = CURVATURE_RATE_PENALTY * np.eye(count)
    penalty[0, 0] = CURVATURE_PENALTY
    curvature = _summed(_least_squares(turn_share, _wrapped(moved[..., 2]), penalty), dt)
    return speed, curvature


def _change_of_acceleration(count: int, smoothing: Smoothing) -> Float64[np.ndarray, " changes unknowns"]:
    """Rows that take a first speed and `count` - 1 accelerations to what is to be small."""
    eye, change = np.eye(count - 2), np.zeros((count - 2, count))
    change[:, 2:] = eye
    # NAVSIM's second assignment wipes out all of the first but its last entry.
    change[:, 1:-1] = -eye if smoothing == "navsim" else change[:, 1:-1] - eye
    return change


def _least_squares(matrix: np.ndarray, wanted: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    # Summed by einsum, in NAVSIM's order: near standstill the problem is so ill-conditioned that the last bit shows.
    transposed = matrix.transpose(0, 2, 1)
    inverse = np.linalg.pinv(np.einsum("bij, bjk -> bik", transposed, matrix) + penalty)
    return np.einsum("bij, bj -> bi", np.einsum("bij, bjk -> bik", inverse, transposed), wanted)


def _summed(solution: np.ndarray, dt: float) -> np.ndarray:
    """A first value and its rates of change, as values at each step."""
    rates = np.cumsum(solution[:, 1:] * dt, axis=-1)
    return solution[:, :1] + np.pad(rates, ((0, 0), (1, 0)))


def _commands(
    now: np.ndarray,
    reference: np.ndarray,
    speed: np.ndarray,
    curvature: np.ndarray,
    step: int,
    wheelbase: float,
    dt: float,
) -> tuple[Batch, Batch]:
    """Acceleration and steering rate: optimal over the horizon, or a brake where ego and plan have all but stopped."""
    ahead = min(step + HORIZON, speed.shape[1] - 1)
    wanted_speed = speed[:, ahead]
    columns = np.minimum(np.arange(step, step + HORIZON), ahead)
    stopping = (wanted_speed <= STOPPING_MPS) & (now[:, VX] <= STOPPING_MPS)
    gain = HORIZON * dt
    held = -1.0 / (gain * SPEED_COST * gain + ACCELERATION_COST) * gain * SPEED_COST * (now[:, VX] - wanted_speed)
    acceleration = np.where(stopping, -STOPPING_GAIN * (now[:, VX] - wanted_speed), held)
    coming = now[:, VX, None] + np.arange(HORIZON) * dt * acceleration[:, None]
    steer_rate = _steer_rate(now, reference, coming, curvature[:, columns], wheelbase, dt)
    return acceleration, np.where(stopping, 0.0, steer_rate)


def _steer_rate(
    now: np.ndarray, reference: np.ndarray, speed: np.ndarray, curvature: np.ndarray, wheelbase: float, dt: float
) -> Batch:
    """One steering rate held over the horizon that minimises the weighted errors at its end."""
    away = now[:, [X, Y]] - reference[:, :2]
    lateral = -away[:, 0] * np.sin(reference[:, 2]) + away[:, 1] * np.cos(reference[:, 2])
    errors = np.stack([lateral, _wrapped(now[:, HEADING] - reference[:, 2]), now[:, STEER]], axis=-1)
    response = np.zeros_like(errors)
    for k in range(speed.shape[1]):
        stride = speed[:, k] * dt
        errors = _one_step(errors, stride, wheelbase)
        errors[:, 1] -= stride * curvature[:, k]
        response = _one_step(response, stride, wheelbase)
        response[:, 2] += dt
    errors[:, 1:] = _wrapped(errors[:, 1:])
    weighted = response * ERROR_COSTS
    return -(weighted * errors).sum(axis=-1) / ((weighted * response).sum(axis=-1) + STEER_RATE_COST)


def _one_step(errors: np.ndarray, stride: np.ndarray, wheelbase: float) -> np.ndarray:
    """Lateral error, heading error and steering angle one step on, linearised for small angles."""
    lateral, heading, steer = errors.T
    return np.stack([lateral + stride * heading, heading + stride / wheelbase * steer, steer], axis=-1)


def _moved(now: np.ndarray, acceleration: Batch, steer_rate: Batch, wheelbase: float, dt: float) -> np.ndarray:
    """The kinematic bicycle one step on; acceleration and steering follow their commands with first-order lags."""
    new = np.zeros_like(now)
    felt = dt / (dt + ACCELERATION_LAG_S) * (acceleration - now[:, AX]) + now[:, AX]
    steer = dt / (dt + STEER_LAG_S) * (dt * steer_rate) + now[:, STEER]
    felt_rate = (steer - now[:, STEER]) / dt
    new[:, X] = now[:, X] + now[:, VX] * np.cos(now[:, HEADING]) * dt
    new[:, Y] = now[:, Y] + now[:, VX] * np.sin(now[:, HEADING]) * dt
    turn = now[:, VX] * np.tan(now[:, STEER]) / wheelbase
    new[:, HEADING] = (now[:, HEADING] + turn * dt + np.pi) % (2.0 * np.pi) - np.pi
    new[:, VX] = now[:, VX] + felt * dt
    new[:, VY], new[:, AX], new[:, AY] = 0.0, felt, 0.0
    new[:, STEER] = np.clip(now[:, STEER] + felt_rate * dt, -MAX_STEER, MAX_STEER)
    new[:, STEER_RATE] = felt_rate
    new[:, YAW_RATE] = new[:, VX] * np.tan(new[:, STEER]) / wheelbase
    new[:, YAW_ACC] = (new[:, YAW_RATE] - now[:, YAW_RATE]) / dt
    return new


def _wrapped(angle: np.ndarray) -> np.ndarray:
    return np.arctan2(np.sin(angle), np.cos(angle))
