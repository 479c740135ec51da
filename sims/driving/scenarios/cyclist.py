"""A cyclist crosses the street from a side way, or rides slowly along its right edge."""

import numpy as np

from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, mixed, oncoming, scenario, time_for
from sims.driving.scenarios.scenario import Scenario
from sims.driving.scenarios.street_parts import across, street, walker
from sims.driving.traffic.actors import Actor, Event


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    road = street(road_map)
    start, speed = float(rng.uniform(10.0, 25.0)), float(rng.uniform(8.0, 11.0))
    paths = [road.route, road.other]
    if rng.uniform() < 0.5:
        at = start + float(rng.uniform(50.0, 70.0))
        pace = float(rng.uniform(3.0, 4.5))
        from_right = bool(rng.uniform() < 0.5)
        away = 6.5 if from_right else 9.5
        event = Event("arrival", away / pace + mixed(1.4, 0.4, difficulty), "go", pace)
        rider = walker(2, away, from_right, event, "cyclist")
        paths.append(across(road.route, at, from_right))
        goal = at + 45.0
    else:
        pace = mixed(5.0, 3.0, difficulty)
        place = start + 4.0 + mixed(30.0, 18.0, difficulty)
        rider = Actor("cyclist", 0, place, pace, offset_m=-1.0, mode="constant")
        goal = place + 9.0 * pace
    return scenario(
        instruction="follow the road",
        road_map=road_map,
        route=road.route,
        route_lanes=frozenset({"road.f0"}),
        start_m=start,
        start_mps=speed,
        goal_m=goal,
        duration_s=time_for(road.route, start, goal, 18.0),
        paths=tuple(paths),
        actors=(rider, *oncoming(rng, 1, road.other.length_m, 2)),
        is_hazard=True,
    )


FAMILY = Family("cyclist", ("street-straight", "street-left", "street-right", "street-snake"), _build)
