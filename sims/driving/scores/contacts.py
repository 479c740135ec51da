"""Who touches whom first, who is to blame, and who is about to be touched (NAVSIM's NC and TTC).

Of one track only the first contact counts: it is either the ego's fault, which the score never forgets, or not, after
which the track is dropped. So the first contact of each proposal with each track is found for all at once and only
these few are judged one by one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from jaxtyping import Bool, Float64

from sims.driving.scores.areas import EgoAreas, Footprint
from sims.driving.scores.scene import HEADING, VX, VY, Track

STOPPED_MPS = 0.05
TTC_STOPPED_MPS = 0.005
AHEAD_DEG, BEHIND_DEG = 30.0, 150.0
TTC_LOOK_AHEAD = (0, 3, 6, 9)  # steps
_SLACK_M = 1e-6  # around the circles that decide which pairs are looked at closely


@dataclass(frozen=True)
class Contact:
    """First contact of one proposal with one track.

    Attributes:
        step: the ego's step.
        ahead_steps: how far ahead of it the contact lies (TTC); 0 for a collision.
        kind: stopped_ego, stopped_track, rear, front, lateral; ahead, beside, other (TTC).
    """

    proposal: int
    track: Track
    step: int
    ahead_steps: int
    kind: str
    at_fault: bool


def speeds(states: Float64[np.ndarray, " *batch 11"]) -> Float64[np.ndarray, " *batch"]:
    """Speed of the rear axle, m/s."""
    return np.hypot(states[..., VX], states[..., VY])


def collisions(
    states: Float64[np.ndarray, " proposals time 11"],
    place: Footprint,
    areas: EgoAreas,
    tracks: Sequence[Track],
    track_polygons: np.ndarray,
) -> list[Contact]:
    """First collision of each proposal with each track, as NAVSIM judges it.

    Exposed is an ego in several lanes or off the road. Whether a track is stopped is read from the step at which it
    first appears, and its bearing is that of its polygon's centroid.

    Source: NAVSIM, `PDMScorer._calculate_no_at_fault_collision`, `get_collision_type`.
    """
    exposed = areas.multiple_lanes | areas.non_drivable
    return judged_collisions(states, place, exposed, tracks, track_polygons, stopped_at_first_sight=True)


def judged_collisions(
    states: Float64[np.ndarray, " proposals time 11"],
    place: Footprint,
    exposed: Bool[np.ndarray, " proposals time"],
    tracks: Sequence[Track],
    track_polygons: np.ndarray,
    stopped_at_first_sight: bool = False,
) -> list[Contact]:
    """First collision of each proposal with each track.

    At fault are contacts with a stopped track, with the front bumper, and from the side while the ego is exposed.
    Otherwise (nuPlan's own reading) a track is stopped if it is so at the moment of contact.
    """
    if not tracks:
        return []
    steps = states.shape[1]
    hits = touching(place.polygons[:, None, :], track_polygons[None, :, :steps])
    speed = speeds(states)
    found: list[Contact] = []
    for proposal, index, step in _first_hits(hits):
        track, other = tracks[index], track_polygons[index, step]
        stopped = is_stopped(track, None if stopped_at_first_sight else step)
        centroid = other.centroid
        seen_at = np.array([centroid.x, centroid.y]) if stopped_at_first_sight else track.boxes[step, :2]
        if speed[proposal, step] <= STOPPED_MPS:
            kind = "stopped_ego"
        elif stopped:
            kind = "stopped_track"
        elif is_behind(bearing_to(states[proposal, step], seen_at)):
            kind = "rear"
        else:
            kind = "front" if _bumper(place.corners[proposal, step]).intersects(other) else "lateral"
        at_fault = kind in ("stopped_track", "front") or (kind == "lateral" and bool(exposed[proposal, step]))
        found.append(Contact(proposal, track, step, 0, kind, at_fault))
    return found


def near_collisions(
    states: Float64[np.ndarray, " proposals time 11"],
    place: Footprint,
    areas: EgoAreas,
    tracks: Sequence[Track],
    track_polygons: np.ndarray,
    num_steps: int,
    control_dt_s: float,
) -> list[Contact]:
    """First step from which each proposal, kept at its speed and heading, would touch each track within 0.9 s.

    The others are where they will be, not where constant velocity would put them. At fault are tracks ahead, and those
    beside while the ego is in several lanes, off the road or with its rear axle in an intersection.

    Source: NAVSIM, `PDMScorer._calculate_ttc`.
    """
    if not tracks:
        return []
    now = slice(0, num_steps)
    speed, heading = speeds(states[:, now]), states[:, now, HEADING]
    per_second = np.stack([np.cos(heading) * speed, np.sin(heading) * speed], axis=-1)
    ego, others = [], []
    for ahead in TTC_LOOK_AHEAD:
        moved = place.corners[:, now] + per_second[:, :, None] * (float(ahead) * control_dt_s)
        ego.append(np.asarray(shapely.polygons(moved)))
        others.append(track_polygons[:, ahead : ahead + num_steps])
    ego_boxes, other_boxes = np.stack(ego, axis=-1), np.stack(others, axis=-1)  # (..., time, look-ahead)
    hits = touching(ego_boxes[:, None], other_boxes[None]) & (speed >= TTC_STOPPED_MPS)[:, None, :, None]
    found: list[Contact] = []
    for proposal, index, flat in _first_hits(hits.reshape(*hits.shape[:2], -1)):
        step, look = divmod(flat, len(TTC_LOOK_AHEAD))
        angle = bearing(states[proposal, step], other_boxes[index, step, look])
        exposed = areas.multiple_lanes[proposal, step] or areas.non_drivable[proposal, step]
        beside = bool(exposed or areas.rear_in_intersection[proposal, step]) and not is_behind(angle)
        kind = "ahead" if is_ahead(angle) else "beside" if beside else "other"
        found.append(Contact(proposal, tracks[index], step, TTC_LOOK_AHEAD[look], kind, kind != "other"))
    return found


def bearing(pose: Float64[np.ndarray, " state"], other: shapely.Polygon) -> float:
    """Angle in radians between the ego's heading and the way from its rear axle to the centre of a box.

    NaN where rounding carries the cosine beyond one, or the two places coincide: nuPlan then finds the other neither
    ahead nor behind, and so does every comparison with NaN.
    """
    centre = other.centroid
    return bearing_to(pose, np.array([centre.x, centre.y]))


def bearing_to(pose: Float64[np.ndarray, " state"], point: Float64[np.ndarray, " 2"]) -> float:
    """As `bearing`, to a point."""
    towards = np.array([point[0] - pose[0], point[1] - pose[1]])
    facing = np.array([np.cos(pose[HEADING]), np.sin(pose[HEADING])])
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.arccos(np.dot(facing, towards / np.linalg.norm(towards))))


def is_ahead(angle: float) -> bool:
    """Less than 30 degrees off the heading."""
    return bool(angle < np.deg2rad(AHEAD_DEG))


def is_behind(angle: float) -> bool:
    """More than 150 degrees off the heading."""
    return bool(angle > np.deg2rad(BEHIND_DEG))


def _bumper(corners: Float64[np.ndarray, " 4 2"]) -> shapely.LineString:
    return shapely.LineString([corners[0], corners[3]])


def is_stopped(track: Track, step: int | None = None) -> bool:
    """Objects always are; agents by their speed at a step (default: the step at which they first appear)."""
    step = track.first_step if step is None else step
    if not track.is_agent or step is None:
        return True
    return bool(np.hypot(*track.velocity[step]) <= STOPPED_MPS)


def _first_hits(hits: Bool[np.ndarray, " proposals tracks time"]) -> Iterator[tuple[int, int, int]]:
    """(proposal, track, step) of the first hit of each pair that has one."""
    for proposal, track in np.argwhere(hits.any(axis=-1)):
        yield int(proposal), int(track), int(hits[proposal, track].argmax())


def touching(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether polygons touch, broadcast; pairs whose surrounding circles are apart, or of which one is None, do not."""
    (x, y, radius), (other_x, other_y, other_radius) = _circles(first), _circles(second)
    flags = np.hypot(x - other_x, y - other_y) <= radius + other_radius + _SLACK_M
    near = np.nonzero(flags)
    one, two = np.broadcast_arrays(first, second)
    flags[near] = shapely.intersects(one[near], two[near])
    return flags


def _circles(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre and radius of circles around the boxes; NaN (near nothing) for None."""
    left, bottom, right, top = np.moveaxis(shapely.bounds(boxes), -1, 0)
    return (left + right) / 2.0, (bottom + top) / 2.0, np.hypot(right - left, top - bottom) / 2.0
