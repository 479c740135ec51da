"""nuPlan's time to collision: ego and others kept at their speed along their heading for three seconds.

Whoever's way in these seconds, a box stretched along its heading, does not meet the ego's is not looked at. Where the
boxes only graze each other, rounding decides, so the stretched boxes are built as nuPlan builds them.

Source: nuPlan-devkit v1.2, `time_to_collision_within_bound.py`.
"""

from collections.abc import Sequence

import numpy as np
import shapely
from jaxtyping import Bool, Float64

from sims.driving.scores.contacts import Contact, bearing_to, is_ahead, is_behind, speeds
from sims.driving.scores.geometry import box_corners
from sims.driving.scores.scene import HEADING, ScoredScene

STEP_S, HORIZON_S, MIN_TTC_S = 0.1, 3.0, 0.95
STOPPED_MPS = 0.005


def time_to_collision(
    scene: ScoredScene,
    states: Float64[np.ndarray, " time 11"],
    centre: Float64[np.ndarray, " time 2"],
    exposed: Bool[np.ndarray, " time"],
    collisions: Sequence[Contact],
) -> tuple[Float64[np.ndarray, " time"], list[str | None]]:
    """Seconds to collision at each step (infinite: none within 2.9 s) and the track that would be hit.

    Looked at are tracks ahead, and, where the ego is exposed (between lanes, or its rear axle in an intersection), all
    that are not behind. A track drops out at the step of its collision; an at-fault collision counts as 0 s.
    """
    gone = {contact.track.id: contact.step for contact in collisions}
    seconds = np.full(len(states), np.inf)
    names: list[str | None] = [None] * len(states)
    speed = speeds(states)
    for step in range(len(states)):
        guilty = [contact.track.id for contact in collisions if contact.at_fault and contact.step == step]
        if guilty:
            seconds[step], names[step] = 0.0, guilty[0]
            continue
        if speed[step] <= STOPPED_MPS:
            continue
        boxes, velocity, ids = _relevant(scene, states[step], step, bool(exposed[step]), gone)
        if ids:
            ego = np.array([*centre[step], states[step, HEADING], scene.vehicle.length_m, scene.vehicle.width_m])
            seconds[step], names[step] = _first_touch(ego, speed[step], boxes, velocity, ids)
    return seconds, names


def _relevant(
    scene: ScoredScene, state: np.ndarray, step: int, exposed: bool, gone: dict[str, int]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Boxes, speeds along the heading and ids of the tracks that time to collision looks at."""
    boxes, velocity, ids = [], [], []
    for track in scene.tracks:
        if not np.asarray(track.present)[step] or gone.get(track.id, len(track.boxes)) <= step:
            continue
        angle = bearing_to(state, track.boxes[step])
        if is_ahead(angle) or (exposed and not is_behind(angle)):
            boxes.append(track.boxes[step])
            velocity.append(float(np.hypot(*track.velocity[step])) if track.is_agent else 0.0)
            ids.append(track.id)
    return np.array(boxes), np.array(velocity), ids


def _first_touch(
    ego: np.ndarray, ego_speed: float, boxes: np.ndarray, velocity: np.ndarray, ids: Sequence[str]
) -> tuple[float, str | None]:
    times = np.arange(STEP_S, HORIZON_S, STEP_S)
    mine = _moved(ego[None], np.array([ego_speed]), len(times))[0]
    near = _within_reach(ego, ego_speed, boxes, velocity)
    if not near.any():
        return np.inf, None
    theirs = _moved(boxes[near], velocity[near], len(times))  # (tracks, time, 5)
    touching = _in_collision(mine[None], theirs)
    if not touching.any():
        return np.inf, None
    first = int(touching.any(axis=0).argmax())
    index = int(np.flatnonzero(near)[touching[:, first].argmax()])
    return float(times[first]), ids[index]


def _moved(boxes: np.ndarray, velocity: np.ndarray, count: int) -> np.ndarray:
    """(boxes, count, 5) boxes after one step, two steps, ...; summed step by step, as nuPlan rounds."""
    heading = boxes[:, 2]
    stride = np.stack([np.cos(heading) * velocity * STEP_S, np.sin(heading) * velocity * STEP_S], axis=-1)
    moved = np.repeat(boxes[:, None], count + 1, axis=1)
    moved[:, 1:, :2] = stride[:, None]
    moved[..., :2] = np.cumsum(moved[..., :2], axis=1)
    return moved[:, 1:]


def _within_reach(ego: np.ndarray, ego_speed: float, boxes: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Tracks whose stretched box meets the ego's."""
    return _in_collision(_stretched(ego[None], np.array([ego_speed])), _stretched(boxes, velocity))


def _stretched(boxes: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Boxes over all places within the horizon; computed in nuPlan's order, by steps."""
    heading, steps = boxes[:, 2], HORIZON_S / STEP_S
    stride = np.stack([np.cos(heading) * velocity * STEP_S, np.sin(heading) * velocity * STEP_S], axis=-1)
    stretched = boxes.copy()
    stretched[:, :2] = steps / 2 * stride + boxes[:, :2]
    stretched[:, 3] += np.hypot(*(stride * HORIZON_S / STEP_S).T)
    return stretched


def _in_collision(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether boxes (..., 5) touch, broadcast; nuPlan asks circles around them first, which must overlap."""
    first, second = np.broadcast_arrays(first, second)
    reach = (np.hypot(first[..., 4], first[..., 3]) + np.hypot(second[..., 4], second[..., 3])) / 2.0
    touching = np.hypot(*np.moveaxis(first[..., :2] - second[..., :2], -1, 0)) < reach
    mine, theirs = (np.asarray(shapely.polygons(box_corners(boxes[touching]))) for boxes in (first, second))
    touching[touching] = shapely.intersects(mine, theirs)
    return touching
