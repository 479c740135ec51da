"""Keep the lane on an empty, winding road."""

import numpy as np

from sims.driving.map.paths import lane_path
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, mixed, oncoming, scenario, time_for
from sims.driving.scenarios.scenario import Scenario


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    lanes = [name for name in road_map.lanes if name.startswith("road.f")]
    lane = str(rng.choice(lanes))
    route = lane_path(road_map, [lane])
    start = float(rng.uniform(5.0, 30.0))
    others = [lane_path(road_map, ["road.b0"])] if "road.b0" in road_map.lanes else []
    goal = start + mixed(110.0, 160.0, difficulty) * (1.8 if lane.startswith("road.f") and not others else 1.0)
    return scenario(
        instruction="keep your lane",
        road_map=road_map,
        route=route,
        route_lanes=frozenset(lanes),
        start_m=start,
        start_mps=mixed(0.6, 1.0, difficulty) * float(route.limit_at(np.array(start))),
        goal_m=goal,
        duration_s=time_for(route, start, goal, 8.0),
        paths=(route, *others),
        actors=tuple(oncoming(rng, 1, others[0].length_m) if others else ()),
    )


FAMILY = Family(
    "keep-lane",
    ("street-left", "street-right", "avenue-left", "highway-left", "highway-right", "street-snake", "highway-snake"),
    _build,
)
