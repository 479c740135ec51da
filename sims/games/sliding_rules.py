"""The sliding-tile puzzle: a tile beside the gap slides into it, until the tiles lie as in the picture."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sims.games.puzzle import IllegalMoveError, distances_from

Tiles = tuple[int, ...]
GAP = 0


@dataclass(frozen=True)
class Sliding:
    """A tray of `rows` x `columns`; a state says what lies in each cell, row by row, 0 being the gap.

    A move is the number of the tile that slides.
    """

    rows: int
    columns: int
    shortest_range: tuple[int, int]
    slack: int

    @property
    def solved(self) -> Tiles:
        """Tiles in reading order, the gap last."""
        return (*range(1, self.rows * self.columns), GAP)

    def legal_moves(self, state: Tiles) -> Sequence[int]:
        return [state[cell] for cell in _beside(self.rows, self.columns)[state.index(GAP)]]

    def apply(self, state: Tiles, move: int) -> Tiles:
        if move not in self.legal_moves(state):
            raise IllegalMoveError(f"Tile {move} does not lie beside the gap.")
        cells = list(state)
        gap, tile = state.index(GAP), state.index(move)
        cells[gap], cells[tile] = move, GAP
        return tuple(cells)

    def is_solved(self, state: Tiles) -> bool:
        return state == self.solved

    def shortest(self, state: Tiles) -> list[int] | None:
        """Down the table of distances; None for the half of all arrangements that no sliding leads to."""
        table = _distances(self.rows, self.columns)
        if state not in table:
            return None
        path: list[int] = []
        while not self.is_solved(state):
            after = {move: self.apply(state, move) for move in self.legal_moves(state)}
            path.append(min(after, key=lambda move: table[after[move]]))
            state = after[path[-1]]
        return path

    def draw(self, rng: np.random.Generator) -> Tiles:
        low, high = self.shortest_range
        fitting = _at_distance(self.rows, self.columns, int(rng.integers(low, high + 1)))
        return fitting[int(rng.integers(len(fitting)))]

    def greedy_score(self, state: Tiles) -> float:
        """Sum of the tiles' distances from their places, in cells."""
        total = 0
        for cell, tile in enumerate(state):
            if tile != GAP:
                row, column = divmod(cell, self.columns)
                home_row, home_column = divmod(tile - 1, self.columns)
                total += abs(row - home_row) + abs(column - home_column)
        return float(total)


LEVELS = {
    "easy": Sliding(rows=2, columns=3, shortest_range=(2, 4), slack=4),
    "medium": Sliding(rows=3, columns=3, shortest_range=(8, 14), slack=8),
    "hard": Sliding(rows=3, columns=3, shortest_range=(15, 22), slack=10),
}


@functools.cache
def _beside(rows: int, columns: int) -> tuple[tuple[int, ...], ...]:
    """The cells that share a side with each cell."""
    where = [divmod(cell, columns) for cell in range(rows * columns)]
    return tuple(
        tuple(other for other, (y, x) in enumerate(where) if abs(y - row) + abs(x - column) == 1)
        for row, column in where
    )


@functools.cache
def _distances(rows: int, columns: int) -> dict[Tiles, int]:
    """Moves to the solved state from all arrangements that can be reached; 181,440 of them for 3 x 3."""
    beside = _beside(rows, columns)

    def neighbours(state: Tiles) -> list[Tiles]:
        gap = state.index(GAP)
        after: list[Tiles] = []
        for cell in beside[gap]:
            cells = list(state)
            cells[gap], cells[cell] = cells[cell], GAP
            after.append(tuple(cells))
        return after

    return distances_from([(*range(1, rows * columns), GAP)], neighbours)


@functools.cache
def _at_distance(rows: int, columns: int, moves: int) -> list[Tiles]:
    """The arrangements that need exactly so many moves."""
    return [state for state, distance in _distances(rows, columns).items() if distance == moves]
