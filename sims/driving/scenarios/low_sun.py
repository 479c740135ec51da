"""A low sun straight ahead, and people on the crosswalk in its glare."""

from dataclasses import replace

import numpy as np

from sims.driving.looks.weather import Weather
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, mixed
from sims.driving.scenarios.pedestrian_crossing import build_crossing
from sims.driving.scenarios.scenario import Scenario


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    built = build_crossing(road_map, rng, difficulty)
    towards = float(built.route.at(np.array(built.start_m + 40.0))[2])
    sun = Weather(
        sun_elevation=float(np.deg2rad(mixed(14.0, 4.0, difficulty))),
        sun_azimuth=towards + float(rng.uniform(-0.2, 0.2)),
    )
    return replace(built, weather=sun)


FAMILY = Family("low-sun", ("parking-straight", "parking-left", "parking-right", "parking-snake"), _build)
