"""The ego on wheels beside closed forms: yaw rate over speed, steering and friction; braking distances.

    python tests/benchmarks/driving_wheels.py

A cell is the yaw rate after four seconds at constant speed, over the kinematic bicycle's v tan(steer) / wheelbase and
the friction circle's mu g / v; the smaller of the two is what to expect. "!" marks cells more than 2 % away from it:
near the limit the car begins to slide, and front wheels that are turned far beyond it brake more than they turn.
"""

import sys
from pathlib import Path

import mujoco
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from sims.driving import wheels
from sims.driving.scores.scene import VX, YAW_RATE, VehicleParameters, X
from sims.driving.vehicle import GRAVITY_MPS2, MAX_STEER_RAD, ego_state

CAR = VehicleParameters()
SPEEDS = (3.0, 5.0, 8.0, 12.0, 16.0, 20.0, 25.0)
STEERS = (0.02, 0.05, 0.1, 0.2, 0.4)
FRICTIONS = (0.9, 0.5, 0.2)


def make() -> wheels.Wheels:
    """The car on an empty plain."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    wheels.add_car(spec, CAR)
    model = spec.compile()
    return wheels.Wheels(model, mujoco.MjData(model), CAR)


def yaw_rate(car: wheels.Wheels, speed: float, steer: float, friction: float) -> tuple[float, float, float]:
    """Measured, the bicycle's, the friction circle's, rad/s."""
    state = ego_state(0.0, 0.0, 0.0, speed)
    car.place(state)
    for _ in range(40):
        pedal = np.clip(0.5 * (speed - state[VX]), -1, 1)
        state = car.drive(state, np.array([steer / MAX_STEER_RAD, pedal]), friction, 0.1)
    return state[YAW_RATE], state[VX] * np.tan(steer) / CAR.wheelbase_m, friction * GRAVITY_MPS2 / state[VX]


def braking_distance(car: wheels.Wheels, speed: float, friction: float) -> float:
    """Metres from full braking to standing."""
    state = ego_state(0.0, 0.0, 0.0, speed)
    car.place(state)
    while state[VX] > 0.02:
        state = car.drive(state, np.array([0.0, -1.0]), friction, 0.1)
    return state[X]


def main() -> None:
    """Print both tables."""
    car = make()
    for friction in FRICTIONS:
        print(f"\nfriction {friction:g}: yaw rate / bicycle / circle, rad/s")
        print("steer  " + "".join(f"{f'{speed:g} m/s':>19s}" for speed in SPEEDS))
        for steer in STEERS:
            cells = []
            for speed in SPEEDS:
                measured, bicycle, circle = yaw_rate(car, speed, steer, friction)
                mark = "!" if abs(measured / min(bicycle, circle) - 1) > 0.02 else " "
                cells.append(f"{measured:6.3f}/{bicycle:.3f}/{circle:.2f}{mark}")
            print(f"{steer:5.2f}  " + "".join(f"{cell:>19s}" for cell in cells))
    print("\nbraking distance from full speed / v^2 / (2 mu g), m")
    for friction in FRICTIONS:
        row = [
            (v, braking_distance(car, v, friction), v * v / (2 * friction * GRAVITY_MPS2)) for v in (5.0, 15.0, 25.0)
        ]
        print(f"friction {friction:g}: " + ", ".join(f"{v:g} m/s {got:.2f}/{want:.2f}" for v, got, want in row))


if __name__ == "__main__":
    main()
