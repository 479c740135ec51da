"""A junction without working lights: either the ego gives way to crossing cars, or a crossing car waits for the ego."""

import numpy as np

from sims.driving.map.paths import lane_path
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, colour, column, mixed, scenario, time_for
from sims.driving.scenarios.junction_parts import WORDS, num_lanes, on_route, through, turn_path
from sims.driving.scenarios.scenario import Scenario
from sims.driving.traffic.actors import Actor


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    turn = str(rng.choice(["straight", "right", "left"] if "north.f0" in road_map.lanes else ["right", "left"]))
    route, lanes = turn_path(road_map, turn)
    start, speed = 45.0, float(rng.uniform(7.0, 10.0))
    from_east = lane_path(road_map, through(road_map, "east", "west"))
    last = num_lanes(road_map) - 1
    from_west = lane_path(road_map, through(road_map, "west", "east", last))
    gives_way = bool(rng.uniform() < 0.75)
    if gives_way:
        gaps = (mixed(25.0, 14.0, difficulty), mixed(60.0, 30.0, difficulty))
        cars = column(rng, 1, 20.0, float(rng.uniform(70.0, 100.0)), gaps, float(rng.uniform(8.0, 11.0)))
        cars += column(rng, 2, 20.0, float(rng.uniform(70.0, 100.0)), gaps, float(rng.uniform(8.0, 11.0)))
    else:
        place = from_west.stop_m - 25.0
        cars = [Actor("car", 2, place, 7.0, yields_at_m=from_west.stop_m - 1.0, colour=colour(rng))]
    goal = route.stop_m + 45.0
    return scenario(
        instruction=WORDS[turn] + (", giving way to the others" if gives_way else ", you have the right of way"),
        road_map=road_map,
        route=route,
        route_lanes=on_route(road_map, lanes),
        start_m=start,
        start_mps=speed,
        goal_m=goal,
        duration_s=time_for(route, start, goal, 18.0),
        paths=(route, from_east, from_west),
        actors=tuple(cars),
    )


FAMILY = Family("right-of-way", ("cross-small", "cross-large", "tee", "cross-skew"), _build)
