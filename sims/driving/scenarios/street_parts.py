"""Streets with parked cars and people who cross them."""

from dataclasses import dataclass

import numpy as np

from sims.driving.map.paths import Path, lane_path, make_path
from sims.driving.map.roads import RoadMap
from sims.driving.map.topologies.plain import LANE_M, PARKING_M
from sims.driving.scenarios.family import colour
from sims.driving.traffic.actors import Actor, Event

_CURB_M = LANE_M / 2 + 0.5  # from the middle of the lane to the parked cars
PARKED_M = -(_CURB_M + PARKING_M / 2)


@dataclass(frozen=True)
class Street:
    """The ego's lane, the other one, and the same two seen as paths."""

    route: Path
    other: Path


def street(road_map: RoadMap) -> Street:
    """Both lanes of a street."""
    return Street(lane_path(road_map, ["road.f0"]), lane_path(road_map, ["road.b0"]))


def parked(
    rng: np.random.Generator, route: Path, first_m: float, last_m: float, share: float, free: tuple[float, float]
) -> list[Actor]:
    """Parked cars to the right of the route (path 0), none between two arc lengths `free`."""
    cars, place = [], first_m
    while place < last_m:
        is_free = free[0] - 3.0 < place < free[1] + 3.0
        if not is_free and rng.uniform() < share:
            kind = "van" if rng.uniform() < 0.25 else "car"
            cars.append(Actor(kind, 0, place, offset_m=PARKED_M, mode="still", colour=colour(rng)))
        place += 6.5
    return cars


def across(route: Path, at_m: float, from_right: bool) -> Path:
    """A straight way over the road at an arc length, 10 m beyond the lane's middle on both sides."""
    pose = route.at(np.array(at_m))
    left = np.array([-np.sin(pose[2]), np.cos(pose[2])])
    ends = [pose[:2] - 10.0 * left, pose[:2] + 14.0 * left]
    points = np.linspace(ends[0], ends[1], 25)
    return make_path(points if from_right else points[::-1], 5.0)


def walker(path: int, from_middle_m: float, from_right: bool, event: Event, kind: str = "pedestrian") -> Actor:
    """Somebody who stands `from_middle_m` from the lane's middle until the event, then crosses."""
    s = (10.0 if from_right else 14.0) - from_middle_m
    return Actor(kind, path, s, mode="constant", event=event, heeds_ego=False)
