"""Come in from a ramp and find a gap before it ends."""

import numpy as np

from sims.driving.map.paths import lane_path
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, along, column, mixed, scenario, time_for
from sims.driving.scenarios.scenario import Scenario

_RAMP_M = 90.0


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    route = lane_path(road_map, ["ramp.f0", "along.f2", "along.f1", "after.f1"], [(50.0, 120.0)])
    main = lane_path(road_map, ["before.f1", "along.f1", "after.f1"])
    left = lane_path(road_map, ["before.f0", "along.f0", "after.f0"])
    start, speed = 20.0, float(rng.uniform(11.0, 14.0))
    gaps = (mixed(30.0, 16.0, difficulty), mixed(50.0, 28.0, difficulty))
    ahead = along(route, _RAMP_M, main) + float(rng.uniform(-30.0, 30.0))
    cars = column(rng, 1, 3.0, ahead, gaps, float(rng.uniform(13.0, 17.0)))
    cars += column(rng, 2, 60.0, ahead, (40.0, 60.0), 18.0)
    cars = [car.moved(beside=(1, 2)) for car in cars]  # they may make room, or overtake
    goal = _RAMP_M + 200.0
    lanes = {"ramp.f0", *(f"{part}.f{k}" for part in ("before", "along", "after") for k in range(2)), "along.f2"}
    return scenario(
        instruction="merge onto the highway",
        road_map=road_map,
        route=route,
        route_lanes=frozenset(lanes),
        start_m=start,
        start_mps=speed,
        goal_m=goal,
        duration_s=time_for(route, start, goal, 14.0),
        paths=(route, main, left),
        actors=tuple(cars),
    )


FAMILY = Family("merge", ("merge-straight", "merge-left", "merge-right"), _build)
