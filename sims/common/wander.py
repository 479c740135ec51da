"""Driving at will: the data from which a world model learns what wheel and pedals do."""

import numpy as np
from jaxtyping import Float32

from sims.common.episodes import Observation, Policy

_EXPERT_SHARE = 0.5
_MEAN_STEPS = 12  # that a plan lasts beyond three
_KEPT = 0.6  # share of the last action that is kept


class Wander:
    """Holds wheel and pedal somewhere, between stretches of the expert; it has a random stream, so one per episode."""

    def __init__(self, expert: Policy, rng: np.random.Generator) -> None:
        self._expert, self._rng = expert, rng
        self._steps_left, self._held = 0, np.zeros(2)
        self._action = np.zeros(2)

    def __call__(self, observation: Observation) -> Float32[np.ndarray, " 2"]:
        """The next (steer, pedal)."""
        if self._steps_left == 0:
            self._choose()
        self._steps_left -= 1
        wanted = self._expert(observation) if self._follows_expert else self._held
        wanted = wanted + self._rng.normal(scale=0.15, size=2)
        self._action = np.clip(_KEPT * self._action + (1 - _KEPT) * wanted, -1, 1)
        return self._action.astype(np.float32)

    def _choose(self) -> None:
        rng = self._rng
        self._steps_left = 3 + int(rng.exponential(_MEAN_STEPS))
        self._follows_expert = rng.random() < _EXPERT_SHARE
        self._held = rng.uniform(-1, 1, 2) * rng.choice([[0.3, 0.8], [1.0, 0.4]])
