"""Turn left across oncoming traffic that has the right of way."""

import numpy as np

from sims.driving.map.paths import lane_path
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, column, mixed, scenario, time_for
from sims.driving.scenarios.junction_parts import num_lanes, on_route, plan, through, turn_path
from sims.driving.scenarios.scenario import Scenario


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    route, lanes = turn_path(road_map, "left")
    start, speed = 45.0, float(rng.uniform(7.0, 10.0))
    paths, cars = [route], []
    for lane in range(num_lanes(road_map)):
        other = lane_path(road_map, through(road_map, "north", "south", lane))
        gaps = (mixed(22.0, 12.0, difficulty), mixed(45.0, 25.0, difficulty))
        cars += column(rng, len(paths), 3.0, float(rng.uniform(60.0, 100.0)), gaps, float(rng.uniform(8.0, 11.0)))
        paths.append(other)
    goal = route.stop_m + 45.0
    return scenario(
        instruction="turn left",
        road_map=road_map,
        route=route,
        route_lanes=on_route(road_map, lanes),
        start_m=start,
        start_mps=speed,
        goal_m=goal,
        duration_s=time_for(route, start, goal, 18.0),
        paths=tuple(paths),
        actors=tuple(cars),
        lights=plan(60.0, 0.0, road_map),
    )


FAMILY = Family("left-turn", ("cross-small", "cross-large", "cross-skew"), _build)
