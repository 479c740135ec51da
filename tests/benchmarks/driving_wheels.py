"""Both egos beside closed forms and published vehicle models: yaw rate over speed, steering, friction; braking.

    python -m tests.benchmarks.driving_wheels [--json FILE]

First the car on wheels. A cell is the yaw rate after four seconds at constant speed, over the kinematic bicycle's
v tan(steer) / wheelbase and the friction circle's mu g / v; the smaller of the two is what to expect. "!" marks cells
more than 2 % away from it: near the limit the car begins to slide, and front wheels that are turned far beyond it brake
more than they turn.

Then, where the extra `oracles` is installed, bicycle and wheels beside CommonRoad's single-track, drift and multi-body
models (`tests/sims/driving/steady_turns.py` says how they are driven alike), and how far ours are from each, by how
much of the friction the turn asks for. That is where the validity of each ends:

- single-track has linear tyres and knows no friction: beyond 0.6 of it the yaw rate is too high without bound.
- drift and multi-body have tyres that slide, and are what the others are measured by; the multi-body car, driven at the
  rear, spins (NaN) at friction 0.9 where it slides: its inner rear wheel loses its hold while it keeps the speed.
- ours turn like the bicycle up to the friction circle and along it from there, with no transition in between.
"""

import argparse
import json
import math
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from sims.driving.ego import wheels
from sims.driving.ego.vehicle import GRAVITY_MPS2, MAX_STEER_RAD, ego_state
from sims.driving.scores.scene import VX, YAW_RATE, VehicleParameters, X
from tests.sims.driving import steady_turns

CAR = VehicleParameters()
SPEEDS = (3.0, 5.0, 8.0, 12.0, 16.0, 20.0, 25.0)
STEERS = (0.02, 0.05, 0.1, 0.2, 0.4)
FRICTIONS = (0.9, 0.5, 0.2)
TURN_SPEEDS, TURN_STEERS, TURN_FRICTIONS = (5.0, 10.0, 15.0, 20.0, 25.0), (0.02, 0.05, 0.1, 0.2), (0.9, 0.5, 0.3)
BANDS = ((0.0, 0.6), (0.6, 1.0), (1.0, math.inf))
OURS = ("bicycle", "wheels")
Row = dict[str, float]


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


def turns() -> list[Row]:
    """Every model's settled yaw rate over friction, steering and speed, rad/s."""
    car, rows = steady_turns.wheels_like_theirs(), []
    for friction in TURN_FRICTIONS:
        for steer in TURN_STEERS:
            for speed in TURN_SPEEDS:
                case = (speed, steer, friction)
                row = {"friction": friction, "steer_rad": steer, "speed_mps": speed}
                row["demand"] = steady_turns.demand(*case)
                row["kinematic"], row["circle"] = steady_turns.closed_forms(*case)
                row["bicycle"] = steady_turns.bicycle_turn(*case)[0]
                row["wheels"] = steady_turns.wheels_turn(car, *case)[0]
                row |= {model: steady_turns.published_turn(model, *case)[0] for model in steady_turns.PUBLISHED}
                rows.append(row)
    return rows


def distances(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Least and most percent by which ours turn faster than each published model, by share of friction asked for."""
    found = []
    for low, high in BANDS:
        for model in steady_turns.PUBLISHED:
            here = [row for row in rows if low < row["demand"] <= high and not math.isnan(row[model])]
            band: dict[str, object] = {"demand_above": low, "demand_to": high if high < math.inf else None}
            band |= {"model": model, "cases": len(here)}
            for name in OURS:
                percent = [100 * (row[name] / row[model] - 1) for row in here]
                band[name] = [round(min(percent), 2), round(max(percent), 2)] if percent else None
            found.append(band)
    return found


def print_turns(rows: Sequence[Row], bands: Sequence[dict[str, object]]) -> None:
    """The table and how far ours are from the published models."""
    names = ("demand", "kinematic", "circle", *OURS, *steady_turns.PUBLISHED)
    print("\nCommonRoad's BMW 320i, wheel and speed held: mean yaw rate from 4 to 8 s, rad/s")
    print(" mu  steer  m/s " + "".join(f"{name:>13s}" for name in names))
    for row in rows:
        cells = "".join(f"{row[name]:13.2f}" if name == "demand" else f"{row[name]:13.4f}" for name in names)
        print(f"{row['friction']:3.1f} {row['steer_rad']:6.2f} {row['speed_mps']:4.0f} {cells}")
    print("\nours over theirs, percent, least to most; demand is the bicycle's lateral acceleration over mu g")
    for band in bands:
        limits = f"{band['demand_above']:g} to {band['demand_to'] or 'any'}"
        print(f"demand {limits:>10s}  {band['model']!s:>13s} ({band['cases']} cases): " + _shares(band))


def _shares(band: dict[str, object]) -> str:
    return ", ".join(f"{name} {band[name]}" for name in OURS)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the comparison with the published models goes")
    args = parser.parse_args()
    if args.json and not steady_turns.is_installed():
        parser.error("--json needs the published models: pip install -e '.[oracles]'")
    if not args.json:
        print_wheels()
    if not steady_turns.is_installed():
        print("\nthe published models are not installed (extra `oracles`)", file=sys.stderr)
        return
    rows = turns()
    bands = distances(rows)
    print_turns(rows, bands)
    if args.json:
        packages = ("commonroad-vehicle-models", "mujoco", "scipy")
        report = {
            "command": "python -m tests.benchmarks.driving_wheels --json FILE",
            "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
            "ours_over_theirs_percent": bands,
            "yaw_rates_radps": [{k: None if math.isnan(v) else round(v, 5) for k, v in row.items()} for row in rows],
        }
        args.json.write_text(json.dumps(report, indent=1) + "\n")


def print_wheels() -> None:
    """The car on wheels beside the closed forms."""
    car = steady_turns.wheels_of(CAR)
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
