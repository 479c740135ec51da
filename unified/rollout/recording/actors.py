"""Who acts while an episode is recorded. No torch unless a checkpoint acts."""

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float32

from unified.errors import UserError

Action = Float32[np.ndarray, " action"]
Acting = Callable[[Any], Action]

BUILTIN_POLICIES = ("expert", "play", "random")
EXPLORING = ("play", "random")  # of fixed length; never taken for demonstrations
_ACTION_STEPS = 4  # that a checkpoint executes before it looks again, if it predicts so many
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


def make_actor(env: Any, policy: str, rng: np.random.Generator, episode_key: int) -> tuple[Acting, Acting]:
    """Who acts, and whose action is the label `expert_action`.

    Raises:
        UserError: if the environment has no such policy.
    """
    low, high = env.action_space.low, env.action_space.high
    try:
        if policy == "expert":
            expert = env.make_expert(rng)
            return expert, expert
        if policy == "play":
            play = env.make_play(rng)
            return play, play
        if policy != "random":
            return CheckpointActor(policy, env, episode_key), env.make_expert(rng)
    except NotImplementedError as error:
        raise UserError(f"{env.spec.id if env.spec else env} has no {policy!r} policy.") from error

    def uniform(_observation: Any) -> Action:
        return rng.uniform(low, high).astype(np.float32)

    return uniform, uniform


class CheckpointActor:
    """A trained model that acts: it looks every `n_action_steps` env steps and executes what it chose."""

    def __init__(self, path: str, env: Any, episode_key: int) -> None:
        self._policy, self._env, self._key = _load_policy(path, env.embodiment), env, episode_key
        self._history: deque[Any] = deque(maxlen=1 - min(self._policy.needs.observation_offsets))
        self._queue: deque[Action] = deque()
        self._decisions = 0
        needs = self._policy.needs
        if not set(needs.cameras) <= set(env.cameras) or needs.image_size != env.image_size:
            raise UserError(
                f"{path} looks through {', '.join(needs.cameras)} at {needs.image_size} pixels; record these "
                f"(--cameras {','.join(needs.cameras)} --image-size {needs.image_size})."
            )

    def __call__(self, observation: Any) -> Action:
        """The next action of the present chunk, or the first of a new one."""
        from unified.rollout.episodes import Decision

        self._history.append(observation)
        while len(self._history) < (self._history.maxlen or 1):
            self._history.append(observation)
        if not self._queue:
            needs, env = self._policy.needs, self._env
            frames = [self._history[offset - 1] for offset in needs.observation_offsets]
            seen: dict[str, Any] = {
                "pixels": {name: np.stack([frame["pixels"][name] for frame in frames]) for name in needs.cameras}
            }
            seen["agent_pos"] = np.stack([frame["agent_pos"] for frame in frames])
            asked = Decision(0, self._decisions, seen, env.task, env.embodiment, env.action_space.shape[0])
            self._queue.extend(self._policy.act([asked], [(self._key, self._decisions)])[0])
            self._decisions += 1
        return self._queue.popleft()


_policies: dict[tuple[str, str], Any] = {}


def _load_policy(path: str, embodiment: str) -> Any:
    """The model of a checkpoint, loaded once a process."""
    if (path, embodiment) not in _policies:
        import torch

        from unified.rollout.policies import ModelPolicy, load_model

        torch.set_num_threads(1)  # the other cores have workers of their own

        model = load_model(path)
        steps = min(_ACTION_STEPS, model.spec.action_horizon)
        _policies[path, embodiment] = ModelPolicy(model, embodiment, n_action_steps=steps)
    return _policies[path, embodiment]
