"""The privileged planner solves what the baselines cannot, and scoring tells them apart."""

import numpy as np
import pytest

from sims.driving.ego.forecast import forecast
from sims.driving.ego.planners import PLANNERS, PrivilegedPlanner, make_planner
from sims.driving.scenarios.library import FAMILIES, build_scenario, scenario_ids
from sims.driving.scores.scene import AX, VX
from sims.driving.world import World
from tests.sims.driving.drives import drive


def test_an_unknown_planner_gets_the_nearest_name():
    with pytest.raises(ValueError, match="Did you mean 'always-brake'"):
        make_planner("allways-brake")


def test_a_forecast_is_what_comes_true_when_the_ego_does_as_expected_and_leaves_the_world_alone():
    world = World(build_scenario("cut-in/avenue-left/1"))
    planner = PrivilegedPlanner()
    for _ in range(3):
        world.step(planner(world))
    other = World(build_scenario("cut-in/avenue-left/1"))
    other.set_state(world.get_state())
    states = [other.ego]
    boxes = [other.actors.boxes]
    for _ in range(20):
        other.step(np.array([0.0, 0.1]))
        states.append(other.ego)
        boxes.append(other.actors.boxes)
    before = world.get_state()
    assert np.array_equal(forecast(world, np.stack(states)).boxes, np.stack(boxes))
    assert np.array_equal(world.get_state(), before)


def test_the_plan_is_what_the_car_then_does():
    world, planner = World(build_scenario("keep-lane/street-left/0")), PrivilegedPlanner()
    world.step(planner(world))
    planned = planner.plan.copy()
    for _ in range(3):
        world.step(planner(world))
    assert np.hypot(*(world.ego[:2] - planned[4, :2])) < 0.05
    assert world.ego[VX] == pytest.approx(planned[4, VX], abs=0.02)


def test_the_planner_solves_what_constant_velocity_fails_and_scores_higher_than_who_stands_still():
    expert = drive("hard-brake/street-left/1", "privileged", with_scores=True)
    assert expert.success
    assert expert.pdms > 0.85
    for name in ("constant-velocity", "always-brake", "do-nothing"):
        other = drive("hard-brake/street-left/1", name, with_scores=True)
        assert not other.success
        assert other.pdms < expert.pdms - 0.2


def test_two_fresh_planners_drive_alike_to_the_bit():
    ends = []
    for _ in range(2):
        world, planner = World(build_scenario("pedestrian-dart/parking-left/1")), PrivilegedPlanner()
        for _ in range(30):
            world.step(planner(world))
        ends.append(world.get_state())
    assert np.array_equal(*ends)


@pytest.mark.parametrize("name", PLANNERS)
def test_every_controller_gives_controls_in_range(name):
    world, controller = World(build_scenario("cut-out/avenue-left/1")), make_planner(name)
    for _ in range(15):
        control = controller(world)
        assert control.shape == (2,)
        assert np.abs(control).max() <= 1.0
        world.step(control)
    assert np.isfinite(world.ego[AX])


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_planner_solves_a_scenario_of_every_family_on_a_held_out_topology(family):
    assert drive(scenario_ids(family, "test", [0])[0], "privileged").success


@pytest.mark.parametrize("scenario", ["debris/avenue-straight/20020", "debris/avenue-snake/20007"])
def test_who_must_let_others_pass_waits_where_it_can_still_get_round_what_lies_in_the_lane(scenario):
    result = drive(scenario, "privileged")
    assert result.success, f"{result.failure} after {result.progress:.0%} of the way"
