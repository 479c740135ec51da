# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Spread a cloth whose corners have been turned over."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from sims.arm.expert import Waypoint
from sims.common.base import Policy
from sims.deformable.cloth import Cloth, folded_over
from sims.deformable.cloth_scene import ClothEnv
from sims.deformable.measures import rigid_fit
from sims.deformable.moves import CLOSE_STEPS, FINGERTIP, PARTED, SteadyExpert, corner_yaw, pinch
from sims.deformable.scene import grasp_yaw

_MAX_DRAWS = 20
_START_COVERAGE = 0.88  # some folds spring open by themselves and are drawn anew
# Where the cloth is creased, as shares of the way from the middle to the corner, by the number of corners turned over.
_FOLD_LINE = {1: (0.25, 0.45), 2: (0.6, 0.64)}
_NARROW = -0.15  # opening of the hand that comes for a corner, so that it takes nothing of what lies beside it
_OUTSIDE = 0.006  # metres out of the cloth at which a corner is pinched
_CLEARANCE = 0.004  # metres of the tips above what they must not press on
Vertices = Float[np.ndarray, " vertices 3"]


class ClothSpreadEnv(ClothEnv):
    """A cloth with one or two corners lying on its middle, crooked as they fell; done when it is spread again.

    Success: the cloth covers at least `MIN_COVERAGE` of its flat area seen from above, and lies on the table, let go.
    `unseen`: a cloth of 20 cm instead of 18, heavier and stiffer.
    """

    MIN_COVERAGE = 0.92

    def __init__(self, variant: str = "train", **common: Any):
        """See `ArmEnv` for the arguments."""
        cloth = Cloth(width=0.2, mass=0.08, bending=0.3) if variant == "unseen" else Cloth()
        super().__init__("cloth-spread", "Spread the cloth.", cloth, variant, **common)

    def _draw_episode(self, rng: np.random.Generator) -> None:
        self._draw_surroundings(rng)
        self.place_hand(np.array([*self._draw_place(rng, 0.1), 0.22]))
        centre, turn = self._draw_place(rng, 0.05), rng.uniform(-0.4, 0.4)
        for _ in range(_MAX_DRAWS):
            vertices = self._flat(centre, turn)
            first, turned = int(rng.integers(4)), int(rng.integers(1, 3))
            for number in (first, first + 2)[:turned]:
                vertices = self._with_corner_turned(vertices, centre, number % 4, _FOLD_LINE[turned], rng)
            self.cloth.place(self.data, vertices)
            self._settle()
            if self.coverage() < _START_COVERAGE:
                return

    def _with_corner_turned(
        self, vertices: Vertices, centre: np.ndarray, number: int, line: tuple[float, float], rng: np.random.Generator
    ) -> Vertices:
        """One of the four corners folded inwards, along a slightly crooked line."""
        outward = vertices[self.cloth.cloth.corners[number], :2] - centre
        reach = np.linalg.norm(outward)
        angle = np.arctan2(outward[1], outward[0]) + rng.uniform(-0.25, 0.25)
        normal = np.array([np.cos(angle), np.sin(angle)])
        return folded_over(vertices, centre + rng.uniform(*line) * reach * normal, normal, 2 * self.cloth.cloth.radius)

    def _judge(self) -> tuple[float, bool, dict[str, Any]]:
        coverage = self.coverage()
        success = coverage > self.MIN_COVERAGE and self.is_lying_free()
        return coverage - 1, success, {"metrics": {"coverage": coverage}}

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """Pulls the most misplaced corner to where it belongs until none is left."""
        return _Expert(self, rng)


class _Expert(SteadyExpert):
    def plan(self) -> Iterator[Waypoint]:
        env = self.env
        corners = np.array(env.cloth.cloth.corners)
        last, last_gap, failures = -1, 0.0, 0
        for _ in range(9):
            vertices, flat = env.cloth.vertices(env.data), self._wanted()
            gaps = np.linalg.norm(vertices[corners, :2] - flat[corners], axis=1)
            number = int(gaps.argmax())
            if gaps[number] < 0.012:
                return
            failures = failures + 1 if number == last and gaps[number] > 0.7 * last_gap else 0
            pulled, beyond, turn, last, last_gap = number, 0.012, 0.0, number, gaps[number]
            if failures % 3 == 1:  # it is tucked under: the table holds it while the cloth is drawn off from above it
                pulled, beyond = (number + 2) % 4, 0.07
            elif failures % 3 == 2:  # other parts of the cloth keep the fingers from closing on it
                turn = np.pi / 2
            corner = int(corners[pulled])
            yaw = grasp_yaw(corner_yaw(env, env.cloth, corner) + turn)
            yield from pinch(env, lambda c=corner: self._corner_place(c), yaw, _NARROW)
            if np.linalg.norm(env.cloth.vertices(env.data)[corner] - env.hand_position) < 0.03:
                yield from self._pull_to(corner, beyond)
            yield from self._let_go()

    def _corner_place(self, corner: int) -> Float[np.ndarray, " 3"]:
        """Where the tool centre pinches a corner, a little out of the cloth."""
        cloth, data = self.env.cloth, self.env.data
        vertex = cloth.vertices(data)[corner]
        tip = max(0.0, vertex[2] - cloth.cloth.radius) + _CLEARANCE
        return np.array([*(vertex[:2] + _OUTSIDE * cloth.outward(data, corner)), tip + FINGERTIP])

    def _wanted(self) -> np.ndarray:
        """Where every vertex belongs: the flat cloth fitted to those that lie on the table."""
        vertices = self.env.cloth.vertices(self.env.data)
        lying = vertices[:, 2] < 1.5 * self.env.cloth.cloth.radius
        return rigid_fit(self.env.cloth.cloth.flat(), vertices[:, :2], lying)

    def _pull_to(self, corner: int, beyond: float) -> Iterator[Waypoint]:
        """Where the corner belongs, and a little further, which tightens the cloth."""
        env = self.env
        goal, centre = self._wanted()[corner], self._wanted().mean(axis=0)
        outward = (goal - centre) / np.linalg.norm(goal - centre)
        slip = env.hand_position[:2] - env.cloth.vertices(env.data)[corner][:2]
        end = np.clip(goal + slip + beyond * outward, (0.28, -0.33), (0.7, 0.33))
        yield Waypoint(np.array([*end, 0.05]), grip=-1.0, speed=0.6, max_steps=30)
        yield Waypoint(np.array([*end, 0.02]), grip=-1.0, speed=0.5, is_exact=True, max_steps=8)

    def _let_go(self) -> Iterator[Waypoint]:
        """Open the fingers where they are, then rise."""
        here, yaw = self.env.hand_position, self.env.hand_yaw
        wait = CLOSE_STEPS - 1
        yield Waypoint(here, yaw, PARTED, tolerance=0.02, wait=wait, is_exact=True, max_steps=wait + 2)
        yield Waypoint(here + np.array([0, 0, 0.07]), yaw, PARTED, tolerance=0.02, max_steps=20)
