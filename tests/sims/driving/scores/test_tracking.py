"""From plans to drives: the tracked bicycle against closed forms."""

import numpy as np
import pytest

from sims.driving.scores.scene import AX, HEADING, STEER, VX, YAW_RATE, VehicleParameters, X, Y
from sims.driving.scores.tracking import estimated_profiles, reference_poses, simulate
from tests.sims.driving.scores.scenes import rotation

CAR = VehicleParameters()


def start(speed: float = 0.0, heading: float = 0.0, steer: float = 0.0) -> np.ndarray:
    state = np.zeros(11)
    state[HEADING], state[VX], state[STEER] = heading, speed, steer
    state[YAW_RATE] = speed * np.tan(steer) / CAR.wheelbase_m
    return state


def straight(speed: float, steps: int = 41) -> np.ndarray:
    return np.column_stack([np.arange(steps) * 0.1 * speed, np.zeros(steps), np.zeros(steps)])


def circle(speed: float, radius: float, steps: int = 41) -> np.ndarray:
    angle = np.arange(steps) * 0.1 * speed / radius
    return np.column_stack([radius * np.sin(angle), radius * (1.0 - np.cos(angle)), angle])


def test_a_plan_that_the_car_already_follows_is_driven_exactly() -> None:
    states = simulate(straight(10.0)[None], start(10.0)).states[0]
    assert states[:, X] == pytest.approx(np.arange(41.0), abs=1e-6)
    assert np.abs(states[:, [Y, HEADING, STEER]]).max() < 1e-6
    assert states[:, VX] == pytest.approx(10.0, abs=1e-6)


def test_speed_and_curvature_are_read_from_poses_alone() -> None:
    poses = np.stack([circle(8.0, 30.0), circle(4.0, -50.0), straight(0.0)])
    speed, curvature = estimated_profiles(poses, 0.1)
    # A chord of a Euler step is shorter than its arc by a factor of 1 - (v dt / R)^2 / 24.
    assert speed == pytest.approx(np.repeat([[8.0], [4.0], [0.0]], 40, axis=1), abs=2e-3)
    assert curvature == pytest.approx(np.repeat([[1 / 30], [-1 / 50], [0.0]], 40, axis=1), abs=1e-4)


def test_a_circle_is_held_at_its_radius() -> None:
    speed, radius = 8.0, 30.0
    steer = np.arctan(CAR.wheelbase_m / radius)
    states = simulate(circle(speed, radius)[None], start(speed, steer=steer)).states[0]
    centre = np.array([0.0, radius])
    assert np.hypot(*(states[:, [X, Y]] - centre).T) == pytest.approx(radius, abs=0.2)
    assert states[20:, YAW_RATE] == pytest.approx(speed / radius, rel=0.05)


def test_the_pedal_follows_its_command_with_the_published_lag() -> None:
    """From rest, LQR asks for v_ref B q / (B q B + r) with B = 1 s, of which a third is felt after 0.1 s."""
    poses = straight(10.0)
    poses[1:, X] += 0.5
    wanted = estimated_profiles(poses[None], 0.1)[0][0, 10]
    states = simulate(poses[None], start(0.0)).states[0]
    assert states[1, AX] == pytest.approx(wanted * 10.0 / 11.0 * (0.1 / 0.3))
    assert states[1, VX] == pytest.approx(states[1, AX] * 0.1)
    assert states[1, X] == 0.0  # the position moves with the speed before


def test_an_offset_is_steered_away_and_the_wheels_never_turn_beyond_sixty_degrees() -> None:
    beside = straight(10.0)
    beside[:, Y] = 1.0
    states = simulate(beside[None], start(10.0)).states[0]
    assert abs(states[-1, Y] - 1.0) < 0.1
    wild = straight(10.0) + np.column_stack([np.zeros(41), 40.0 * np.sin(np.arange(41)), np.zeros(41)])
    assert np.abs(simulate(wild[None], start(3.0)).states[..., STEER]).max() <= np.pi / 3.0


def test_a_car_that_is_to_stand_still_stands_still() -> None:
    states = simulate(np.zeros((1, 41, 3)), start(0.0)).states[0]
    assert not states.any()
    rolling = simulate(np.zeros((1, 41, 3)), start(0.15)).states[0]
    assert 0.0 < rolling[-1, VX] < 0.05  # the stopping controller's gain of 0.5 per second
    assert not rolling[:, STEER].any()


def test_proposals_do_not_influence_each_other_and_turning_everything_turns_the_drive() -> None:
    plans = np.stack([circle(8.0, 30.0), straight(9.0), circle(5.0, -20.0)])
    together = simulate(plans, start(7.0)).states
    for plan, states in zip(plans, together, strict=True):
        assert simulate(plan[None], start(7.0)).states[0] == pytest.approx(states, abs=1e-9)
    angle = 2.5
    turned = plans.copy()
    turned[..., :2] = plans[..., :2] @ rotation(angle).T
    turned[..., 2] += angle
    elsewhere = simulate(turned, start(7.0, heading=angle)).states
    assert elsewhere[..., :2] == pytest.approx(together[..., :2] @ rotation(angle).T, abs=1e-6)
    assert elsewhere[..., 3:] == pytest.approx(together[..., 3:], abs=1e-6)


def test_a_plan_in_the_cars_frame_becomes_poses_on_the_map_at_ten_hertz() -> None:
    plan = np.column_stack([np.arange(1, 9) * 5.0, np.zeros(8), np.zeros(8)])  # 4 s at 2 Hz
    poses = reference_poses(plan, 0.5, np.array([100.0, 50.0, np.pi / 2]))
    assert poses.shape == (41, 3)
    assert poses[:, 0] == pytest.approx(100.0)
    assert poses[:, 1] == pytest.approx(50.0 + np.arange(41.0))
    assert poses[:, 2] == pytest.approx(np.pi / 2)


def test_headings_are_interpolated_the_short_way_and_a_short_plan_ends_at_its_last_pose() -> None:
    plan = np.array([[1.0, 0.0, 0.2]])
    poses = reference_poses(plan, 1.0, np.array([0.0, 0.0, np.pi - 0.1]))
    assert np.abs(poses[5, 2]) == pytest.approx(np.pi)
    assert poses[10:] == pytest.approx(np.tile(poses[10], (31, 1)))
    assert poses[10, 2] == pytest.approx(0.1 - np.pi)


def test_bad_plans_are_named() -> None:
    with pytest.raises(ValueError, match="at least 4 poses, got 3"):
        simulate(np.zeros((1, 3, 3)), start())
    with pytest.raises(ValueError, match="poses must be finite"):
        simulate(np.full((1, 41, 3), np.nan), start())
    with pytest.raises(ValueError, match=r"initial state must have shape \(11,\)"):
        simulate(np.zeros((1, 41, 3)), np.zeros(7))
    with pytest.raises(ValueError, match="at least one pose"):
        reference_poses(np.zeros((0, 3)), 0.5, np.zeros(3))
    with pytest.raises(ValueError, match="plan_dt_s must be a positive"):
        reference_poses(np.zeros((8, 3)), 0.0, np.zeros(3))
