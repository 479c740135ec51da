"""Weather and light: what changes the pictures also changes the grip."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from sims.common.errors import unknown_name

DRY_FRICTION = 0.9
WET_FRICTION = 0.5  # at full rain


@dataclass(frozen=True)
class Weather:
    """Conditions of a drive.

    Attributes:
        fog_range_m: how far one sees; infinite without fog.
        sun_elevation, sun_azimuth: radians; azimuth counter-clockwise from east.
        darkness: 0 day to 1 night.
        rain: 0 dry to 1 pouring.
        friction: of tyres on this road.
    """

    fog_range_m: float = np.inf
    sun_elevation: float = 0.9
    sun_azimuth: float = 0.7
    darkness: float = 0.0
    rain: float = 0.0
    friction: float = DRY_FRICTION

    def __post_init__(self) -> None:
        """Refuse conditions that don't exist.

        Raises:
            ValueError: a value out of its range.
        """
        ranges = {"fog_range_m": (1.0, np.inf), "darkness": (0.0, 1.0), "rain": (0.0, 1.0), "friction": (0.05, 1.0)}
        ranges["sun_elevation"] = (-np.pi / 2, np.pi / 2)
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {getattr(self, name)!r}.")


def rainy(rain: float, **others: float) -> Weather:
    """Rain with the grip that belongs to it: from dry to wet in a straight line."""
    return Weather(rain=rain, friction=DRY_FRICTION + (WET_FRICTION - DRY_FRICTION) * rain, **others)


@dataclass(frozen=True)
class Patch:
    """A stretch of the ego's route with another grip (ice, oil): between two arc lengths, the whole road wide."""

    begin_m: float
    end_m: float
    friction: float


def weather_of(given: Weather | Mapping[str, float] | None) -> Weather | None:
    """A weather from what a configuration file can say.

    Raises:
        ValueError: an unknown name, or a value out of its range.
    """
    if given is None or isinstance(given, Weather):
        return given
    known = [field.name for field in fields(Weather)]
    for name in given:
        if name not in known:
            raise unknown_name("weather", name, known)
    return Weather(**{"friction": rainy(given.get("rain", 0.0)).friction, **given})
