# pyright: reportAttributeAccessIssue=false
"""The desk as physics: a mouse moved by friction alone, a cursor that obeys it, clicks that need a push."""

import mujoco
import numpy as np
import pytest

from sims.screen import PUZZLES
from sims.screen.desk import HOLD_HEIGHT, MouseSensor
from tests.sims.registry import make


def desk(puzzle="ClickIcon", **kwargs):
    return make(f"Screen-{puzzle}-v0", **({"cameras": ()} | kwargs))


def hold(env, **push):
    """Grip the mouse, then repeat an action for some steps."""
    for _ in range(3):
        env.step(np.array([0, 0, 0, 0, -1], np.float32))
    action = np.array([push.get("x", 0), push.get("y", 0), push.get("z", 0), 0, push.get("grip", -1)], np.float32)
    for _ in range(push.get("steps", 1)):
        env.step(action)
    for _ in range(5):
        env.step(np.array([0, 0, 0, 0, push.get("grip", -1)], np.float32))


def run(env, seed, policy=None):
    observation, info = env.reset(seed=seed)
    policy = policy or env.make_expert()
    while not info["is_success"] and env.elapsed_steps < env.max_env_steps:
        observation, _, _, _, info = env.step(policy(observation))
    return info


def test_the_gripped_mouse_moves_the_cursor_by_the_gain():
    env = desk()
    env.reset(seed=1)
    env.mouse.cursor[:] = 64
    hold(env)
    before, mouse = env.mouse.cursor.copy(), env.mouse_position
    hold(env, y=0.3, x=0.2, steps=4)
    moved = env.mouse_position - mouse
    assert moved[1] == pytest.approx(0.03, abs=0.004)
    assert moved[0] == pytest.approx(0.02, abs=0.004)
    shift = env.mouse.cursor - before
    assert shift == pytest.approx(-env.mouse.gain * moved[[1, 0]], abs=3), "left is left, forward is up"


def test_without_a_grip_the_mouse_stays():
    env = desk()
    env.reset(seed=1)
    mouse, cursor = env.mouse_position, env.mouse.cursor.copy()
    for _ in range(6):
        env.step(np.array([0, 0, 1, 0, 1], np.float32))
    for _ in range(6):
        env.step(np.array([0, 1, 0, 0, 1], np.float32))
    assert env.mouse_position == pytest.approx(mouse, abs=2e-3)
    assert env.mouse.cursor == pytest.approx(cursor, abs=2)


def test_pushing_down_clicks_once_and_hardly_moves_the_cursor():
    env = desk()
    env.reset(seed=2)
    hold(env)
    assert not env.mouse.is_pressed
    cursor = env.mouse.cursor.copy()
    hold(env, z=-0.5, steps=1)
    assert env.mouse.is_pressed
    assert env.mouse.cursor == pytest.approx(cursor, abs=3)
    hold(env, z=0.5, steps=1)
    assert not env.mouse.is_pressed
    assert env._num_clicks == 1


def test_a_lifted_mouse_leaves_the_cursor_alone():
    env = desk()
    env.reset(seed=2)
    hold(env)
    hold(env, z=1, steps=3)
    assert env.mouse_position[2] > 0.04, "held by friction alone"
    cursor = env.mouse.cursor.copy()
    hold(env, y=0.5, steps=4)
    assert np.array_equal(env.mouse.cursor, cursor)
    assert env.model.neq == 0


def test_the_cursor_stops_at_the_edges_and_a_turned_mouse_turns_its_axes():
    sensor = MouseSensor(gain=1000.0, cursor=np.array([64.0, 64.0]), x=0.0, y=0.0)
    sensor.read(0.0, 0.02, 0.005, np.pi / 2, 0.0)
    assert sensor.cursor == pytest.approx((64, 44)), "turned to the left, its forward is the world's left"
    sensor.read(0.0, 1.0, 0.005, 0.0, 0.0)
    assert sensor.cursor[0] == 0
    sensor.read(0.0, 0.95, 0.005, 0.0, 0.0)
    assert sensor.cursor[0] == pytest.approx(50)
    assert sensor.way_to(np.array([60.0, 44.0]), 0.0) == pytest.approx((0, -0.01))


def test_the_switch_has_hysteresis():
    sensor = MouseSensor(gain=1000.0, cursor=np.zeros(2), x=0.0, y=0.0)
    states = []
    for travel in (0.0, -0.006, -0.008, -0.006, -0.003, -0.006):
        sensor.read(0, 0, 0.005, 0, travel)
        states.append(sensor.is_pressed)
    assert states == [False, False, True, True, False, False]


@pytest.mark.parametrize("puzzle", PUZZLES)
def test_the_expert_solves_seen_and_unseen_quickly_and_the_numbers_are_reported(puzzle):
    for variant in ("train", "unseen"):
        env = desk(puzzle, variant=variant)
        for seed in range(3):
            info = run(env, seed)
            assert info["is_success"]
            assert info["metrics"]["cursor_error_px"] < 12
            assert info["metrics"]["time_s"] == pytest.approx(env.elapsed_steps * 0.05)
            assert info["metrics"]["progress"] == 1
            assert env.elapsed_steps < 180


@pytest.mark.parametrize("puzzle", PUZZLES)
def test_the_expert_advises_by_what_is_there_and_not_by_how_it_came_there(puzzle):
    env, rng = desk(puzzle), np.random.default_rng(0)
    differences = []
    for seed in range(4):
        observation, info = env.reset(seed=seed)
        expert = env.make_expert()
        while not info["is_success"] and not env.puzzle.is_locked and env.elapsed_steps < 100:
            action = expert(observation)
            stranger = env.make_expert()
            stranger(observation)
            differences.append(abs(stranger.advice[2] - expert.advice[2]))
            if rng.random() < 0.2:
                action[:3] = rng.uniform(-0.6, 0.6, 3)
            observation, _, _, _, info = env.step(action)
    assert np.mean(np.array(differences) > 0.05) < 0.02, "up or down"


def test_a_mouse_that_was_let_go_is_taken_up_again():
    env = desk()
    observation, info = env.reset(seed=5)
    for _ in range(8):
        env.step(np.array([-0.6, 0.5, 1, 0, 1], np.float32))
    assert env.hand_position[2] > HOLD_HEIGHT + 0.05
    expert = env.make_expert()
    while not info["is_success"] and env.elapsed_steps < 200:
        observation, _, _, _, info = env.step(expert(observation))
    assert info["is_success"]


def test_the_screen_camera_shows_the_picture_and_nothing_hides_it():
    env = desk("TypeCode", cameras=("screen",))
    env.reset(seed=0)
    first = env.render_frame("screen", 64)
    drawn = np.asarray(env.puzzle.picture().resize((64, 64))).astype(float)
    assert np.corrcoef(first[4:-4, 4:-4].ravel(), drawn[4:-4, 4:-4].ravel())[0, 1] > 0.6
    for corner in ((0.35, -0.15), (0.58, 0.15), (0.58, 0.0), (0.58, -0.15)):
        env.place_hand((*corner, 0.15))
        mujoco.mj_forward(env.model, env.data)
        assert np.array_equal(env.render_frame("screen", 64), first)
    env.close()


def test_without_opengl_rays_show_the_same_screen(monkeypatch):
    pictures = []
    for renderer in ("gl", "raycast"):
        monkeypatch.setenv("UNIFIED_RENDERER", renderer)
        env = desk("SelectTiles", cameras=("screen",))
        env.reset(seed=0)
        pictures.append(env.render_frame("screen", 64).astype(float).ravel())
        env.close()
    assert np.corrcoef(pictures[0], pictures[1])[0, 1] > 0.85


def test_the_cursor_is_drawn_where_it_is():
    env = desk(cameras=("screen",))
    env.reset(seed=3)
    env.mouse.cursor[:] = 20, 60
    one = env.render_frame("screen", 128).astype(int)
    env.mouse.cursor[:] = 100, 60
    two = env.render_frame("screen", 128).astype(int)
    changed = np.argwhere(np.abs(one - two).sum(axis=2) > 60)
    columns = changed[:, 1]
    assert ((columns < 45) | (columns > 90)).all()
    assert (columns < 45).any()
    assert (columns > 90).any()
    env.close()


def test_random_actions_do_not_solve_it():
    env = desk("SelectTiles", max_env_steps=150)
    rng = np.random.default_rng(0)
    solved = [run(env, seed, lambda _: rng.uniform(-1, 1, 5).astype(np.float32))["is_success"] for seed in range(8)]
    assert sum(solved) == 0


@pytest.mark.slow
def test_ten_thousand_random_steps_do_not_explode():
    env = desk(max_env_steps=10**6)
    env.model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_ENERGY
    rng = np.random.default_rng(0)
    env.reset(seed=0)
    worst = 0.0
    for _ in range(10_000):
        env.step(rng.uniform(-1, 1, 5).astype(np.float32))
        worst = max(worst, float(env.data.energy[1]))
    assert np.isfinite(env.data.qpos).all()
    assert worst < 50, "joules of motion"
    assert not any(env.data.warning[index].number for index in range(len(env.data.warning)))


def test_a_wrong_puzzle_or_variant_is_named():
    from sims.screen.env import ScreenEnv

    with pytest.raises(ValueError, match="Unknown puzzle 'ClickIkon'. Did you mean 'ClickIcon'"):
        ScreenEnv("ClickIkon")
    with pytest.raises(ValueError, match="Known: train, unseen"):
        ScreenEnv("ClickIcon", variant="test")
