"""Junctions of three or four arms, with lights on every arm; a car comes from the south."""

import functools
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float64

from sims.driving.map.network import SHOULDER_M, Network
from sims.driving.map.road_shapes import straight
from sims.driving.map.roads import RoadMap

ARM_M = 110.0
_LIMIT_MPS = 13.9
_WIDTH_M = 3.5
_CROSSWALK_M = 4.0  # from the stop line into the junction

# Direction of each arm seen from the middle, degrees counter-clockwise from east.
_CROSS = {"south": -90.0, "east": 0.0, "north": 90.0, "west": 180.0}
_SKEW = {"south": -90.0, "east": 20.0, "north": 90.0, "west": 200.0}
_TEE = {"south": -90.0, "east": 0.0, "west": 180.0}


def _junction(arms: Mapping[str, float], lanes: int, half_m: float, topology: str) -> RoadMap:
    network = Network()
    corners = []
    for name, degrees in arms.items():
        angle = np.deg2rad(degrees)
        distance = half_m + ARM_M
        start = (distance * np.cos(angle), distance * np.sin(angle), angle + np.pi)
        network.add_road(name, straight(start, ARM_M), lanes, lanes, _WIDTH_M, _LIMIT_MPS)
        side = lanes * _WIDTH_M + SHOULDER_M
        corners += [_around(angle, half_m + 0.3, side), _around(angle, half_m + 0.3, -side)]
        at = np.array([*_around(angle, half_m - _CROSSWALK_M + 0.5, 0.0), angle])
        network.add_crosswalk(at, lanes * _WIDTH_M, lanes * _WIDTH_M, _CROSSWALK_M - 1.0)
    for first in arms:
        for second in arms:
            if first != second:
                _connect(network, first, second, (arms[second] - arms[first]) % 360.0, lanes)
    network.intersections.append(_ring(np.array(corners)))
    return network.finish(topology)


def _connect(network: Network, first: str, second: str, turned: float, lanes: int) -> None:
    """Left turns from the left lane, right turns from the right, straight on from each into its like."""
    if turned > 225.0:  # the arm to the left of a driver who comes in
        pairs = [(0, 0)]
    elif turned < 135.0:
        pairs = [(lanes - 1, lanes - 1)]
    else:
        pairs = [(k, k) for k in range(lanes)]
    for inner, outer in pairs:
        network.connect(f"{first}.f{inner}", f"{second}.b{outer}", signal=first)


def _around(angle: float, ahead: float, left: float) -> tuple[float, float]:
    cos, sin = np.cos(angle), np.sin(angle)
    return float(ahead * cos - left * sin), float(ahead * sin + left * cos)


def _ring(points: Float64[np.ndarray, " n 2"]) -> Float64[np.ndarray, " n 2"]:
    """Points around the middle, counter-clockwise."""
    return points[np.argsort(np.arctan2(points[:, 1], points[:, 0]))]


BUILDERS: dict[str, Callable[[str], RoadMap]] = {
    "cross-small": functools.partial(_junction, _CROSS, 1, 13.0),
    "cross-large": functools.partial(_junction, _CROSS, 2, 18.0),
    "cross-skew": functools.partial(_junction, _SKEW, 1, 15.0),
    "tee": functools.partial(_junction, _TEE, 1, 13.0),
}
