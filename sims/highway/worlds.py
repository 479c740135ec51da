"""The worlds of highway-env as data: what is asked, how they are steered, what counts as success.

Roads, traffic, rewards and ends of episodes are the package's own, at its own rate of decisions, so that returns can be
laid beside published ones. Success is said in the world's terms, for which the package has no common word.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

# Cars that follow and change lanes (IDM, MOBIL) have constants in their class, and the intersection writes to them:
# whoever drives elsewhere afterwards, in the same process, meets its impatient drivers.
TRAFFIC = {"DISTANCE_WANTED": 10.0, "COMFORT_ACC_MAX": 3.0, "COMFORT_ACC_MIN": -5.0}
_AT_JUNCTIONS = {"DISTANCE_WANTED": 7.0, "COMFORT_ACC_MAX": 6.0, "COMFORT_ACC_MIN": -3.0}
_NO_GRID = {"observation": {"type": "Kinematics"}}  # its grid of the surroundings is slow, and nobody here reads it


@dataclass(frozen=True)
class WorldInfo:
    """One world.

    Attributes:
        upstream: module and class of the package's version 0 of it, in `highway_env.envs`.
        task: the instruction in words.
        steers: whether actions are wheel and pedal; otherwise they choose among the package's decisions.
        longest: most actions of an episode; the world's own end comes before.
        span_m: metres from one edge of the picture to the other.
        centre: where the own car is in the picture, shares of width and height.
        is_success: whether an episode that has come to the world's own end was a success.
        has_edges: whether one can leave the road.
        config: what differs from the package's defaults.
        traffic: constants of the other cars.
    """

    upstream: str
    task: str
    steers: bool
    longest: int
    span_m: float
    centre: tuple[float, float]
    is_success: Callable[[Any], bool]
    has_edges: bool = True
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    traffic: Mapping[str, float] = field(default_factory=lambda: TRAFFIC)


def _lasted(world: Any) -> bool:
    """Until time was up: a crash ends these worlds, and leaving the road that of the racetrack."""
    return bool(world._is_truncated() and not world._is_terminated())


def _has_parked(world: Any) -> bool:
    """The package's own test of distance to the goal."""
    seen = world.observation_type_parking.observe()
    return bool(world._is_success(seen["achieved_goal"], seen["desired_goal"])) and not world.vehicle.crashed


def _has_arrived(world: Any) -> bool:
    """25 m down the road on the other side."""
    return bool(world.has_arrived(world.vehicle)) and not world.vehicle.crashed


WORLD_INFO: dict[str, WorldInfo] = {
    "racetrack": WorldInfo(
        upstream="racetrack_env:RacetrackEnv",
        task="Drive round the track without leaving it and without touching the other car",
        steers=True,
        longest=1510,
        span_m=64.0,
        centre=(0.5, 0.5),
        is_success=_lasted,
        config=_NO_GRID,
    ),
    "parking": WorldInfo(
        upstream="parking_env:ParkingEnv",
        task="Park in the marked spot, nose first",
        steers=True,
        longest=510,
        span_m=72.0,
        centre=(0.5, 0.5),
        is_success=_has_parked,
        has_edges=False,
    ),
    "intersection": WorldInfo(
        upstream="intersection_env:IntersectionEnv",
        task="Turn left at the intersection without a collision",
        steers=False,
        longest=120,
        span_m=80.0,
        centre=(0.5, 0.75),
        is_success=_has_arrived,
        traffic=_AT_JUNCTIONS,
    ),
    "highway-fast": WorldInfo(
        upstream="highway_env:HighwayEnvFast",
        task="Drive fast on the highway without a collision",
        steers=False,
        longest=120,
        span_m=80.0,
        centre=(0.3, 0.5),
        is_success=_lasted,
    ),
}
