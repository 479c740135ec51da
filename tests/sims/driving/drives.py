"""Whole drives, judged: who drives a scenario how well, by the field's scores.

A closed-loop drive is scored in windows of four seconds, from where the car was at the start of each; the reference of
a window is what the privileged planner would have done from there. A drive that fails scores zero.
"""

from dataclasses import dataclass

import numpy as np

from sims.driving.ego.planners import Planner, PrivilegedPlanner, make_planner
from sims.driving.judge import WINDOW, Reference, means, window_scores
from sims.driving.scenarios.library import build_scenario
from sims.driving.scenarios.scenario import Scenario
from sims.driving.scores.pdms import STEPS_NEEDED
from sims.driving.world import World


@dataclass(frozen=True)
class DriveResult:
    """How one drive went.

    Attributes:
        failure: as `World.failure`; `too_slow` if the goal was not reached in time; None on success.
        bad_step, bad_actor: of the first failure, where there was one.
        seen_s: for how long the ego could have seen that actor before.
        pdms, epdms: mean over the windows, 0 after a failure; NaN where they were not asked for.
        progress: share of the way, 0 to 1.
        seconds: until the goal, the failure or the end of time.
    """

    scenario: str
    planner: str
    success: bool
    failure: str | None
    bad_step: int | None
    bad_actor: int | None
    seen_s: float | None
    progress: float
    seconds: float
    pdms: float = np.nan
    epdms: float = np.nan


def drive(scenario: Scenario | str, planner: str, with_scores: bool = False) -> DriveResult:
    """Drive a scenario to its end.

    Raises:
        ValueError: unknown scenario or planner.
    """
    world = World(build_scenario(scenario) if isinstance(scenario, str) else scenario)
    controller = make_planner(planner)
    references: list[Reference] = []
    while not world.is_over:
        if with_scores and world.time_step % WINDOW == 0:
            references.append((world.time_step, PrivilegedPlanner().replan(world)))
        world.step(controller(world))
    result = _result(world, planner)
    if not with_scores:
        return result
    if not result.success and result.failure != "too_slow":
        return DriveResult(**{**vars(result), "pdms": 0.0, "epdms": 0.0})
    _finish_first_window(world, controller)
    return DriveResult(**{**vars(result), **means(window_scores(world, references))})


def _result(world: World, planner: str) -> DriveResult:
    step, actor = world.first_bad or (None, None)
    seen = None
    if actor is not None and step is not None:
        seen = max(0.0, step * 0.1 - float(np.nan_to_num(world.seen_s[actor], nan=step * 0.1)))
    failure = world.failure or (None if world.is_success else "too_slow")
    success, progress, seconds = world.is_success, world.progress, world.time_s
    return DriveResult(world.scenario.id, planner, success, failure, step, actor, seen, progress, seconds)


def _finish_first_window(world: World, controller: Planner) -> None:
    """Drive on after a short success until one window is complete."""
    while len(world.record.ego) < STEPS_NEEDED:
        world.step(controller(world))
