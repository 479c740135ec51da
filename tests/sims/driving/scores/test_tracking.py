"""From plans to drives: the tracked bicycle against closed forms."""

from typing import Any, get_args

import numpy as np
import pytest

from sims.driving.scores.scene import AX, HEADING, STEER, STEER_RATE, VX, YAW_ACC, YAW_RATE, VehicleParameters, X, Y
from sims.driving.scores.tracking import Smoothing, estimated_profiles, reference_poses, simulate
from tests.sims.driving.scores.scenes import random_drive, rotation

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


def plain_profiles(poses: np.ndarray, smoothing: str) -> tuple[np.ndarray, np.ndarray]:
    """Speed and curvature of one plan, with every matrix of the published least squares filled entry by entry."""
    moved, dt = np.diff(poses, axis=0), 0.1
    count = len(moved)
    fit, bend = np.zeros((2 * count, count)), np.zeros((count, count))
    for row in range(count):
        for k, facing in enumerate((np.cos(poses[row, 2]), np.sin(poses[row, 2]))):
            fit[2 * row + k, 0] = facing * dt
            fit[2 * row + k, 1 : row + 1] = facing * dt**2
    rows = count - 2
    band = np.zeros((rows, rows + 1))
    band[:, 1:] = np.eye(rows)
    if smoothing == "navsim":
        band[:, :-1] = -np.eye(rows)  # as released: writes over the line above
    else:
        band[:, :-1] -= np.eye(rows)
    penalty = np.zeros((count, count))
    penalty[1:, 1:] = 1e-4 * band.T @ band
    first = np.linalg.pinv(fit.T @ fit + penalty) @ fit.T @ moved[:, :2].ravel()
    speed = first[0] + np.append(0.0, np.cumsum(first[1:] * dt))
    for row in range(count):
        bend[row, 0] = speed[row] * dt
        bend[row, 1 : row + 1] = speed[row] * dt**2
    weights = np.diag([1e-10, *[1e-2] * (count - 1)])
    second = np.linalg.pinv(bend.T @ bend + weights) @ bend.T @ wrapped(moved[:, 2])
    return speed, second[0] + np.append(0.0, np.cumsum(second[1:] * dt))


def plain_drive(poses: np.ndarray, state: np.ndarray, smoothing: str) -> np.ndarray:
    """One plan tracked with the matrices of the published controller written out, for comparison."""
    speed, curvature = plain_profiles(poses, smoothing)
    q, base, states = np.diag([1.0, 10.0, 0.0]), CAR.wheelbase_m, [state]
    for step in range(len(poses) - 1):
        now = states[-1]
        ahead = min(step + 10, len(speed) - 1)
        push, turn = -0.5 * (now[VX] - speed[ahead]), 0.0
        if now[VX] > 0.2 or speed[ahead] > 0.2:
            push = -10.0 / 11.0 * (now[VX] - speed[ahead])
            away = now[:2] - poses[step, :2]
            facing = poses[step, 2]
            lateral = -away[0] * np.sin(facing) + away[1] * np.cos(facing)
            error = np.array([lateral, wrapped(now[HEADING] - facing), now[STEER]])
            a, b, g = np.eye(3), np.zeros(3), np.zeros(3)
            for k in range(10):
                v, bend = now[VX] + 0.1 * k * push, curvature[step + k] if step + k < ahead else curvature[ahead]
                move = np.array([[1.0, 0.1 * v, 0.0], [0.0, 1.0, 0.1 * v / base], [0.0, 0.0, 1.0]])
                a, b, g = move @ a, move @ b + [0.0, 0.0, 0.1], move @ g + [0.0, -0.1 * v * bend, 0.0]
            end = a @ error + g
            end[1:] = wrapped(end[1:])
            turn = -(b @ q @ end) / (b @ q @ b + 1.0)
        new = np.zeros(11)
        felt = now[AX] + (push - now[AX]) / 3.0
        rate = turn * 0.1 / 0.15
        new[:2] = now[:2] + 0.1 * now[VX] * np.array([np.cos(now[HEADING]), np.sin(now[HEADING])])
        new[HEADING] = wrapped(now[HEADING] + 0.1 * now[VX] * np.tan(now[STEER]) / base)
        new[VX], new[AX] = now[VX] + 0.1 * felt, felt
        new[STEER], new[STEER_RATE] = np.clip(now[STEER] + 0.1 * rate, -np.pi / 3, np.pi / 3), rate
        new[YAW_RATE] = new[VX] * np.tan(new[STEER]) / base
        new[YAW_ACC] = (new[YAW_RATE] - now[YAW_RATE]) / 0.1
        states.append(new)
    return np.array(states)


def wrapped(angle: Any) -> Any:
    return np.arctan2(np.sin(angle), np.cos(angle))


def some_plan(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A first state, and poses to follow that begin near it."""
    rng = np.random.default_rng(seed)
    state, poses = random_drive(rng)[0], random_drive(rng)[:, :3]
    poses[:, :2] += state[:2] - poses[0, :2] + rng.normal(0.0, 0.2, 2)
    return state, poses


def test_the_released_band_matrix_penalises_acceleration_and_the_intended_one_its_change() -> None:
    """Any other profile costs more: fit plus 1e-4 squared rates, and fit plus 1e-2 squared curvature rates."""
    rng = np.random.default_rng(0)
    poses = random_drive(rng)[:, :3]
    moved = np.diff(poses, axis=0)

    def fit(v: np.ndarray) -> float:
        way = 0.1 * v[:, None] * np.column_stack([np.cos(poses[:-1, 2]), np.sin(poses[:-1, 2])])
        return float(((moved[:, :2] - way) ** 2).sum())

    def nuplan_cost(v: np.ndarray) -> float:
        return fit(v) + 1e-4 * float((np.diff(np.diff(v) / 0.1) ** 2).sum())

    def navsim_cost(v: np.ndarray) -> float:
        pushes = np.diff(v) / 0.1
        return fit(v) + 1e-4 * float((pushes[:-2] ** 2).sum() + (pushes[-1] - pushes[-2]) ** 2)

    for smoothing in get_args(Smoothing):
        speed_cost = navsim_cost if smoothing == "navsim" else nuplan_cost
        speed, curvature = (profile[0] for profile in estimated_profiles(poses[None], 0.1, smoothing))

        def curvature_cost(c: np.ndarray, v: np.ndarray = speed) -> float:
            turned = ((wrapped(moved[:, 2]) - 0.1 * v * c) ** 2).sum()
            return float(turned + 1e-2 * ((np.diff(c) / 0.1) ** 2).sum() + 1e-10 * c[0] ** 2)

        other = estimated_profiles(poses[None], 0.1, "nuplan" if smoothing == "navsim" else "navsim")[0][0]
        assert speed_cost(speed) < speed_cost(other), smoothing
        for cost, best in ((speed_cost, speed), (curvature_cost, curvature)):
            assert all(cost(best) < cost(best + 1e-3 * rng.standard_normal(len(best))) for _ in range(50)), smoothing


def test_plans_are_tracked_as_the_released_navsim_tracks_them_unless_nuplans_way_is_asked_for() -> None:
    largest = 0.0
    for seed in range(8):
        state, poses = some_plan(seed)
        released = simulate(poses[None], state).states[0]
        meant = simulate(poses[None], state, smoothing="nuplan").states[0]
        assert released == pytest.approx(plain_drive(poses, state, "navsim"), abs=1e-9), seed
        assert meant == pytest.approx(plain_drive(poses, state, "nuplan"), abs=1e-9), seed
        largest = max(largest, float(np.abs(meant[:, VX] - released[:, VX]).max()))
    assert largest > 0.05, "the two differ by more than rounding"


def test_bad_plans_are_named() -> None:
    with pytest.raises(ValueError, match="at least 4 poses, got 3"):
        simulate(np.zeros((1, 3, 3)), start())
    with pytest.raises(ValueError, match="poses must be finite"):
        simulate(np.full((1, 41, 3), np.nan), start())
    with pytest.raises(ValueError, match=r"initial state must have shape \(11,\)"):
        simulate(np.zeros((1, 41, 3)), np.zeros(7))
    with pytest.raises(ValueError, match="smoothing must be one of navsim, nuplan; got 'intended'"):
        simulate(np.zeros((1, 41, 3)), start(), smoothing="intended")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="at least one pose"):
        reference_poses(np.zeros((0, 3)), 0.5, np.zeros(3))
    with pytest.raises(ValueError, match="plan_dt_s must be a positive"):
        reference_poses(np.zeros((8, 3)), 0.0, np.zeros(3))
