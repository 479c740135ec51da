"""What a drive is worth by the field's scores, found when it is over: closed loop, whoever drove.

PDMS and EPDMS are means over windows of four seconds, from where the car was at the start of each, against what the
privileged planner would have done from there. AlpaSim's scene score and nuPlan's are of the whole drive, with the route
to the goal in place of the recorded human. A drive that failed was stopped there, so nobody knows what these scores
would have met next: by all of them but AlpaSim's, which looks no further itself, it is worth zero.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from sims.driving.ego.planners import PrivilegedPlanner
from sims.driving.ego.vehicle import CONTROL_DT_S
from sims.driving.scores.alpasim import alpasim_score
from sims.driving.scores.comfort import MIN_STEPS
from sims.driving.scores.epdms import epdms_one_stage
from sims.driving.scores.nuplan import nuplan_score
from sims.driving.scores.pdms import STEPS_NEEDED, pdms
from sims.driving.scores.result import ScoreResult
from sims.driving.scores.scene import AX, HEADING, STATE_SIZE, VX, EgoTrajectories, X, Y
from sims.driving.traffic.delay import delay
from sims.driving.world import World

WINDOW = 40  # steps
_HISTORY = 15
_ROUTE_STEP_M = 1.0

Reference = tuple[int, EgoTrajectories]
"""Where in the record a window begins, and what the privileged planner would have done from there."""
Window = tuple[int, ScoreResult, ScoreResult]
"""Where in the record it begins, its PDMS and its EPDMS."""


class Judge:
    """Remembers where the windows of a world's drive began; `note` is cheap, the scores are not."""

    def __init__(self) -> None:
        self._begins: list[tuple[int, Float64[np.ndarray, " state"]]] = []
        self._judged: tuple[int, list[Window], dict[str, ScoreResult]] = (0, [], {})

    def note(self, world: World) -> None:
        """Look at a world before each of its steps."""
        begin = len(world.record.ego) - 1
        if begin % WINDOW == 0:
            self._begins.append((begin, world.get_state()))

    def metrics(self, world: World) -> dict[str, float]:
        """Scores of what was driven since the record began; without those that need a longer drive."""
        braking = max(0.0, -float(world.record.ego_states()[:, AX].min()))
        values = {"progress": world.progress, "hardest_braking_mps2": braking}
        values |= {name: float(world.failure == name) for name in ("collision", "off_road", "red_light")}
        windows, whole = self._results(world)
        values |= {name: result.score for name, result in whole.items()} | means(windows)
        return values | (dict.fromkeys(("nuplan", "pdms", "epdms"), 0.0) if world.failure is not None else {})

    def scores(self, world: World) -> dict[str, Any]:
        """Every term and event behind the metrics; of PDMS and EPDMS in every window, with its first step."""
        windows, whole = self._results(world)
        said: dict[str, Any] = {name: result.to_dict() for name, result in whole.items()}
        said["pdms"] = [{"begin_step": begin, **result.to_dict()} for begin, result, _ in windows]
        said["epdms"] = [{"begin_step": begin, **result.to_dict()} for begin, _, result in windows]
        return said

    def _results(self, world: World) -> tuple[list[Window], dict[str, ScoreResult]]:
        steps = len(world.record.ego)
        if self._judged[0] != steps:
            references = [self._reference(world, *begin) for begin in self._begins if _is_complete(world, begin[0])]
            self._judged = steps, window_scores(world, references), whole_scores(world)
        return self._judged[1:]

    @staticmethod
    def _reference(world: World, begin: int, state: Float64[np.ndarray, " state"]) -> Reference:
        past = World(world.scenario)
        past.set_state(state)
        return begin, PrivilegedPlanner().replan(past)


def window_scores(world: World, references: list[Reference]) -> list[Window]:
    """PDMS and EPDMS of the windows that are complete."""
    windows: list[Window] = []
    for begin, reference in references:
        if not _is_complete(world, begin):
            break
        scene = world.scored_scene(begin, begin + STEPS_NEEDED)
        plan = EgoTrajectories(world.record.ego_states(begin, begin + WINDOW + 1)[None])
        history = world.record.ego_states(max(0, begin - _HISTORY), begin) if begin >= _HISTORY else None
        with_history = replace(scene, history=history)
        windows.append((begin, pdms(scene, plan, reference), epdms_one_stage(with_history, plan, reference)))
    return windows


def means(windows: list[Window]) -> dict[str, float]:
    """Mean PDMS and EPDMS over windows; empty if there are none."""
    if not windows:
        return {}
    one, two = np.mean([(first.score, second.score) for _, first, second in windows], axis=0)
    return {"pdms": float(one), "epdms": float(two)}


def whole_scores(world: World) -> dict[str, ScoreResult]:
    """AlpaSim's and nuPlan's score of the drive so far, as far as it is long enough for them."""
    steps = len(world.record.ego)
    if steps < 2:
        return {}
    scene, ego, human = world.scored_scene(), EgoTrajectories(world.record.ego_states()[None]), _route(world)
    results = {"alpasim": alpasim_score(scene, ego, human, forced_s=0.0)}
    return results | ({"nuplan": nuplan_score(scene, ego, human)} if steps >= MIN_STEPS else {})


def so_far(world: World) -> dict[str, Any]:
    """What happened until now, for the `info` of every step."""
    return {
        "scenario": world.scenario.id,
        "progress": world.progress,
        "failure": world.failure or "",
        "collision": world.failure == "collision",
        "off_road": world.failure == "off_road",
        "red_light": world.failure == "red_light",
        "is_over": world.is_over,
        "speed_mps": float(world.ego[VX]),
        "time_s": world.time_s,
    }


def facts(world: World) -> dict[str, Any]:
    """Which scenario it is, and what first went wrong: step, actor, and for how long that had been in sight.

    Who neither failed nor arrived has `stalled` or was `too_slow`; `cause` is what was ahead meanwhile.
    """
    scenario = world.scenario
    said: dict[str, Any] = {"scenario": scenario.id, "topology": scenario.topology, "is_hazard": scenario.is_hazard}
    if world.is_success:
        return said
    if world.first_bad is None:
        said |= delay(world)
    else:
        step, actor = world.first_bad
        said |= {"failure": world.failure, "bad_step": step, "bad_actor": actor}
    step, actor = said["bad_step"], said["bad_actor"]
    if actor is not None:
        since = float(world.seen_s[actor])
        said["bad_actor_kind"] = scenario.actors[actor].kind
        said["in_sight_s"] = None if np.isnan(since) else round(max(0.0, step * CONTROL_DT_S - since), 3)
    return said


def _is_complete(world: World, begin: int) -> bool:
    return begin + STEPS_NEEDED <= len(world.record.ego)


def _route(world: World) -> EgoTrajectories:
    """The way to the goal, a metre a step."""
    scenario = world.scenario
    way = np.arange(scenario.start_m, scenario.goal_m + _ROUTE_STEP_M, _ROUTE_STEP_M)
    states = np.zeros((1, len(way), STATE_SIZE))
    states[0][:, [X, Y, HEADING]] = scenario.route.at(np.minimum(way, scenario.goal_m))
    return EgoTrajectories(states)
