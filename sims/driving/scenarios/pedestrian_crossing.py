"""People walk over a crosswalk; the ego waits for them."""

import numpy as np

from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, mixed, oncoming, scenario, time_for
from sims.driving.scenarios.scenario import Scenario
from sims.driving.scenarios.street_parts import across, parked, street, walker
from sims.driving.traffic.actors import Event


def build_crossing(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    """The scenario; low sun uses it too."""
    road = street(road_map)
    middle = road_map.crosswalks[0].mean(axis=0)
    at = float(road.route.project(middle)[0])
    start = at - float(rng.uniform(55.0, 75.0))
    speed = float(rng.uniform(8.0, 11.0))
    paths, people = [road.route, road.other], []
    for number in range(int(rng.integers(1, 4))):
        from_right = bool(rng.uniform() < 0.5)
        pace = float(rng.uniform(1.0, 1.7))
        beside = number - 1.0 + float(rng.uniform(-0.2, 0.2))
        away = 3.2 if from_right else 6.5
        # Whoever sets out this long before the ego arrives is in its lane when it comes.
        lead_s = away / pace + mixed(1.5, 0.3, difficulty) + float(rng.uniform(-0.5, 0.5))
        event = Event("arrival", lead_s, "go", pace)
        people.append(walker(len(paths), away, from_right, event))
        paths.append(across(road.route, at + beside, from_right))
    cars = parked(rng, road.route, 10.0, road.route.length_m - 20.0, 0.5, (at - 8.0, at + 6.0))
    goal = at + 45.0
    return scenario(
        instruction="follow the road",
        road_map=road_map,
        route=road.route,
        route_lanes=frozenset({"road.f0"}),
        start_m=start,
        start_mps=speed,
        goal_m=goal,
        duration_s=time_for(road.route, start, goal, 16.0),
        paths=tuple(paths),
        actors=(*people, *oncoming(rng, 1, at, 1), *cars[:20]),
        is_hazard=True,
    )


FAMILY = Family(
    "pedestrian-crossing",
    ("parking-straight", "parking-left", "parking-right", "parking-snake"),
    build_crossing,
)
