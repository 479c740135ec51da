"""Paths that cars and people follow: lines with even spacing, so that many actors look up their pose at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float64, Int

from sims.driving.map.road_shapes import with_heading
from sims.driving.map.roads import RoadMap

STEP_M = 1.0
LATERAL_ACCELERATION_MPS2 = 2.0  # with which people take a bend
_SLOWING_MPS2 = 1.5  # and with which they slow down for it


@dataclass(frozen=True, eq=False)
class Path:
    """A line with points `STEP_M` apart.

    Attributes:
        points: x, y, heading (unwrapped).
        speed_mps: how fast one drives at each point: the limit, less where it bends.
        stop_m: arc length of the stop line; infinite where there is none.
        signal: light group at the stop line.
    """

    points: Float64[np.ndarray, " points 3"]
    speed_mps: Float64[np.ndarray, " points"]
    stop_m: float = np.inf
    signal: str | None = None

    @property
    def length_m(self) -> float:
        """Length of the line."""
        return (len(self.points) - 1) * STEP_M

    @cached_property
    def curvature(self) -> Float64[np.ndarray, " points"]:
        """Change of heading per metre."""
        return np.gradient(self.points[:, 2], STEP_M)

    def at(self, s: Float[np.ndarray, " *batch"]) -> Float64[np.ndarray, " *batch 3"]:
        """Pose at arc length s, straight on beyond the ends."""
        position = np.clip(np.asarray(s, np.float64) / STEP_M, 0.0, len(self.points) - 1)
        index = np.minimum(position.astype(int), len(self.points) - 2)
        fraction = (position - index)[..., None]
        pose = (1 - fraction) * self.points[index] + fraction * self.points[index + 1]
        beyond = np.asarray(s) - position * STEP_M
        pose[..., 0] += beyond * np.cos(pose[..., 2])
        pose[..., 1] += beyond * np.sin(pose[..., 2])
        return pose

    def limit_at(self, s: Float[np.ndarray, " *batch"]) -> Float64[np.ndarray, " *batch"]:
        """How fast one drives at arc length s."""
        index = np.clip(np.rint(np.asarray(s) / STEP_M).astype(int), 0, len(self.points) - 1)
        return self.speed_mps[index]

    def project(self, xy: Float[np.ndarray, " *batch 2"]) -> tuple[np.ndarray, np.ndarray]:
        """Arc length and distance to the left of the nearest point of the line."""
        xy = np.asarray(xy, np.float64)
        line = self.points[:, :2]
        nearest = np.argmin((line**2).sum(axis=1) - 2 * (xy @ line.T), axis=-1)
        return self._refine(xy, nearest)

    def _refine(self, xy: np.ndarray, nearest: Int[np.ndarray, " *batch"]) -> tuple[np.ndarray, np.ndarray]:
        """Two Newton steps of the foot of the perpendicular on the interpolated line."""
        s = nearest * STEP_M
        across = np.zeros_like(s)
        for _ in range(2):
            pose = self.at(s)
            dx, dy = xy[..., 0] - pose[..., 0], xy[..., 1] - pose[..., 1]
            cos, sin = np.cos(pose[..., 2]), np.sin(pose[..., 2])
            s, across = s + dx * cos + dy * sin, dy * cos - dx * sin
        return s, across


def make_path(
    points: Float[np.ndarray, " points 2"],
    limit_mps: Float[np.ndarray, " points"] | float,
    stop_m: float = np.inf,
    signal: str | None = None,
) -> Path:
    """An evenly spaced path through points; speeds are lowered for bends, early enough to brake gently."""
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    even = np.arange(0.0, lengths[-1], STEP_M)
    line = with_heading(np.column_stack([np.interp(even, lengths, points[:, k]) for k in range(2)]))
    speed = np.interp(even, lengths, np.broadcast_to(np.asarray(limit_mps, np.float64), lengths.shape))
    curvature = np.abs(np.gradient(line[:, 2], STEP_M))
    speed = np.minimum(speed, np.sqrt(LATERAL_ACCELERATION_MPS2 / np.maximum(curvature, 1e-4)))
    for k in range(len(speed) - 2, -1, -1):
        speed[k] = min(speed[k], float(np.sqrt(speed[k + 1] ** 2 + 2 * _SLOWING_MPS2 * STEP_M)))
    return Path(line, speed, stop_m, signal)


def lane_path(
    road_map: RoadMap, lanes: Sequence[str], change_m: Sequence[tuple[float, float]] = (), yield_before: str = ""
) -> Path:
    """A path along lanes. Where the next lane is a neighbour, it changes over between two distances along that lane.

    Args:
        road_map: where the lanes are.
        lanes: ids, each a successor or a neighbour of the one before.
        change_m: for every change of lanes in turn, where it begins and ends, from the start of the lane.
        yield_before: lane at whose start others have the right of way; lanes with a light have a stop line anyway.
    """
    changes = iter(change_m)
    pieces, limits, stop_m, signal = [], [], np.inf, None
    previous = None
    for name in lanes:
        lane = road_map.lane(name)
        points = lane.centreline[:, :2]
        if previous is not None and name in (previous.left, previous.right):
            pieces[-1] = _changed_over(pieces[-1], points, *next(changes))
        elif previous is not None and name not in previous.successors:
            raise ValueError(f"Lane {name!r} neither follows {previous.id!r} nor lies beside it.")
        else:
            if (lane.signal is not None or name == yield_before) and not np.isfinite(stop_m):
                stop_m, signal = _length(pieces), lane.signal
            pieces.append(points)
            limits.append(lane.speed_limit_mps)
        previous = lane
    points = np.concatenate([pieces[0], *(piece[1:] for piece in pieces[1:])])
    counts = [len(pieces[0]), *(len(piece) - 1 for piece in pieces[1:])]
    return make_path(points, np.repeat(limits, counts), stop_m, signal)


def _changed_over(first: np.ndarray, second: np.ndarray, begin_m: float, end_m: float) -> np.ndarray:
    """From one neighbour to the other along a quintic, between two distances from the start."""
    lengths = np.linspace(0.0, _length([first]), len(first))
    u = np.clip((lengths - begin_m) / (end_m - begin_m), 0.0, 1.0)
    weight = (u**3 * (10 - 15 * u + 6 * u**2))[:, None]
    return (1 - weight) * first + weight * second


def _length(pieces: Sequence[np.ndarray]) -> float:
    return float(sum(np.hypot(*np.diff(piece, axis=0).T).sum() for piece in pieces))
