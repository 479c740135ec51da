"""Ice or oil on the road where it bends, or where the car in front stops."""

import numpy as np

from sims.driving.looks.weather import Patch, rainy
from sims.driving.map.paths import lane_path
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, colour, mixed, scenario, time_for, vehicle_kind
from sims.driving.scenarios.scenario import Scenario
from sims.driving.traffic.actors import Actor, Event


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    route, other = lane_path(road_map, ["road.f0"]), lane_path(road_map, ["road.b0"])
    start, speed = 15.0, float(rng.uniform(8.0, 11.0))
    friction = mixed(0.3, 0.15, difficulty)
    sharpest = int(np.argmax(np.abs(route.curvature)))
    bends = float(np.abs(route.curvature[sharpest])) > 1e-3
    at = max(float(sharpest) - 10.0, 65.0) if bends else start + 55.0
    patch = Patch(at, at + mixed(20.0, 40.0, difficulty), friction)
    actors: tuple[Actor, ...] = ()
    if not bends or rng.uniform() < 0.4:
        stop = Event("time", 2.0, "brake", 3.0, float(rng.uniform(4.0, 6.0)))
        actors = (Actor(vehicle_kind(rng), 0, start + 4.0 + 2.5 * speed, speed, event=stop, colour=colour(rng)),)
    goal = patch.end_m + 25.0
    return scenario(
        instruction="follow the road",
        road_map=road_map,
        route=route,
        route_lanes=frozenset({"road.f0"}),
        start_m=start,
        start_mps=speed,
        goal_m=goal,
        duration_s=time_for(route, start, goal, 22.0),
        paths=(route, other),
        actors=actors,
        weather=rainy(float(rng.choice([0.0, 0.3]))),
        patches=(patch,),
        is_hazard=True,
    )


FAMILY = Family("slippery", ("street-straight", "street-left", "street-right", "street-snake"), _build)
