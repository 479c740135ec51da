"""Boxes and polygons, rounded in the order in which nuPlan rounds: the last bit decides what touches a border."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import shapely
from jaxtyping import Float64


def polygon_array(rings: Iterable[np.ndarray]) -> np.ndarray:
    """Prepared shapely polygons of rings (corners, 2), in their order."""
    polygons = np.array([shapely.Polygon(ring) for ring in rings], dtype=object)
    shapely.prepare(polygons)
    return polygons


def box_corners(boxes: Float64[np.ndarray, " *batch 5"]) -> Float64[np.ndarray, " *batch 4 2"]:
    """Front left, rear left, rear right, front right corner of boxes (x, y, heading, length, width), in metres."""
    centre, heading = boxes[..., :2], boxes[..., 2]
    half_length, half_width = boxes[..., 3] / 2.0, boxes[..., 4] / 2.0
    return np.stack(
        [
            shifted(centre, heading, lon * half_length, lat * half_width)
            for lon, lat in ((1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0))
        ],
        axis=-2,
    )


def shifted(centre: np.ndarray, heading: np.ndarray, lon: Any, lat: Any) -> np.ndarray:
    """Points moved forwards (lon) and to the left (lat) of their heading.

    The sideways direction is the cosine of heading + pi/2, not minus the sine, which differs in the last bit.
    """
    side = heading + np.pi / 2.0
    x = (lat * np.cos(side)) + (lon * np.cos(heading))
    y = (lat * np.sin(side)) + (lon * np.sin(heading))
    return centre + np.stack([x, y], axis=-1)
