"""Policies that are decided beside the environment, by name: experts, random actions, what environments offer."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from unified.errors import UserError, unknown_name
from unified.rollout.environments import entry_class

Acting = Callable[[dict[str, Any]], Float[np.ndarray, " action_dim"]]

BUILTIN_POLICIES = ("expert", "random", "play", "hold")


def known_policies(env_ids: Iterable[str]) -> tuple[str, ...]:
    """Names of policies that need no checkpoint: those for every environment, and those that all of these offer.

    An environment offers what its class lists as `baselines` and makes in `make_baseline(name)`.
    """
    offered = [getattr(entry_class(env_id), "baselines", ()) for env_id in dict.fromkeys(env_ids)]
    shared = [name for name in (offered[0] if offered else ()) if all(name in names for names in offered)]
    return (*BUILTIN_POLICIES, *shared)


def is_builtin(name: str, env_ids: Iterable[str]) -> bool:
    """Whether a policy is built in; if not, it is a checkpoint. Names for every environment look at none of them.

    Raises:
        UserError: if it can be neither, with the nearest right name.
    """
    if name in BUILTIN_POLICIES:
        return True
    known = known_policies(env_ids)
    if name not in known and "/" not in name and not Path(name).exists():
        raise unknown_name("policy (and no checkpoint of that name)", name, known)
    return name in known


def check_builtin(name: str, env_ids: Iterable[str]) -> None:
    """Refuse a name that none of `known_policies` has.

    Raises:
        UserError: with the nearest right name.
    """
    if name not in BUILTIN_POLICIES and name not in (known := known_policies(env_ids)):
        raise unknown_name("policy", name, known)


def make_builtin(name: str, env: Any, rng: np.random.Generator, demonstrates: bool = False) -> Acting:
    """The policy of that name; environments make those that they offer themselves.

    Args:
        demonstrates: let the expert vary as people do, for recordings.

    Raises:
        UserError: if the environment has none.
    """
    low, high = env.action_space.low, env.action_space.high
    if name == "random":
        return lambda _: rng.uniform(low, high).astype(np.float32)
    if name == "hold":
        return lambda _: np.clip(np.zeros(env.action_space.shape, np.float32), low, high)
    try:
        if name == "expert":
            return env.make_expert(rng if demonstrates else None)
        return env.make_play(rng) if name == "play" else env.make_baseline(name)
    except NotImplementedError as error:
        others = ", ".join(other for other in BUILTIN_POLICIES if other != name)
        raise UserError(
            f"{env.spec.id if env.spec else env} has no policy {name!r}; choose another ({others}, a checkpoint)."
        ) from error


def label(path: str) -> str:
    """A short name for a policy or dataset: the run's folder rather than "pretrained"."""
    parts = [
        part for part in Path(path.removesuffix(".ckpt")).parts if part not in ("pretrained", "checkpoints", "/", "..")
    ]
    return parts[-1] if parts else path


def labels(paths: Sequence[str]) -> list[str]:
    """Short names that stay distinct: what would be called like another keeps its whole path."""
    short = [label(path) for path in paths]
    return [name if short.count(name) == 1 else path for name, path in zip(short, paths, strict=True)]
