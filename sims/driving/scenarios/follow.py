"""Follow a slower car along a street, with others coming the other way."""

import numpy as np

from sims.driving.map.paths import lane_path
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, colour, mixed, oncoming, scenario, time_for, vehicle_kind
from sims.driving.scenarios.scenario import Scenario
from sims.driving.traffic.actors import Actor


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    route = lane_path(road_map, ["road.f0"])
    other = lane_path(road_map, ["road.b0"])
    speed = float(rng.uniform(8.0, 12.0))
    lead_speed = mixed(0.8, 0.45, difficulty) * speed
    gap = mixed(35.0, 18.0, difficulty)
    lead = Actor(vehicle_kind(rng), 0, 20.0 + gap, lead_speed, desired_mps=lead_speed, colour=colour(rng))
    goal = 20.0 + 10.0 * lead_speed + gap
    return scenario(
        instruction="follow the road",
        road_map=road_map,
        route=route,
        route_lanes=frozenset({"road.f0"}),
        start_m=20.0,
        start_mps=speed,
        goal_m=goal,
        duration_s=time_for(route, 20.0, 20.0 + gap, 25.0),
        paths=(route, other),
        actors=(lead, *oncoming(rng, 1, other.length_m)),
    )


FAMILY = Family("follow", ("street-straight", "street-left", "street-right", "street-snake"), _build)
