"""Everybody but the ego: what they are, how they decide, and the table of what changes about them."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int

from sims.common.errors import unknown_name

# kind: (length, width, height) in metres, and the kind that scores know it by.
KINDS: dict[str, tuple[tuple[float, float, float], str]] = {
    "car": ((4.6, 1.9, 1.5), "vehicle"),
    "van": ((5.4, 2.1, 2.2), "vehicle"),
    "truck": ((9.0, 2.5, 3.4), "vehicle"),
    "pedestrian": ((0.5, 0.6, 1.75), "pedestrian"),
    "cyclist": ((1.8, 0.6, 1.75), "bicycle"),
    "cone": ((0.4, 0.4, 0.7), "cone"),
    "barrier": ((2.0, 0.5, 1.0), "barrier"),
    "debris": ((1.0, 1.0, 0.5), "generic"),
}
NUM_COLOURS = 8
MODES = ("idm", "constant", "replay", "still")
TRIGGERS = ("time", "gap", "arrival")
ACTIONS = ("change", "brake", "go")
# Columns of the table that changes: path, arc length, speed, acceleration, sideways offset from/to and how far that is
# done, when the event fired (s, -1: not yet), seconds since the last change of lanes, whether the ego touched it, and
# the step at which the ego could first see it (-1: not yet).
PATH, S, SPEED, ACCELERATION, FROM, TO, ELAPSED, DURATION, FIRED, SINCE_CHANGE, TOUCHED, SEEN = range(12)
NUM_COLUMNS = 12
MAX_ACTORS = 32


@dataclass(frozen=True)
class Driver:
    """How a driver keeps distance and changes lanes; the defaults are highway-env's published ones.

    Source: IDM, Treiber et al. 2000; MOBIL, Kesting et al. 2007; values: highway-env, vehicle/behavior.py.
    """

    acceleration_mps2: float = 3.0
    braking_mps2: float = 5.0
    time_gap_s: float = 1.5
    standstill_m: float = 5.0
    exponent: float = 4.0
    politeness: float = 0.0
    gain_mps2: float = 0.2
    safe_braking_mps2: float = 2.0


TIMID = Driver(acceleration_mps2=2.0, braking_mps2=3.0, time_gap_s=2.2, standstill_m=6.0, politeness=0.5)
AGGRESSIVE = Driver(acceleration_mps2=3.5, braking_mps2=6.0, time_gap_s=0.9, standstill_m=3.0, gain_mps2=0.1)


@dataclass(frozen=True)
class Event:
    """Something that an actor does once.

    Attributes:
        trigger: `time` (seconds since the start), `gap` (metres between the ego and the actor), or `arrival` (seconds
            until the ego, at its speed, reaches the point of its route nearest to the actor's goal).
        value: fires when time is at least, or gap or arrival at most, this.
        action: `change` to path number `path` within `duration_s`; `brake` at `amount` m/s^2 for `duration_s`, then
            drive on; `go`: an actor that stood until now moves at `amount` m/s.
    """

    trigger: str
    value: float
    action: str
    amount: float = 0.0
    duration_s: float = 0.0
    path: int = -1

    def __post_init__(self) -> None:
        """Refuse unknown triggers and actions."""
        if self.trigger not in TRIGGERS or self.action not in ACTIONS:
            raise ValueError(f"An event needs a trigger of {TRIGGERS} and an action of {ACTIONS}, got {self}.")


@dataclass(frozen=True, eq=False)
class Actor:
    """One road user or object at the start.

    Attributes:
        path: number of the path it follows; its pose is at arc length `s`, `offset_m` to the left of it.
        mode: `idm`, `constant` speed, `replay` of `poses`, or `still`.
        desired_mps: speed on a free road, at most the path's; infinite: the path's.
        beside: paths to which MOBIL may change.
        yields_at_m: arc length before which it waits while others cross; infinite: it has the right of way.
        heeds_ego: False for those who don't look (a darting child, a car that cuts in).
        poses: for `replay`: x, y, heading and speed at every control step.
    """

    kind: str
    path: int
    s: float
    speed_mps: float = 0.0
    offset_m: float = 0.0
    mode: str = "idm"
    desired_mps: float = np.inf
    driver: Driver = Driver()
    beside: tuple[int, ...] = ()
    event: Event | None = None
    yields_at_m: float = np.inf
    heeds_ego: bool = True
    colour: int = 0
    size: tuple[float, float, float] | None = None
    poses: Float64[np.ndarray, " time 4"] | None = None

    def __post_init__(self) -> None:
        """Refuse what is no road user.

        Raises:
            ValueError: an unknown kind or mode, or a replay without poses.
        """
        if self.kind not in KINDS:
            raise unknown_name("kind of actor", self.kind, KINDS)
        if self.mode not in MODES:
            raise unknown_name("mode of an actor", self.mode, MODES)
        if (self.mode == "replay") != (self.poses is not None):
            raise ValueError("An actor has poses if and only if its mode is 'replay'.")

    @property
    def box(self) -> tuple[float, float, float]:
        """Length, width, height."""
        return self.size or KINDS[self.kind][0]

    def moved(self, **changes: object) -> "Actor":
        """This actor with some fields replaced."""
        return replace(self, **changes)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, eq=False)
class ActorTable:
    """All actors now, one row each. Absent ones (gone off the map) keep their last pose.

    Attributes:
        kind: names of `KINDS`.
        x, y, heading: centre of the box.
        speed: m/s along the heading.
        colour: 0 to `NUM_COLOURS` - 1.
    """

    kind: tuple[str, ...]
    x: Float64[np.ndarray, " actors"]
    y: Float64[np.ndarray, " actors"]
    heading: Float64[np.ndarray, " actors"]
    length: Float64[np.ndarray, " actors"]
    width: Float64[np.ndarray, " actors"]
    height: Float64[np.ndarray, " actors"]
    speed: Float64[np.ndarray, " actors"]
    colour: Int[np.ndarray, " actors"]
    present: Bool[np.ndarray, " actors"]
    braking: Bool[np.ndarray, " actors"]

    @property
    def boxes(self) -> Float64[np.ndarray, " actors 5"]:
        """x, y, heading, length, width."""
        return np.column_stack([self.x, self.y, self.heading, self.length, self.width])
