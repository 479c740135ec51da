"""Puzzles by themselves, without physics: drawn from the seed, solved by what is asked, locked by guessing."""

import importlib

import numpy as np
import pytest

from sims.screen import PUZZLES
from sims.screen.icons import TRAIN, UNSEEN
from sims.screen.lettering import _STROKES, DIGITS, LETTERS, TRAIN_HANDS, UNSEEN_HANDS
from sims.screen.puzzle import MAX_WRONG_CLICKS, scatter

RIGHT = np.array([12.0, 0.0])
every_puzzle = pytest.mark.parametrize("name", PUZZLES)
both_variants = pytest.mark.parametrize("is_unseen", [False, True])


def draw(name, seed, is_unseen=False):
    module, class_name = PUZZLES[name].split(":")
    return getattr(importlib.import_module(module), class_name)(np.random.default_rng(seed), is_unseen)


def pixels(puzzle):
    return np.asarray(puzzle.picture()).copy()


def solve(puzzle, steps=100):
    """Do what the goals say with a perfect hand."""
    is_pressed, rewards = False, [puzzle.progress]
    for _ in range(steps):
        goal = puzzle.goal()
        if goal is None:
            break
        assert goal.is_held == is_pressed
        if goal.is_held:
            puzzle.tick(goal.point, True)
        elif goal.click:
            assert puzzle.press(goal.point)
        following = puzzle.goal()
        is_pressed = not goal.is_held and following is not None and following.is_held
        if goal.click and not is_pressed:
            assert puzzle.release(goal.point)
        puzzle.tick(goal.point, is_pressed)
        rewards.append(puzzle.progress)
    return rewards


@every_puzzle
@both_variants
def test_following_the_goals_solves_it_without_a_mistake(name, is_unseen):
    for seed in range(20):
        puzzle = draw(name, seed, is_unseen)
        assert not puzzle.is_solved
        rewards = solve(puzzle)
        assert puzzle.is_solved
        assert puzzle.wrong_clicks == 0
        assert rewards[0] == 0
        assert rewards[-1] == 1
        assert np.all(np.diff(rewards) >= 0)


@every_puzzle
def test_equal_seeds_draw_equal_puzzles_and_others_differ(name):
    pictures = [pixels(draw(name, seed)) for seed in (5, 5, 6)]
    assert np.array_equal(pictures[0], pictures[1])
    assert np.mean(np.any(pictures[0] != pictures[2], axis=2)) > 0.05


@every_puzzle
def test_every_change_of_state_shows_and_comes_back_with_the_state(name):
    puzzle, other = draw(name, 3), draw(name, 3)
    before = pixels(puzzle)
    solve(puzzle)
    assert not np.array_equal(pixels(puzzle), before)
    other.set_state(np.append(puzzle.get_state(), np.zeros(9)))
    assert np.array_equal(pixels(other), pixels(puzzle))
    assert other.is_solved


@every_puzzle
def test_clicking_everywhere_locks_it(name):
    puzzle = draw(name, 4)
    clicks = [np.array([x, y], float) for y in range(4, 128, 12) for x in range(4, 128, 12)]
    for point in clicks:
        puzzle.wrong_clicks += not puzzle.press(point)
        puzzle.wrong_clicks += not puzzle.release(point)
    assert puzzle.wrong_clicks > MAX_WRONG_CLICKS
    assert puzzle.is_locked
    assert not puzzle.is_solved
    assert puzzle.picture().getpixel((0, 64)) == (220, 30, 30), "the policy can see it"


def test_train_and_unseen_share_neither_icons_nor_hands():
    assert not set(TRAIN) & set(UNSEEN)
    assert not set(TRAIN_HANDS) & set(UNSEEN_HANDS)
    shown = {is_unseen: set() for is_unseen in (False, True)}
    for is_unseen, words in shown.items():
        for seed in range(150):
            words.add(draw("SelectTiles", seed, is_unseen).instruction.split()[-1])
    assert shown[False] == set(TRAIN)
    assert shown[True] == set(UNSEEN)


def test_the_wanted_tiles_are_those_that_show_the_named_thing():
    for seed in range(10):
        puzzle = draw("SelectTiles", seed)
        wanted = puzzle.instruction.split()[-1]
        assert [puzzle._shapes[index] == wanted for index in range(9)] == [i in puzzle._targets for i in range(9)]
        assert 2 <= len(puzzle._targets) <= 3


def test_a_slider_let_go_off_the_gap_slides_back_and_can_be_gripped_again():
    puzzle = draw("DragSlider", 0)
    start = puzzle.goal().point
    assert puzzle.press(start)
    puzzle.tick(start + RIGHT, True)
    assert not puzzle.release(start + RIGHT)
    assert not puzzle.is_solved
    assert not puzzle.goal().is_held
    assert puzzle.goal().point == pytest.approx(start)
    assert not puzzle.press(start + 4 * RIGHT), "the handle is not there"
    solve(puzzle)
    assert puzzle.is_solved


def test_a_moving_target_must_be_followed_before_it_counts():
    puzzle = draw("FollowTarget", 0)
    assert not puzzle.press(puzzle.marks[:2].copy())
    for _ in range(8):
        puzzle.tick(puzzle.marks[:2] + puzzle.marks[2:4], False)
    away = puzzle.marks[:2] + 3 * RIGHT
    assert not puzzle.press(away)
    assert puzzle.press(puzzle.marks[:2].copy())
    for _ in range(500):
        puzzle = draw("FollowTarget", 1) if puzzle.is_solved else puzzle
        puzzle.tick(np.array([-100.0, -100.0]), False)
        assert (puzzle.marks[:2] >= 18).all()
        assert (puzzle.marks[:2] <= 110).all()


def test_every_letter_has_strokes_inside_its_box():
    assert set(_STROKES) == set(LETTERS + DIGITS)
    for strokes in _STROKES.values():
        for pair in strokes.replace(";", " ").split():
            assert 0 <= int(pair[0]) <= 4
            assert 0 <= int(pair[1]) <= 6


def test_scattered_points_keep_their_distance():
    for seed in range(20):
        points = scatter(np.random.default_rng(seed), 5, (15, 40), (113, 113), 30)
        gaps = np.abs(points[:, None] - points).max(axis=2)[np.triu_indices(5, 1)]
        assert gaps.min() > 24


@every_puzzle
@both_variants
def test_what_a_click_would_hit_is_framed_under_the_cursor_and_nothing_elsewhere(name, is_unseen):
    for seed in range(5):
        puzzle = draw(name, seed, is_unseen)
        at_goal = puzzle.marks[:2].copy() if name == "FollowTarget" else puzzle.goal().point
        assert puzzle.hovered(at_goal) is not None
        points = np.stack(np.meshgrid(np.arange(1.0, 128, 6), np.arange(1.0, 128, 6)), axis=-1).reshape(-1, 2)
        boxes = [puzzle.hovered(point) for point in points]
        for point, box in zip(points, boxes, strict=True):
            if box is not None:
                assert (point > np.array(box[:2]) - 4).all()
                assert (point < np.array(box[2:]) + 4).all()
        assert 0.02 < np.mean([box is not None for box in boxes]) < 0.85
