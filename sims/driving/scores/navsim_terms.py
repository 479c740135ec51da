"""The terms that NAVSIM's two scores share, each with the step and actor that spoiled it.

Source: NAVSIM, `pdm_scorer.py` (branch v1.1; v2.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from jaxtyping import Float64

from sims.driving.scores import checks
from sims.driving.scores.areas import EgoAreas, Footprint, ego_areas, footprint
from sims.driving.scores.contacts import AHEAD_DEG, Contact, collisions, near_collisions
from sims.driving.scores.result import Event
from sims.driving.scores.scene import EgoTrajectories, ScoredScene

NUM_STEPS, CONTROL_DT_S = 41, 0.1  # 4 s at 10 Hz, and the state it starts from
TTC_STEPS_V1, TTC_STEPS_V2 = 41, 32
DIRECTION_WINDOW = 10  # steps before the present one
DIRECTION_LIMITS_M = (2.0, 6.0)
LANE_DEVIATION_M, LANE_STEPS = 0.5, 20
MIN_PROGRESS_M = 5.0

Scores = Float64[np.ndarray, " proposals"]
Events = list[list[Event]]  # one list a proposal


@dataclass(frozen=True, eq=False)
class Drive:
    """Proposals in a scene, with what several terms ask for.

    Raises:
        ValueError: trajectories that are not 41 states at 10 Hz; a scene of another rate, or one that knows its tracks
            and lights for fewer than `steps_needed` steps.
    """

    scene: ScoredScene
    ego: EgoTrajectories
    steps_needed: int = NUM_STEPS

    def __post_init__(self) -> None:
        steps = self.ego.states.shape[1]
        if steps != NUM_STEPS or not checks.is_rate(self.ego.control_dt_s, CONTROL_DT_S):
            raise ValueError(
                f"NAVSIM scores {NUM_STEPS} states (4 s and the first) {CONTROL_DT_S} s apart, "
                f"got {steps} states {self.ego.control_dt_s} s apart; resample the trajectory first."
            )
        if not checks.is_rate(self.scene.control_dt_s, CONTROL_DT_S):
            raise ValueError(f"NAVSIM needs a scene of {CONTROL_DT_S} s steps, got {self.scene.control_dt_s} s.")
        known = self.scene.num_steps
        if known is not None and known < self.steps_needed:
            raise ValueError(
                f"this score looks {self.steps_needed} steps ahead; the scene's tracks have {known} steps."
            )

    def __len__(self) -> int:
        return len(self.ego)

    @cached_property
    def place(self) -> Footprint:
        return footprint(self.ego.states, self.scene.vehicle)

    @cached_property
    def areas(self) -> EgoAreas:
        return ego_areas(self.ego.states, self.place, self.scene.map)


def no_collision(drive: Drive) -> tuple[Scores, Events]:
    """NC: 0 after an at-fault collision with a road user, 0.5 with an object, else 1."""
    scene = drive.scene
    contacts = collisions(drive.ego.states, drive.place, drive.areas, scene.tracks, scene.track_polygons)
    scores = np.ones(len(drive))
    for contact in contacts:
        if contact.at_fault:
            scores[contact.proposal] = min(scores[contact.proposal], 0.0 if contact.track.is_agent else 0.5)
    return scores, _contact_events("NC", drive, contacts, "collision ({kind}) with a {track}")


def time_to_collision(drive: Drive, num_steps: int) -> tuple[Scores, Events]:
    """TTC: 0 if the ego would touch a track that it is answerable for within 0.9 s, else 1."""
    scene = drive.scene
    contacts = near_collisions(
        drive.ego.states, drive.place, drive.areas, scene.tracks, scene.track_polygons, num_steps, CONTROL_DT_S
    )
    scores = np.ones(len(drive))
    for contact in contacts:
        if contact.at_fault:
            scores[contact.proposal] = 0.0
    return scores, _contact_events("TTC", drive, contacts, "would touch a {track} ({kind}) {ahead:.1f} s ahead")


def drivable_area(drive: Drive) -> tuple[Scores, Events]:
    """DAC: 0 if a corner ever leaves the drivable area, else 1."""
    bad = drive.areas.non_drivable
    events = _first_events("DAC", drive, bad, "a corner is in no drivable polygon")
    return np.asarray(1.0 - bad.any(axis=-1)), events


def off_route_metres(drive: Drive, outside_intersections: bool) -> Float64[np.ndarray, " proposals time"]:
    """Metres that the centre moved off the route in the last second, at each step."""
    centre = drive.place.centre
    moved = np.zeros(centre.shape[:2])
    moved[:, 1:] = np.linalg.norm(centre[:, 1:] - centre[:, :-1], axis=-1)
    counts = drive.areas.off_route
    if outside_intersections:
        counts = counts & ~drive.areas.centre_in_intersection
    moved[~counts] = 0.0
    window = [moved[:, max(0, step - DIRECTION_WINDOW) : step + 1].sum(axis=-1) for step in range(moved.shape[1])]
    return np.stack(window, axis=-1)


def driving_direction(drive: Drive, metres: Float64[np.ndarray, " proposals time"]) -> tuple[Scores, Events]:
    """DDC: 1 below 2 m off the route within a second, 0.5 below 6 m, else 0.

    Although named for driving against traffic, it counts every motion whose centre is in no lane of the route.
    """
    compliant, violated = DIRECTION_LIMITS_M
    most = metres.max(axis=-1)
    scores = np.where(most < compliant, 1.0, np.where(most < violated, 0.5, 0.0))
    events: Events = []
    for proposal, row in enumerate(metres):
        limits = [limit for limit in DIRECTION_LIMITS_M if most[proposal] >= limit]
        steps = [int((row >= limit).argmax()) for limit in limits]
        events.append(
            [
                Event(
                    "DDC", step, step * CONTROL_DT_S, None, f"{row[step]:.3f} m off the route within 1 s, >= {limit} m"
                )
                for step, limit in zip(steps, limits, strict=True)
            ]
        )
    return scores, events


def traffic_lights(drive: Drive) -> tuple[Scores, Events]:
    """TLC: 0 if the ego touches a connector of its route while its light is red, else 1.

    Connectors off the route do not count, as NAVSIM collects the red ones along the route only: crossing traffic's red
    light lies in the ego's way whenever its own is green.
    """
    lanes = drive.scene.map.lanes
    scores, events = np.ones(len(drive)), [[] for _ in range(len(drive))]
    for lane, polygon in zip(lanes, drive.scene.map.lane_polygons, strict=True):
        if lane.red is None or not lane.is_on_route:
            continue
        red = np.flatnonzero(lane.red[:NUM_STEPS])
        touching = shapely.intersects(polygon, drive.place.polygons[:, red])
        for proposal in np.flatnonzero(touching.any(axis=-1)):
            scores[proposal] = 0.0
            step = int(red[touching[proposal].argmax()])
            events[proposal].append(
                Event("TLC", step, step * CONTROL_DT_S, lane.id, "on a connector whose light is red")
            )
    return scores, events


def progress_metres(drive: Drive) -> Scores:
    """Metres of the centre along the route's centreline from first to last state; going back counts as none."""
    ends = np.asarray(shapely.points(drive.place.centre[:, [0, -1]]))
    along = shapely.line_locate_point(drive.scene.route, ends)
    return np.clip(along[:, 1] - along[:, 0], 0.0, None)


def lane_keeping(drive: Drive) -> tuple[Scores, Events]:
    """LK: 0 if the centre is more than 0.5 m off the centreline for 20 consecutive samples, else 1.

    Samples in an intersection are left out as if they did not exist: they neither count nor end a series.
    """
    distance = shapely.distance(np.asarray(shapely.points(drive.place.centre)), drive.scene.route)
    scores, events = np.ones(len(drive)), []
    for proposal in range(len(drive)):
        steps = np.flatnonzero(~drive.areas.centre_in_intersection[proposal])
        far = distance[proposal, steps] > LANE_DEVIATION_M
        last = _end_of_run(far, LANE_STEPS)
        events.append([])
        if last is not None:
            step = int(steps[last])
            scores[proposal] = 0.0
            detail = f"{distance[proposal, step]:.3f} m off the centreline, the 20th sample in a row above 0.5 m"
            events[-1].append(Event("LK", step, step * CONTROL_DT_S, None, detail))
    return scores, events


def _end_of_run(flags: np.ndarray, length: int) -> int | None:
    """Index at which the first run of `length` True values is complete."""
    count = 0
    for index, flag in enumerate(flags):
        count = count + 1 if flag else 0
        if count == length:
            return index
    return None


def _contact_events(term: str, drive: Drive, contacts: Sequence[Contact], wording: str) -> Events:
    events: Events = [[] for _ in range(len(drive))]
    dt = CONTROL_DT_S
    for contact in contacts:
        if contact.at_fault:
            kind = f"less than {AHEAD_DEG:.0f} degrees ahead" if contact.kind == "ahead" else contact.kind
            detail = wording.format(
                kind=kind.replace("_", " "), track=contact.track.kind, ahead=contact.ahead_steps * dt
            )
            events[contact.proposal].append(Event(term, contact.step, contact.step * dt, contact.track.id, detail))
    return events


def _first_events(term: str, drive: Drive, bad: np.ndarray, detail: str) -> Events:
    steps = [np.flatnonzero(row) for row in bad]
    dt = CONTROL_DT_S
    return [[Event(term, int(row[0]), int(row[0]) * dt, None, detail)] if len(row) else [] for row in steps]
