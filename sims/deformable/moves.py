"""Moves that the experts of the deformable worlds share: pinch, let go, and where to pinch a cloth."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float

from sims.arm_expert import Waypoint
from sims.deformable.cloth import ClothState
from sims.deformable.scene import DeformableEnv, grasp_yaw

FINGERTIP = 0.01  # metres from the tool centre point down to the tips
CLOSE_STEPS = 4
_CLEARANCE = 0.004  # of the tips above what they must not press on
_APPROACH = 0.07


def pinch(
    place: Callable[[], Float[np.ndarray, " 3"]], yaw: float, opening: float, lift: float = 0.05, speed: float = 0.7
) -> Iterator[Waypoint]:
    """Go above a place, down to it, close the fingers and come up by `lift` metres; `place` is of the tool centre."""
    above = np.array([0, 0, _APPROACH])
    yield Waypoint(lambda: place() + above, yaw, opening, tolerance=0.015)
    goal = place()
    yield Waypoint(goal, yaw, opening, tolerance=0.003, is_exact=True, max_steps=25)
    yield Waypoint(goal, yaw, -1.0, tolerance=0.02, wait=CLOSE_STEPS, is_exact=True, max_steps=CLOSE_STEPS + 2)
    if lift:
        yield Waypoint(goal + np.array([0, 0, lift]), yaw, -1.0, speed, max_steps=20)


def let_go(env: DeformableEnv, opening: float, rise: float = 0.1) -> Iterator[Waypoint]:
    """Open the fingers where they are, then rise."""
    here, yaw = env.hand_position, env.hand_yaw
    yield Waypoint(here, yaw, opening, tolerance=0.02, wait=CLOSE_STEPS, is_exact=True, max_steps=CLOSE_STEPS + 2)
    yield Waypoint(here + np.array([0, 0, rise]), yaw, opening, tolerance=0.02, max_steps=20)


def corner_pinch(env: DeformableEnv, cloth: ClothState, corner: int, opening: float = 0.0) -> Iterator[Waypoint]:
    """Pinch the corner of a cloth, the fingers on both sides of it, wherever it lies."""
    outward = cloth.outward(env.data, corner)

    def place() -> Float[np.ndarray, " 3"]:
        vertex = cloth.vertices(env.data)[corner]
        # The middle of the pads lies outside the corner, or they would land on its neighbours.
        tip = max(0.0, vertex[2] - cloth.cloth.radius) + _CLEARANCE
        return np.array([*(vertex[:2] + 0.006 * outward), tip + FINGERTIP])

    return pinch(place, grasp_yaw(float(np.arctan2(outward[1], outward[0]))), opening)
