"""Who can be seen from where: straight rays over the ground, stopped by whatever is high enough to hide somebody."""

import numpy as np
from jaxtyping import Bool, Float

HIDING_HEIGHT_M = 1.3  # lower things (cones, debris) hide nobody
_CORNERS = 0.45 * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1], [0, 0]])  # a little inside the box


def visible(
    eye: Float[np.ndarray, " 2"],
    boxes: Float[np.ndarray, " actors 5"],
    height: Float[np.ndarray, " actors"],
    range_m: float,
) -> Bool[np.ndarray, " actors"]:
    """Whether a ray from the eye reaches a corner or the middle of each box within range.

    Args:
        eye: x and y.
        boxes: x, y, heading, length, width.
        height: of each box; those below `HIDING_HEIGHT_M` hide nothing.
        range_m: how far one sees.
    """
    cos, sin = np.cos(boxes[:, 2]), np.sin(boxes[:, 2])
    ahead, side = _CORNERS[:, 0] * boxes[:, 3, None], _CORNERS[:, 1] * boxes[:, 4, None]
    x = boxes[:, 0, None] + ahead * cos[:, None] - side * sin[:, None]
    y = boxes[:, 1, None] + ahead * sin[:, None] + side * cos[:, None]
    hidden = np.zeros(x.shape, bool)
    for index in np.flatnonzero(height >= HIDING_HEIGHT_M):
        stopped = _passes_through(eye, x, y, boxes[index])
        stopped[index] = False  # nobody hides behind himself
        hidden |= stopped
    near = np.hypot(x - eye[0], y - eye[1]) <= range_m
    return (near & ~hidden).any(axis=1)


def _passes_through(eye: np.ndarray, x: np.ndarray, y: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Whether the ray from the eye to each point crosses the box (slab test in the box's frame)."""
    cos, sin = np.cos(box[2]), np.sin(box[2])
    from_x, from_y = eye[0] - box[0], eye[1] - box[1]
    start = (from_x * cos + from_y * sin, from_y * cos - from_x * sin)
    way_x, way_y = x - eye[0], y - eye[1]
    way = (way_x * cos + way_y * sin, way_y * cos - way_x * sin)
    first, last = np.zeros(x.shape), np.ones(x.shape)
    for along, direction, half in zip(start, way, box[3:5] / 2, strict=True):
        direction = np.where(np.abs(direction) < 1e-9, 1e-9, direction)
        one, two = (-half - along) / direction, (half - along) / direction
        first, last = np.maximum(first, np.minimum(one, two)), np.minimum(last, np.maximum(one, two))
    return first < last
