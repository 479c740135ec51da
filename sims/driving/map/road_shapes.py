"""Lines from which roads are made: straights, arcs and easements, smooth turns between two poses, arcs of a circle."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64

SPACING_M = 1.0
_FINE_M = 0.02


def line(
    start: tuple[float, float, float], pieces: Sequence[tuple[float, float, float]]
) -> Float64[np.ndarray, " points 3"]:
    """A line from a pose through pieces (length, first curvature, last curvature), x, y, heading 1 m apart."""
    total = sum(piece[0] for piece in pieces)
    ends = np.cumsum([0.0] + [piece[0] for piece in pieces])
    fine = np.linspace(0.0, total, max(2, round(total / _FINE_M) + 1))
    curvature = np.zeros_like(fine)
    for (length, first, last), begin in zip(pieces, ends[:-1], strict=True):
        inside = (fine >= begin) & (fine <= begin + length)
        curvature[inside] = first + (last - first) * (fine[inside] - begin) / length
    heading = start[2] + _integral(curvature, fine)
    x = start[0] + _integral(np.cos(heading), fine)
    y = start[1] + _integral(np.sin(heading), fine)
    wanted = np.linspace(0.0, total, max(2, round(total / SPACING_M) + 1))
    return np.column_stack([np.interp(wanted, fine, values) for values in (x, y, heading)])


def straight(start: tuple[float, float, float], length: float) -> Float64[np.ndarray, " points 3"]:
    """A straight line from a pose."""
    return line(start, [(length, 0.0, 0.0)])


def bend(length: float, curvature: float, easement: float = 20.0) -> list[tuple[float, float, float]]:
    """Pieces of a bend that begins and ends straight: curvature grows and falls over `easement` metres."""
    return [(easement, 0.0, curvature), (length, curvature, curvature), (easement, curvature, 0.0)]


def turn(
    start: Float[np.ndarray, " 3"], end: Float[np.ndarray, " 3"], reach: float | None = None
) -> Float64[np.ndarray, " points 3"]:
    """A smooth line between two poses: a cubic Bezier curve whose handles are `reach` long (a circle's, if None)."""
    gap = end[:2] - start[:2]
    distance = float(np.hypot(*gap))
    angle = abs(float(np.angle(np.exp(1j * (end[2] - start[2])))))
    if reach is None:  # exact for a straight line, the usual approximation of a circle's arc otherwise
        radius = distance / (2 * np.sin(angle / 2)) if angle > 1e-3 else 0.0
        reach = 4 / 3 * np.tan(angle / 4) * radius if angle > 1e-3 else distance / 3
    first, last = (np.array([np.cos(pose[2]), np.sin(pose[2])]) for pose in (start, end))
    corners = np.array([start[:2], start[:2] + reach * first, end[:2] - reach * last, end[:2]])
    t = np.linspace(0.0, 1.0, 400)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    return with_heading(resampled(weights @ corners), float(start[2]), float(end[2]))


def circle_arc(
    centre: tuple[float, float], radius: float, first: float, last: float
) -> Float64[np.ndarray, " points 3"]:
    """An arc driven counter-clockwise from angle `first` to `last` > `first`."""
    angles = np.linspace(first, last, max(3, round(radius * (last - first) / SPACING_M) + 1))
    return np.column_stack(
        [centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles), angles + np.pi / 2]
    )


def resampled(
    points: Float[np.ndarray, " points 2"], spacing: float = SPACING_M
) -> Float64[np.ndarray, " resampled 2"]:
    """The same line with points about `spacing` apart, ends kept."""
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    wanted = np.linspace(0.0, lengths[-1], max(2, round(lengths[-1] / spacing) + 1))
    return np.column_stack([np.interp(wanted, lengths, points[:, k]) for k in range(2)])


def with_heading(
    points: Float[np.ndarray, " points 2"], first: float | None = None, last: float | None = None
) -> Float64[np.ndarray, " points 3"]:
    """Points with the direction of the line at each; the ends may be given, being known better than by differences."""
    gradient = np.gradient(points, axis=0)
    heading = np.unwrap(np.arctan2(gradient[:, 1], gradient[:, 0]))
    if first is not None:
        heading[0] = heading[1] + float(np.angle(np.exp(1j * (first - heading[1]))))
    if last is not None:
        heading[-1] = heading[-2] + float(np.angle(np.exp(1j * (last - heading[-2]))))
    return np.column_stack([points, heading])


def _integral(values: Float[np.ndarray, " n"], at: Float[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    return np.concatenate([[0.0], np.cumsum((values[1:] + values[:-1]) / 2 * np.diff(at))])
