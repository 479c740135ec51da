"""Colours of the world, and what a pixel of it can be."""

import numpy as np
from jaxtyping import Float64, UInt8
from scipy.ndimage import gaussian_filter

from sims.driving.looks.weather import Weather

RGB = tuple[float, float, float]

# Classes of the segmentation, in the order of their numbers.
CLASSES = (
    "sky", "ground", "sidewalk", "road", "carpark", "slippery", "white_line", "yellow_line", "stop_line", "crosswalk",
    "building", "vegetation", "light", "car", "van", "truck", "pedestrian", "cyclist", "cone", "barrier", "debris",
    "ego",
)  # fmt: skip

MATERIALS: dict[str, RGB] = {
    "ground": (0.36, 0.50, 0.27),
    "road": (0.30, 0.30, 0.32),
    "carpark": (0.38, 0.38, 0.40),
    "sidewalk": (0.62, 0.60, 0.57),
    "slippery": (0.62, 0.68, 0.75),
    "white_line": (0.95, 0.95, 0.95),
    "yellow_line": (0.92, 0.74, 0.12),
    "stop_line": (0.95, 0.95, 0.95),
    "crosswalk": (0.95, 0.95, 0.95),
    "house0": (0.76, 0.66, 0.55),
    "house1": (0.62, 0.66, 0.72),
    "house2": (0.70, 0.47, 0.40),
    "house3": (0.82, 0.80, 0.74),
    "trunk": (0.36, 0.26, 0.18),
    "crown": (0.20, 0.42, 0.18),
    "dark": (0.10, 0.11, 0.13),
    "skin": (0.85, 0.66, 0.54),
    "orange": (0.96, 0.42, 0.08),
    "red": (0.85, 0.12, 0.10),
    "white": (0.95, 0.95, 0.95),
    "brown": (0.55, 0.40, 0.24),
    "pole": (0.25, 0.26, 0.28),
}

# The paint of vehicles and clothes, by the actors' colour numbers.
PAINTS: tuple[RGB, ...] = (
    (0.86, 0.87, 0.88),
    (0.16, 0.17, 0.19),
    (0.55, 0.57, 0.60),
    (0.72, 0.12, 0.12),
    (0.12, 0.26, 0.58),
    (0.16, 0.42, 0.30),
    (0.82, 0.62, 0.14),
    (0.45, 0.30, 0.55),
)
EGO_PAINT: RGB = (0.10, 0.45, 0.62)

TAIL_OFF, TAIL_LIT, TAIL_BRAKING = (0.30, 0.03, 0.03), (0.55, 0.03, 0.03), (1.0, 0.10, 0.06)
HEAD_OFF, HEAD_LIT = (0.75, 0.75, 0.72), (1.0, 0.98, 0.85)
SIGNAL_LIT: dict[str, RGB] = {"red": (1.0, 0.08, 0.05), "yellow": (1.0, 0.75, 0.05), "green": (0.05, 0.95, 0.35)}
SIGNAL_OFF: dict[str, RGB] = {"red": (0.16, 0.03, 0.03), "yellow": (0.15, 0.11, 0.03), "green": (0.03, 0.13, 0.06)}

_DAY_SKY, _DAY_HORIZON = np.array([0.36, 0.58, 0.88]), np.array([0.80, 0.88, 0.95])
_DUSK_HORIZON = np.array([0.98, 0.72, 0.45])
_NIGHT_SKY, _NIGHT_HORIZON = np.array([0.01, 0.012, 0.03]), np.array([0.03, 0.035, 0.06])
_GREY = np.array([0.66, 0.68, 0.71])
_LOW_SUN_RAD = 0.3


def sky_colours(weather: Weather) -> tuple[Float64[np.ndarray, " 3"], Float64[np.ndarray, " 3"]]:
    """Colour overhead and at the horizon; fog and rain make both grey."""
    lowness = np.clip(1 - weather.sun_elevation / _LOW_SUN_RAD, 0.0, 1.0)
    horizon = _DAY_HORIZON + 0.6 * lowness * (_DUSK_HORIZON - _DAY_HORIZON)
    greyness = max(0.85 * weather.rain, float(np.clip(250.0 / weather.fog_range_m, 0.0, 1.0)))
    overhead = _DAY_SKY + greyness * (_GREY - _DAY_SKY)
    horizon = horizon + greyness * (_GREY - horizon)
    dark = weather.darkness
    return overhead + dark * (_NIGHT_SKY - overhead), horizon + dark * (_NIGHT_HORIZON - horizon)


def speckled(rng: np.random.Generator, contrast: float, size: int = 128) -> UInt8[np.ndarray, " size size 3"]:
    """A tile of light and dark specks of several sizes, seamless, so that motion over it shows."""
    tile = np.zeros((size, size))
    for width in (0.7, 3.0, 10.0):
        specks = gaussian_filter(rng.normal(size=(size, size)), width, mode="wrap")
        tile += specks / specks.std()
    tile = 1 - contrast + contrast * tile / 3
    return (np.clip(tile, 0, 1)[..., None] * 255).astype(np.uint8).repeat(3, axis=2)


def facade(size: int = 64) -> UInt8[np.ndarray, " size size 3"]:
    """A wall with one window."""
    wall = np.full((size, size, 3), 255, np.uint8)
    low, high = size // 4, size - size // 4
    wall[low:high, low:high] = (70, 80, 95)
    return wall
