"""The car in front brakes hard to a stop, waits, and drives on."""

import numpy as np

from sims.driving.looks.weather import rainy
from sims.driving.map.paths import lane_path
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, colour, mixed, oncoming, scenario, time_for, vehicle_kind
from sims.driving.scenarios.scenario import Scenario
from sims.driving.traffic.actors import Actor, Event


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    route, other = lane_path(road_map, ["road.f0"]), lane_path(road_map, ["road.b0"])
    start, speed = 15.0, float(rng.uniform(9.0, 12.0))
    gap = mixed(2.0, 1.1, difficulty) * speed
    brake = Event("time", float(rng.uniform(1.0, 3.0)), "brake", mixed(4.0, 7.5, difficulty), rng.uniform(3.5, 5.0))
    lead = Actor(vehicle_kind(rng), 0, start + 4.0 + gap + 3.0, speed, event=brake, colour=colour(rng))
    goal = start + 115.0
    return scenario(
        instruction="follow the road",
        road_map=road_map,
        route=route,
        route_lanes=frozenset({"road.f0"}),
        start_m=start,
        start_mps=speed,
        goal_m=goal,
        duration_s=time_for(route, start, goal, 16.0),
        paths=(route, other),
        actors=(lead, *oncoming(rng, 1, other.length_m)),
        weather=rainy(float(rng.choice([0.0, 0.0, 0.5]))),
        is_hazard=True,
    )


FAMILY = Family("hard-brake", ("street-straight", "street-left", "street-right", "street-snake"), _build)
