"""Meta-World's scripted policies, with a way out when they are stuck."""

import warnings
from typing import TYPE_CHECKING

import metaworld.policies
import numpy as np
from jaxtyping import Float32

from sims.metaworld.tasks import TASKS

if TYPE_CHECKING:
    from sims.common.base import Observation
    from sims.metaworld.env import MetaWorldEnv

_STUCK_RADIUS = 0.01  # metres
_STUCK_STEPS = 50
_RETREAT_STEPS = 20


class ScriptedExpert:
    """Acts on the full state; begins anew at every reset.

    Upstream's scripts are functions of the present state, and some of them get caught (bin-picking, push-back): the
    hand waits for something that does not happen. Then it goes up and a little aside, and the script begins anew.
    """

    def __init__(self, env: "MetaWorldEnv", rng: np.random.Generator | None = None):
        self._env = env
        self._seed = 0 if rng is None else int(rng.integers(2**31))
        self._script = getattr(metaworld.policies, TASKS[env.task_name].expert)()
        self._begin()

    def __call__(self, observation: "Observation") -> Float32[np.ndarray, " 4"]:
        """The next action, in [-1, 1]."""
        self._watch()
        if self._retreat_left > 0:
            self._retreat_left -= 1
            return self._retreat.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # upstream warns whenever its gain asks for more than full speed
            action = self._script.get_action(self._env.full_observation)
        return np.clip(action, -1.0, 1.0).astype(np.float32)

    def _begin(self) -> None:
        """Forget the episode before; its retreats must not change this one's."""
        self._rng = np.random.default_rng(self._seed)
        self._anchor = np.full(3, np.inf)
        self._still_steps = 0
        self._retreat_left = 0
        self._retreat = np.array([0, 0, 1, -1], np.float32)

    def _watch(self) -> None:
        """Begin a retreat if the hand has stayed in one place for long."""
        if self._env.elapsed_steps == 0:
            self._begin()
        hand = self._env.full_observation[:3]
        if np.linalg.norm(hand - self._anchor) > _STUCK_RADIUS:
            self._anchor, self._still_steps = hand.copy(), 0
            return
        self._still_steps += 1
        if self._still_steps >= _STUCK_STEPS:
            self._retreat_left, self._still_steps = _RETREAT_STEPS, 0
            self._retreat[:2] = self._rng.uniform(-0.4, 0.4, 2)
