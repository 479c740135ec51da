"""Moves that the experts of the deformable worlds share: pinch, let go, and where to pinch a cloth."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float

from sims.arm import MAX_MOVE, MAX_TURN
from sims.arm_expert import ArmExpert, Style, Waypoint
from sims.deformable.cloth import ClothState
from sims.deformable.scene import DeformableEnv, grasp_yaw

FINGERTIP = 0.01  # metres from the tool centre point down to the tips
OPEN, PARTED = 1.0, 0.2  # openings with which the hand comes and lets go, so that the two can be told apart
CLOSE_STEPS = 5
_CLEARANCE = 0.004  # of the tips above what they must not press on
_APPROACH = 0.08
_ALIGNED, _FUNNEL = 0.008, 0.04  # metres aside below which the hand goes all the way down, and over which it descends
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


def pinch(
    env: DeformableEnv,
    place: Callable[[], Float[np.ndarray, " 3"]],
    yaw: Callable[[], float],
    opening: float = OPEN,
    lift: float = 0.05,
    speed: float = 0.7,
) -> Iterator[Waypoint]:
    """Come to a place from above, close the fingers and go up by `lift` metres; `place` is of the tool centre.

    The hand comes down as in a funnel, the nearer to the place's vertical the lower, from wherever it was pushed to.
    """
    turn = yaw()

    def aside() -> float:
        way = env.hand_position[:2] - place()[:2]
        return float(np.linalg.norm(way)) + _TURN_METRES * abs(turn - env.hand_yaw)

    yield funnel(env, place, aside, turn, opening)
    goal = place()
    yield Waypoint(goal, turn, -1.0, tolerance=0.02, wait=CLOSE_STEPS, is_exact=True, max_steps=CLOSE_STEPS + 2)
    if lift:
        yield Waypoint(goal + np.array([0, 0, lift]), turn, -1.0, speed, tolerance=0.01, max_steps=20)


def funnel(
    env: DeformableEnv,
    place: Callable[[], Float[np.ndarray, " 3"]],
    aside: Callable[[], float],
    yaw: float | None,
    grip: float,
    speed: float = 1.0,
) -> Waypoint:
    """Down to a place, the nearer to its vertical the lower; done when the hand passes the place's height there."""

    def down() -> Float[np.ndarray, " 3"]:
        return place() + np.array([0, 0, _APPROACH * np.clip((aside() - _ALIGNED) / _FUNNEL, 0, 1) - _THROUGH])

    def is_there() -> bool:
        return bool(aside() < 2 * _ALIGNED and env.hand_position[2] < place()[2] + 0.003)

    return Waypoint(down, yaw, grip, speed, tolerance=0.0, is_exact=True, max_steps=80, until=is_there)


def let_go(env: DeformableEnv, opening: float = PARTED, rise: float = 0.1) -> Iterator[Waypoint]:
    """Open the fingers where they are, then rise."""
    here, yaw = env.hand_position, env.hand_yaw
    yield Waypoint(here, yaw, opening, tolerance=0.02, wait=CLOSE_STEPS - 1, is_exact=True, max_steps=CLOSE_STEPS + 1)
    yield Waypoint(here + np.array([0, 0, rise]), yaw, opening, tolerance=0.02, max_steps=20)


def corner_pinch(
    env: DeformableEnv, cloth: ClothState, corner: int, opening: float = OPEN, outside: float = 0.0, turn: float = 0.0
) -> Iterator[Waypoint]:
    """Pinch the corner of a cloth, the fingers on both sides of it and `outside` metres out of it, wherever it lies.

    `turn`: radians by which the hand is turned from there.
    """
    outward = cloth.outward(env.data, corner)

    def place() -> Float[np.ndarray, " 3"]:
        vertex = cloth.vertices(env.data)[corner]
        tip = max(0.0, vertex[2] - cloth.cloth.radius) + _CLEARANCE
        return np.array([*(vertex[:2] + outside * outward), tip + FINGERTIP])

    return pinch(env, place, lambda: grasp_yaw(float(np.arctan2(outward[1], outward[0])) + turn), opening)
