"""A slower car from the next lane moves in front of the ego without looking."""

import numpy as np

from sims.driving.map.paths import lane_path
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, along, colour, driver, mixed, scenario, time_for, vehicle_kind
from sims.driving.scenarios.scenario import Scenario
from sims.driving.traffic.actors import Actor, Event


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    own, beside = ("road.f0", "road.f1") if rng.uniform() < 0.5 else ("road.f1", "road.f0")
    route, next_lane = lane_path(road_map, [own]), lane_path(road_map, [beside])
    limit = road_map.lanes[own].speed_limit_mps
    start, speed = 20.0, float(rng.uniform(0.75, 0.9)) * limit
    slower = mixed(0.9, 0.65, difficulty) * speed
    ahead = mixed(1.4, 0.7, difficulty) * speed
    moves_over = Event("time", float(rng.uniform(0.5, 2.0)), "change", duration_s=mixed(3.5, 2.0, difficulty), path=0)
    cutter = Actor(
        vehicle_kind(rng),
        1,
        along(route, start + 4.0 + ahead, next_lane) + 5.0,
        slower,
        desired_mps=slower,
        event=moves_over,
        heeds_ego=False,
        colour=colour(rng),
    )
    lead = Actor("car", 0, start + 80.0, speed, driver=driver(rng), colour=colour(rng))
    goal = start + 11.0 * slower
    return scenario(
        instruction="keep your lane",
        road_map=road_map,
        route=route,
        route_lanes=frozenset(name for name in road_map.lanes if name.startswith("road.f")),
        start_m=start,
        start_mps=speed,
        goal_m=goal,
        duration_s=time_for(route, start, goal, 12.0),
        paths=(route, next_lane),
        actors=(cutter, lead),
        is_hazard=True,
    )


FAMILY = Family(
    "cut-in", ("avenue-straight", "avenue-left", "highway-straight", "highway-right", "avenue-snake"), _build
)
