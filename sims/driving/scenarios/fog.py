"""The end of a jam in fog: the cars ahead stand, and are seen late."""

import numpy as np

from sims.driving.looks.weather import Weather
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.family import Family, mixed
from sims.driving.scenarios.jam import build_jam
from sims.driving.scenarios.scenario import Scenario


def _build(road_map: RoadMap, rng: np.random.Generator, difficulty: float) -> Scenario:
    fog_range_m = mixed(70.0, 35.0, difficulty)
    return build_jam(road_map, rng, difficulty, Weather(fog_range_m=fog_range_m, friction=0.8), 9.0)


FAMILY = Family("fog", ("street-straight", "street-left", "street-right", "street-snake"), _build)
