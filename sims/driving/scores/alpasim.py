"""AlpaSim's scene score: nothing after an at-fault collision or off the road, else how far the ego got.

`scene_score` is AlpaSim's own formula on AlpaSim's own values; `alpasim_score` measures these values in a scene. It
follows AlpaSim's code but for four things: of several contacts at one step AlpaSim keeps the last in its tree's order
(here each counts); its boxes may be shrunk and rounded by configuration (here they are not); it calls off the road what
touches a road edge outside all lanes (here what lanes and drivable area together do not cover); and where the human was
recorded for longer than the ego drove, it measures progress by what the human had made by then (here by all of it).

AlpaSim moves the ego along the recording for the first half second, and judges from the step after on: what happens
before is not the ego's doing. A drive that ends before is judged from its first step.

Everything after the first collision of any kind, after leaving the road, or after leaving the corridor in whatever
direction, is forgotten: who is hit from behind is judged by the progress made until then.

Source: AlpaSim, `eval/aggregation/scene_score.py`, `processing.py`, `modifiers.py`, `eval/data.py`,
`scorers/collision.py`, `scorers/ground_truth.py`.
"""

import math
from collections.abc import Mapping

import numpy as np
import shapely
from jaxtyping import Bool, Float64

from sims.driving.scores import checks
from sims.driving.scores.areas import Footprint, footprint
from sims.driving.scores.contacts import touching
from sims.driving.scores.result import Event, ScoreResult
from sims.driving.scores.scene import EgoTrajectories, ScoredScene

PROGRESS_FOR_FULL_SCORE = 0.8
MIN_HUMAN_DISTANCE_M = 5.0
FORCED_S = 0.5  # AlpaSim's `force_gt_duration_us`, unless configured
UNMEASURED_STEPS = 2  # at whose places AlpaSim does not look
FAILURES = ("collision_at_fault", "offroad", "left_corridor_laterally")
NAME = "AlpaSim scene score"


def scene_score(values: Mapping[str, float]) -> ScoreResult:
    """The score from AlpaSim's aggregated metrics of one rollout.

    Args:
        values: `progress_clipped_rel`, `gt_dist_traveled_m`, `collision_at_fault`, `offroad` and, in releases that know
            it, `left_corridor_laterally`; a failure is anything but 0.

    Raises:
        ValueError: a value that is missing or not finite.
    """
    values = {"left_corridor_laterally": 0.0, **values}
    for name in (*FAILURES, "progress_clipped_rel", "gt_dist_traveled_m"):
        if name not in values or not np.isfinite(values[name]):
            raise ValueError(f"AlpaSim's scene score needs a finite {name!r}, got {values.get(name)!r}.")
    relative = min(max(values["progress_clipped_rel"], 0.0), 1.0)
    is_short = values["gt_dist_traveled_m"] < MIN_HUMAN_DISTANCE_M
    return ScoreResult(
        name=NAME,
        multipliers={name: float(values[name] == 0.0) for name in FAILURES},
        weighted={"progress": 1.0 if is_short else min(relative / PROGRESS_FOR_FULL_SCORE, 1.0)},
        weights={"progress": 1.0},
        details={name: values[name] for name in ("progress_clipped_rel", "gt_dist_traveled_m")},
    )


def alpasim_score(
    scene: ScoredScene,
    ego: EgoTrajectories,
    human: EgoTrajectories,
    corridor_m: float | None = None,
    forced_s: float = FORCED_S,
) -> ScoreResult:
    """Score one drive against the recorded human's of the same scene.

    Args:
        ego, human: one drive each, at the scene's rate.
        corridor_m: distance to the side of the human's path at which the ego has left the corridor; None: no corridor.
        forced_s: how long the ego was moved along the recording; 0 for one that drove from the start.

    Raises:
        ValueError: more than one drive, another rate than the scene's, fewer tracks than ego steps, a negative time.
    """
    _check(scene, ego, human)
    if not 0.0 <= forced_s < np.inf:
        raise ValueError(f"forced_s must be at least 0 seconds, got {forced_s!r}.")
    place = footprint(ego.states, scene.vehicle)
    path = shapely.LineString(footprint(human.states, scene.vehicle).centre[0])
    away, sideways = _metres_away(path, place.centre[0])
    limit = np.inf if corridor_m is None else corridor_m
    first = math.ceil(forced_s / scene.control_dt_s - checks.RATE_TOLERANCE) + 1
    first = first if first < len(away) else 0
    end, events = _first_events(scene, place, first, away >= limit)
    left = np.flatnonzero(sideways[first : end + 1] >= limit)
    if len(left):
        step = first + int(left[0])
        detail = f"{sideways[step]:.3g} m beside the human's path, >= {corridor_m} m"
        events.append(Event("left_corridor_laterally", step, step * scene.control_dt_s, None, detail))
    terms = {event.term for event in events}
    values = {"progress_clipped_rel": _progress(path, place.centre[0], end), "gt_dist_traveled_m": float(path.length)}
    result = scene_score(values | {name: float(name in terms) for name in FAILURES})
    return result.replaced({}, [event for event in events if event.term in FAILURES])


def _first_events(
    scene: ScoredScene, place: Footprint, first: int, is_away: Bool[np.ndarray, " time"]
) -> tuple[int, list[Event]]:
    """The last step that counts, and what ended the drive there."""
    steps = place.polygons.shape[1]
    ground = shapely.union_all(np.concatenate([scene.map.drivable_polygons, scene.map.lane_polygons]))
    off_road = ~shapely.covers(ground, place.polygons[0])
    hits = touching(place.polygons, scene.track_polygons[:, :steps]) if scene.tracks else np.zeros((0, steps), bool)
    over = np.flatnonzero((off_road | is_away | hits.any(axis=0))[first:])
    if not len(over):
        return steps - 1, []
    step = first + int(over[0])
    time_s = step * scene.control_dt_s
    events = [Event("offroad", step, time_s, None, "not covered by lanes and drivable area")] if off_road[step] else []
    corners = place.corners[0, step]
    front, rear = shapely.LineString(corners[[0, 3]]), shapely.LineString(corners[[1, 2]])
    for index in np.flatnonzero(hits[:, step]):
        track, other = scene.tracks[index], scene.track_polygons[index, step]
        kind = "front" if other.intersects(front) else "rear" if other.intersects(rear) else "lateral"
        term = "collision_rear" if kind == "rear" else "collision_at_fault"
        events.append(Event(term, step, time_s, track.id, f"{kind} contact with a {track.kind}"))
    return step, events


def _progress(path: shapely.LineString, centre: np.ndarray, end: int) -> float:
    """Share of the human's way made at step `end`; at the first two what a steady start towards the third gives."""
    share = 1.0
    if end < UNMEASURED_STEPS < len(centre):
        share, end = end / UNMEASURED_STEPS, UNMEASURED_STEPS
    metres = path.project(shapely.Point(centre[end]))
    return float(np.clip(share * metres / (path.length or 1.0), 0.0, 1.0))


def _metres_away(
    path: shapely.LineString, points: Float64[np.ndarray, " time 2"]
) -> tuple[Float64[np.ndarray, " time"], Float64[np.ndarray, " time"]]:
    """Distance to the path, and past its end only what lies across its last direction; 0 at the first two steps."""
    places = np.asarray(shapely.points(points))
    away = np.asarray(shapely.distance(path, places))
    away[:UNMEASURED_STEPS] = 0.0
    last, before = np.array(path.coords[-1]), np.array(path.coords[-2])
    length = np.linalg.norm(last - before)
    if path.length == 0.0 or length == 0.0:
        return away, away
    past = np.asarray(shapely.line_locate_point(path, places)) >= path.length - 1e-9
    offset, along = points - last, (last - before) / length
    across = np.abs(offset[:, 0] * along[1] - offset[:, 1] * along[0])
    across[:UNMEASURED_STEPS] = 0.0
    return away, np.where(past, across, away)


def _check(scene: ScoredScene, ego: EgoTrajectories, human: EgoTrajectories) -> None:
    if len(ego) != 1 or len(human) != 1:
        raise ValueError(f"alpasim_score takes one ego and one human drive, got {len(ego)} and {len(human)}.")
    checks.one_rate(scene=scene.control_dt_s, ego=ego.control_dt_s, human=human.control_dt_s)
    known, steps = scene.num_steps, ego.states.shape[1]
    if known is not None and known < steps:
        raise ValueError(f"the ego drives {steps} steps; the scene's tracks have {known}.")
