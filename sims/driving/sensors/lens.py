"""What weather does in front of the lens: the beam of the headlights, glare of a low sun, streaks of rain.

Everything follows from the state (the time step seeds the drops), so equal states give equal pictures.
"""

import functools

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from sims.driving.looks.builder import sun_direction
from sims.driving.looks.weather import Weather
from sims.driving.sensors.projection import View
from sims.driving.sensors.rigs import Camera

_LOW_SUN_RAD = 0.35
_DROPS = 0.006  # streaks a pixel in the heaviest rain
_STREAK = 0.1  # of the height of the picture
_SLANT = 0.15


def through_the_lens(
    frame: UInt8[np.ndarray, " height width 3"],
    camera: Camera,
    view: View,
    weather: Weather,
    time_step: int,
    sees_sun: bool,
) -> UInt8[np.ndarray, " height width 3"]:
    """The picture as this weather leaves it.

    Args:
        frame: as it was drawn.
        camera: through which.
        view: where the camera is now.
        weather: of the drive.
        time_step: number of the control step.
        sees_sun: whether nothing stands between the camera and the sun.
    """
    glare = _glare_strength(weather) if sees_sun else 0.0
    picture = frame.astype(np.float32)
    if weather.darkness > 0:
        picture = _lit(picture, camera, weather.darkness)
    if glare > 0:
        picture += glare * _glare(view, sun_direction(weather))
    if weather.rain > 0:
        _rain(picture, weather.rain, np.random.default_rng([time_step, *camera.name.encode()]))
    return np.clip(picture, 0, 255).astype(np.uint8)


def is_plain(weather: Weather) -> bool:
    """Whether this weather leaves pictures as they were drawn."""
    return weather.darkness == 0 and weather.rain == 0 and _glare_strength(weather) == 0


def _lit(picture: Float32[np.ndarray, " h w 3"], camera: Camera, darkness: float) -> Float32[np.ndarray, " h w 3"]:
    """Dim what the headlights don't reach; what shines itself stays."""
    beam = _beam(camera, *picture.shape[:2])
    factor = 1 - darkness * (1 - (0.13 + 1.5 * beam))
    shining = np.clip((picture.max(axis=2) - 170) / 60, 0, 1)
    return picture * (factor + (1 - factor) * shining)[..., None]


@functools.lru_cache(maxsize=64)
def _beam(camera: Camera, height: int, width: int) -> Float32[np.ndarray, " height width"]:
    """How brightly the headlights shine in the direction of every pixel, 0 to 1."""
    level = View.of(camera, np.eye(3), np.zeros(3), height, width)
    x, y, z = np.moveaxis(level.rays(), -1, 0)
    azimuth, elevation = np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))
    above = np.maximum(elevation, 0.0)
    return (np.exp(-((azimuth / 0.55) ** 2)) * np.exp(-((above / 0.10) ** 2))).astype(np.float32)


def _glare_strength(weather: Weather) -> float:
    low = float(np.clip(1 - weather.sun_elevation / _LOW_SUN_RAD, 0.0, 1.0))
    clear = (1 - weather.darkness) * (1 - weather.rain) * float(np.clip(weather.fog_range_m / 400, 0.0, 1.0))
    return low * clear


def _glare(view: View, towards_sun: Float64[np.ndarray, " 3"]) -> Float[np.ndarray, " h w 3"]:
    """Light to add round the sun: its disc, a halo, and a veil over the picture."""
    rays = view.rays()
    cosine = rays @ towards_sun / np.linalg.norm(rays, axis=-1)
    angle = np.arccos(np.clip(cosine, -1, 1))
    light = 255 * np.exp(-((angle / 0.05) ** 2)) + 190 * np.exp(-angle / 0.16) + 60 * np.exp(-angle / 0.6)
    return light[..., None] * np.array([1.0, 0.93, 0.78])


def _rain(picture: Float[np.ndarray, " h w 3"], rain: float, rng: np.random.Generator) -> None:
    """Veil and streaks, in place."""
    height, width = picture.shape[:2]
    picture += 0.15 * rain * (165 - picture)
    count = round(_DROPS * rain * height * width)
    length = max(2, round(_STREAK * height))
    top, left = rng.integers(-length, height, count), rng.integers(0, width, count)
    along = np.arange(length)
    rows = top[:, None] + along
    columns = left[:, None] + np.rint(_SLANT * along).astype(int)
    is_inside = (rows >= 0) & (rows < height) & (columns < width)
    rows, columns = rows[is_inside], columns[is_inside]
    picture[rows, columns] += 0.35 * (225 - picture[rows, columns])
