"""Roads put together: parallel lanes along a line, connectors between them, surfaces with shoulders."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float64

from sims.driving.map.road_shapes import turn
from sims.driving.map.roads import Lane, RoadMap, shifted

SHOULDER_M = 0.5
_OVERLAP_M = 0.3  # surfaces of roads that follow each other overlap: no corner falls into a seam


@dataclass
class Network:
    """A road map while it is being built; right-hand traffic."""

    lanes: dict[str, Lane] = field(default_factory=dict[str, Lane])
    drivable: list[Float64[np.ndarray, " corners 2"]] = field(default_factory=list[np.ndarray])
    intersections: list[Float64[np.ndarray, " corners 2"]] = field(default_factory=list[np.ndarray])
    crosswalks: list[Float64[np.ndarray, " corners 2"]] = field(default_factory=list[np.ndarray])
    carparks: list[Float64[np.ndarray, " corners 2"]] = field(default_factory=list[np.ndarray])

    def add_road(
        self,
        name: str,
        line: Float[np.ndarray, " points 3"],
        forward: int,
        backward: int = 0,
        width_m: float = 3.5,
        speed_limit_mps: float = 13.9,
        shoulder_m: float = SHOULDER_M,
        is_connector: bool = False,
    ) -> None:
        """Lanes on both sides of a line: `<name>.f0` is the first to its right, `<name>.b0` the first to its left."""
        self._add_lanes(f"{name}.f", line, forward, width_m, speed_limit_mps, backward > 0, is_connector)
        if backward:
            self._add_lanes(f"{name}.b", reversed_line(line), backward, width_m, speed_limit_mps, forward > 0)
        left, right = backward * width_m + shoulder_m, forward * width_m + shoulder_m
        self.drivable.append(strip(line, left, right))

    def _add_lanes(
        self,
        prefix: str,
        line: Float[np.ndarray, " points 3"],
        count: int,
        width_m: float,
        speed_limit_mps: float,
        is_two_way: bool,
        is_connector: bool = False,
    ) -> None:
        for k in range(count):
            inner = "dashed" if count == 1 and is_two_way else "solid"
            self.lanes[f"{prefix}{k}"] = Lane(
                f"{prefix}{k}",
                shifted(line, -(k + 0.5) * width_m),
                width_m,
                speed_limit_mps,
                left=f"{prefix}{k - 1}" if k > 0 else None,
                right=f"{prefix}{k + 1}" if k < count - 1 else None,
                left_marking="dashed" if k > 0 else inner,
                right_marking="dashed" if k < count - 1 else "solid",
                is_connector=is_connector,
            )

    def join(self, first: str, second: str) -> None:
        """Say that the second lane follows the first, which ends where it begins."""
        self._change(first, successors=(*self.lanes[first].successors, second))

    def connect(
        self, first: str, second: str, signal: str | None = None, reach: float | None = None, limit_mps: float = 13.9
    ) -> str:
        """Add a connector from the end of a lane to the start of another; its id is `<first>><second>`."""
        a, b = self.lanes[first], self.lanes[second]
        name = f"{first}>{second}"
        self.lanes[name] = Lane(
            name,
            turn(a.centreline[-1], b.centreline[0], reach),
            max(a.width_m, b.width_m),
            limit_mps,
            successors=(second,),
            is_connector=True,
            signal=signal,
        )
        self.join(first, name)
        return name

    def add_crosswalk(self, at: Float[np.ndarray, " 3"], left_m: float, right_m: float, depth_m: float = 3.0) -> None:
        """A crosswalk over the road whose line passes through the pose `at`."""
        ends = np.stack([at, at])
        along = np.array([np.cos(at[2]), np.sin(at[2])]) * depth_m
        ends[1, :2] += along
        self.crosswalks.append(strip(ends, left_m, right_m, 0.0))

    def finish(self, topology: str) -> RoadMap:
        """The checked map."""
        surfaces = [lane.polygon for lane in self.lanes.values() if lane.is_connector]
        return RoadMap(
            topology,
            dict(self.lanes),
            (*self.drivable, *surfaces),
            tuple(self.intersections),
            tuple(self.carparks),
            tuple(self.crosswalks),
        )

    def _change(self, name: str, **changes: object) -> None:
        self.lanes[name] = dataclasses.replace(self.lanes[name], **changes)  # pyright: ignore[reportArgumentType]


def reversed_line(line: Float[np.ndarray, " points 3"]) -> Float64[np.ndarray, " points 3"]:
    """The line driven the other way."""
    return line[::-1] + np.array([0.0, 0.0, np.pi])


def strip(
    line: Float[np.ndarray, " points 3"], left_m: float, right_m: float, overlap_m: float = _OVERLAP_M
) -> Float64[np.ndarray, " corners 2"]:
    """The surface from `left_m` to the left of a line to `right_m` to its right, a little longer at both ends."""
    ends = np.array(line, np.float64)
    for index, sign in ((0, -1.0), (-1, 1.0)):
        ends[index, :2] += sign * overlap_m * np.array([np.cos(line[index, 2]), np.sin(line[index, 2])])
    return np.concatenate([shifted(ends, -right_m)[:, :2], shifted(ends, left_m)[::-1, :2]])


def chain(network: Network, names: Sequence[str], forward: int, backward: int = 0) -> None:
    """Join roads of equal lanes that follow each other."""
    for first, second in zip(names, names[1:], strict=False):
        for k in range(forward):
            network.join(f"{first}.f{k}", f"{second}.f{k}")
        for k in range(backward):
            network.join(f"{second}.b{k}", f"{first}.b{k}")
