"""Something lies in the lane; there is room to drive around it in the next one."""

import numpy as np

from sims.driving.map.paths import lane_path
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, along, colour, column, mixed, scenario, time_for
from sims.driving.scenarios.scenario import Scenario
from sims.driving.traffic.actors import Actor


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    route, next_lane = lane_path(road_map, ["road.f1"]), lane_path(road_map, ["road.f0"])
    start, speed = 15.0, float(rng.uniform(8.0, 11.0))
    at = start + float(rng.uniform(50.0, 75.0))
    side = mixed(1.2, 1.9, difficulty)
    places = (at, at + 2.5) if rng.uniform() < 0.5 else (at,)
    things = [
        Actor("debris", 0, float(s), offset_m=float(rng.uniform(-0.5, 0.5)), mode="still", size=(side, side, 0.6))
        for s in places
    ]
    cars: list[Actor] = []
    if rng.uniform() < difficulty:
        behind = along(route, start, next_lane) - 15.0 + float(rng.uniform(-8.0, 0.0))
        cars = column(rng, 1, max(3.0, behind - 1.0), max(4.0, behind), (20.0, 30.0), speed)[:1]
        cars = [car.moved(kind="car", colour=colour(rng)) for car in cars]
    goal = at + 50.0
    return scenario(
        instruction="follow the road",
        road_map=road_map,
        route=route,
        route_lanes=frozenset({"road.f0", "road.f1"}),
        start_m=start,
        start_mps=speed,
        goal_m=goal,
        duration_s=time_for(route, start, goal, 14.0),
        paths=(route, next_lane),
        actors=(*things, *cars),
        is_hazard=True,
    )


FAMILY = Family("debris", ("avenue-straight", "avenue-left", "avenue-right", "avenue-snake"), _build)
