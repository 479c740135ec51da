"""The end of a jam: a queue that stands, and later moves on slowly."""

import numpy as np

from sims.driving.looks.weather import Weather
from sims.driving.map.paths import lane_path
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, colour, mixed, scenario, time_for, vehicle_kind
from sims.driving.scenarios.scenario import Scenario
from sims.driving.traffic.actors import Actor, Event


def build_jam(
    road_map: RoadMap, rng: np.random.Generator, difficulty: float, weather: Weather, fastest_mps: float
) -> Scenario:
    """The scenario; fog uses it too."""
    own = next(name for name in ("road.f1", "road.f0") if name in road_map.lanes)
    route = lane_path(road_map, [own])
    start, speed = 15.0, fastest_mps * float(rng.uniform(0.8, 1.0))
    end = start + mixed(75.0, 55.0, difficulty) * max(1.0, (fastest_mps / 11.0) ** 2)
    moves_s = float(rng.uniform(8.0, 11.0))
    count = int(rng.integers(3, 6))
    cars = [
        Actor(
            vehicle_kind(rng),
            0,
            end + 12.0 * k,
            mode="constant",
            event=Event("time", moves_s + 1.2 * (count - k), "go", 5.0),  # the first of the queue starts first
            colour=colour(rng),
        )
        for k in range(count)
    ]
    goal = end + 25.0
    return scenario(
        instruction="follow the road",
        road_map=road_map,
        route=route,
        route_lanes=frozenset(name for name in road_map.lanes if name.startswith("road.f")),
        start_m=start,
        start_mps=speed,
        goal_m=goal,
        duration_s=time_for(route, start, goal, 24.0),
        paths=(route,),
        actors=tuple(cars),
        weather=weather,
        is_hazard=True,
    )


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    return build_jam(road_map, rng, difficulty, Weather(), 12.0)


FAMILY = Family("jam", ("street-straight", "street-left", "highway-straight", "highway-left", "highway-snake"), _build)
