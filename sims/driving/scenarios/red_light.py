"""A light that is red, or turns red, on the way; others cross meanwhile."""

import numpy as np

from sims.driving.map.paths import lane_path
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, colour, column, mixed, scenario, time_for, vehicle_kind
from sims.driving.scenarios.junction_parts import WORDS, num_lanes, on_route, plan, through, turn_path
from sims.driving.scenarios.scenario import Scenario
from sims.driving.traffic.actors import Actor

_GREEN_S = 8.0


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    turn = str(rng.choice(["straight", "right"] if "north.f0" in road_map.lanes else ["right"]))
    route, lanes = turn_path(road_map, turn)
    start, speed = 40.0, float(rng.uniform(8.0, 12.0))
    # Offsets from just turning yellow when the ego comes near to red all along its approach.
    arrives_s = (route.stop_m - start) / speed
    offset = (
        _GREEN_S - arrives_s + float(rng.uniform(-0.5, 3.5)) if rng.uniform() < mixed(0.3, 0.7, difficulty) else 12.0
    )
    crossing = lane_path(road_map, through(road_map, "east", "west"))
    cars = column(rng, 1, 20.0, 95.0, (10.0, 40.0), 8.0)
    if rng.uniform() < 0.4:
        cars.append(Actor(vehicle_kind(rng), 0, start + 25.0, speed, colour=colour(rng)))
    goal = route.stop_m + num_lanes(road_map) * 10.0 + 30.0
    return scenario(
        instruction=WORDS[turn],
        road_map=road_map,
        route=route,
        route_lanes=on_route(road_map, lanes),
        start_m=start,
        start_mps=speed,
        goal_m=goal,
        duration_s=time_for(route, start, goal, 26.0),
        paths=(route, crossing),
        actors=tuple(cars),
        lights=plan(_GREEN_S, offset, road_map),
        is_hazard=True,
    )


FAMILY = Family("red-light", ("cross-small", "cross-large", "tee", "cross-skew"), _build)
