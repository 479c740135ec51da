"""Nim on a board of rows: the two sides push pegs down in turn, a few of one row; who pushes the last one wins.

The opponent plays perfectly with probability `strength`, else at random.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sims.games.puzzle import IllegalMoveError

Rows = tuple[int, ...]


class Take(NamedTuple):
    """So many pegs of one row."""

    row: int
    pegs: int


@dataclass(frozen=True)
class Nim:
    """A state says how many pegs of each row still stand up, before the hand's turn.

    Attributes:
        num_rows, row_length: the board.
        max_take: the most pegs of a turn.
        strength: how often the opponent plays perfectly, 0 to 1.
        shortest_range: own turns in which the win can be forced, against the longest resistance.
        slack: own turns beyond that after which the game is lost.
    """

    num_rows: int
    row_length: int
    max_take: int
    strength: float
    shortest_range: tuple[int, int]
    slack: int

    def legal_moves(self, state: Rows) -> Sequence[Take]:
        return _takes(state, self.max_take)

    def apply(self, state: Rows, move: Take) -> Rows:
        if move not in self.legal_moves(state):
            raise IllegalMoveError(
                f"A turn takes 1 to {self.max_take} pegs of one row, got {move} with {state} standing."
            )
        return _after(state, move)

    def is_solved(self, state: Rows) -> bool:
        """No peg is left; whether that is a win depends on who pushed the last."""
        return not any(state)

    def shortest(self, state: Rows) -> list[Take] | None:
        """The own turns of one forced win, if the opponent resists as long as it can; None in a lost position."""
        if _turns_to_win(tuple(sorted(state)), self.max_take) is None:
            return [] if self.is_solved(state) else None
        path: list[Take] = []
        while not self.is_solved(state):
            path.append(_best_take(state, self.max_take))
            state = _after(state, path[-1])
            if not self.is_solved(state):
                state = _after(state, _longest_resistance(state, self.max_take))
        return path

    def turns_left(self, state: Rows) -> int | None:
        """Own turns still needed after an own move has led to `state`; None if that move gave the win away."""
        turns = _turns_after(state, self.max_take)
        return None if turns is None else turns - 1

    def winning_moves(self, state: Rows) -> list[Take]:
        """The moves that keep a forced win, the fastest first; empty in a lost position."""
        left = {take: self.turns_left(_after(state, take)) for take in self.legal_moves(state)}
        kept = {take: turns for take, turns in left.items() if turns is not None}
        return sorted(kept, key=lambda take: kept[take])

    def reply(self, state: Rows, rng: np.random.Generator) -> Take:
        """The opponent's move from a state that is not finished."""
        takes = _takes(state, self.max_take)
        if rng.random() >= self.strength:
            return takes[int(rng.integers(len(takes)))]
        if _turns_to_win(tuple(sorted(state)), self.max_take) is not None:
            return _best_take(state, self.max_take)
        return _longest_resistance(state, self.max_take)

    def draw(self, rng: np.random.Generator) -> Rows:
        """A position that is won for the side to move."""
        low, high = self.shortest_range
        wanted = int(rng.integers(low, high + 1))
        while True:
            state = tuple(int(count) for count in rng.integers(0, self.row_length + 1, self.num_rows))
            if _turns_to_win(tuple(sorted(state)), self.max_take) == wanted:
                return state

    def greedy_score(self, state: Rows) -> float:
        """Pegs left."""
        return float(sum(state))


LEVELS = {
    "easy": Nim(num_rows=2, row_length=3, max_take=2, strength=0.5, shortest_range=(1, 2), slack=2),
    "medium": Nim(num_rows=3, row_length=5, max_take=2, strength=0.8, shortest_range=(3, 4), slack=3),
    "hard": Nim(num_rows=4, row_length=8, max_take=2, strength=1.0, shortest_range=(8, 10), slack=4),
}


def _takes(state: Rows, max_take: int) -> list[Take]:
    return [Take(row, count) for row, left in enumerate(state) for count in range(1, min(left, max_take) + 1)]


def _after(state: Rows, take: Take) -> Rows:
    return tuple(left - take.pegs * (row == take.row) for row, left in enumerate(state))


@functools.cache
def _turns_to_win(state: Rows, max_take: int) -> int | None:
    """Own turns of the side to move until it has won, if it can force that; the rows are sorted."""
    turns = [_turns_after(_after(state, take), max_take) for take in _takes(state, max_take)]
    return min((count for count in turns if count is not None), default=None)


def _turns_after(after: Rows, max_take: int) -> int | None:
    """Turns of the side that has just moved, this one included, if it can force the win from here."""
    if not any(after):
        return 1
    if _turns_to_win(tuple(sorted(after)), max_take) is not None:
        return None
    replies = [_turns_to_win(tuple(sorted(_after(after, take))), max_take) for take in _takes(after, max_take)]
    return 1 + max(count for count in replies if count is not None)


def _best_take(state: Rows, max_take: int) -> Take:
    """The fastest way to win from a won position."""
    turns = {take: _turns_after(_after(state, take), max_take) for take in _takes(state, max_take)}
    winning = {take: count for take, count in turns.items() if count is not None}
    return min(winning, key=lambda take: winning[take])


def _longest_resistance(state: Rows, max_take: int) -> Take:
    """The move of a lost side after which the winner needs the most turns."""
    turns = {take: _turns_to_win(tuple(sorted(_after(state, take))), max_take) or 0 for take in _takes(state, max_take)}
    return max(turns, key=lambda take: turns[take])
