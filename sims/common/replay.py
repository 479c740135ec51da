"""Worlds whose simulators cannot be written into a vector: a state is the seed and the actions since."""

from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from sims.common.arguments import checked_integer
from sims.common.episodes import EpisodeEnv

_HEADER = 6  # the four of EpisodeEnv, the seed, how many actions


class ReplayEnv(EpisodeEnv):
    """An environment that goes to a state by repeating how it came about, which takes the time that it took.

    From an earlier state of the same episode only the actions since are repeated. A world fills in `_begin` and
    `_advance`; both must depend on seed and actions alone, and draw nothing.

    Attributes:
        longest: most actions that an episode can have; every state has room for so many.
    """

    longest: int

    def __init__(self, max_env_steps: int | None, **common: Any):
        """See `EpisodeEnv`; whatever `max_env_steps` says, an episode has no more than `longest`."""
        steps = self.longest if max_env_steps is None else checked_integer("max_env_steps", max_env_steps, 1, 10**9)
        super().__init__(max_env_steps=min(steps, self.longest), **common)
        self.sim_state_size = _HEADER + self.longest * int(np.prod(self.action_space.shape or ()))
        self._seed = 0
        self._actions: list[Float32[np.ndarray, " action"]] = []

    def _begin(self, seed: int) -> None:
        """Put the simulator into the initial state of a seed."""
        raise NotImplementedError

    def _advance(self, action: Float32[np.ndarray, " action"]) -> tuple[float, bool, dict[str, Any]]:
        """Advance by one action; returns reward, success, further info."""
        raise NotImplementedError

    def _reset_world(self, seed: int) -> None:
        self._seed, self._actions = seed, []
        self._begin(seed)

    def _step_world(self, action: Float32[np.ndarray, " action"]) -> tuple[float, bool, dict[str, Any]]:
        self._actions.append(action.copy())
        return self._advance(action)

    def _get_world_state(self) -> Float64[np.ndarray, " world"]:
        return np.concatenate([[self._seed, len(self._actions)], np.ravel(self._actions)])

    def _set_world_state(self, state: Float64[np.ndarray, " padded"]) -> None:
        seed, count = int(state[0]), int(state[1])
        wanted = state[2:].reshape(self.longest, -1)[:count].astype(np.float32)
        done = len(self._actions)
        is_ahead = seed == self._seed and 0 < done <= count and np.array_equal(wanted[:done], self._actions)
        if not is_ahead:
            self._reset_world(seed)
        for action in wanted[len(self._actions) :]:
            self._step_world(action)
