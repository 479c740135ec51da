"""Works close the lane: cones lead over to the other one, in which others drive."""

import numpy as np

from sims.driving.map.paths import Path, lane_path, make_path
from sims.driving.map.roads import RoadMap, shifted
from sims.driving.map.topologies.changes import CLOSED_M, OPEN_M
from sims.driving.scenarios.family import Family, column, mixed, scenario, time_for
from sims.driving.scenarios.scenario import Scenario
from sims.driving.traffic.actors import Actor

_TAPER_M = 24.0


def _closure() -> list[Actor]:
    """Cones from the right edge to the middle line, barriers along the closed lane."""
    parts = []
    for k in range(7):
        u = k / 6
        parts.append(Actor("cone", 1, OPEN_M - _TAPER_M * (1 - u), offset_m=-1.6 + 3.0 * u, mode="still"))
    for k in range(5):
        parts.append(Actor("cone", 1, OPEN_M + 5.0 + CLOSED_M / 5 * k, offset_m=1.4, mode="still"))
    parts += [Actor("barrier", 1, OPEN_M + 8.0 + 18.0 * k, mode="still") for k in range(3)]
    return parts


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    begin = OPEN_M - _TAPER_M - float(rng.uniform(40.0, 55.0))
    change = (begin, begin + 34.0)
    route = lane_path(road_map, ["open.f1", "open.f0", "narrow.f0", "again.f0"], [change])
    left = lane_path(road_map, ["open.f0", "narrow.f0", "again.f0"])
    closed = _closed_lane(road_map)
    start, speed = 25.0, float(rng.uniform(7.0, 10.0))
    gaps = (mixed(28.0, 15.0, difficulty), mixed(45.0, 26.0, difficulty))
    cars = column(rng, 2, 3.0, float(rng.uniform(30.0, 80.0)), gaps, speed * 0.9)[:4]
    goal = OPEN_M + CLOSED_M + 10.0
    return scenario(
        instruction="change to the left lane, the right one is closed",
        road_map=road_map,
        route=route,
        route_lanes=frozenset({"open.f0", "open.f1", "narrow.f0", "again.f0", "again.f1"}),
        start_m=start,
        start_mps=speed,
        goal_m=goal,
        duration_s=time_for(route, start, goal, 18.0),
        paths=(route, closed, left),
        actors=(*_closure(), *cars),
        is_hazard=True,
    )


def _closed_lane(road_map: RoadMap) -> Path:
    """The right lane through the works, as if it were open."""
    pieces = [road_map.lanes["open.f1"].centreline]
    pieces.append(shifted(road_map.lanes["narrow.f0"].centreline, -road_map.lanes["narrow.f0"].width_m)[1:])
    return make_path(np.concatenate(pieces)[:, :2], 13.9)


FAMILY = Family("construction", ("works-straight", "works-left", "works-right"), _build)
