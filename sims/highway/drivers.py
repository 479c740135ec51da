"""Scripted drivers of highway-env's worlds; they read the world, not the picture.

Each takes the package's environment and says what it wants as `controls` understand it: a steering angle to the right
(rad) with an acceleration (m/s^2), or the name of a decision.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from sims.highway.parking import ParkingDriver
from sims.highway.pursuit import pursue

Driver = Callable[[Any], Any]

_LOOK_S, _LOOK_M = 0.2, 1.5  # pure pursuit aims at a point that many seconds and metres ahead
_SEEN_M, _GAP_M = 24.0, 13.0  # a slower car is passed from there; the other lane must be free for so much
_TIMES_S = np.arange(0.25, 3.01, 0.25)
_REACH_S = 0.6  # the package's time constant of speed
_CHANGE_S = 1.5  # that a change of lanes takes
# Go, or wait a little and then go: a plan is looked at until it is clear of the junction.
_PLANS = tuple(("SLOWER",) * wait + ("FASTER",) * (6 - wait) for wait in range(6))


def make_driver(world: str) -> Driver:
    """A new driver of a world; it may serve many episodes."""
    return {
        "racetrack": drive_racetrack,
        "parking": ParkingDriver(),
        "intersection": drive_intersection,
        "highway-fast": drive_highway,
    }[world]


def drive_racetrack(world: Any) -> tuple[float, float]:
    """Pure pursuit along a lane, the other one where a slower car is ahead."""
    ego = world.vehicle
    start, end, number = ego.lane_index
    if _is_blocked(world, number, _SEEN_M) and not _is_blocked(world, 1 - number, _GAP_M, behind_m=_GAP_M):
        number = 1 - number
    aim = _point_ahead(world, (start, end, number), _LOOK_M + _LOOK_S * ego.speed)
    return pursue(ego, aim), 0.0


def _point_ahead(world: Any, lane_index: tuple[str, str, int], metres: float) -> Float[np.ndarray, " 2"]:
    """A point in the middle of a lane or of those that follow it."""
    network = world.road.network
    lane = network.get_lane(lane_index)
    along = lane.local_coordinates(world.vehicle.position)[0] + metres
    while along > lane.length:
        along -= lane.length
        _, end, number = lane_index
        lane_index = (end, next(iter(network.graph[end])), number)
        lane = network.get_lane(lane_index)
    return np.asarray(lane.position(along, 0.0))


def _is_blocked(world: Any, number: int, ahead_m: float, behind_m: float = 0.0) -> bool:
    """Whether another car is near in the lane of that number."""
    ego = world.vehicle
    forward = np.array([np.cos(ego.heading), np.sin(ego.heading)])
    for other in world.road.vehicles:
        away = other.position - ego.position
        along = float(away @ forward)
        reach = ahead_m if along > 0 else behind_m
        if other is not ego and np.hypot(*away) < reach and other.lane_index[2] == number:
            return True
    return False


def drive_intersection(world: Any) -> str:
    """The first decision of the fastest plan that the package's own simulation drives without a crash."""
    for plan in _PLANS:
        future = copy.deepcopy(world)
        names = future.action_type.actions_indexes
        for name in plan:
            future.step(names[name])
            if future.vehicle.crashed or future.has_arrived(future.vehicle):
                break
        if not future.vehicle.crashed:
            return plan[0]
    return "SLOWER"


def drive_highway(world: Any) -> str:
    """The decision that leads fastest and furthest to the right, among those that keep clear of everybody."""
    ego = world.vehicle
    lanes = len(world.road.network.all_side_lanes(ego.lane_index))
    here, speeds = ego.target_lane_index[2], np.asarray(ego.target_speeds, float)
    current, kept = int(ego.speed_to_index(ego.speed)), int(ego.speed_index)
    options = {"FASTER": (here, current + 1), "LANE_RIGHT": (here + 1, kept), "IDLE": (here, kept)}
    options |= {"LANE_LEFT": (here - 1, kept), "SLOWER": (here, current - 1)}
    rated: list[tuple[float, str]] = []
    for name, (lane, index) in options.items():
        if 0 <= lane < lanes:
            target = float(speeds[np.clip(index, 0, len(speeds) - 1)])
            rated.append((_room(world, lane, target) + 0.02 * target + 0.02 * lane - 0.03 * (lane != here), name))
    return max(rated, key=lambda item: item[0])[1]


def _room(world: Any, lane: int, target: float) -> float:
    """How little time is left between the own car and others in its lanes, seconds up to 1.5."""
    ego = world.vehicle
    metres = target * _TIMES_S + (ego.speed - target) * _REACH_S * (1 - np.exp(-_TIMES_S / _REACH_S))
    least = 1.5
    for other in world.road.vehicles:
        their_lanes = {other.lane_index[2], getattr(other, "target_lane_index", other.lane_index)[2]}
        was_here = _TIMES_S < _CHANGE_S if ego.lane_index[2] in their_lanes else np.zeros(len(_TIMES_S), bool)
        shared = np.full(len(_TIMES_S), lane in their_lanes) | was_here
        if other is ego or not shared.any():
            continue
        away = other.position[0] + other.speed * _TIMES_S - ego.position[0] - metres
        if other.position[0] < ego.position[0] and lane == ego.lane_index[2]:
            continue  # who is behind in the own lane brakes by himself
        free = (np.abs(away[shared]) - ego.LENGTH) / max(target if away[0] > 0 else other.speed, 1.0)
        least = min(least, float(free.min()))
    return least
