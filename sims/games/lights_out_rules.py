"""Lights Out: a press switches a button and its four neighbours; all lights shall be out."""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from sims.games.puzzle import IllegalMoveError

Lights = tuple[bool, ...]


@dataclass(frozen=True)
class LightsOut:
    """A square board of `size` x `size` buttons; a state says of each, row by row, whether it is lit."""

    size: int
    shortest_range: tuple[int, int]
    slack: int

    def legal_moves(self, state: Lights) -> Sequence[int]:
        """Every button may be pressed at any time."""
        return range(self.size**2)

    def apply(self, state: Lights, move: int) -> Lights:
        if not 0 <= move < self.size**2:
            raise IllegalMoveError(f"There is no button {move} on a board of {self.size**2} buttons.")
        switched = _press_matrix(self.size)[move]
        return tuple(bool(light ^ other) for light, other in zip(state, switched, strict=True))

    def is_solved(self, state: Lights) -> bool:
        return not any(state)

    def shortest(self, state: Lights) -> list[int] | None:
        """The smallest set of buttons; order does not matter and none is pressed twice.

        Linear algebra over two elements: one solution by elimination, and it plus every combination of presses that
        change nothing.
        """
        inverse, quiet = _solution_of(self.size)
        presses = inverse @ np.array(state, np.uint8) % 2
        if not np.array_equal(_press_matrix(self.size) @ presses % 2, np.array(state, np.uint8)):
            return None
        best = presses
        for chosen in itertools.product((0, 1), repeat=len(quiet)):
            other = (presses + np.array(chosen, np.uint8) @ quiet) % 2 if chosen else presses
            if other.sum() < best.sum():
                best = other
        return np.flatnonzero(best).tolist()

    def draw(self, rng: np.random.Generator) -> Lights:
        low, high = self.shortest_range
        wanted = int(rng.integers(low, high + 1))
        while True:
            presses = rng.choice(self.size**2, wanted, replace=False)
            lights = _press_matrix(self.size)[presses].sum(axis=0) % 2
            state = tuple(bool(light) for light in lights)
            solution = self.shortest(state)
            if solution is not None and len(solution) == wanted:
                return state

    def greedy_score(self, state: Lights) -> float:
        """The number of lights."""
        return float(sum(state))


LEVELS = {
    "easy": LightsOut(size=3, shortest_range=(2, 2), slack=4),
    "medium": LightsOut(size=4, shortest_range=(4, 7), slack=6),
    "hard": LightsOut(size=6, shortest_range=(15, 20), slack=10),
}


@functools.cache
def _press_matrix(size: int) -> UInt8[np.ndarray, " buttons buttons"]:
    """Row i: the buttons that a press of i switches."""
    rows, columns = np.divmod(np.arange(size**2), size)
    far = np.abs(rows[:, None] - rows) + np.abs(columns[:, None] - columns)
    return (far <= 1).astype(np.uint8)


@functools.cache
def _solution_of(size: int) -> tuple[UInt8[np.ndarray, " n n"], UInt8[np.ndarray, " k n"]]:
    """A matrix that turns lights into presses where that is possible, and the presses that change nothing."""
    count = size**2
    rows: Bool[np.ndarray, " n 2n"] = np.hstack([_press_matrix(size), np.eye(count, dtype=np.uint8)]).astype(bool)
    pivots: list[int] = []
    for column in range(count):
        candidates = [row for row in range(len(pivots), count) if rows[row, column]]
        if not candidates:
            continue
        top = len(pivots)
        rows[[top, candidates[0]]] = rows[[candidates[0], top]]
        for row in range(count):
            if row != top and rows[row, column]:
                rows[row] ^= rows[top]
        pivots.append(column)
    inverse = np.zeros((count, count), np.uint8)
    inverse[pivots] = rows[: len(pivots), count:]
    free = [column for column in range(count) if column not in pivots]
    quiet = np.zeros((len(free), count), np.uint8)
    for index, column in enumerate(free):
        quiet[index, column] = 1
        quiet[index, pivots] = rows[: len(pivots), column]
    return inverse, quiet
