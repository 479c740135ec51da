"""A scripted driver of CarRacing: pure pursuit, and a speed that the bends ahead allow."""

from typing import Any

import numpy as np
from jaxtyping import Float, Float32

_LOOK_TILES = (2, 0.06)  # aim so many tiles ahead, and so many more for each unit of speed
_BEND_TILES = 14  # looked ahead for bends
_GRIP = 140.0  # sideways acceleration that the tyres hold, units/s^2
_TOP_SPEED, _LEAST_SPEED = 75.0, 22.0
_BRAKING = 40.0  # units/s^2, at which a bend ahead is braked for
_STEER_GAIN, _PEDAL_GAIN = 1.6, 0.12


class RaceDriver:
    """Reads track and car; it keeps nothing from one step to the next."""

    def __call__(self, world: Any) -> Float32[np.ndarray, " 2"]:
        """(steer, pedal), left and gas positive."""
        hull = world.car.hull
        track = np.array([tile[2:4] for tile in world.track])
        here, speed = np.array(hull.position), float(np.hypot(*hull.linearVelocity))
        near = int(np.hypot(*(track - here).T).argmin())
        ahead = np.roll(track, -near, axis=0)
        aim = ahead[int(_LOOK_TILES[0] + _LOOK_TILES[1] * speed)] - here
        forward = np.array(hull.GetWorldVector((0, 1)))
        error = np.arctan2(forward[0] * aim[1] - forward[1] * aim[0], forward @ aim)
        steer = _STEER_GAIN * error
        pedal = _PEDAL_GAIN * (_allowed_speed(ahead[: _BEND_TILES + 2]) - speed)
        pedal = min(pedal, 1.0 - min(abs(steer), 0.8))  # rear-wheel drive: no gas in a turn
        return np.clip([steer, max(pedal, -0.8)], -1, 1).astype(np.float32)


def _allowed_speed(points: Float[np.ndarray, " tile 2"]) -> float:
    """The speed from which one can still slow down to what each bend ahead holds."""
    steps = np.diff(points, axis=0)
    lengths = np.hypot(*steps.T)
    headings = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    bends = np.abs(np.diff(headings)) / lengths[1:]
    bends = np.convolve(bends, np.ones(3) / 3, mode="same")
    way = np.cumsum(lengths)[:-1]
    held = np.sqrt(_GRIP / np.maximum(bends, 1e-3))
    return float(np.clip(np.sqrt(held**2 + 2 * _BRAKING * way).min(), _LEAST_SPEED, _TOP_SPEED))
