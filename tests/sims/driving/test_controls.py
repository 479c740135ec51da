"""Plans as actions: followed like the pedals' drives, refused where they are none, restored to the bit."""

import numpy as np
import pytest
from gymnasium.error import InvalidAction

from sims.driving.ego.controls import CONTROLS, PLAN_STEPS, Trajectories
from sims.driving.ego.planners import PLANNERS, make_planner
from sims.driving.ego.vehicle import ego_state, roll
from sims.driving.environment import DrivingEnv
from sims.driving.scores.scene import HEADING, STEER, VX, X, Y
from sims.driving.scores.tracking import reference_poses, simulate


def make(family="follow", **kwargs):
    return DrivingEnv(family, **{"cameras": (), "control": "trajectory", **kwargs})


def line(speed_mps, steps=PLAN_STEPS):
    """Straight on at a speed."""
    ahead = np.arange(1, steps + 1) * 0.1 * speed_mps
    return np.column_stack([ahead, 0 * ahead, 0 * ahead]).ravel().astype(np.float32)


def drive(env, actor, steps=1000):
    """Until the scenario is over; what was driven and how it ended."""
    info, states = {}, []
    for _ in range(steps):
        info = env.step(actor({}))[-1]
        states.append(env.world.ego.copy())
        if info["is_over"]:
            break
    return np.array(states), info


def test_each_control_is_a_body_of_its_own():
    pedals, plans = make(control="pedals"), make()
    assert (pedals.embodiment, pedals.action_space.shape) == ("car", (2,))
    assert (plans.embodiment, plans.action_space.shape) == ("car_trajectory", (3 * PLAN_STEPS,))
    pedals.reset(seed=0)
    plans.reset(seed=0)
    with pytest.raises(ValueError, match="another task"):
        plans.set_sim_state(pedals.get_sim_state())
    with pytest.raises(ValueError, match="Unknown control 'trajectories'. Did you mean 'trajectory'"):
        make(control="trajectories")


def test_the_planner_drives_by_plans_as_it_drives_by_pedals():
    ends = []
    for control in CONTROLS:
        env = make("hard-brake", control=control)
        env.reset(seed=10_001)
        states, info = drive(env, env.make_expert(), 70)
        assert not info["failure"]
        ends.append(states)
    by_pedals, by_plans = ends
    assert by_pedals[:, VX].max() - by_pedals[:, VX].min() > 5, "there is something to brake for"
    assert np.hypot(*(by_pedals - by_plans)[-1, [X, Y]]) < 2.0


@pytest.mark.slow
@pytest.mark.parametrize("family", ["hard-brake", "left-turn", "pedestrian-dart"])
def test_the_planner_solves_a_held_out_scenario_by_plans(family):
    env = make(family)
    env.reset(seed=10_000)
    assert drive(env, env.make_expert())[1]["is_success"]


def test_a_step_is_the_first_of_the_tracking_that_the_scores_use():
    ego, control = ego_state(5.0, -3.0, 0.4, 9.0), Trajectories()
    ego[STEER] = 0.02
    plan = roll(ego, lambda _: (0.1, 0.3), PLAN_STEPS, 0.9, 3.089)[:, [X, Y, HEADING]]
    cos, sin = np.cos(0.4), np.sin(0.4)
    ahead = (plan[:, :2] - ego[:2]) @ np.array([[cos, -sin], [sin, cos]])
    action = np.column_stack([ahead, plan[:, 2] - 0.4]).ravel().astype(np.float32)
    command = control.command(action, ego)
    reference = reference_poses(action.reshape(-1, 3).astype(float), 0.1, ego[:3])
    followed = simulate(reference[None], ego, smoothing="nuplan").states[0, 1]
    assert command == pytest.approx([followed[STEER] / 0.6, followed[5] / 3.0], abs=1e-12)
    assert (command > 0).all(), "left and faster, as the plan"


def test_a_plan_to_stand_still_stops_the_car_and_one_to_go_moves_it():
    env = make("keep-lane")
    env.reset(seed=0)
    for _ in range(80):
        env.step(line(0.0))
    assert env.world.ego[VX] < 0.05
    for _ in range(30):
        env.step(line(8.0))
    assert env.world.ego[VX] > 5.0


@pytest.mark.parametrize("name", PLANNERS)
def test_every_planner_hands_out_plans_that_begin_where_the_car_is(name):
    env = make("cut-out")
    env.reset(seed=3)
    plan = env.make_baseline(name)({}).reshape(PLAN_STEPS, 3)
    assert env.action_space.contains(plan.ravel())
    speed = env.world.ego[VX]
    assert plan[0] == pytest.approx([0.1 * speed, 0, 0], abs=0.1)
    steps = np.hypot(*np.diff(plan[:, :2], axis=0).T)
    assert (steps < 0.1 * (speed + 13)).all()
    assert make_planner(name).states_ahead(env.world).shape == (PLAN_STEPS, 11)


def test_constant_velocity_plans_a_straight_line():
    env = make()
    env.reset(seed=0)
    assert env.make_baseline("constant-velocity")({}) == pytest.approx(line(env.world.ego[VX]), abs=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plan: plan[:-3], r"shape \(120,\): x, y, heading of 40 poses.*got \(117,\)"),
        (lambda plan: plan.reshape(40, 3), r"got \(40, 3\)"),
        (lambda plan: np.where(np.arange(120) == 7, np.nan, plan), r"pose 2 of the plan \(0.3 s ahead\): y is nan"),
        (lambda plan: np.where(np.arange(120) == 3, 1e6, plan), "pose 1 .*: x is 1e.06; .*at most 12 m either way"),
        (lambda plan: np.where(np.arange(120) == 119, -4.0, plan), "pose 39 .*: heading is -4.*at most 3.142 rad"),
        (lambda plan: "straight on", "array of 120 numbers"),
    ],
)
def test_what_is_no_plan_is_refused_and_moves_nothing(change, message):
    env = make()
    env.reset(seed=0)
    before = env.get_sim_state()
    with pytest.raises(InvalidAction, match=message):
        env.step(change(line(10.0)))
    assert np.array_equal(before, env.get_sim_state())
    env.step(env.control.space.high)
    env.step(env.control.space.low)


def test_one_state_forks_and_repeats_to_the_bit_under_plans_that_come_late():
    env, other = make(latency_ms=100), make(latency_ms=100)
    env.reset(seed=4)
    drive(env, env.make_play(np.random.default_rng(0)), 15)
    state, futures = env.get_sim_state(), []
    for world, seed in ((env, 1), (env, 2), (other, 1)):
        world.reset(seed=9)
        world.set_sim_state(state)
        futures.append(drive(world, world.make_play(np.random.default_rng(seed)), 15)[0])
    assert np.array_equal(futures[0], futures[2])
    assert np.abs(futures[0] - futures[1]).max() > 0.05


def test_noise_moves_the_car_and_not_a_car_at_rest():
    env = make("keep-lane", control="trajectory")
    env.reset(seed=0)
    plan, start = line(10.0), env.get_sim_state()
    shifted = env.perturbed(plan, np.array([0.2, 0.0], np.float32)).reshape(-1, 3)
    assert shifted[19:, 1] == pytest.approx(np.full(21, 0.5))
    assert shifted[9, 2] == pytest.approx(np.arctan2(shifted[9, 1] - shifted[8, 1], 1.0), abs=1e-5)
    assert env.perturbed(plan, np.array([0.0, 0.2], np.float32))[0::3] == pytest.approx(1.14 * plan[0::3])
    assert np.array_equal(env.perturbed(line(0.0), np.array([1.0, 1.0], np.float32)), line(0.0))
    ends = []
    for noise in (-0.2, 0.2):
        env.set_sim_state(start)
        for _ in range(10):
            env.step(env.perturbed(plan, np.array([noise, 0.0], np.float32)))
        ends.append(env.world.scenario.route.project(env.world.ego[:2])[1])
    assert ends[1] - ends[0] > 0.1
    pedals = make(control="pedals")
    assert pedals.perturbed(np.zeros(2, np.float32), np.ones(2, np.float32)) == pytest.approx([0.1, 0.5])
