# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Straighten a rope."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from sims.arm_expert import ArmExpert, Waypoint
from sims.base import Policy
from sims.deformable.measures import straightness
from sims.deformable.moves import let_go
from sims.deformable.rope import wandering_line
from sims.deformable.rope_scene import RopeEnv, pinch_link, turned_yaw


class RopeStraightenEnv(RopeEnv):
    """A rope in a random bend; done when it lies straight.

    Success: its ends are at least `MIN_CHORD` of its length apart, no point is further than `MAX_BOW` metres from the
    line between them, and it lies on the table, let go.
    """

    MIN_CHORD = 0.96
    MAX_BOW = 0.015

    def __init__(self, variant: str = "train", **common: Any):
        """See `ArmEnv` for the arguments."""
        super().__init__("rope-straighten", "Straighten the rope.", variant, **common)

    def _draw_episode(self, rng: np.random.Generator) -> None:
        self._draw_surroundings(rng)
        rope, bend = self.rope.rope, 0.75 if self.is_unseen else 0.6
        line = wandering_line(rng, rope.links, rope.link_length, bend)
        while not 0.35 < straightness(line)[0] < 0.8 or _is_tangled(line):
            line = wandering_line(rng, rope.links, rope.link_length, bend)
        self._lay(line + self._draw_place(rng, 0.05))
        self.place_hand(np.array([*self._draw_place(rng, 0.1), 0.2]))

    def _judge(self) -> tuple[float, bool, dict[str, Any]]:
        chord, bow = straightness(self.line())
        success = chord > self.MIN_CHORD and bow < self.MAX_BOW and self.is_lying_free()
        return chord - 1, success, {"metrics": {"chord_share": chord, "bow_m": bow}}

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """Draws the tip away from the other end until the rope follows in a line."""
        return _Expert(self, rng)


def _is_tangled(line: np.ndarray) -> bool:
    """Whether parts of the line come so near to each other that the rope would overlap itself."""
    gaps = np.linalg.norm(line[:, None] - line, axis=-1)
    apart = np.abs(np.subtract.outer(np.arange(len(line)), np.arange(len(line)))) > 3
    return bool(gaps[apart].min() < 0.035)


class _Expert(ArmExpert):
    def plan(self) -> Iterator[Waypoint]:
        env = self.env
        last = env.rope.rope.links - 1
        for turn in range(9):
            held, other = ((last, 0), (0, last))[turn % 2]
            yield from pinch_link(env, held)
            if env.is_held(held):
                yield from self._draw_out(held, other)
            yield from let_go(env, 0.0, rise=0.06)

    def _draw_out(self, held: int, other: int) -> Iterator[Waypoint]:
        """Away from the other end, further than the rope is long, but not off the table."""
        env = self.env
        anchor, here = env.link(other)[:2], env.hand_position[:2]
        way = (here - anchor) / max(0.02, float(np.linalg.norm(here - anchor)))
        outward = way if held else -way  # links point from the tail to the tip
        yaw = turned_yaw(env, held, float(np.arctan2(outward[1], outward[0])))
        end = np.clip(anchor + 1.35 * env.rope.rope.length * way, (0.28, -0.33), (0.7, 0.33))
        goal = np.array([*end, env.hand_position[2]])
        yield Waypoint(goal, yaw, -1.0, speed=0.6, max_steps=40, until=lambda: straightness(env.line())[0] > 0.99)
