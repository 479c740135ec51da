"""Pure pursuit with the package's car, and angles."""

from typing import Any

import numpy as np
from jaxtyping import Float


def pursue(ego: Any, aim: Float[np.ndarray, " 2"]) -> float:
    """Steering angle (rad, to the right) of the arc through a point.

    Source: the package's kinematics turn by 2 v sin(b) / length with tan(b) = tan(steer) / 2.
    """
    away = aim - ego.position
    bearing = np.arctan2(away[1], away[0]) - ego.heading
    curvature = 2 * np.sin(bearing) / max(float(np.hypot(*away)), 0.5)
    slip = np.arcsin(np.clip(curvature * ego.LENGTH / 2, -0.9, 0.9))
    return float(np.arctan(2 * np.tan(slip)))


def wrapped(angle: float) -> float:
    """The same angle in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi
