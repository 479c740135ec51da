"""The bicycle against closed forms: yaw rate, braking distance, the friction circle."""

import numpy as np
import pytest

from sims.driving.ego.vehicle import (
    GRAVITY_MPS2,
    MAX_STEER_RAD,
    control_for,
    ego_state,
    step_bicycle,
)
from sims.driving.scores.scene import AX, AY, HEADING, STEER, VX, YAW_RATE, VehicleParameters, X

WHEELBASE = VehicleParameters().wheelbase_m


def drive(state: np.ndarray, control: tuple[float, float], friction: float, steps: int) -> np.ndarray:
    for _ in range(steps):
        state = step_bicycle(state, np.array(control), friction, WHEELBASE)
    return state


@pytest.mark.parametrize("friction", [1.0, 0.5, 0.3, 0.15])
@pytest.mark.parametrize("speed", [2.0, 5.0, 10.0, 15.0, 25.0])
@pytest.mark.parametrize("steer_rad", [0.01, -0.05, 0.2, 0.5])
def test_yaw_rate_is_the_bicycles_up_to_what_friction_holds(speed, steer_rad, friction):
    state = drive(ego_state(0.0, 0.0, 0.0, speed), (steer_rad / MAX_STEER_RAD, 0.0), friction, 20)
    kinematic = speed * np.tan(steer_rad) / WHEELBASE
    expected = np.sign(steer_rad) * min(abs(kinematic), friction * GRAVITY_MPS2 / speed)
    assert state[VX] == pytest.approx(speed)
    assert state[YAW_RATE] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("friction", [1.0, 0.9, 0.5, 0.15])
@pytest.mark.parametrize("speed", [3.0, 10.0, 20.0])
def test_full_braking_needs_v_squared_over_two_mu_g(speed, friction):
    state = ego_state(0.0, 0.0, 0.0, speed)
    for _ in range(400):
        state = step_bicycle(state, np.array([0.0, -1.0]), friction, WHEELBASE)
    assert state[VX] == 0.0
    assert state[X] == pytest.approx(speed**2 / (2 * friction * GRAVITY_MPS2), abs=0.5 * friction * 9.81 * 0.02**2)


def test_braking_and_cornering_together_stay_on_the_friction_circle():
    rng = np.random.default_rng(0)
    state = ego_state(0.0, 0.0, 0.3, 15.0)
    used = []
    for _ in range(300):
        state = step_bicycle(state, rng.uniform(-1.0, 1.0, 2), 0.4, WHEELBASE)
        used.append(float(np.hypot(state[AX], state[AY])))
    # Lateral acceleration is told for the speed at the end of a substep of 20 ms, hence the little above one.
    assert max(used) <= 0.4 * GRAVITY_MPS2 * 1.01
    assert max(used) > 0.4 * GRAVITY_MPS2 * 0.95


def test_brakes_never_drive_the_car_backwards():
    state = drive(ego_state(0.0, 0.0, 0.0, 0.5), (0.3, -1.0), 0.9, 10)
    again = drive(state, (0.3, -1.0), 0.9, 10)
    assert again[VX] == 0.0
    assert again[:3] == pytest.approx(state[:3], abs=0.0)


def test_a_full_circle_comes_back_to_its_start():
    steer = 0.2
    speed = 2 * np.pi * WHEELBASE / np.tan(steer) / 20.0  # once round in 20 s
    state = ego_state(0.0, 0.0, 0.0, speed)
    state[STEER] = steer
    state = drive(state, (steer / MAX_STEER_RAD, 0.0), 1.0, 200)
    assert state[:2] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert state[HEADING] == pytest.approx(2 * np.pi, abs=1e-9)


def test_many_cars_at_once_move_like_each_alone_to_the_bit():
    rng = np.random.default_rng(1)
    places, speeds = rng.normal(size=(7, 3)), rng.uniform(0.0, 20.0, 7)
    states = np.stack([ego_state(x, y, h, v) for (x, y, h), v in zip(places, speeds, strict=True)])
    controls, friction = rng.uniform(-1, 1, (7, 2)), rng.uniform(0.1, 1.0, 7)
    together = step_bicycle(states, controls, friction, WHEELBASE)
    alone = [step_bicycle(s, c, float(f), WHEELBASE) for s, c, f in zip(states, controls, friction, strict=True)]
    assert np.array_equal(together, np.stack(alone))


def test_a_control_for_what_is_wanted_gives_it():
    state = step_bicycle(ego_state(0.0, 0.0, 0.0, 8.0), control_for(np.array(0.02), np.array(-3.0)), 0.9, WHEELBASE)
    assert state[STEER] == pytest.approx(0.02)
    assert state[AX] == pytest.approx(-3.0)
