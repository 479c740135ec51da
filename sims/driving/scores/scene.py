"""What every score takes: a map of polygons, the boxes of the other road users over time, and ego trajectories.

SI units and radians; x forward/east, y left/north, heading counter-clockwise from x. Everything is checked and copied
when it is built, so the scores themselves never meet a NaN, a wrong length or a polygon without an area.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import shapely
from jaxtyping import Bool, Float64

from sims.driving.scores import checks
from sims.driving.scores.geometry import box_corners, polygon_array

# Columns of an ego state (NAVSIM's StateIndex), all at the rear axle: the pose in the map's frame, velocity and
# acceleration along and across the ego's own heading.
X, Y, HEADING, VX, VY, AX, AY, STEER, STEER_RATE, YAW_RATE, YAW_ACC = range(11)
STATE_SIZE = 11

AGENT_KINDS = ("vehicle", "pedestrian", "bicycle")
OBJECT_KINDS = ("cone", "barrier", "sign", "generic")
TRACK_KINDS = AGENT_KINDS + OBJECT_KINDS


@dataclass(frozen=True)
class VehicleParameters:
    """Size of the ego car in metres; the defaults are nuPlan's Chrysler Pacifica, with which NAVSIM scores everyone.

    Attributes:
        front_m: rear axle to front bumper.
        rear_m: rear axle to rear bumper.
        cog_m: rear axle to centre of gravity.

    Raises:
        ValueError: a size that is not a positive number.
    """

    width_m: float = 2.297
    front_m: float = 4.049
    rear_m: float = 1.127
    wheelbase_m: float = 3.089
    cog_m: float = 1.67

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not np.isfinite(value) or value <= 0:
                raise ValueError(f"VehicleParameters.{name} must be a positive number of metres, got {value!r}.")

    @property
    def length_m(self) -> float:
        return self.front_m + self.rear_m

    @property
    def rear_axle_to_centre_m(self) -> float:
        return self.length_m / 2.0 - self.rear_m


@dataclass(frozen=True, eq=False)
class ScoredLane:
    """One lane, or one lane connector inside an intersection.

    Attributes:
        polygon: outline, not repeated at the end.
        centreline: x, y, heading along the direction of travel.
        is_on_route: belongs to the lanes of the route (NAVSIM's `route_lane_ids`).
        speed_limit_mps: None where the map does not know it (then nobody can be too fast).
        red: per time step, whether the light that controls this connector is red; None: never.
        successors: ids of lanes and connectors that follow.
        roadblock: id of the group of parallel lanes it belongs to; lanes without a group stand alone.
    """

    id: str
    polygon: Float64[np.ndarray, " corners 2"]
    centreline: Float64[np.ndarray, " points 3"]
    is_connector: bool = False
    is_on_route: bool = True
    speed_limit_mps: float | None = None
    red: Bool[np.ndarray, " time"] | None = None
    successors: tuple[str, ...] = ()
    roadblock: str | None = None

    def __post_init__(self) -> None:
        what = f"lane {self.id!r}"
        checks.set_fields(self, polygon=checks.ring(self.polygon, f"{what}: polygon"))
        checks.set_fields(self, centreline=checks.line(self.centreline, f"{what}: centreline"))
        checks.set_fields(self, successors=tuple(self.successors))
        limit = self.speed_limit_mps
        if limit is not None and not (np.isfinite(limit) and limit > 0):
            raise ValueError(f"{what}: speed_limit_mps must be a positive number or None, got {limit!r}.")
        if self.red is not None:
            if not self.is_connector:
                raise ValueError(f"{what}: only a connector can have a red light.")
            checks.set_fields(self, red=checks.frozen(self.red, bool, (None,), f"{what}: red"))


@dataclass(frozen=True, eq=False)
class ScoredMap:
    """Polygons by role; `lanes` holds lanes and connectors. Each polygon is (corners, 2), not repeated at the end.

    A roadblock covers parallel lanes of one direction. What is drivable is the union of roadblocks, intersections,
    drivable areas and car parks; lanes themselves do not make ground drivable (as in NAVSIM).

    Raises:
        ValueError: no lanes, repeated lane ids, an unknown successor, a degenerate or self-intersecting polygon.
    """

    lanes: tuple[ScoredLane, ...]
    roadblocks: tuple[Float64[np.ndarray, " corners 2"], ...] = ()
    intersections: tuple[Float64[np.ndarray, " corners 2"], ...] = ()
    drivable: tuple[Float64[np.ndarray, " corners 2"], ...] = ()
    carparks: tuple[Float64[np.ndarray, " corners 2"], ...] = ()
    blocks: Mapping[str, Float64[np.ndarray, " corners 2"]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.set_fields(self, lanes=tuple(self.lanes))
        if not self.lanes:
            raise ValueError("ScoredMap.lanes is empty; a map needs at least one lane.")
        known = checks.unique((lane.id for lane in self.lanes), "lane")
        for lane in self.lanes:
            for successor in lane.successors:
                if successor not in known:
                    raise ValueError(
                        f"lane {lane.id!r} names the successor {successor!r}, which the map does not hold."
                    )
        for role in ("roadblocks", "intersections", "drivable", "carparks"):
            rings = getattr(self, role)
            checks.set_fields(
                self, **{role: tuple(checks.ring(ring, f"ScoredMap.{role}[{i}]") for i, ring in enumerate(rings))}
            )
        blocks = {name: checks.ring(ring, f"ScoredMap.blocks[{name!r}]") for name, ring in self.blocks.items()}
        checks.set_fields(self, blocks=blocks)

    def with_lights(self, red: Mapping[str, Bool[np.ndarray, " time"]]) -> "ScoredMap":
        """The same map with the lights of these connectors (by lane id) and no others; polygons are not built again.

        Raises:
            ValueError: an unknown lane, or a light on what is not a connector.
        """
        if unknown := sorted(set(red) - {lane.id for lane in self.lanes}):
            raise ValueError(f"lights for unknown lanes: {unknown}.")
        changed = (
            replace(lane, red=red.get(lane.id)) if lane.id in red or lane.red is not None else lane
            for lane in self.lanes
        )
        lit = copy(self)  # with the cached polygons
        checks.set_fields(lit, lanes=tuple(changed))
        return lit

    @cached_property
    def lane_polygons(self) -> np.ndarray:
        """Prepared shapely polygons of `lanes`, in their order."""
        return polygon_array([lane.polygon for lane in self.lanes])

    @cached_property
    def intersection_polygons(self) -> np.ndarray:
        return polygon_array(self.intersections)

    @cached_property
    def drivable_polygons(self) -> np.ndarray:
        """Prepared polygons of everything that may be driven on."""
        return polygon_array([*self.roadblocks, *self.intersections, *self.drivable, *self.carparks])

    @cached_property
    def on_route(self) -> Bool[np.ndarray, " lanes"]:
        return np.array([lane.is_on_route for lane in self.lanes])


@dataclass(frozen=True, eq=False)
class Track:
    """Another road user or object over time.

    Attributes:
        kind: one of TRACK_KINDS; vehicles, pedestrians and bicycles are agents, the rest objects that never move.
        boxes: x, y of the centre, heading, length, width, one row a time step.
        velocity: x and y in the map's frame, m/s; zero for objects.
        present: False where the track does not exist; its box is then ignored (but must be finite).
    """

    id: str
    kind: str
    boxes: Float64[np.ndarray, " time 5"]
    velocity: Float64[np.ndarray, " time 2"]
    present: Bool[np.ndarray, " time"] | None = None

    def __post_init__(self) -> None:
        what = f"track {self.id!r}"
        if self.kind not in TRACK_KINDS:
            raise ValueError(f"{what}: kind must be one of {', '.join(TRACK_KINDS)}; got {self.kind!r}.")
        boxes = checks.frozen(self.boxes, np.float64, (None, 5), f"{what}: boxes")
        steps = len(boxes)
        if (boxes[:, 3:] <= 0).any():
            raise ValueError(f"{what}: length and width must be positive, got a box of no area.")
        present = np.ones(steps, bool) if self.present is None else self.present
        checks.set_fields(
            self, boxes=boxes, velocity=checks.frozen(self.velocity, np.float64, (steps, 2), f"{what}: velocity")
        )
        checks.set_fields(self, present=checks.frozen(present, bool, (steps,), f"{what}: present"))

    @property
    def is_agent(self) -> bool:
        return self.kind in AGENT_KINDS

    @cached_property
    def first_step(self) -> int | None:
        """The first step at which the track is present."""
        steps = np.flatnonzero(np.asarray(self.present))
        return int(steps[0]) if len(steps) else None


@dataclass(frozen=True, eq=False)
class ScoredScene:
    """One scene: map, road users from the ego's first step on, and the route.

    Attributes:
        tracks: all of one length; step 0 is the ego's step 0. NAVSIM v1 needs 50 steps (its look-ahead runs past the
            plan), NAVSIM v2 and the rest as many as the ego has.
        centreline: x, y, heading of the route's centreline (EP and LK are measured along it).
        control_dt_s: seconds between steps.
        history: ego states before step 0, oldest first, at the same rate (NAVSIM v2's history comfort); None: unknown.
    """

    map: ScoredMap
    tracks: tuple[Track, ...]
    centreline: Float64[np.ndarray, " points 3"]
    control_dt_s: float = 0.1
    vehicle: VehicleParameters = field(default_factory=VehicleParameters)
    history: Float64[np.ndarray, " past 11"] | None = None

    def __post_init__(self) -> None:
        checks.set_fields(
            self, tracks=tuple(self.tracks), centreline=checks.line(self.centreline, "ScoredScene.centreline")
        )
        checks.check_dt(self.control_dt_s, "ScoredScene.control_dt_s")
        checks.unique((track.id for track in self.tracks), "track")
        lengths = {len(track.boxes) for track in self.tracks}
        lengths |= {len(lane.red) for lane in self.map.lanes if lane.red is not None}
        if len(lengths) > 1:
            raise ValueError(f"all tracks and red lights of a scene must have one length, got {sorted(lengths)} steps.")
        if self.history is not None:
            history = checks.frozen(self.history, np.float64, (None, STATE_SIZE), "ScoredScene.history")
            checks.set_fields(self, history=history)

    @property
    def num_steps(self) -> int | None:
        """Steps for which tracks and lights are known; None where the scene has neither."""
        for track in self.tracks:
            return len(track.boxes)
        return next((len(lane.red) for lane in self.map.lanes if lane.red is not None), None)

    @cached_property
    def route(self) -> shapely.LineString:
        line = shapely.LineString(self.centreline[:, :2])
        shapely.prepare(line)
        return line

    @cached_property
    def track_polygons(self) -> np.ndarray:
        """(tracks, time) polygons; None where the track is absent."""
        boxes = np.stack([track.boxes for track in self.tracks]) if self.tracks else np.empty((0, 0, 5))
        polygons = np.array(shapely.polygons(box_corners(boxes)), dtype=object).reshape(boxes.shape[:2])
        present = np.array([track.present for track in self.tracks], dtype=bool).reshape(boxes.shape[:2])
        polygons[~present] = None
        return polygons


@dataclass(frozen=True, eq=False)
class EgoTrajectories:
    """Ego states of one or more proposals, as driven (simulated), at one rate.

    Raises:
        ValueError: not (proposals, time, 11), fewer than two steps, NaN or infinite values, no rate.
    """

    states: Float64[np.ndarray, " proposals time 11"]
    control_dt_s: float = 0.1

    def __post_init__(self) -> None:
        checks.set_fields(
            self, states=checks.frozen(self.states, np.float64, (None, None, STATE_SIZE), "EgoTrajectories.states")
        )
        if self.states.shape[0] < 1 or self.states.shape[1] < 2:
            raise ValueError(f"EgoTrajectories.states must hold >= 1 proposal of >= 2 steps, got {self.states.shape}.")
        checks.check_dt(self.control_dt_s, "EgoTrajectories.control_dt_s")

    def __len__(self) -> int:
        return len(self.states)

    def joined(self, other: "EgoTrajectories") -> "EgoTrajectories":
        """Both sets of proposals in one, for scores that compare proposals with each other."""
        if other.states.shape[1] != self.states.shape[1] or not checks.is_rate(other.control_dt_s, self.control_dt_s):
            raise ValueError(
                f"trajectories to be compared must share length and rate, got {self.states.shape[1]} steps of "
                f"{self.control_dt_s} s and {other.states.shape[1]} steps of {other.control_dt_s} s."
            )
        return EgoTrajectories(np.concatenate([self.states, other.states]), self.control_dt_s)
