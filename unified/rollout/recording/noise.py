"""Noise on the actions of a recording, so that it shows the way back from where the policy would not go."""

import numpy as np
from jaxtyping import Float32

NOISE_DECORRELATION = 0.15  # share of the noise that is new at every env step
SHOVE_STRENGTH = (0.3, 0.9)  # of the greatest action
SHOVE_STEPS = (2, 7)


class ActionNoise:
    """An Ornstein-Uhlenbeck process with standard deviation `scale` at every step, also the first, and shoves.

    A shove pushes in one direction for a few steps, far from where the expert would go, so that a recording shows the
    way back from many places (Laskey et al. 2017, "DART", with the noise of a bystander instead of one's own).

    Args:
        scale: standard deviation.
        size: numbers in an action's noise.
        rng: where it all comes from.
        shoves: chance that a shove begins at an env step.
    """

    def __init__(self, scale: float, size: int, rng: np.random.Generator, shoves: float = 0.0) -> None:
        self._scale, self._rng, self._shoves = scale, rng, shoves
        self._value = scale * rng.standard_normal(size)
        self._shove, self._steps_left = np.zeros(size), 0

    def __call__(self) -> Float32[np.ndarray, " action"]:
        """The noise of this env step."""
        now, keep = self._value, 1 - NOISE_DECORRELATION
        self._value = keep * now + self._scale * np.sqrt(1 - keep**2) * self._rng.standard_normal(now.shape)
        if not self._shoves:
            return now.astype(np.float32)
        if self._steps_left == 0 and self._rng.random() < self._shoves:
            direction = self._rng.standard_normal(now.shape)
            self._shove = self._rng.uniform(*SHOVE_STRENGTH) * direction / np.linalg.norm(direction)
            self._steps_left = int(self._rng.integers(*SHOVE_STEPS))
        if self._steps_left:
            self._steps_left -= 1
            now = now + self._shove
        return now.astype(np.float32)
