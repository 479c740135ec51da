"""What a game is to its board, its expert and its metrics; and search where a game has nothing better."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Protocol

import numpy as np

LEVEL_NAMES = ("easy", "medium", "hard")


class IllegalMoveError(ValueError):
    """The rules do not allow this move here; the message says why."""


class Puzzle[State: Hashable, Move](Protocol):
    """The rules of a one-player game at one level; states are immutable and hashable.

    Attributes:
        shortest_range: the fewest and the most moves that the shortest solution of a drawn instance has.
        slack: moves beyond the shortest solution after which the game is lost.
    """

    @property
    def shortest_range(self) -> tuple[int, int]: ...

    @property
    def slack(self) -> int: ...

    def legal_moves(self, state: State) -> Sequence[Move]:
        """Every move that the rules allow."""
        ...

    def apply(self, state: State, move: Move) -> State:
        """The state after a move.

        Raises:
            IllegalMoveError: the rules do not allow it.
        """
        ...

    def is_solved(self, state: State) -> bool: ...

    def shortest(self, state: State) -> list[Move] | None:
        """One shortest solution; None if there is none any more."""
        ...

    def draw(self, rng: np.random.Generator) -> State:
        """An instance whose shortest solution has a length inside `shortest_range`."""
        ...

    def greedy_score(self, state: State) -> float:
        """How far from solved it looks to a player that does not think ahead; 0 is solved."""
        ...


def breadth_first[State: Hashable, Move](
    start: State,
    moves: Callable[[State], Iterable[tuple[Move, State]]],
    is_goal: Callable[[State], bool],
) -> list[Move] | None:
    """A shortest path from `start` to a goal; None if no goal can be reached."""
    if is_goal(start):
        return []
    came_from: dict[State, tuple[State, Move]] = {}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        for move, after in moves(state):
            if after == start or after in came_from:
                continue
            came_from[after] = (state, move)
            if is_goal(after):
                return _path_back(came_from, start, after)
            queue.append(after)
    return None


def _path_back[State, Move](came_from: dict[State, tuple[State, Move]], start: State, end: State) -> list[Move]:
    path: list[Move] = []
    while end != start:
        end, move = came_from[end]
        path.append(move)
    return path[::-1]


def distances_from[State: Hashable](
    starts: Iterable[State], neighbours: Callable[[State], Iterable[State]]
) -> dict[State, int]:
    """Steps from the nearest start to every state that can be reached."""
    distance = dict.fromkeys(starts, 0)
    queue = deque(distance)
    while queue:
        state = queue.popleft()
        for after in neighbours(state):
            if after not in distance:
                distance[after] = distance[state] + 1
                queue.append(after)
    return distance


def play_greedily[State: Hashable, Move](puzzle: Puzzle[State, Move], state: State) -> bool:
    """Whether the game is solved by always making the move after which it looks best, within the moves allowed."""
    shortest = puzzle.shortest(state)
    assert shortest is not None
    for _ in range(len(shortest) + puzzle.slack):
        if puzzle.is_solved(state):
            return True
        after = [puzzle.apply(state, move) for move in puzzle.legal_moves(state)]
        if not after:
            return False
        state = min(after, key=puzzle.greedy_score)
    return puzzle.is_solved(state)
