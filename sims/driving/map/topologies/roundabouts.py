"""Roundabouts of one lane, driven counter-clockwise; a car comes from the south."""

import functools
from collections.abc import Callable, Mapping

import numpy as np

from sims.driving.map.network import Network, strip
from sims.driving.map.road_shapes import circle_arc, straight
from sims.driving.map.roads import Lane, RoadMap

ARM_M = 100.0
_LIMIT_MPS = 13.9
_WIDTH_M = 4.5
_FLARE_M = 9.0  # between the arms' ends and the ring


def _roundabout(arms: Mapping[str, float], radius_m: float, topology: str) -> RoadMap:
    """Arms in counter-clockwise order, by their direction from the middle in degrees."""
    network = Network()
    names = list(arms)
    angles = [np.deg2rad(arms[name]) for name in names]
    half_gap = 8.5 / radius_m  # from an arm's middle to where its cars leave or join the ring
    for name, angle in zip(names, angles, strict=True):
        distance = radius_m + _FLARE_M + ARM_M
        start = (distance * np.cos(angle), distance * np.sin(angle), angle + np.pi)
        network.add_road(name, straight(start, ARM_M), 1, 1, _WIDTH_M, _LIMIT_MPS)
    for k, (name, angle) in enumerate(zip(names, angles, strict=True)):
        following = angles[(k + 1) % len(names)]
        following += 2 * np.pi * (following < angle)
        _add_arc(network, f"ring.{name}.pass", radius_m, angle - half_gap, angle + half_gap)
        _add_arc(network, f"ring.{name}.next", radius_m, angle + half_gap, following - half_gap)
    for k, name in enumerate(names):
        after = names[(k + 1) % len(names)]
        network.join(f"ring.{name}.pass", f"ring.{name}.next")
        network.join(f"ring.{name}.next", f"ring.{after}.pass")
        network.connect(f"{name}.f0", f"ring.{name}.next")
        network.connect(f"ring.{names[k - 1]}.next", f"{name}.b0")
    network.intersections += [lane.polygon for lane in network.lanes.values() if lane.is_connector]
    return network.finish(topology)


def _add_arc(network: Network, name: str, radius_m: float, first: float, last: float) -> None:
    line = circle_arc((0.0, 0.0), radius_m, first, last)
    network.lanes[name] = Lane(name, line, _WIDTH_M, _LIMIT_MPS, is_connector=True)
    network.drivable.append(strip(line, _WIDTH_M / 2 + 0.5, _WIDTH_M / 2 + 0.5))


def exits(road_map: RoadMap) -> tuple[str, ...]:
    """The arms after the south one, in the order in which a driver from the south passes them."""
    arms = [name.removesuffix(".f0") for name in road_map.lanes if name.endswith(".f0")]
    return (*arms[1:], arms[0])


def route_lanes(road_map: RoadMap, first: str, last: str) -> list[str]:
    """Lanes from one arm into the ring and out at another."""
    arms = [name.removesuffix(".f0") for name in road_map.lanes if name.endswith(".f0")]
    lanes = [f"{first}.f0", f"{first}.f0>ring.{first}.next", f"ring.{first}.next"]
    k = arms.index(first)
    while True:
        before, k = arms[k], (k + 1) % len(arms)
        if arms[k] == last:
            return [*lanes, f"ring.{before}.next>{last}.b0", f"{last}.b0"]
        lanes += [f"ring.{arms[k]}.pass", f"ring.{arms[k]}.next"]


_FOUR = {"south": -90.0, "east": 0.0, "north": 90.0, "west": 180.0}
_THREE = {"south": -90.0, "northeast": 30.0, "northwest": 150.0}
_FIVE = {"south": -90.0, "east": -18.0, "northeast": 54.0, "northwest": 126.0, "west": 198.0}

BUILDERS: dict[str, Callable[[str], RoadMap]] = {
    "roundabout-four": functools.partial(_roundabout, _FOUR, 20.0),
    "roundabout-three": functools.partial(_roundabout, _THREE, 17.0),
    "roundabout-five": functools.partial(_roundabout, _FIVE, 25.0),
}
