"""What a drive is worth by the field's scores, found when it is over: closed loop, whoever drove.

PDMS and EPDMS are means over windows of four seconds, from where the car was at the start of each, against what the
privileged planner would have done from there; a drive that failed scores zero. AlpaSim's scene score is of the whole
drive, with the route to the goal in place of the recorded human.
"""

from typing import Any

import numpy as np
from jaxtyping import Float64

from sims.driving.ego.planners import PrivilegedPlanner
from sims.driving.scores.alpasim import alpasim_score
from sims.driving.scores.epdms import epdms_one_stage
from sims.driving.scores.pdms import STEPS_NEEDED, pdms
from sims.driving.scores.scene import AX, HEADING, STATE_SIZE, VX, EgoTrajectories, ScoredScene, X, Y
from sims.driving.world import World

WINDOW = 40  # steps
_HISTORY = 15
_ROUTE_STEP_M = 1.0

Reference = tuple[int, EgoTrajectories]
"""Where in the record a window begins, and what the privileged planner would have done from there."""


class Judge:
    """Remembers where the windows of a world's drive began; `note` is cheap, the scores are not."""

    def __init__(self) -> None:
        self._begins: list[tuple[int, Float64[np.ndarray, " state"]]] = []

    def note(self, world: World) -> None:
        """Look at a world before each of its steps."""
        begin = len(world.record.ego) - 1
        if begin % WINDOW == 0:
            self._begins.append((begin, world.get_state()))

    def metrics(self, world: World) -> dict[str, float]:
        """Scores of what was driven since the record began; without `pdms` and `epdms` if it was less than a window."""
        braking = max(0.0, -float(world.record.ego_states()[:, AX].min()))
        values = {"progress": world.progress, "hardest_braking_mps2": braking}
        values |= {name: float(world.failure == name) for name in ("collision", "off_road", "red_light")}
        if len(world.record.ego) > 1:
            values["alpasim"] = _alpasim(world)
        if world.failure is not None:
            return {**values, "pdms": 0.0, "epdms": 0.0}
        return {**values, **window_scores(world, [self._reference(world, *begin) for begin in self._begins])}

    @staticmethod
    def _reference(world: World, begin: int, state: Float64[np.ndarray, " state"]) -> Reference:
        past = World(world.scenario)
        past.set_state(state)
        return begin, PrivilegedPlanner().replan(past)


def window_scores(world: World, references: list[Reference]) -> dict[str, float]:
    """Mean PDMS and EPDMS over the windows that are complete; empty if none is."""
    scores: list[tuple[float, float]] = []
    for begin, reference in references:
        if begin + STEPS_NEEDED > len(world.record.ego):
            break
        scene = world.scored_scene(begin, begin + STEPS_NEEDED)
        plan = EgoTrajectories(world.record.ego_states(begin, begin + WINDOW + 1)[None])
        history = world.record.ego_states(max(0, begin - _HISTORY), begin) if begin >= _HISTORY else None
        with_history = ScoredScene(scene.map, scene.tracks, scene.centreline, history=history)
        one, two = pdms(scene, plan, reference).score, epdms_one_stage(with_history, plan, reference).score
        scores.append((one, two))
    if not scores:
        return {}
    mean = np.mean(scores, axis=0)
    return {"pdms": float(mean[0]), "epdms": float(mean[1])}


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
    """Which scenario it is, and what first went wrong: step, actor, and for how long that had been in sight."""
    scenario = world.scenario
    said: dict[str, Any] = {"scenario": scenario.id, "topology": scenario.topology, "is_hazard": scenario.is_hazard}
    if world.first_bad is None:
        return said
    step, actor = world.first_bad
    said |= {"failure": world.failure, "bad_step": step, "bad_actor": actor}
    if actor is not None:
        since = float(world.seen_s[actor])
        said["bad_actor_kind"] = scenario.actors[actor].kind
        said["in_sight_s"] = None if np.isnan(since) else round(max(0.0, step * 0.1 - since), 3)
    return said


def _alpasim(world: World) -> float:
    scenario = world.scenario
    way = np.arange(scenario.start_m, scenario.goal_m + _ROUTE_STEP_M, _ROUTE_STEP_M)
    states = np.zeros((1, len(way), STATE_SIZE))
    states[0][:, [X, Y, HEADING]] = scenario.route.at(np.minimum(way, scenario.goal_m))
    ego = EgoTrajectories(world.record.ego_states()[None])
    return alpasim_score(world.scored_scene(), ego, EgoTrajectories(states)).score
