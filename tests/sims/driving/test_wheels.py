# pyright: reportAttributeAccessIssue=false
"""The car on wheels against closed forms: turning below and beyond the limit of grip, braking, speeding up."""

import mujoco
import numpy as np
import pytest

from sims.driving.ego import wheels
from sims.driving.ego.vehicle import GRAVITY_MPS2, MAX_ACCELERATION_MPS2, MAX_STEER_RAD, ego_state, step_bicycle
from sims.driving.scores.scene import AY, HEADING, STEER, VX, VY, YAW_RATE, VehicleParameters, X, Y

CAR = VehicleParameters()


@pytest.fixture(scope="module")
def car():
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    wheels.add_car(spec, CAR)
    model = spec.compile()
    return wheels.Wheels(model, mujoco.MjData(model), CAR)


def drive(car, state, steer, friction, seconds, speed):
    """Hold a steering angle and a speed."""
    for _ in range(round(seconds * 10)):
        pedal = np.clip(0.5 * (speed - state[VX]), -1, 1)
        state = car.drive(state, np.array([steer / MAX_STEER_RAD, pedal]), friction, 0.1)
    return state


@pytest.mark.parametrize("friction", [0.9, 0.5, 0.2])
@pytest.mark.parametrize("steer", [0.02, -0.1, 0.2])
@pytest.mark.parametrize("speed", [3.0, 8.0, 16.0, 25.0])
def test_the_yaw_rate_is_the_bicycles_until_grip_ends_and_then_the_friction_circles(car, friction, steer, speed):
    start = ego_state(5.0, -3.0, 2.0, speed)
    car.place(start)
    end = drive(car, start, steer, friction, 4.0, speed)
    geometric = end[VX] * np.tan(steer) / CAR.wheelbase_m
    limit = friction * GRAVITY_MPS2 / end[VX]
    assert end[STEER] == pytest.approx(steer)
    if abs(geometric) < 0.8 * limit:
        assert end[YAW_RATE] == pytest.approx(geometric, rel=0.01)
        assert abs(end[VY]) < 0.1
    elif abs(geometric) > 1.25 * limit:
        assert end[YAW_RATE] == pytest.approx(np.sign(steer) * limit, rel=0.05)


@pytest.mark.parametrize("friction", [0.9, 0.2])
def test_the_braking_distance_is_that_of_sliding(car, friction):
    state = ego_state(0.0, 0.0, 0.0, 15.0)
    car.place(state)
    while state[VX] > 0.02:
        state = car.drive(state, np.array([0.0, -1.0]), friction, 0.1)
    assert state[X] == pytest.approx(15.0**2 / (2 * friction * GRAVITY_MPS2), rel=0.01)
    assert abs(state[Y]) < 1e-3
    assert abs(state[HEADING]) < 1e-3


def test_full_throttle_accelerates_as_the_bicycle_does(car):
    state = ego_state(0.0, 0.0, 0.0, 0.0)
    car.place(state)
    state = drive(car, state, 0.0, 0.9, 3.0, 1e9)
    assert state[VX] == pytest.approx(3.0 * MAX_ACCELERATION_MPS2, rel=0.01)


def test_a_braked_car_stands_and_a_free_one_rolls(car):
    state = ego_state(0.0, 0.0, 0.0, 0.0)
    car.place(state)
    state = car.drive(state, np.array([0.0, -1.0]), 0.9, 3.0)
    assert abs(state[X]) < 1e-5
    rolling = ego_state(0.0, 0.0, 0.0, 5.0)
    car.place(rolling)
    assert car.drive(rolling, np.zeros(2), 0.9, 2.0)[X] == pytest.approx(10.0, rel=0.01)


def test_in_ordinary_driving_both_egos_go_the_same_way(car):
    rng = np.random.default_rng(0)
    on_wheels = bicycle = ego_state(0.0, 0.0, 0.5, 8.0)
    car.place(on_wheels)
    control = np.zeros(2)
    for _ in range(60):
        control = 0.8 * control + rng.normal(scale=(0.03, 0.1))
        on_wheels = car.drive(on_wheels, control, 0.9, 0.1)
        bicycle = step_bicycle(bicycle, control, 0.9, CAR.wheelbase_m)
        assert abs(bicycle[AY]) < 4.5, "beyond that they may differ"
    travelled = 60 * 0.1 * 8.0
    assert np.hypot(*(on_wheels - bicycle)[[X, Y]]) < 0.02 * travelled
    assert abs(on_wheels[HEADING] - bicycle[HEADING]) < 0.02
