"""How smooth a drive is: six bounds on smoothed series, and how far two successive plans differ.

Source: NAVSIM, `pdm_comfort_metrics.py` (branch v1.1; v2.2); nuPlan, `state_extractors.py`. The window lengths stand
there twice and disagree: yaw rate and yaw acceleration name 15 (version 1: the whole drive) but filter with 5. The code
is followed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from scipy.signal import savgol_filter

from sims.driving.scores import checks
from sims.driving.scores.result import Event
from sims.driving.scores.scene import AX, AY, HEADING, STATE_SIZE, STEER_RATE, YAW_ACC, YAW_RATE, VehicleParameters

# Open intervals: a value on a bound is uncomfortable. m/s^2, m/s^3, rad/s^2, rad/s.
BOUNDS: Mapping[str, tuple[float, float]] = {
    "longitudinal_acceleration": (-4.05, 2.40),
    "lateral_acceleration": (-4.89, 4.89),
    "jerk": (-8.37, 8.37),
    "longitudinal_jerk": (-4.13, 4.13),
    "yaw_acceleration": (-1.93, 1.93),
    "yaw_rate": (-0.95, 0.95),
}
# Largest root mean square difference between two plans that still counts as comfortable.
EXTENDED_LIMITS: Mapping[str, float] = {"acceleration": 0.7, "jerk": 0.5, "yaw_rate": 0.1, "yaw_acceleration": 0.1}
MAX_PLAN_GAP_S = 0.55
MIN_STEPS = 5
ACCELERATION_WINDOW, JERK_WINDOW = 8, 15  # samples of the smoothing filters
_DECIMALS = 8

Series = Float64[np.ndarray, " proposals time"]


@dataclass(frozen=True)
class ExtendedComfort:
    """How a plan differs from the one made shortly before, where they overlap.

    Attributes:
        rms: root mean square difference by quantity.
        comfortable: none is above its limit.
        worst: quantity and step (of the later plan) of the largest difference relative to its limit.
    """

    rms: Mapping[str, float]
    comfortable: bool
    worst: tuple[str, int]


def comfort_series(
    states: Float64[np.ndarray, " proposals time 11"],
    times_s: Float64[np.ndarray, " time"],
    vehicle: VehicleParameters,
) -> dict[str, Series]:
    """The six bounded series of NAVSIM v2 and nuPlan.

    Longitudinal and lateral acceleration are those of the car's centre (with the signs of nuPlan's
    `get_acceleration_shifted`, which adds yaw rate squared and yaw acceleration to the longitudinal component);
    magnitudes are the rear axle's.

    Raises:
        ValueError: fewer than five steps.
    """
    ahead = vehicle.rear_axle_to_centre_m
    forwards = states[..., AX] + ahead * states[..., YAW_RATE] ** 2 + ahead * states[..., YAW_ACC]
    return _series(states, times_s, forwards, ACCELERATION_WINDOW, JERK_WINDOW)


def comfort_series_v1(
    states: Float64[np.ndarray, " proposals time 11"], times_s: Float64[np.ndarray, " time"]
) -> dict[str, Series]:
    """The six bounded series of NAVSIM v1: accelerations of the rear axle, smoothed over the whole drive at once.

    Its filters are given the length of the drive as their window, so bounded are one parabola through all 41
    accelerations and one straight line through the parabola's slope; a short push or jolt passes unnoticed. The
    acceleration whose slope is the jerk is smoothed as in version 2 before, and yaw keeps its window of five samples.

    Raises:
        ValueError: fewer than five steps.
    """
    return _series(states, times_s, states[..., AX], states.shape[1], states.shape[1])


def _series(
    states: np.ndarray, times_s: np.ndarray, forwards: np.ndarray, acceleration_window: int, jerk_window: int
) -> dict[str, Series]:
    if states.shape[1] < MIN_STEPS:
        raise ValueError(f"comfort needs at least {MIN_STEPS} steps, got {states.shape[1]}.")
    magnitude = np.hypot(states[..., AX], states[..., AY])
    return {
        "longitudinal_acceleration": _smooth(forwards, acceleration_window),
        "lateral_acceleration": _smooth(states[..., AY], acceleration_window),
        "jerk": _jerk(magnitude, times_s, jerk_window),
        "longitudinal_jerk": _jerk(forwards, times_s, jerk_window),
        "yaw_acceleration": _yaw_derivative(states, times_s, deriv=2, polyorder=3),
        "yaw_rate": _yaw_derivative(states, times_s, deriv=1, polyorder=2),
    }


def within_bounds(series: Mapping[str, Series]) -> Bool[np.ndarray, " proposals"]:
    """All values of all series strictly within their bounds."""
    flags = [((series[name] > low) & (series[name] < high)).all(axis=-1) for name, (low, high) in BOUNDS.items()]
    return np.asarray(np.stack(flags).all(axis=0))


def comfort_events(
    term: str, series: Mapping[str, Series], proposal: int, first_step: int, control_dt_s: float
) -> list[Event]:
    """For each bound that a proposal breaks, the first step at which it does; row 0 of the series is `first_step`."""
    events = []
    for name, (low, high) in BOUNDS.items():
        values = series[name][proposal]
        bad = np.flatnonzero(~((values > low) & (values < high)))
        if len(bad):
            step = int(bad[0]) + first_step
            detail = f"{name} {values[bad[0]]:.4g} is not within ({low}, {high})"
            events.append(Event(term, step, step * control_dt_s, None, detail))
    return events


def history_padded(
    states: Float64[np.ndarray, " proposals time 11"], history: Float64[np.ndarray, " past 11"]
) -> Float64[np.ndarray, " proposals padded 11"]:
    """Every proposal with the same past in front."""
    return np.concatenate([np.broadcast_to(history, (len(states), *history.shape)), states], axis=1)


def navsim_history(past: Float64[np.ndarray, " past 11"]) -> Float64[np.ndarray, " shorter 11"]:
    """What NAVSIM v2 puts in front of a plan, given every past state up to one step before the plan's first.

    Its sampling leaves out the state just before the plan (the range excludes its end, and the last entry is then
    dropped once more): of -1.5 s to -0.1 s it keeps -1.5 s to -0.2 s and goes on with 0.0 s as if nothing were missing.
    It interpolates the past between recorded states, and nuPlan's interpolation forgets how fast a car turns and
    steers: in the past, accelerations of the centre are those of the rear axle.

    Source: NAVSIM, `PDMScorer._calculate_history_comfort`; nuPlan, `EgoState.to_split_state`.
    """
    kept = np.array(past[:-1], np.float64)
    kept[:, [STEER_RATE, YAW_RATE, YAW_ACC]] = 0.0
    return kept


def extended_comfort(
    plan: Float64[np.ndarray, " time 11"],
    earlier: Float64[np.ndarray, " time 11"],
    gap_s: float,
    control_dt_s: float = 0.1,
) -> ExtendedComfort:
    """Compare a simulated plan with the one simulated `gap_s` before, where they overlap.

    Raises:
        ValueError: plans of different shape, NaN, a gap outside (0, 0.55) seconds or of no whole step.

    Source: NAVSIM, `SceneAggregator._compute_two_frame_comfort`, `ego_is_two_frame_extended_comfort`.
    """
    plan = checks.frozen(plan, np.float64, (None, STATE_SIZE), "plan")
    earlier = checks.frozen(earlier, np.float64, (len(plan), STATE_SIZE), "earlier plan")
    if not 0.0 < gap_s < MAX_PLAN_GAP_S:
        raise ValueError(f"gap_s between successive plans must be in (0, {MAX_PLAN_GAP_S}) s, got {gap_s!r}.")
    skipped = round(gap_s / control_dt_s)
    if not 0 < skipped <= len(plan) - MIN_STEPS:
        raise ValueError(f"gap_s {gap_s} is {skipped} steps of {control_dt_s} s; plans of {len(plan)} do not overlap.")
    later, before = _compared(plan[:-skipped], control_dt_s), _compared(earlier[skipped:], control_dt_s)
    differences = {name: later[name] - before[name] for name in EXTENDED_LIMITS}
    rms = {name: float(np.sqrt(np.mean(difference**2))) for name, difference in differences.items()}
    worst = max(EXTENDED_LIMITS, key=lambda name: rms[name] / EXTENDED_LIMITS[name])
    comfortable = all(rms[name] <= limit for name, limit in EXTENDED_LIMITS.items())
    return ExtendedComfort(rms, comfortable, (worst, int(np.abs(differences[worst]).argmax())))


def _compared(states: np.ndarray, control_dt_s: float) -> dict[str, np.ndarray]:
    states, times_s = states[None], np.arange(len(states)) * control_dt_s
    magnitude = np.hypot(states[..., AX], states[..., AY])
    series = {
        "acceleration": _smooth(magnitude),
        "jerk": _jerk(magnitude, times_s),
        "yaw_rate": _yaw_derivative(states, times_s, deriv=1, polyorder=2),
        "yaw_acceleration": _yaw_derivative(states, times_s, deriv=2, polyorder=2),
    }
    return {name: values[0] for name, values in series.items()}


def _smooth(acceleration: np.ndarray, window: int = ACCELERATION_WINDOW) -> np.ndarray:
    window = min(window, acceleration.shape[-1])
    smooth = np.asarray(savgol_filter(acceleration, polyorder=2, window_length=window, axis=-1))
    return np.round(smooth, _DECIMALS)


def _jerk(acceleration: np.ndarray, times_s: np.ndarray, window: int = JERK_WINDOW) -> np.ndarray:
    return np.round(_derivative(_smooth(acceleration), times_s, window=window, deriv=1, polyorder=2), _DECIMALS)


def _yaw_derivative(states: np.ndarray, times_s: np.ndarray, deriv: int, polyorder: int) -> np.ndarray:
    heading = states[..., HEADING]
    turns = np.zeros_like(heading)
    turns[..., 1:] = np.cumsum(np.round(np.diff(heading, axis=-1) / (2.0 * np.pi)), axis=-1)
    unwrapped = heading - 2.0 * np.pi * turns
    return np.round(_derivative(unwrapped, times_s, window=5, deriv=deriv, polyorder=polyorder), _DECIMALS)


def _derivative(values: np.ndarray, times_s: np.ndarray, window: int, deriv: int, polyorder: int) -> np.ndarray:
    delta = np.diff(times_s).mean()
    window = min(window, len(times_s))
    return np.asarray(savgol_filter(values, window, polyorder, deriv=deriv, delta=delta, axis=-1))
