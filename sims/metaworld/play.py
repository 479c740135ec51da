"""Exploring without a goal: the data from which a world model learns what actions do.

An expert's action is nearly a function of the picture, so a model trained on experts can predict the future without
reading the action. Here the action follows a plan that no picture shows: random places, pushes past objects, curves,
fragments of the expert with another goal speed, each for a random while, with a gripper that opens and closes at will.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float32

if TYPE_CHECKING:
    from sims.common.base import Observation
    from sims.metaworld.env import MetaWorldEnv

# The part of the workspace in which things stand, metres.
_LOW, _HIGH = np.array([-0.35, 0.45, 0.06]), np.array([0.35, 0.95, 0.35])
_SMOOTHING = 0.75  # share of the previous action kept; hands do not jerk
# Mean further steps of each plan beyond five, and how often it is chosen. A push follows from having reached an object.
_MEAN_STEPS = {"place": 20, "object": 45, "push": 15, "curve": 15, "expert": 35}
_SHARES = {"place": 0.15, "object": 0.4, "curve": 0.15, "expert": 0.3}
_PUSH_SHARE = 0.7


class PlayPolicy:
    """One player; holds its plan and its random stream, so use one per episode."""

    def __init__(self, env: "MetaWorldEnv", rng: np.random.Generator):
        self._env = env
        self._rng = rng
        self._expert = env.make_expert()
        self._action = np.zeros(4)
        self._plan = ""
        self._wander = np.zeros(3)
        self._choose()

    def __call__(self, observation: "Observation") -> Float32[np.ndarray, " 4"]:
        """The next action, in [-1, 1]."""
        if self._steps_left == 0:
            self._choose()
        self._steps_left -= 1
        self._wander = 0.9 * self._wander + 0.2 * self._rng.normal(size=3)
        wanted = np.append(np.clip(self._velocity(observation), -1, 1) * self._speed + self._wander, self._grip)
        if self._plan == "expert":
            wanted[3] = self._expert(observation)[3]
        kept = np.array([_SMOOTHING] * 3 + [0.0])
        self._action = np.clip(kept * self._action + (1 - kept) * wanted, -1, 1)
        return self._action.astype(np.float32)

    def _choose(self) -> None:
        """Draw the next plan, how long and how fast to follow it, and what the gripper does meanwhile."""
        rng, state = self._rng, self._env.full_observation
        if self._plan == "object" and rng.random() < _PUSH_SHARE:
            self._plan = "push"
        else:
            self._plan = str(rng.choice(list(_SHARES), p=list(_SHARES.values())))
        self._steps_left = 5 + int(rng.exponential(_MEAN_STEPS[self._plan]))
        self._speed = rng.uniform(0.3, 1.2)
        self._grip = rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 1.0)
        self._target = rng.uniform(_LOW, _HIGH)
        if self._plan == "object":
            self._target = self._some_object(state) + rng.normal(scale=0.02, size=3)
        self._direction = rng.normal(size=3) * np.array([1.0, 1.0, 0.4])
        self._turn = rng.normal(scale=0.12) if self._plan == "curve" else 0.0

    def _some_object(self, state: Float[np.ndarray, " 39"]) -> Float[np.ndarray, " 3"]:
        """Where one of the objects or the goal is; upstream fills absent objects with zeros."""
        places = [state[4:7], state[11:14], state[36:39]]
        present = [place for place in places if np.any(place != 0)]
        return present[self._rng.integers(len(present))]

    def _velocity(self, observation: "Observation") -> Float[np.ndarray, " 3"]:
        """Direction of the hand under the present plan; 1 is full speed."""
        if self._plan == "expert":
            return self._expert(observation)[:3].astype(np.float64)
        if self._plan in ("curve", "push"):
            cos, sin = np.cos(self._turn), np.sin(self._turn)
            x, y, z = self._direction
            self._direction = np.array([cos * x - sin * y, sin * x + cos * y, z])
            return self._direction
        return 10 * (self._target - self._env.full_observation[:3])
