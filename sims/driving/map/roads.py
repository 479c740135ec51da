"""The lane graph of a road map, and the checks that keep a broken map out. Metres, radians, x east, y north."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float64

from sims.common.errors import unknown_name

MARKINGS = ("solid", "dashed", "none")
MAX_GAP_M = 0.05  # between a lane's end and its successor's start
MAX_KINK_RAD = 0.05


@dataclass(frozen=True, eq=False)
class Lane:
    """One lane in its driving direction.

    Attributes:
        centreline: x, y, heading; about 1 m apart.
        width_m: full width.
        left, right: the neighbour in the same direction; only there may a car change lanes.
        is_connector: lies inside an intersection.
        signal: light group that must be green to enter this connector.
        left_marking, right_marking: one of `MARKINGS`.
    """

    id: str
    centreline: Float64[np.ndarray, " points 3"]
    width_m: float
    speed_limit_mps: float
    successors: tuple[str, ...] = ()
    left: str | None = None
    right: str | None = None
    is_connector: bool = False
    signal: str | None = None
    left_marking: str = "none"
    right_marking: str = "none"

    def __post_init__(self) -> None:
        """Refuse a lane that nobody could drive on.

        Raises:
            ValueError: bad shape, values that are not numbers, repeated points, a centreline that crosses itself, a
                curve so tight that the inner edge folds, or an unknown marking.
        """
        line = self.centreline
        if line.ndim != 2 or line.shape[1] != 3 or len(line) < 2 or not np.isfinite(line).all():
            raise ValueError(f"Lane {self.id!r}: centreline must be finite, (points >= 2, 3), got {line.shape}.")
        if not self.width_m > 0 or not self.speed_limit_mps > 0:
            raise ValueError(f"Lane {self.id!r}: width and speed limit must be positive.")
        steps = np.diff(line[:, :2], axis=0)
        if np.hypot(*steps.T).min() < 1e-6:
            raise ValueError(f"Lane {self.id!r}: two points of the centreline coincide.")
        for marking in (self.left_marking, self.right_marking):
            if marking not in MARKINGS:
                raise unknown_name(f"marking of lane {self.id!r}", marking, MARKINGS)
        if crosses_itself(line[:, :2]):
            raise ValueError(f"Lane {self.id!r}: the centreline crosses itself.")
        for edge in (self.left_edge, self.right_edge):
            if (np.sum(np.diff(edge, axis=0) * steps, axis=1) <= 0).any():
                raise ValueError(f"Lane {self.id!r}: a curve is tighter than half the width ({self.width_m / 2:g} m).")

    @cached_property
    def left_edge(self) -> Float64[np.ndarray, " points 2"]:
        """The left border, in driving direction."""
        return shifted(self.centreline, self.width_m / 2)[:, :2]

    @cached_property
    def right_edge(self) -> Float64[np.ndarray, " points 2"]:
        """The right border, in driving direction."""
        return shifted(self.centreline, -self.width_m / 2)[:, :2]

    @cached_property
    def polygon(self) -> Float64[np.ndarray, " corners 2"]:
        """The lane's surface, counter-clockwise."""
        return np.concatenate([self.right_edge, self.left_edge[::-1]])

    @cached_property
    def length_m(self) -> float:
        """Length of the centreline."""
        return float(np.hypot(*np.diff(self.centreline[:, :2], axis=0).T).sum())


@dataclass(frozen=True, eq=False)
class RoadMap:
    """All lanes and surfaces of one place.

    Attributes:
        topology: its name; splits by topology go by it.
        lanes: by id.
        drivable: surfaces that a car may touch, kerb to kerb; they may overlap.
        intersections, carparks, crosswalks: polygons, (corners, 2) each.
    """

    topology: str
    lanes: Mapping[str, Lane]
    drivable: Sequence[Float64[np.ndarray, " corners 2"]]
    intersections: Sequence[Float64[np.ndarray, " corners 2"]] = field(default_factory=tuple)
    carparks: Sequence[Float64[np.ndarray, " corners 2"]] = field(default_factory=tuple)
    crosswalks: Sequence[Float64[np.ndarray, " corners 2"]] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        """Refuse a graph whose parts don't fit.

        Raises:
            ValueError: a successor or neighbour is missing, neighbours disagree, or a lane doesn't lead into its
                successor (gap or kink).
        """
        for lane in self.lanes.values():
            for name in lane.successors:
                _check_joint(lane, self.lane(name, f"successor of lane {lane.id!r}"))
            for name, back in ((lane.left, "right"), (lane.right, "left")):
                if name is not None and getattr(self.lane(name, f"neighbour of lane {lane.id!r}"), back) != lane.id:
                    raise ValueError(f"Lane {name!r} must name {lane.id!r} as its {back} neighbour.")

    def lane(self, name: str, role: str = "lane") -> Lane:
        """The lane of that id.

        Raises:
            ValueError: there is none.
        """
        if name not in self.lanes:
            raise unknown_name(role, name, self.lanes)
        return self.lanes[name]

    def side_by_side(self, name: str) -> tuple[str, ...]:
        """All lanes of the same direction beside this one and itself, from left to right."""
        lane = self.lane(name)
        while lane.left is not None:
            lane = self.lanes[lane.left]
        names = [lane.id]
        while lane.right is not None:
            lane = self.lanes[lane.right]
            names.append(lane.id)
        return tuple(names)

    @cached_property
    def signals(self) -> tuple[str, ...]:
        """Names of the light groups, sorted."""
        return tuple(sorted({lane.signal for lane in self.lanes.values() if lane.signal is not None}))


def shifted(line: Float[np.ndarray, " points 3"], left_m: float) -> Float64[np.ndarray, " points 3"]:
    """The line moved sideways by `left_m`, point by point."""
    x, y, heading = line.T
    return np.column_stack([x - left_m * np.sin(heading), y + left_m * np.cos(heading), heading])


def crosses_itself(points: Float[np.ndarray, " points 2"]) -> bool:
    """Whether two segments of the line that don't follow each other meet."""
    first, second = points[:-1], points[1:]

    def side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        ab, ac = b - a, c - a
        return np.sign(ab[..., 0] * ac[..., 1] - ab[..., 1] * ac[..., 0])

    a, b, c, d = first[:, None], second[:, None], first[None], second[None]
    meets: Bool[np.ndarray, " n n"] = (side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)
    return bool(np.triu(meets, 2).any())


def _check_joint(lane: Lane, successor: Lane) -> None:
    end, start = lane.centreline[-1], successor.centreline[0]
    gap = float(np.hypot(*(start - end)[:2]))
    kink = abs(float(np.angle(np.exp(1j * (start[2] - end[2])))))
    if gap > MAX_GAP_M or kink > MAX_KINK_RAD:
        raise ValueError(
            f"Lane {successor.id!r} must begin where {lane.id!r} ends: gap {gap:.2f} m (at most {MAX_GAP_M} m), "
            f"kink {kink:.2f} rad (at most {MAX_KINK_RAD} rad)."
        )
