"""nuPlan's closed-loop score (devkit v1.2, the weighted average of the closed-loop challenges).

Where its documents and its code disagree, the code and its configuration are followed: driving direction multiplies
(the documents average it with weight 5), progress is compared above 2 m (the documents say 0.1 m), time to collision
must exceed 0.95 s, and a corner must be 0.3 m outside before the drivable area is left. Unlike NAVSIM, driving against
traffic means backwards along the lane's own centreline, whether a track is stopped is read at the moment of contact,
and others are extrapolated at their speed along their heading.

The drivable area is the union of the map's drivable polygons; the expert is the recorded human of the same scene.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from jaxtyping import Bool, Float64, Int64

from sims.driving.scores import checks
from sims.driving.scores.areas import Footprint, footprint, inside
from sims.driving.scores.comfort import comfort_events, comfort_series, within_bounds
from sims.driving.scores.contacts import Contact, judged_collisions, speeds
from sims.driving.scores.nuplan_route import (
    LaneGraph,
    Objects,
    driven_route,
    expert_blocks,
    in_one_lane,
    progress_along,
)
from sims.driving.scores.nuplan_ttc import MIN_TTC_S, time_to_collision
from sims.driving.scores.result import Event, ScoreResult, sorted_events
from sims.driving.scores.scene import EgoTrajectories, ScoredScene

WEIGHTS = {
    "ego_progress_along_expert_route": 5.0,
    "time_to_collision_within_bound": 5.0,
    "speed_limit_compliance": 4.0,
    "ego_is_comfortable": 2.0,
}
# At-fault collisions that leave something of the score: n of them cost n / (allowed + 1).
ALLOWED_COLLISIONS: Mapping[str, int] = {"vru": 0, "vehicle": 0, "object": 1}
MAX_OUTSIDE_M = 0.3
MIN_PROGRESS_RATIO, MIN_PROGRESS_M = 0.2, 2.0
DIRECTION_HORIZON_S, DIRECTION_LIMITS_M = 1.0, (2.0, 6.0)
MAX_OVERSPEED_MPS = 2.23


def nuplan_score(scene: ScoredScene, ego: EgoTrajectories, expert: EgoTrajectories) -> ScoreResult:
    """Score one closed-loop run against the expert's of the same scene.

    Args:
        scene: tracks for as many steps as the ego has, at the same rate; lanes with successors and speed limits.
        ego, expert: one drive each; the expert's may be of another length.

    Raises:
        ValueError: more than one drive, another rate than the scene's, fewer tracks than ego steps.
    """
    run = Run(scene, ego, expert)
    collisions, collision_events = _no_collisions(run)
    drivable, drivable_events = _drivable(run)
    direction, direction_events, backwards = _direction(run)
    ratio, progress_details = _progress(run)
    advancing = float(ratio >= MIN_PROGRESS_RATIO)
    safe, ttc_events, min_ttc = _time_to_collision(run)
    slow_enough, speed_events = _speed_limit(run)
    series = comfort_series(run.states[None], run.stamps_us / 1e6, scene.vehicle)
    events = [*collision_events, *drivable_events, *direction_events, *ttc_events, *speed_events]
    events += comfort_events("ego_is_comfortable", series, 0, 0, scene.control_dt_s)
    last = len(run.states) - 1
    if not advancing:
        detail = f"{ratio:.3g} of the expert's progress, < {MIN_PROGRESS_RATIO}"
        events.append(Event("ego_is_making_progress", last, run.time(last), None, detail))
    return ScoreResult(
        name="nuPlan closed-loop score (v1.2)",
        multipliers={
            "no_ego_at_fault_collisions": collisions,
            "drivable_area_compliance": drivable,
            "ego_is_making_progress": advancing,
            "driving_direction_compliance": direction,
        },
        weighted={
            "ego_progress_along_expert_route": ratio,
            "time_to_collision_within_bound": safe,
            "speed_limit_compliance": slow_enough,
            "ego_is_comfortable": float(within_bounds(series)[0]),
        },
        weights=WEIGHTS,
        events=sorted_events(events),
        details={**progress_details, "max_backwards_m": backwards, "min_time_to_collision_s": min_ttc},
    )


@dataclass(frozen=True, eq=False)
class Run:
    """One drive in a scene, with what several terms ask for."""

    scene: ScoredScene
    ego: EgoTrajectories
    expert: EgoTrajectories

    def __post_init__(self) -> None:
        if len(self.ego) != 1 or len(self.expert) != 1:
            raise ValueError(
                f"nuplan_score takes one ego and one expert drive, got {len(self.ego)}, {len(self.expert)}."
            )
        scene, ego, expert = self.scene, self.ego, self.expert
        checks.one_rate(scene=scene.control_dt_s, ego=ego.control_dt_s, expert=expert.control_dt_s)
        known = self.scene.num_steps
        if known is not None and known < len(self.states):
            raise ValueError(f"the ego drives {len(self.states)} steps; the scene's tracks have {known}.")

    @property
    def states(self) -> Float64[np.ndarray, " time 11"]:
        return self.ego.states[0]

    @cached_property
    def place(self) -> Footprint:
        return footprint(self.ego.states, self.scene.vehicle)

    @cached_property
    def graph(self) -> LaneGraph:
        return LaneGraph(self.scene.map)

    @cached_property
    def route(self) -> list[Objects]:
        return driven_route(self.graph, self.place.centre[0])

    @cached_property
    def in_one_lane(self) -> Bool[np.ndarray, " time"]:
        return in_one_lane(self.graph, self.place.corners[0])

    @cached_property
    def collisions(self) -> list[Contact]:
        """First contact with each track; boxes whose surrounding circles only touch do not collide in nuPlan."""
        tracks, polygons = self.scene.tracks, self.scene.track_polygons[:, : len(self.states)]
        if tracks:
            boxes = np.stack([track.boxes[: len(self.states)] for track in tracks])
            away = boxes[..., :2] - self.place.centre[0]
            car = self.scene.vehicle
            reach = (np.hypot(car.width_m, car.length_m) + np.hypot(boxes[..., 4], boxes[..., 3])) / 2.0
            polygons = polygons.copy()
            polygons[np.hypot(away[..., 0], away[..., 1]) >= reach] = None
        return judged_collisions(self.ego.states, self.place, ~self.in_one_lane[None], tracks, polygons)

    @cached_property
    def stamps_us(self) -> Int64[np.ndarray, " time"]:
        """Whole microseconds, as nuPlan counts them: their mean difference decides how many samples a second has."""
        return np.round(np.arange(len(self.states)) * self.scene.control_dt_s * 1e6).astype(np.int64)

    def time(self, step: int) -> float:
        return step * self.scene.control_dt_s


def _no_collisions(run: Run) -> tuple[float, list[Event]]:
    counts = dict.fromkeys(ALLOWED_COLLISIONS, 0)
    events = []
    for contact in run.collisions:
        if contact.at_fault:
            kind = contact.track.kind
            counts["vehicle" if kind == "vehicle" else "vru" if contact.track.is_agent else "object"] += 1
            detail = f"collision ({contact.kind.replace('_', ' ')}) with a {kind}"
            time_s = run.time(contact.step)
            events.append(Event("no_ego_at_fault_collisions", contact.step, time_s, contact.track.id, detail))
    score = 1.0
    for group, allowed in ALLOWED_COLLISIONS.items():
        score *= max(0.0, 1.0 - counts[group] / (allowed + 1))
    return score, events


def _drivable(run: Run) -> tuple[float, list[Event]]:
    """A corner is outside if no lane and no drivable polygon holds it and the ego's lane and these are 0.3 m away."""
    road, corners = run.scene.map, run.place.corners[0]
    outside = ~(inside(road.lane_polygons, corners).any(axis=0) | inside(road.drivable_polygons, corners).any(axis=0))
    for step, corner in np.argwhere(outside):
        lanes = road.lane_polygons[run.route[step]]
        distances = [_distance(polygons, corners[step, corner]) for polygons in (lanes, road.drivable_polygons)]
        if min(distances) >= MAX_OUTSIDE_M:
            detail = f"a corner is {min(distances):.3g} m outside, >= {MAX_OUTSIDE_M} m"
            return 0.0, [Event("drivable_area_compliance", int(step), run.time(int(step)), None, detail)]
    return 1.0, []


def _distance(polygons: np.ndarray, point: np.ndarray) -> float:
    return float(shapely.distance(polygons, shapely.Point(point)).min()) if len(polygons) else np.inf


def _direction(run: Run) -> tuple[float, list[Event], float]:
    """Metres backwards along the lane's centreline within a second: 1 below 2 m, 0.5 below 6 m, else 0."""
    made = _progress_in_lane(run)
    dt_us = np.mean(np.diff(run.stamps_us))
    window = int(DIRECTION_HORIZON_S * 1e6 / dt_us)
    sums = np.array([sum(made[max(0, step - window) : step + 1]) for step in range(len(made))])
    backwards = float(abs(sums.min()))
    compliant, violated = DIRECTION_LIMITS_M
    score = 1.0 if backwards < compliant else 0.5 if backwards < violated else 0.0
    events = []
    for limit in DIRECTION_LIMITS_M:
        if backwards >= limit:
            step = int((-sums >= limit).argmax())
            detail = f"{-sums[step]:.3g} m backwards along its lane within 1 s, >= {limit} m"
            lane = run.scene.map.lanes[run.route[step][0]].id if run.route[step] else None
            events.append(Event("driving_direction_compliance", step, run.time(step), lane, detail))
    return score, events, backwards


def _progress_in_lane(run: Run) -> list[float]:
    """Metres made along the centreline of the lane that the ego stays in; nothing on entering one.

    Kept as found in `DrivingDirectionComplianceStatistics`: the first step within a new lane has nothing to be compared
    with, so a lane change costs two steps, and a projection onto the very start of a centreline counts as no motion.
    """
    made: list[float] = []
    lane = run.route[0][0] if run.route[0] else None
    before: float | None = None
    for objects, centre in zip(run.route, run.place.centre[0], strict=True):
        if not objects:
            made.append(0.0)
        elif objects[0] == lane:
            here = run.graph.along(objects[0], centre)
            made.append(here - before if before is not None and here else 0.0)
            before = here
        else:
            lane, before = objects[0], None
            made.append(0.0)
    return made


def _progress(run: Run) -> tuple[float, dict[str, float]]:
    """Ego's progress over the expert's along the expert's route; 1 where the expert was in no lane at all."""
    expert_centre = footprint(run.expert.states, run.scene.vehicle).centre[0]
    blocks = expert_blocks(run.graph, driven_route(run.graph, expert_centre))
    if not blocks:
        return 1.0, {"expert_progress_m": 0.0}
    ego = float(np.sum(progress_along(run.graph, blocks, run.place.centre[0])))
    expert = float(np.sum(progress_along(run.graph, blocks, expert_centre)))
    details = {"ego_progress_m": ego, "expert_progress_m": expert}
    if ego < -MIN_PROGRESS_M:
        return 0.0, details
    return min(1.0, max(ego, MIN_PROGRESS_M) / max(expert, MIN_PROGRESS_M)), details


def _time_to_collision(run: Run) -> tuple[float, list[Event], float]:
    in_junction = inside(run.scene.map.intersection_polygons, run.states[:, :2]).any(axis=0)
    exposed = np.asarray(~run.in_one_lane | in_junction)
    seconds, tracks = time_to_collision(run.scene, run.states, run.place.centre[0], exposed, run.collisions)
    bad = np.flatnonzero(~(seconds > MIN_TTC_S))
    events = []
    if len(bad):
        step = int(bad[0])
        detail = f"{seconds[step]:.1f} s to collision, not above {MIN_TTC_S} s"
        events.append(Event("time_to_collision_within_bound", step, run.time(step), tracks[step], detail))
    return float(not len(bad)), events, float(min(seconds.min(), 1e9))


def _speed_limit(run: Run) -> tuple[float, list[Event]]:
    """One minus the overspeed's integral over what 2.23 m/s too fast for the whole run would give."""
    excess = np.zeros(len(run.states))
    for step, (objects, speed) in enumerate(zip(run.route, speeds(run.states), strict=True)):
        limit = _limit(run.graph, objects)
        if limit is not None:
            excess[step] = max(0.0, speed - limit)
    if not excess.any():
        return 1.0, []
    stamps = run.stamps_us
    duration = (stamps[-1] - stamps[0]) * 1e-6
    loss = np.sum(excess) * (np.mean(np.diff(stamps)) * 1e-6) / (MAX_OVERSPEED_MPS * duration)
    events = []
    for what, step in (("first", int((excess > 0).argmax())), ("most", int(excess.argmax()))):
        lane = run.scene.map.lanes[run.route[step][0]].id
        detail = f"{what}: {excess[step]:.3g} m/s above the limit"
        events.append(Event("speed_limit_compliance", step, run.time(step), lane, detail))
    return float(max(0.0, 1.0 - loss)), events


def _limit(graph: LaneGraph, objects: Sequence[int]) -> float | None:
    """A lane's limit; on connectors the highest of the lanes before and after, unless one of these has none."""
    if not objects:
        return None
    if not graph.is_connector(objects[0]):
        return graph.lanes[objects[0]].speed_limit_mps
    neighbours = [j for i in objects for j in (*graph.following[i], *graph.preceding[i])]
    limits = [graph.lanes[j].speed_limit_mps for j in neighbours]
    known = [limit for limit in limits if limit is not None]
    return max(known) if known and len(known) == len(limits) else None
