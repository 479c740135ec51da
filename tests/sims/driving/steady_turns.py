# pyright: reportAttributeAccessIssue=false
"""Five vehicle models driven alike: a wheel angle and a speed held for eight seconds, then what they came to.

Ours (bicycle, wheels) have the wheelbase, centre of gravity and track of CommonRoad's BMW 320i, so that its published
models can stand beside them: "single-track" (linear tyres, no friction limit), "drift" (single track, Pacejka's tyres)
and "multi-body" (load transfer, roll, pitch, Pacejka's tyres). Friction is set as the peak of their tyres' curves
(`p_dx1`, `p_dy1`); the slope of these curves at zero slip stays, as on a wet road.

Source: CommonRoad vehicle models 3.0.2 (Althoff, Wuersching 2020), parameter set 2.
"""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
from scipy.integrate import solve_ivp

from sims.driving.ego import wheels
from sims.driving.ego.vehicle import GRAVITY_MPS2, MAX_STEER_RAD, ego_state, step_bicycle
from sims.driving.scores.scene import VX, YAW_RATE, VehicleParameters

A_M, B_M, TRACK_M = 1.1561957064, 1.4227170936, 1.38684  # parameter set 2: axles from the centre of gravity, track
WHEELBASE_M = A_M + B_M
PUBLISHED = {"single-track": "st", "drift": "std", "multi-body": "mb"}
SECONDS, SETTLED_S = 8.0, 4.0  # means are taken from here on
_RATE_RADPS = 0.4  # at which their front wheels may turn
_PEDAL_PER_MPS = 0.5  # of the speed that is missing, in ours; their engines push as hard


def is_installed() -> bool:
    """Whether the published models are (extra `oracles`)."""
    return importlib.util.find_spec("vehiclemodels") is not None


def closed_forms(speed: float, steer: float, friction: float) -> tuple[float, float]:
    """Yaw rate of the kinematic bicycle and of the friction circle, rad/s."""
    return speed * np.tan(steer) / WHEELBASE_M, friction * GRAVITY_MPS2 / speed


def demand(speed: float, steer: float, friction: float) -> float:
    """Lateral acceleration that the bicycle asks for, over what friction holds."""
    bicycle, circle = closed_forms(speed, steer, friction)
    return bicycle / circle


def published_turn(model: str, speed: float, steer: float, friction: float) -> tuple[float, float]:
    """Mean yaw rate and speed of a published model; NaN where it spins until its equations break down."""
    short = PUBLISHED[model]
    rates = getattr(importlib.import_module(f"vehiclemodels.vehicle_dynamics_{short}"), f"vehicle_dynamics_{short}")
    parameters = importlib.import_module("vehiclemodels.parameters_vehicle2").parameters_vehicle2()
    parameters.tire.p_dx1 = parameters.tire.p_dy1 = friction
    state = [0.0, 0.0, 0.0, speed, 0.0, 0.0, 0.0]
    if short != "st":
        state = getattr(importlib.import_module(f"vehiclemodels.init_{short}"), f"init_{short}")(state, parameters)

    def rate(_time: float, now: np.ndarray, turning: float) -> list[float]:
        push = float(np.clip(3.0 * _PEDAL_PER_MPS * (speed - now[3]), -3.0, 3.0))
        return rates(list(now), [turning, push], parameters)

    turned_s = steer / _RATE_RADPS
    turning = _integrate(rate, (0.0, turned_s), np.array(state), _RATE_RADPS, None)
    settled = np.linspace(SETTLED_S, SECONDS, 41)
    held = _integrate(rate, (turned_s, SECONDS), turning[:, -1], 0.0, settled)
    if held.shape[1] < len(settled) or not np.isfinite(held).all():
        return np.nan, np.nan
    along = held[3] if short != "mb" else np.hypot(held[3], held[10])
    return float(held[5].mean()), float(along.mean())


def _integrate(
    rate: Callable[..., Any], span: tuple[float, float], state: np.ndarray, turning: float, at: np.ndarray | None
) -> np.ndarray:
    with np.errstate(all="ignore"):
        return solve_ivp(rate, span, state, "LSODA", at, args=(turning,), rtol=1e-6, atol=1e-8).y


def bicycle_turn(speed: float, steer: float, friction: float) -> tuple[float, float]:
    """Mean yaw rate and speed of our bicycle."""
    return _held(
        lambda state, control: step_bicycle(state, control, friction, WHEELBASE_M),
        ego_state(0.0, 0.0, 0.0, speed),
        steer,
    )


def wheels_turn(car: wheels.Wheels, speed: float, steer: float, friction: float) -> tuple[float, float]:
    """Mean yaw rate and speed of our car on wheels."""
    start = ego_state(0.0, 0.0, 0.0, speed)
    car.place(start)
    return _held(lambda state, control: car.drive(state, control, friction, 0.1), start, steer)


def _held(step: Callable[[np.ndarray, np.ndarray], np.ndarray], state: np.ndarray, steer: float) -> tuple[float, float]:
    speed, history = state[VX], []
    for _ in range(round(SECONDS * 10)):
        pedal = np.clip(_PEDAL_PER_MPS * (speed - state[VX]), -1.0, 1.0)
        state = step(state, np.array([steer / MAX_STEER_RAD, pedal]))
        history.append((state[YAW_RATE], state[VX]))
    yaw_rate, along = np.mean(history[round(SETTLED_S * 10) :], axis=0)
    return float(yaw_rate), float(along)


def wheels_like_theirs() -> wheels.Wheels:
    """The car on wheels with their wheelbase, centre of gravity and track, on an empty plain."""
    car = VehicleParameters(
        width_m=TRACK_M + 5 * wheels.WHEEL_HALF_WIDTH_M, front_m=WHEELBASE_M + 0.9, wheelbase_m=WHEELBASE_M, cog_m=B_M
    )
    return wheels_of(car)


def wheels_of(car: VehicleParameters) -> wheels.Wheels:
    """A car on wheels on an empty plain."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    wheels.add_car(spec, car)
    model = spec.compile()
    return wheels.Wheels(model, mujoco.MjData(model), car)
