"""The bicycle against the kinematic single-track model of CommonRoad's published vehicle models."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from sims.driving.scores.scene import STEER, VX, YAW_RATE
from sims.driving.vehicle import MAX_STEER_RAD, MAX_STEER_RATE_RADPS, ego_state, step_bicycle

ks = pytest.importorskip("vehiclemodels.vehicle_dynamics_ks")
parameters_vehicle2 = pytest.importorskip("vehiclemodels.parameters_vehicle2")

SECONDS = 4.0


def reference(speed: float, steer: float, acceleration: float) -> np.ndarray:
    """x, y, steer, speed, heading after four seconds of their model, its wheels turning at our rate."""
    parameters = parameters_vehicle2.parameters_vehicle2()  # BMW 320i
    ramp_s = abs(steer) / MAX_STEER_RATE_RADPS

    parameters.steering.v_min, parameters.steering.v_max = -1.0, 1.0

    def rate(_time: float, state: np.ndarray, turning: float) -> list[float]:
        return list(ks.vehicle_dynamics_ks(state, [turning, acceleration], parameters))

    state = np.array([0.0, 0.0, 0.0, speed, 0.0])
    turning = np.sign(steer) * MAX_STEER_RATE_RADPS
    for span, rate_radps in (((0.0, ramp_s), turning), ((ramp_s, SECONDS), 0.0)):  # no step spans the corner
        state = solve_ivp(rate, span, state, args=(rate_radps,), rtol=1e-9, atol=1e-9).y[:, -1]
    return state


@pytest.mark.parametrize("acceleration", [0.0, 1.0, -0.5])
@pytest.mark.parametrize("steer", [0.02, -0.05, 0.15])
@pytest.mark.parametrize("speed", [5.0, 10.0, 15.0])
def test_four_seconds_below_the_limit_of_friction_agree(speed, steer, acceleration):
    parameters = parameters_vehicle2.parameters_vehicle2()
    wheelbase = parameters.a + parameters.b
    theirs = reference(speed, steer, acceleration)
    fastest = max(speed, float(theirs[3]))
    if fastest**2 * np.tan(abs(steer)) / wheelbase > 0.85 * 9.81:
        pytest.skip("beyond what tyres hold: their kinematic model knows no friction")
    pedal = acceleration / (3.0 if acceleration > 0 else 10.0)
    state = ego_state(0.0, 0.0, 0.0, speed)
    for _ in range(int(SECONDS * 10)):
        state = step_bicycle(state, np.array([steer / MAX_STEER_RAD, pedal]), 1.0, wheelbase)
    assert state[STEER] == pytest.approx(theirs[2], abs=1e-6)
    assert state[VX] == pytest.approx(theirs[3], abs=1e-6)
    assert state[YAW_RATE] == pytest.approx(theirs[3] * np.tan(theirs[2]) / wheelbase, rel=2e-3)
    # Steering within a substep of 20 ms takes effect at its end here and continuously there.
    assert state[2] == pytest.approx(theirs[4], abs=0.02 * abs(steer) * fastest / wheelbase + 1e-3)
    assert np.hypot(*(state[:2] - theirs[:2])) < 0.01 * SECONDS * fastest
