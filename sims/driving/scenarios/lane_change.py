"""Change to the next lane, in which others drive."""

import numpy as np

from sims.driving.map.paths import lane_path
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, along, column, mixed, scenario, time_for
from sims.driving.scenarios.scenario import Scenario


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    to_left = bool(rng.uniform() < 0.5)
    own, wanted = ("road.f1", "road.f0") if to_left else ("road.f0", "road.f1")
    limit = road_map.lanes[own].speed_limit_mps
    start, speed = 25.0, float(rng.uniform(0.6, 0.8)) * limit
    begin = start + speed * float(rng.uniform(1.5, 3.0))
    end = begin + max(35.0, 3.5 * speed)
    route = lane_path(road_map, [own, wanted], [(begin, end)])
    target = lane_path(road_map, [wanted])
    gaps = (mixed(30.0, 14.0, difficulty), mixed(45.0, 24.0, difficulty))
    ahead = along(route, start, target) + float(rng.uniform(0.0, 40.0))
    cars = column(rng, 1, 3.0, ahead, gaps, speed * float(rng.uniform(0.8, 1.0)))
    goal = end + 2.0 * speed
    return scenario(
        instruction=f"change to the {'left' if to_left else 'right'} lane",
        road_map=road_map,
        route=route,
        route_lanes=frozenset(name for name in road_map.lanes if name.startswith("road.f")),
        start_m=start,
        start_mps=speed,
        goal_m=goal,
        duration_s=time_for(route, start, goal, 15.0),
        paths=(route, target),
        actors=tuple(cars),
    )


FAMILY = Family(
    "lane-change",
    ("avenue-straight", "avenue-left", "highway-straight", "highway-left", "highway-right", "highway-snake"),
    _build,
)
