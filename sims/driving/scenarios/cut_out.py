"""The car in front swerves into the next lane and reveals one that has broken down; later that one drives on."""

import numpy as np

from sims.driving.map.paths import lane_path
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, along, colour, mixed, scenario, time_for, vehicle_kind
from sims.driving.scenarios.scenario import Scenario
from sims.driving.traffic.actors import Actor, Event


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    route, next_lane = lane_path(road_map, ["road.f1"]), lane_path(road_map, ["road.f0"])
    start, speed = 15.0, float(rng.uniform(9.0, 11.0))
    lead_m = start + 4.0 + mixed(1.8, 1.2, difficulty) * speed + 3.0
    swerve_s = mixed(2.6, 1.9, difficulty)  # from leaving the lane to where the other stands
    swerve = Event("time", 1.0, "change", duration_s=1.8, path=1)
    lead = Actor("van", 0, lead_m, speed, event=swerve, colour=colour(rng), desired_mps=speed, mode="constant")
    stands_m = lead_m + speed * (1.0 + swerve_s) + 4.0
    starts = Event("time", float(rng.uniform(9.0, 12.0)), "go", 7.0)
    broken = Actor(vehicle_kind(rng), 0, stands_m, 0.0, mode="constant", event=starts, colour=colour(rng))
    behind = Actor("car", 1, along(route, start, next_lane) - 14.0, speed, colour=colour(rng))
    goal = stands_m + 50.0
    return scenario(
        instruction="follow the road",
        road_map=road_map,
        route=route,
        route_lanes=frozenset({"road.f0", "road.f1"}),
        start_m=start,
        start_mps=speed,
        goal_m=goal,
        duration_s=time_for(route, start, goal, 20.0),
        paths=(route, next_lane),
        actors=(lead, broken, behind) if rng.uniform() < mixed(0.2, 0.8, difficulty) else (lead, broken),
        is_hazard=True,
    )


FAMILY = Family("cut-out", ("avenue-straight", "avenue-left", "avenue-right", "avenue-snake"), _build)
