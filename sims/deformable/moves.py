"""What the experts of the deformable worlds share: deciding in every step, coming down, pinching."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from sims.arm.env import MAX_MOVE, MAX_TURN
from sims.arm.expert import ArmExpert, Style, Waypoint
from sims.deformable.cloth import ClothState
from sims.deformable.scene import DeformableEnv, grasp_yaw

FINGERTIP = 0.01  # metres from the tool centre point down to the tips
LOWEST = FINGERTIP + 0.003  # metres, height of the tool centre point at which the tips clear the table
OPEN, PARTED = 1.0, 0.3  # openings with which the hand comes and lets go, so that the two can be told apart
CLOSE_STEPS = 5
_EMPTY = 0.006  # metres between the fingers when there is nothing
_REACH = 0.025  # metres from the tool centre to a thing that is held
_APPROACH = 0.08
ALIGNED, _FUNNEL = 0.008, 0.04  # metres aside below which the hand goes all the way down, and over which it descends
_REACHED = 2 * ALIGNED  # metres aside with which fingers still close around a thing
_THROUGH = 0.01  # metres by which the hand aims below where it acts, so that it passes there instead of stopping short
_TURN_METRES = 0.04  # metres aside that a radian of wrong yaw counts as
_GAIN = 0.4  # share of the way to a waypoint that one action goes, once it is near


class SteadyExpert(ArmExpert):
    """Every action is a function of where the hand is and what it wants: it slows down towards a waypoint.

    Other experts aim with the commanded hand and at full speed until it is there, so that their actions depend on how
    far that is ahead; here a picture and the hand's place tell the action.
    """

    style = Style(speed=(0.9, 1.0), wobble=0.05, pause=0.0)

    def _aim(self, pace: float) -> Float[np.ndarray, " 5"]:
        waypoint = self._waypoint
        assert waypoint is not None
        way = _GAIN * (waypoint.target - self.env.hand_position) / MAX_MOVE
        way *= min(1.0, waypoint.speed * pace / max(1e-9, float(np.abs(way).max())))
        turn = 0.0 if waypoint.yaw is None else _GAIN * (waypoint.yaw - self.env.hand_yaw) / MAX_TURN
        return np.array([*way, np.clip(turn, -1.0, 1.0), waypoint.grip])


class ReactiveExpert(SteadyExpert):
    """Decides anew in every step from the hand and the things alone, never from what it did before.

    Whoever finds the hand half-way, closed on nothing or beside the thing, is told the same as who brought it there;
    a plan with a memory would call the same picture a way down once and a way up another time, and a copy would stay
    between the two. Sometimes it misjudges for a while where the thing lies and closes on nothing, as copies do; the
    label stays right, so recordings show how that is mended.
    """

    _misjudges = 0.03  # chance of it in every step
    _error = (0.015, 0.05)  # metres
    _error_steps = (8, 22)

    def decide(self) -> Waypoint:
        """Where to go and what to do with the fingers in this step."""
        raise NotImplementedError

    def plan(self) -> Iterator[Waypoint]:
        """A decision for every step."""
        self._seen_off, self._error_left = np.zeros(2), 0
        self._wrong_by = np.zeros(2)
        while True:
            yield self._for_one_step()

    def _for_one_step(self) -> Waypoint:
        return replace(self.decide(), tolerance=0.0, max_steps=1)

    def _act(self) -> Float[np.ndarray, " 5"]:
        if self._error_left:
            self._error_left -= 1
            self._seen_off = self._wrong_by
            self._waypoint = self._for_one_step()
            self._seen_off = np.zeros(2)
        elif self.rng.random() < self._misjudges:
            angle = self.rng.uniform(-np.pi, np.pi)
            self._wrong_by = self.rng.uniform(*self._error) * np.array([np.cos(angle), np.sin(angle)])
            self._error_left = int(self.rng.integers(*self._error_steps))
        return super()._act()

    def take(self, place: Float[np.ndarray, " 3"], yaw: float, aligned: float = ALIGNED) -> Waypoint:
        """Down to a place of the tool centre as in a funnel, up first where the hand is below it; closed there."""
        seen = place + np.append(self._seen_off, 0.0)
        target, is_there = funnelled(self.env, seen, yaw, max(_REACHED, aligned), aligned)
        return Waypoint(seen, yaw, -1.0) if is_there else Waypoint(target, yaw)

    def put(self, place: Float[np.ndarray, " 3"], speed: float) -> Waypoint:
        """What is held down to a place as in a funnel; opened there."""
        target, is_there = funnelled(self.env, place, None, ALIGNED)
        return self.release() if is_there else Waypoint(target, None, -1.0, speed)

    def release(self) -> Waypoint:
        """Open the fingers where they are."""
        return Waypoint(self.env.hand_position, None, PARTED)

    def leave(self) -> Waypoint:
        """Rise from what has been let go."""
        hand = self.env.hand_position
        return Waypoint(np.array([*hand[:2], 0.15]), None, PARTED)


def funnelled(
    env: DeformableEnv,
    place: Float[np.ndarray, " 3"],
    yaw: float | None,
    reached: float = _REACHED,
    aligned: float = ALIGNED,
) -> tuple[Float[np.ndarray, " 3"], bool]:
    """Where to go next on the way down to a place, the nearer to its vertical the lower, and whether the hand is there.

    A hand that is lower than that rises before it moves aside.
    """
    hand = env.hand_position
    aside = float(np.linalg.norm(hand[:2] - place[:2]))
    if yaw is not None:
        aside += _TURN_METRES * abs(yaw - env.hand_yaw)
    height = place[2] + _APPROACH * np.clip((aside - aligned) / _FUNNEL, 0, 1) - _THROUGH
    share = np.clip(1 - (height - 0.02 - hand[2]) / 0.03, 0, 1)
    is_there = aside < reached and hand[2] < place[2] + 0.003
    return np.array([*(hand[:2] + share * (place[:2] - hand[:2])), height]), bool(is_there)


def grips(env: DeformableEnv, point: Float[np.ndarray, " 3"], thickest: float) -> bool:
    """Whether a point of a thing is between the fingers and they have closed to less than `thickest` metres."""
    return bool(_EMPTY < env.hand_opening < thickest and np.linalg.norm(point - env.hand_position) < _REACH)


def pinch(
    env: DeformableEnv,
    place: Callable[[], Float[np.ndarray, " 3"]],
    yaw: float,
    opening: float = OPEN,
    lift: float = 0.05,
) -> Iterator[Waypoint]:
    """Come to a place from above, close the fingers and go up by `lift` metres; `place` is of the tool centre.

    The hand comes down as in a funnel, the nearer to the place's vertical the lower, from wherever it was pushed to.
    """
    yield Waypoint(
        lambda: funnelled(env, place(), yaw)[0],
        yaw, opening, 1.0, tolerance=0.0, max_steps=80, until=lambda: funnelled(env, place(), yaw)[1],
        is_exact=True,
    )  # fmt: skip
    goal = place()
    yield Waypoint(goal, yaw, -1.0, tolerance=0.02, wait=CLOSE_STEPS, is_exact=True, max_steps=CLOSE_STEPS + 2)
    if lift:
        yield Waypoint(goal + np.array([0, 0, lift]), yaw, -1.0, 0.7, tolerance=0.01, max_steps=20)


def corner_yaw(env: DeformableEnv, cloth: ClothState, corner: int) -> float:
    """The turn of the hand that has its fingers on both sides of a corner, radians."""
    outward = cloth.outward(env.data, corner)
    return grasp_yaw(float(np.arctan2(outward[1], outward[0])))
