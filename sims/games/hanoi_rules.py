"""Tower of Hanoi: one disc at a time, never a larger one on a smaller one, all of them to the marked place."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sims.games.puzzle import IllegalMoveError, distances_from

PLACES = 3


class Towers(NamedTuple):
    """Where every disc lies, the smallest first, and where all of them shall lie."""

    places: tuple[int, ...]
    target: int


class Lift(NamedTuple):
    """The topmost disc of one place goes to another."""

    source: int
    destination: int


@dataclass(frozen=True)
class Hanoi:
    """Three places and `num_discs` discs; instances start anywhere the rules can lead to."""

    num_discs: int
    shortest_range: tuple[int, int]
    slack: int

    def legal_moves(self, state: Towers) -> Sequence[Lift]:
        lifts = [Lift(source, destination) for source in range(PLACES) for destination in range(PLACES)]
        return [lift for lift in lifts if _refusal(state.places, lift) is None]

    def apply(self, state: Towers, move: Lift) -> Towers:
        refusal = _refusal(state.places, move)
        if refusal is not None:
            raise IllegalMoveError(refusal)
        places = list(state.places)
        places[places.index(move.source)] = move.destination
        return state._replace(places=tuple(places))

    def is_solved(self, state: Towers) -> bool:
        return all(place == state.target for place in state.places)

    def shortest(self, state: Towers) -> list[Lift] | None:
        """Down the table of distances; every state of this game can be solved."""
        table = _distances(self.num_discs, state.target)
        path: list[Lift] = []
        while not self.is_solved(state):
            moves = {lift: self.apply(state, lift) for lift in self.legal_moves(state)}
            path.append(min(moves, key=lambda lift: table[moves[lift].places]))
            state = moves[path[-1]]
        return path

    def draw(self, rng: np.random.Generator) -> Towers:
        target = int(rng.integers(PLACES))
        low, high = self.shortest_range
        wanted = int(rng.integers(low, high + 1))
        table = _distances(self.num_discs, target)
        fitting = [places for places, distance in table.items() if distance == wanted]
        return Towers(fitting[int(rng.integers(len(fitting)))], target)

    def greedy_score(self, state: Towers) -> float:
        """Discs that are not yet where they shall be."""
        return float(sum(place != state.target for place in state.places))


LEVELS = {
    "easy": Hanoi(num_discs=2, shortest_range=(1, 3), slack=3),
    "medium": Hanoi(num_discs=3, shortest_range=(4, 7), slack=6),
    "hard": Hanoi(num_discs=5, shortest_range=(15, 20), slack=10),
}


def _refusal(places: tuple[int, ...], lift: Lift) -> str | None:
    """Why the rules do not allow a move; None if they do."""
    if lift.source not in places:
        return f"There is no disc on place {lift.source}."
    if lift.destination not in range(PLACES) or lift.destination == lift.source:
        return f"A disc of place {lift.source} cannot go to place {lift.destination}."
    if lift.destination in places and places.index(lift.destination) < places.index(lift.source):
        return f"The disc on place {lift.destination} is smaller than that on place {lift.source}."
    return None


@functools.cache
def _distances(num_discs: int, target: int) -> dict[tuple[int, ...], int]:
    """Moves to the finished tower from everywhere; a move can be made backwards, so the search starts at the end."""
    game = Hanoi(num_discs, (1, 1), 0)

    def neighbours(places: tuple[int, ...]) -> list[tuple[int, ...]]:
        state = Towers(places, target)
        return [game.apply(state, lift).places for lift in game.legal_moves(state)]

    return distances_from([(target,) * num_discs], neighbours)
