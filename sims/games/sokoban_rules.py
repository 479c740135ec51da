"""Sokoban with a pusher that comes from above: boxes can be pushed, one at a time, never pulled.

The pusher is lowered into the cell behind the box, so that cell must be free; it need not be reached on the floor.
"""

import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sims.games.puzzle import IllegalMoveError, distances_from

_ATTEMPTS = 200


class Store(NamedTuple):
    """A warehouse: cells with walls, with goals and with boxes; cells are counted row by row."""

    walls: frozenset[int]
    goals: frozenset[int]
    boxes: frozenset[int]


class Push(NamedTuple):
    """A box is pushed one cell on: `step` is (row, column) with one of them 0."""

    box: int
    step: tuple[int, int]


STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))


@dataclass(frozen=True)
class Sokoban:
    """A square floor of `size` x `size` cells with a rim, some walls on it, and as many goals as boxes."""

    size: int
    num_boxes: int
    num_walls: int
    shortest_range: tuple[int, int]
    slack: int

    def cell(self, box: int, step: tuple[int, int], times: int = 1) -> int | None:
        """The cell `times` steps from another; None outside the floor."""
        row, column = divmod(box, self.size)
        row, column = row + times * step[0], column + times * step[1]
        inside = 0 <= row < self.size and 0 <= column < self.size
        return row * self.size + column if inside else None

    def refusal(self, state: Store, move: Push) -> str | None:
        """Why the rules do not allow a push; None if they do."""
        if move.box not in state.boxes or move.step not in STEPS:
            return f"There is no box on cell {move.box}, or {move.step} is no direction."
        behind, ahead = self.cell(move.box, move.step, -1), self.cell(move.box, move.step)
        taken = state.walls | state.boxes
        if behind is None or behind in taken:
            return f"The pusher has no room behind the box on cell {move.box}."
        if ahead is None or ahead in taken:
            return f"The box on cell {move.box} stands before a wall or another box."
        return None

    def legal_moves(self, state: Store) -> Sequence[Push]:
        pushes = [Push(box, step) for box in sorted(state.boxes) for step in STEPS]
        return [push for push in pushes if self.refusal(state, push) is None]

    def apply(self, state: Store, move: Push) -> Store:
        refusal = self.refusal(state, move)
        ahead = self.cell(move.box, move.step)
        if refusal is not None or ahead is None:
            raise IllegalMoveError(refusal)
        return state._replace(boxes=state.boxes - {move.box} | {ahead})

    def is_solved(self, state: Store) -> bool:
        return state.boxes == state.goals

    def shortest(self, state: Store) -> list[Push] | None:
        """Down the table of distances; None once a box stands where it cannot be got away."""
        table = _distances(self, state.walls, state.goals)
        if _mask(state.boxes) not in table:
            return None
        path: list[Push] = []
        while not self.is_solved(state):
            after = {push: self.apply(state, push) for push in self.legal_moves(state)}
            solvable = [push for push in after if _mask(after[push].boxes) in table]
            path.append(min(solvable, key=lambda push: (table[_mask(after[push].boxes)], path[-1:] != [push])))
            state = after[path[-1]]
        return path

    def draw(self, rng: np.random.Generator) -> Store:
        """Walls and goals at random, boxes where the shortest solution has the length that was drawn."""
        low, high = self.shortest_range
        wanted = int(rng.integers(low, high + 1))
        for _ in range(_ATTEMPTS):
            cells = rng.choice(self.size**2, self.num_walls + self.num_boxes, replace=False).tolist()
            walls, goals = frozenset(cells[: self.num_walls]), frozenset(cells[self.num_walls :])
            table = _distances(self, walls, goals)
            fitting = [boxes for boxes, distance in table.items() if distance == wanted]
            if fitting:
                mask = fitting[int(rng.integers(len(fitting)))]
                return Store(walls, goals, frozenset(cell for cell in range(self.size**2) if mask >> cell & 1))
        raise RuntimeError(f"No warehouse with a solution of {wanted} pushes in {_ATTEMPTS} attempts: {self}.")

    def greedy_score(self, state: Store) -> float:
        """Sum over the boxes of the steps to the nearest goal."""
        size = self.size
        return float(
            sum(
                min(abs(box // size - goal // size) + abs(box % size - goal % size) for goal in state.goals)
                for box in state.boxes
            )
        )


LEVELS = {
    "easy": Sokoban(size=4, num_boxes=1, num_walls=0, shortest_range=(1, 3), slack=4),
    "medium": Sokoban(size=5, num_boxes=2, num_walls=3, shortest_range=(5, 9), slack=6),
    "hard": Sokoban(size=6, num_boxes=3, num_walls=5, shortest_range=(15, 20), slack=10),
}


def _mask(cells: Iterable[int]) -> int:
    """A set of cells as the bits of a number: tables of thousands of arrangements are made in every `draw`."""
    return sum(1 << cell for cell in cells)


@functools.lru_cache(maxsize=8)
def _distances(game: Sokoban, walls: frozenset[int], goals: frozenset[int]) -> dict[int, int]:
    """Pushes to the goals from every arrangement that can be solved: the pushes, played backwards."""
    blocked = _mask(walls)
    pulls: dict[int, list[tuple[int, int]]] = {}  # of a box: where it came from, and the cells that must be free
    for cell, step in itertools.product(range(game.size**2), STEPS):
        origin, behind = game.cell(cell, step, -1), game.cell(cell, step, -2)
        if origin is None or behind is None or blocked & _mask((cell, origin, behind)):
            continue
        pulls.setdefault(1 << cell, []).append((1 << origin, _mask((origin, behind))))

    def before(boxes: int) -> list[int]:
        found: list[int] = []
        left = boxes
        while left:
            box = left & -left  # the lowest bit
            left ^= box
            found.extend(boxes ^ box ^ origin for origin, free in pulls.get(box, ()) if not boxes & free)
        return found

    return distances_from([_mask(goals)], before)
