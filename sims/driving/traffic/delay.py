"""Why a drive that did nothing wrong was not at its goal in time: when it lost its time, and what was ahead then."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from sims.driving.ego.vehicle import CONTROL_DT_S
from sims.driving.map.lights import GREEN
from sims.driving.scores.scene import VX
from sims.driving.traffic.verdict import ego_box
from sims.driving.world import World

_STALLED_S = 3.0  # at the end
_STANDING_MPS = 0.3
_SLOW = 0.5  # share of the speed that the route allows
_AHEAD_M, _ASIDE_M = 15.0, 0.3
_NOTHING = "nothing ahead"


def delay(world: World) -> dict[str, Any]:
    """`failure` (`stalled` if the car stands at the end, else `too_slow`), `bad_step`, `bad_actor` and `cause`.

    The step is that at which the car came to rest, or the last; the cause is what was ahead on the route at most of the
    steps at which the car stood or was slow.
    """
    speed = world.record.ego_states()[:, VX]
    last, first_step = len(speed) - 1, world.time_step - len(speed) + 1
    moved = np.flatnonzero(speed > _STANDING_MPS)
    rest = int(moved[-1]) + 1 if len(moved) else 0
    if (last - rest) * CONTROL_DT_S >= _STALLED_S:
        actor, cause = _most_often(_ahead(world, step) for step in range(rest, last + 1))
        return {"failure": "stalled", "bad_step": first_step + rest, "bad_actor": actor, "cause": cause}
    allowed = world.scenario.route.limit_at(world.scenario.route.project(world.record.ego_states()[:, :2])[0])
    slow = np.flatnonzero(speed < _SLOW * allowed)
    actor, cause = _most_often(_ahead(world, int(step)) for step in slow)
    return {"failure": "too_slow", "bad_step": first_step + last, "bad_actor": actor, "cause": cause}


def _most_often(causes: Iterable[tuple[int | None, str]]) -> tuple[int | None, str]:
    counted = Counter(causes).most_common(1)
    return counted[0][0] if counted else (None, _NOTHING)


def _ahead(world: World, step: int) -> tuple[int | None, str]:
    """The nearest thing within 15 m before the bumper: an actor, with its number, a light that isn't green, a line."""
    record, route = world.record, world.scenario.route
    box = ego_box(record.ego[step], world.vehicle)
    boxes = np.vstack([record.boxes[step], box])
    s, across = route.project(boxes[:, :2])
    turn = boxes[:, 2] - route.at(s)[:, 2]
    cos, sin = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    along, aside = 0.5 * (cos * boxes[:, 3] + sin * boxes[:, 4]), 0.5 * (sin * boxes[:, 3] + cos * boxes[:, 4])
    front = s[-1] + along[-1]
    low, high = min(0.0, across[-1]) - aside[-1] - _ASIDE_M, max(0.0, across[-1]) + aside[-1] + _ASIDE_M
    gap = np.where((across + aside > low) & (across - aside < high) & (s > s[-1]), s - along - front, np.inf)[:-1]
    gap = np.where(record.present[step], gap, np.inf)
    actor = int(np.argmin(gap)) if len(gap) else -1
    nearest = float(gap[actor]) if len(gap) else np.inf
    to_line = route.stop_m - front
    is_shut = route.signal is None or record.colours[step].get(route.signal, GREEN) != GREEN
    if -1.0 < to_line < min(nearest, _AHEAD_M) and is_shut:
        return None, "the line at which it gives way" if route.signal is None else "a light that is not green"
    if nearest < _AHEAD_M:
        return actor, f"{world.scenario.actors[actor].kind} ahead"
    return None, _NOTHING
