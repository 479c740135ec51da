"""What is counted while a game is played, so that planning errors and motor errors can be told apart."""

from dataclasses import astuple, dataclass, fields

import numpy as np
from jaxtyping import Float64

_QUIET_STEPS = 3  # env steps without a touch after which an attempt is over
NO_PIECE = -1


@dataclass
class Tally:
    """Counts of one episode.

    An attempt begins when the hand comes down among the pieces and touches one; it ends when it has gone away again.

    Attributes:
        shortest: moves of the shortest solution from the start.
        distance: moves of the shortest solution from here; meaningless once `is_lost`.
        moves: legal moves made.
        parts: things done that belong to a move which is not finished yet (a peg of a turn).
        good_moves: those after which the shortest solution was shorter.
        illegal_moves: moves against the rules, made or tried in vain (a piece touched that had no legal move).
        motor_failures: attempts on a piece that had a legal move, after which nothing had moved.
        is_lost: no solution is left within the moves allowed, or a rule was broken that ends the game.
        piece: the piece of the present attempt, `NO_PIECE` between attempts.
        could_move: whether it had a legal move when it was touched.
        events: moves, parts and illegal moves before the present attempt.
        quiet: env steps since the last touch.
    """

    shortest: int = 0
    distance: int = 0
    moves: int = 0
    parts: int = 0
    good_moves: int = 0
    illegal_moves: int = 0
    motor_failures: int = 0
    is_lost: bool = False
    piece: int = NO_PIECE
    could_move: bool = False
    events: int = 0
    quiet: int = 0

    @property
    def num_events(self) -> int:
        """Everything that has happened on the board."""
        return self.moves + self.parts + self.illegal_moves

    def begin(self, shortest: int) -> None:
        """Start a game whose shortest solution has so many moves."""
        self.set(np.zeros(SIZE))
        self.shortest = self.distance = shortest
        self.piece = NO_PIECE

    def record_move(self, distance: int | None) -> None:
        """A legal move was made, after which the shortest solution has `distance` moves, or there is none."""
        self.moves += 1
        if distance is None:
            self.is_lost = True
            return
        self.good_moves += distance < self.distance
        self.distance = distance

    def record_touch(self, piece: int, could_move: bool) -> None:
        """The hand touches a piece in this env step."""
        if self.piece == NO_PIECE:
            self.piece, self.could_move = piece, could_move
        self.quiet = 0

    def record_no_touch(self, is_away: bool) -> None:
        """The hand touches nothing in this env step, and may have gone; an attempt may have ended without a move."""
        self.quiet += 1
        if not is_away or (self.piece != NO_PIECE and self.quiet < _QUIET_STEPS):
            return
        if self.piece != NO_PIECE and self.num_events == self.events:
            self.motor_failures += self.could_move
            self.illegal_moves += not self.could_move
        self.piece, self.events = NO_PIECE, self.num_events

    def metrics(self, is_solved: bool) -> dict[str, float]:
        """Numbers for the results of an evaluation.

        `planning_success` is the share of decisions (moves, legal or not) that brought the end nearer;
        `motor_success` the share of attempts at what could be done that did something; `move_success` the share of
        all attempts that brought the end nearer. A share of nothing is left out.
        """
        numbers = {
            "solved": float(is_solved),
            "lost": float(self.is_lost),
            "moves": float(self.moves),
            "shortest": float(self.shortest),
            "moves_over_shortest": float(self.moves - self.shortest),
            "illegal_moves": float(self.illegal_moves),
            "motor_failures": float(self.motor_failures),
        }
        decided, done = self.moves + self.illegal_moves, self.moves + self.parts
        shares = {
            "planning_success": (self.good_moves, decided),
            "motor_success": (done, done + self.motor_failures),
            "move_success": (self.good_moves, decided + self.motor_failures),
        }
        return numbers | {name: part / whole for name, (part, whole) in shares.items() if whole}

    def get(self) -> Float64[np.ndarray, " tally"]:
        """All counts as numbers."""
        return np.array(astuple(self), np.float64)

    def set(self, numbers: Float64[np.ndarray, " tally"]) -> None:
        """Take back what `get` gave."""
        for item, number in zip(fields(self), numbers, strict=True):
            setattr(self, item.name, type(getattr(self, item.name))(number))


SIZE = len(fields(Tally))
