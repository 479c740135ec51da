"""Policies that are decided beside the environment, by name: experts, random actions, what environments offer."""

import importlib
from collections.abc import Callable, Iterable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import load_env_creator
from jaxtyping import Float

from unified.errors import unknown_name

Acting = Callable[[dict[str, Any]], Float[np.ndarray, " action_dim"]]


def _hold(env: Any, rng: np.random.Generator) -> Acting:
    return lambda _: np.clip(np.zeros(env.action_space.shape, np.float32), env.action_space.low, env.action_space.high)


def _random(env: Any, rng: np.random.Generator) -> Acting:
    low, high = env.action_space.low, env.action_space.high
    return lambda _: rng.uniform(low, high).astype(np.float32)


BUILTIN_POLICIES: dict[str, Callable[[Any, np.random.Generator], Acting]] = {
    "expert": lambda env, rng: env.make_expert(),
    "random": _random,
    "play": lambda env, rng: env.make_play(rng),
    "hold": _hold,
}


def known_policies(env_ids: Iterable[str]) -> tuple[str, ...]:
    """Names of policies that need no checkpoint: those for every environment, and those that all of these offer.

    An environment offers what its class lists as `baselines` and makes in `make_baseline(name)`.
    """
    offered = [_baselines(env_id) for env_id in dict.fromkeys(env_ids)]
    shared = [name for name in (offered[0] if offered else ()) if all(name in names for names in offered)]
    return (*BUILTIN_POLICIES, *shared)


def _baselines(env_id: str) -> tuple[str, ...]:
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        entry: Any = gymnasium.registry[name].entry_point
        entry = load_env_creator(entry) if isinstance(entry, str) else entry
    except (ImportError, KeyError):
        return ()  # `gymnasium.make` will say it, with the nearest name
    return tuple(getattr(entry, "baselines", ()))


def is_builtin(name: str, env_ids: Iterable[str]) -> bool:
    """Whether `known_policies` has the name; what is there for every environment is known without looking at any."""
    return name in BUILTIN_POLICIES or name in known_policies(env_ids)


def check_builtin(name: str, env_ids: Iterable[str]) -> None:
    """Refuse a name that none of `known_policies` has.

    Raises:
        UserError: with the nearest right name.
    """
    env_ids = list(env_ids)
    if not is_builtin(name, env_ids):
        raise unknown_name("policy", name, known_policies(env_ids))


def make_builtin(name: str, env: Any, rng: np.random.Generator) -> Acting:
    """The policy of that name; environments make those that they offer themselves."""
    return BUILTIN_POLICIES[name](env, rng) if name in BUILTIN_POLICIES else env.make_baseline(name)
