"""Enter a roundabout, giving way to those in it, and leave it at the right exit."""

import numpy as np

from sims.driving.map.paths import lane_path
from sims.driving.map.roads import RoadMap
from sims.driving.map.topologies.roundabouts import exits, route_lanes
from sims.driving.scenarios.family import Family, colour, mixed, scenario, time_for, vehicle_kind
from sims.driving.scenarios.scenario import Scenario
from sims.driving.traffic.actors import Actor

_ORDINALS = ("first", "second", "third", "fourth", "fifth")


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    arms = exits(road_map)
    number = int(rng.integers(0, len(arms) - 1))
    lanes = route_lanes(road_map, "south", arms[number])
    route = lane_path(road_map, lanes, yield_before=lanes[1])
    paths, cars = [route], []
    for k in range(len(arms) - 1):  # from every other arm, past the south one and out after it
        if rng.uniform() < mixed(0.5, 1.0, difficulty):
            leave = arms[k - 1] if k > 0 and rng.uniform() < 0.5 else arms[0]
            if leave == arms[k]:
                leave = "south"
            others = route_lanes(road_map, arms[k], leave)
            place = float(rng.uniform(45.0, 90.0))
            desired = float(rng.uniform(6.0, 8.0))
            kind = "car" if rng.uniform() < 0.7 else vehicle_kind(rng)
            cars.append(Actor(kind, len(paths), place, 7.0, desired_mps=desired, colour=colour(rng)))
            paths.append(lane_path(road_map, others))
    start = 50.0
    goal = route.length_m - 65.0
    return scenario(
        instruction=f"take the {_ORDINALS[number]} exit",
        road_map=road_map,
        route=route,
        route_lanes=frozenset(lanes),
        start_m=start,
        start_mps=float(rng.uniform(6.0, 9.0)),
        goal_m=goal,
        duration_s=time_for(route, start, goal, 18.0),
        paths=tuple(paths),
        actors=tuple(cars),
    )


FAMILY = Family("roundabout", ("roundabout-four", "roundabout-three", "roundabout-five"), _build)
