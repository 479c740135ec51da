# pyright: reportArgumentType=false
# Where a solver finds nothing (None), the test shall fail.
"""The games by their rules alone: solvers are optimal, instances fair, and not thinking ahead loses."""

import functools
import itertools

import numpy as np
import pytest

from sims.games import hanoi_rules, lights_out_rules, nim_rules, sliding_rules, sokoban_rules
from sims.games.hanoi_rules import Hanoi, Lift, Towers
from sims.games.lights_out_rules import LightsOut
from sims.games.nim_rules import Nim, Take
from sims.games.puzzle import LEVEL_NAMES, IllegalMoveError, breadth_first, distances_from, play_greedily
from sims.games.sliding_rules import GAP, Sliding
from sims.games.sokoban_rules import Push, Sokoban, Store

RULES = {
    "LightsOut": lights_out_rules.LEVELS,
    "Hanoi": hanoi_rules.LEVELS,
    "Sliding": sliding_rules.LEVELS,
    "Sokoban": sokoban_rules.LEVELS,
    "Nim": nim_rules.LEVELS,
}
PUZZLES = [name for name in RULES if name != "Nim"]
every_level = pytest.mark.parametrize(("game", "level"), list(itertools.product(RULES, LEVEL_NAMES)))


def brute_force_length(puzzle, state):
    """Moves of a shortest solution, by trying all moves in all orders."""
    path = breadth_first(
        state, lambda state: [(move, puzzle.apply(state, move)) for move in puzzle.legal_moves(state)], puzzle.is_solved
    )
    return None if path is None else len(path)


@every_level
def test_every_drawn_instance_is_solved_by_its_solution_which_has_the_length_of_the_level(game, level):
    puzzle = RULES[game][level]
    low, high = puzzle.shortest_range
    lengths = set()
    for seed in range(6 if (game, level) == ("Sokoban", "hard") else 30):
        state = puzzle.draw(np.random.default_rng(seed))
        assert state == puzzle.draw(np.random.default_rng(seed))
        solution = puzzle.shortest(state)
        lengths.add(len(solution))
        if game == "Nim":
            continue
        for move in solution:
            assert not puzzle.is_solved(state)
            assert move in puzzle.legal_moves(state)
            state = puzzle.apply(state, move)
        assert puzzle.is_solved(state)
    assert low <= min(lengths)
    assert max(lengths) <= high
    assert len(lengths) > 1 or low == high, "all instances are equally long"


@every_level
def test_hard_games_take_15_to_60_moves_and_easy_ones_few(game, level):
    low, high = RULES[game][level].shortest_range
    if game == "Nim":  # turns of one side, with as many replies but one
        low, high = 2 * low - 1, 2 * high - 1
    bounds = {"easy": (1, 4), "medium": (4, 14), "hard": (15, 60)}[level]
    assert bounds[0] <= low <= high <= bounds[1]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_lights_out_is_solved_with_as_few_presses_as_can_be(size):
    puzzle = LightsOut(size, (1, 1), 0)
    out = (False,) * size**2
    presses = distances_from([out], lambda state: [puzzle.apply(state, move) for move in puzzle.legal_moves(state)])
    assert len(presses) == {2: 2**4, 3: 2**9, 4: 2**12}[size]  # the presses that change nothing: 0, 0 and 4 of them
    for state in [out, *itertools.islice(presses, 0, None, 7)]:
        assert len(puzzle.shortest(state)) == presses[state]
    rng = np.random.default_rng(size)
    for _ in range(50):
        state = tuple(bool(light) for light in rng.integers(0, 2, size**2))
        assert (puzzle.shortest(state) is None) == (state not in presses)


@pytest.mark.parametrize("target", range(3))
def test_hanoi_is_solved_with_as_few_moves_as_can_be_from_everywhere(target):
    puzzle = Hanoi(3, (1, 1), 0)
    for places in itertools.product(range(3), repeat=3):
        state = Towers(places, target)
        assert len(puzzle.shortest(state)) == brute_force_length(puzzle, state)
    assert len(puzzle.shortest(Towers(((target + 1) % 3,) * 3, target))) == 7  # 2^n - 1 from a whole tower


def test_sliding_is_solved_with_as_few_moves_as_can_be_and_half_of_all_arrangements_not_at_all():
    puzzle = Sliding(2, 2, (1, 1), 0)
    solvable = 0
    for state in itertools.permutations(range(4)):
        solution = puzzle.shortest(state)
        assert (None if solution is None else len(solution)) == brute_force_length(puzzle, state)
        solvable += solution is not None
    assert solvable == 12
    larger = Sliding(2, 3, (1, 1), 0)
    for seed in range(4):
        state = sliding_rules.LEVELS["easy"].draw(np.random.default_rng(seed))
        assert len(larger.shortest(state)) == brute_force_length(larger, state)


def test_the_hardest_eight_puzzle_has_31_moves():
    puzzle = sliding_rules.LEVELS["hard"]
    assert len(puzzle.shortest((8, 6, 7, 2, 5, 4, 3, GAP, 1))) == 31


def test_sokoban_is_solved_with_as_few_pushes_as_can_be_and_dead_ends_are_known():
    puzzle = Sokoban(4, 2, 2, (1, 8), 0)
    dead = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        cells = rng.permutation(16).tolist()
        state = Store(frozenset(cells[:2]), frozenset(cells[2:4]), frozenset(cells[4:6]))
        solution = puzzle.shortest(state)
        assert (None if solution is None else len(solution)) == brute_force_length(puzzle, state)
        dead += solution is None
    assert 0 < dead < 25


def test_a_box_in_a_corner_is_lost():
    puzzle = Sokoban(3, 1, 0, (1, 1), 0)
    assert puzzle.shortest(Store(frozenset(), frozenset({4}), frozenset({0}))) is None


@functools.cache
def slow_turns(state, max_take):
    """Turns that the side to move needs to win, by looking at everything; None if it loses."""
    counts = []
    for row, left in enumerate(state):
        for count in range(1, min(left, max_take) + 1):
            after = (*state[:row], left - count, *state[row + 1 :])
            if not any(after):
                counts.append(1)
                continue
            if slow_turns(after, max_take) is not None:
                continue
            replies = [
                slow_turns((*after[:other], after[other] - taken, *after[other + 1 :]), max_take)
                for other in range(len(after))
                for taken in range(1, min(after[other], max_take) + 1)
            ]
            counts.append(1 + max(replies))
    return min(counts, default=None)


@pytest.mark.parametrize("max_take", [1, 2, 3])
def test_nim_wins_where_theory_says_so_and_as_fast_as_can_be_forced(max_take):
    puzzle = Nim(3, 4, max_take, 1.0, (1, 1), 0)
    for state in itertools.product(range(5), repeat=3):
        nim_sum = np.bitwise_xor.reduce([left % (max_take + 1) for left in state])
        solution = puzzle.shortest(state)
        if not any(state):
            assert solution == []
        elif nim_sum == 0:
            assert solution is None
        else:
            assert len(solution) == slow_turns(state, max_take)


def play_nim(puzzle, seed, choose):
    """Whether a player wins an instance."""
    rng = np.random.default_rng(seed)
    state = puzzle.draw(rng)
    while True:
        state = puzzle.apply(state, choose(puzzle, state, rng))
        if puzzle.is_solved(state):
            return True
        state = puzzle.apply(state, puzzle.reply(state, rng))
        if puzzle.is_solved(state):
            return False


def perfect(puzzle, state, rng):
    return puzzle.winning_moves(state)[0]


def greedy(puzzle, state, rng):
    return max(puzzle.legal_moves(state), key=lambda take: take.pegs)


@pytest.mark.parametrize("level", LEVEL_NAMES)
def test_nim_is_won_by_the_solver_against_every_opponent(level):
    assert all(play_nim(RULES["Nim"][level], seed, perfect) for seed in range(40))


def test_the_opponent_is_as_strong_as_asked():
    wins = []
    for strength in (0.0, 0.5, 1.0):
        puzzle = Nim(3, 5, 2, strength, (3, 4), 3)
        wins.append(sum(play_nim(puzzle, seed, greedy) for seed in range(150)))
    assert wins[0] > wins[1] > wins[2]


GREEDY_SOLVES_AT_MOST = {"LightsOut": 0.05, "Hanoi": 0.05, "Sliding": 0.5, "Sokoban": 0.3, "Nim": 0.3}


@pytest.mark.parametrize("game", RULES)
def test_a_greedy_player_loses_most_medium_games_and_every_hard_one(game):
    shares = {}
    for level, count in (("medium", 40), ("hard", 6 if game == "Sokoban" else 30)):
        puzzle = RULES[game][level]
        if game == "Nim":
            wins = [play_nim(puzzle, seed, greedy) for seed in range(count)]
        else:
            wins = [play_greedily(puzzle, puzzle.draw(np.random.default_rng(seed))) for seed in range(count)]
        shares[level] = np.mean(wins)
    assert shares["medium"] <= GREEDY_SOLVES_AT_MOST[game], shares
    assert shares["hard"] == 0, shares


def test_moves_against_the_rules_are_refused_with_a_reason():
    with pytest.raises(IllegalMoveError, match="smaller"):
        RULES["Hanoi"]["easy"].apply(Towers((0, 1), 2), Lift(1, 0))
    with pytest.raises(IllegalMoveError, match="no disc"):
        RULES["Hanoi"]["easy"].apply(Towers((0, 0), 2), Lift(1, 0))
    with pytest.raises(IllegalMoveError, match="beside the gap"):
        RULES["Sliding"]["easy"].apply((1, 2, 3, 4, 5, GAP), 1)
    with pytest.raises(IllegalMoveError, match="no button 9"):
        RULES["LightsOut"]["easy"].apply((False,) * 9, 9)
    with pytest.raises(IllegalMoveError, match="1 to 2 pegs"):
        RULES["Nim"]["easy"].apply((3, 3), Take(0, 3))
    store = Store(frozenset(), frozenset({0}), frozenset({5, 6}))
    with pytest.raises(IllegalMoveError, match="before a wall or another box"):
        RULES["Sokoban"]["easy"].apply(store, Push(5, (0, 1)))
    with pytest.raises(IllegalMoveError, match="no room behind"):
        RULES["Sokoban"]["easy"].apply(store, Push(6, (0, 1)))
    with pytest.raises(IllegalMoveError, match="no box"):
        RULES["Sokoban"]["easy"].apply(store, Push(9, (0, 1)))
