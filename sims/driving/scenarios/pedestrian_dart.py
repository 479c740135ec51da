"""Somebody runs out from between parked cars, hidden until the last moment."""

import numpy as np

from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, colour, mixed, scenario, time_for
from sims.driving.scenarios.scenario import Scenario
from sims.driving.scenarios.street_parts import PARKED_M, across, parked, street, walker
from sims.driving.traffic.actors import Actor, Event


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    road = street(road_map)
    start = float(rng.uniform(10.0, 30.0))
    at = start + float(rng.uniform(50.0, 80.0))
    speed = float(rng.uniform(7.0, 10.0))
    pace = mixed(1.6, 2.8, difficulty)
    event = Event("arrival", mixed(2.6, 1.9, difficulty), "go", pace)
    runner = walker(2, 4.6, True, event)
    hides = Actor("van", 0, at - 4.0, offset_m=PARKED_M + 0.2, mode="still", colour=colour(rng))
    cars = parked(rng, road.route, 10.0, road.route.length_m - 20.0, 0.6, (at - 9.0, at + 2.0))
    goal = at + 45.0
    return scenario(
        instruction="follow the road",
        road_map=road_map,
        route=road.route,
        route_lanes=frozenset({"road.f0"}),
        start_m=start,
        start_mps=speed,
        goal_m=goal,
        duration_s=time_for(road.route, start, goal, 14.0),
        paths=(road.route, road.other, across(road.route, at, True)),
        actors=(runner, hides, *cars[:20]),
        is_hazard=True,
    )


FAMILY = Family("pedestrian-dart", ("parking-straight", "parking-left", "parking-right", "parking-snake"), _build)
