"""Exploring with the arm: data from which a world model learns what actions do, since no picture tells the next one."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

if TYPE_CHECKING:
    from sims.arm.env import ArmEnv
    from sims.common.base import Observation

_SMOOTHING = 0.6  # share of the previous action kept; hands do not jerk
_MEAN_STEPS = 12
_EXPERT_SHARE = 0.4


class ArmPlay:
    """Goes to random places low over the table, or follows the expert, each for a random while, with wandering hand."""

    def __init__(self, env: "ArmEnv", rng: np.random.Generator):
        self._env, self._rng = env, rng
        self._expert = env.make_expert(rng)
        self._action, self._wander = np.zeros(5), np.zeros(4)
        self._steps_left = 0

    def __call__(self, observation: "Observation") -> Float32[np.ndarray, " 5"]:
        """The next action, in [-1, 1]."""
        if self._steps_left == 0:
            self._choose()
        self._steps_left -= 1
        self._wander = 0.9 * self._wander + 0.15 * self._rng.normal(size=4)
        if self._follows_expert:
            wanted = self._expert(observation).astype(np.float64)
        else:
            way = (self._target - self._env.hand_position) * 20
            wanted = np.array([*np.clip(way, -1, 1) * self._speed, self._turn, self._grip])
        wanted[:4] += self._wander
        kept = np.array([_SMOOTHING] * 4 + [0.0])
        self._action = np.clip(kept * self._action + (1 - kept) * wanted, -1, 1)
        return self._action.astype(np.float32)

    def _choose(self) -> None:
        rng, (low, high) = self._rng, map(np.array, self._env.workspace)
        self._steps_left = 4 + int(rng.exponential(_MEAN_STEPS))
        self._follows_expert = rng.random() < _EXPERT_SHARE
        self._speed, self._turn = rng.uniform(0.3, 1.0), rng.normal(scale=0.3)
        self._grip = rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 1.0)
        self._target = rng.uniform(low, high)
        self._target[2] = low[2] + (high[2] - low[2]) * rng.beta(1.0, 4.0)  # things lie on the table
