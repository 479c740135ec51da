"""What scripted experts of the arm share: waypoints followed by feedback, with the variety of a careful hand.

An expert subclasses `ArmExpert` and writes `plan`, a generator of waypoints that reads the environment's state whenever
it is asked for the next one, so it can look, decide and repeat what failed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Float32

from sims.arm.env import MAX_MOVE, MAX_TURN, ArmEnv

if TYPE_CHECKING:
    from sims.common.base import Observation

Place = Float[np.ndarray, " 3"] | Callable[[], Float[np.ndarray, " 3"]]
_NEAR = 0.06  # metres before a waypoint within which the hand no longer wobbles


@dataclass(frozen=True)
class Waypoint:
    """Somewhere for the hand to go.

    Attributes:
        place: tool centre point, metres, or a function of it for what moves.
        yaw: turn of the hand, radians; None keeps it.
        grip: -1 closes with force, 1 opens.
        speed: share of the fastest, in (0, 1].
        tolerance: metres within which it is reached.
        wait: env steps to stay there after it is reached (fingers need about 4 to open or close).
        max_steps: given up after so many env steps; the plan goes on and may look what became of it.
        until: ends the waypoint early as soon as it is true.
        is_exact: no wobble, slip or pause here.
    """

    place: Place
    yaw: float | None = None
    grip: float = 1.0
    speed: float = 1.0
    tolerance: float = 0.006
    wait: int = 0
    max_steps: int = 60
    until: Callable[[], bool] | None = None
    is_exact: bool = False

    @property
    def target(self) -> Float[np.ndarray, " 3"]:
        """Where it is now."""
        return np.asarray(self.place() if callable(self.place) else self.place, np.float64)


@dataclass(frozen=True)
class Style:
    """How much an expert varies; all of it is done by feedback, so none of it decides the success.

    Attributes:
        speed: slowest and fastest share of full speed, drawn once per episode.
        wobble: standard deviation of the smooth noise on the action far from a waypoint.
        pause: chance of a rest of 1 to 4 steps before a waypoint.
        slip: chance of a burst of 2 or 3 wrong moves before a waypoint, to be recovered from. None by default: a
            recording would take them for advice. `unified record --noise` disturbs with clean labels instead.
    """

    speed: tuple[float, float] = (0.75, 1.0)
    wobble: float = 0.15
    pause: float = 0.04
    slip: float = 0.0


class ArmExpert:
    """Follows its plan; begins anew at every reset, or where it finds the scene when it is made mid-episode.

    Attributes:
        style: how its hand varies.
        advice: what it would have done without the wobble, the rests and this episode's pace, in [-1, 1]; recordings
            keep it as the label, since nobody can learn what was drawn by chance.
    """

    style = Style()
    advice: Float32[np.ndarray, " 5"]

    def __init__(self, env: ArmEnv, rng: np.random.Generator | None = None):
        self.env: Any = env
        self._seed = 0 if rng is None else int(rng.integers(2**31))
        self._is_begun = False

    def plan(self) -> Iterator[Waypoint]:
        """The waypoints, asked for one by one; when it ends, the hand stays where it is."""
        raise NotImplementedError

    def __call__(self, observation: "Observation") -> Float32[np.ndarray, " 5"]:
        """The next action, in [-1, 1]."""
        if self.env.elapsed_steps == 0 or not self._is_begun:
            self._begin()
        while self._is_done():
            self._next()
        self.advice = _bounded(self._aim(float(np.mean(self.style.speed))))
        return _bounded(self._act())

    def _begin(self) -> None:
        self._is_begun = True
        # The episode's key joins in, or every episode of an expert without a stream would wobble alike.
        self.rng = np.random.default_rng([self._seed, *self.env.episode_key])
        self._pace = self.rng.uniform(*self.style.speed)
        self._wobble = np.zeros(4)
        self._plan = self.plan()
        self._waypoint: Waypoint | None = None
        self._steps = self._waited = self._pause = self._slip = 0
        self._stay = Waypoint(self.env.hand_position)
        self._next()

    def _next(self) -> None:
        """Take up the next waypoint."""
        grip = self._waypoint.grip if self._waypoint else 1.0
        self._stay = Waypoint(self.env.hand_position, None, grip, max_steps=10**9, wait=10**9)
        self._waypoint = next(self._plan, self._stay)
        self._steps = self._waited = self._pause = self._slip = 0
        if not self._waypoint.is_exact:
            style = self.style
            self._pause = int(self.rng.integers(1, 5)) if self.rng.random() < style.pause else 0
            self._slip = int(self.rng.integers(2, 4)) if self.rng.random() < style.slip else 0
        self._slip_move = self.rng.uniform(-0.8, 0.8, 4) * (1, 1, 0.4, 0.3)

    def _is_done(self) -> bool:
        waypoint = self._waypoint
        assert waypoint is not None
        if self._steps >= waypoint.max_steps or (waypoint.until is not None and waypoint.until()):
            return True
        if self._pause or self._slip:
            return False
        turned = waypoint.yaw is None or abs(waypoint.yaw - self.env.hand_yaw) < 0.05
        near = np.linalg.norm(waypoint.target - self.env.hand_position) < waypoint.tolerance
        if self._waited or (near and turned):
            self._waited += 1
            return self._waited > waypoint.wait
        return False

    def _act(self) -> Float[np.ndarray, " 5"]:
        waypoint = self._waypoint
        assert waypoint is not None
        self._steps += 1
        wobble = self._next_wobble()
        if self._pause:
            self._pause -= 1
            return np.array([0, 0, 0, 0, waypoint.grip])
        if self._slip:
            self._slip -= 1
            return np.append(self._slip_move, waypoint.grip)
        action = self._aim(self._pace)
        if not waypoint.is_exact:
            distance = float(np.linalg.norm(waypoint.target - self.env.hand_position))
            action[:4] += wobble * min(1.0, distance / _NEAR)
        return action

    def _aim(self, pace: float) -> Float[np.ndarray, " 5"]:
        """Straight to the waypoint at a share of full speed."""
        waypoint = self._waypoint
        assert waypoint is not None
        return move_towards(self.env, waypoint.target, waypoint.yaw, waypoint.grip, waypoint.speed * pace)

    def _next_wobble(self) -> Float[np.ndarray, " 4"]:
        self._wobble = 0.8 * self._wobble + 0.6 * self.style.wobble * self.rng.normal(size=4) * (1, 1, 0.5, 0.3)
        return self._wobble


def _bounded(action: Float[np.ndarray, " 5"]) -> Float32[np.ndarray, " 5"]:
    return np.clip(action, -1.0, 1.0).astype(np.float32)


def move_towards(
    env: ArmEnv, target: Float[np.ndarray, " 3"], yaw: float | None, grip: float, speed: float = 1.0
) -> Float[np.ndarray, " 5"]:
    """The action that brings the hand nearest to `target` in one step, at most at `speed`, on a straight line.

    It aims with the commanded hand, not the real one that lags behind, so it neither overshoots nor stops short.
    """
    command = env.commanded_hand
    way = (np.asarray(target) - command[:3]) / MAX_MOVE
    way *= min(1.0, speed / max(1e-9, float(np.abs(way).max())))
    turn = 0.0 if yaw is None else float(np.clip((yaw - command[3]) / MAX_TURN, -1, 1))
    return np.array([*way, turn, grip])
