"""Parking, nose first: two arcs and a straight to a place before the spot, then straight in."""

from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float

from sims.highway.pursuit import pursue

_RADII_M = (6.5, 7.5, 9.0)  # the car can do 5.6
_STAGES_M = (5.0, 8.0, 11.0)  # before the middle of the spot; from there on straight
_BEYOND_M = 3.0  # the path goes on after the spot, so that the aim never jumps
_ROOM_M = np.array([31.5, 17.5])  # from the middle to where the own nose would touch a wall
_STEP_M = 0.25
_LOOK_M, _LOST_M = 3.0, 2.5
_MPS, _GAIN = 4.0, 4.0

Pose = tuple[float, float, float]
Path = Float[np.ndarray, " point 2"]


class ParkingDriver:
    """Follows the shortest path that keeps clear of the walls; makes a new one when it is off it."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._time = np.inf

    def __call__(self, world: Any) -> tuple[float, float]:
        """Steering angle to the right (rad) and acceleration (m/s^2)."""
        ego = world.vehicle
        if world.time < self._time:
            self._path = None  # another episode
        self._time = world.time
        near = None if self._path is None else np.hypot(*(self._path - ego.position).T)
        if self._path is None or near is None or near.min() > _LOST_M:
            goal = ego.goal
            self._path = plan((*ego.position, ego.heading), (*goal.position, goal.heading))
            near = np.hypot(*(self._path - ego.position).T)
        here = int(near.argmin())
        aim = self._path[min(here + round(_LOOK_M / _STEP_M), len(self._path) - 1)]
        return pursue(ego, aim), _GAIN * (_MPS - float(ego.speed))


def plan(start: Pose, goal: Pose) -> Path:
    """The shortest of the paths within the walls; the shortest of all if there is none."""
    paths = [
        path
        for radius, stage, first, last in product(_RADII_M, _STAGES_M, (-1, 1), (-1, 1))
        if (path := _arcs_and_straights(start, goal, radius, stage, (first, last))) is not None
    ]
    inside = [path for path in paths if (np.abs(path) < _ROOM_M).all()]
    return min(inside or paths, key=len)


def _arcs_and_straights(start: Pose, goal: Pose, radius: float, stage: float, turns: tuple[int, int]) -> Path | None:
    """Arc, straight, arc, straight into the spot; None if the circles are too near to each other.

    Source: L. E. Dubins, "On curves of minimal length" (1957), the paths with a straight between two arcs.
    """
    outward = np.array([np.cos(goal[2]), np.sin(goal[2])])
    before = np.array(goal[:2]) - stage * outward
    first = _centre(np.array(start[:2]), start[2], radius, turns[0])
    last = _centre(before, goal[2], radius, turns[1])
    apart, angle = float(np.hypot(*(last - first))), float(np.arctan2(*(last - first)[::-1]))
    if turns[0] != turns[1]:
        if apart < 2 * radius:
            return None
        angle += turns[0] * np.arcsin(2 * radius / apart)
    heads = (
        _arc(first, start[2], angle, radius, turns[0]),
        _arc(last, angle, goal[2], radius, turns[1]),
    )
    straight = _line(heads[0][-1], heads[1][0])
    return np.concatenate([heads[0], straight, heads[1], _line(before, np.array(goal[:2]) + _BEYOND_M * outward)])


def _centre(place: Float[np.ndarray, " 2"], heading: float, radius: float, turn: int) -> Float[np.ndarray, " 2"]:
    return place + turn * radius * np.array([-np.sin(heading), np.cos(heading)])


def _arc(centre: Float[np.ndarray, " 2"], begin: float, end: float, radius: float, turn: int) -> Path:
    """From one heading to another, turning one way."""
    swept = (turn * (end - begin)) % (2 * np.pi)
    swept = 0.0 if swept > 2 * np.pi - 1e-6 else swept
    headings = begin + turn * np.linspace(0.0, swept, 2 + int(swept * radius / _STEP_M))
    return centre + turn * radius * np.column_stack([np.sin(headings), -np.cos(headings)])


def _line(begin: Float[np.ndarray, " 2"], end: Float[np.ndarray, " 2"]) -> Path:
    count = 2 + int(np.hypot(*(end - begin)) / _STEP_M)
    return begin + np.linspace(0.0, 1.0, count)[:, None] * (end - begin)
