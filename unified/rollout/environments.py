"""Environments: how one is made, by its id or through an adapter, and the contract that it meets.

An environment is a `gymnasium.Env` whose unwrapped self has what `CONTRACT` lists, whose `reset(seed=)` begins the
episode that belongs to the seed, and whose `step` says `info["is_success"]` every time. An environment may add
`baselines` with `make_baseline(name)`, `info["is_over"]` and `info["metrics"]`, `episode_metrics()`,
`episode_scores()` and `episode_facts()`. `sims.common.episodes.EpisodeEnv` has nearly all of it. Environments of other
packages get it from `sims.adapted`, from options in a suite (docs/environments.md).
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator

from unified.errors import UserError

Env = gymnasium.Env[Any, Any]
MakeEnv = Callable[[str, Mapping[str, Any]], Env]
ADAPTERS = "adapters"  # in an environment's arguments: options of `sims.adapted` by environment id
_ADVICE = "describe it with an `adapter` in a suite (docs/environments.md), or subclass sims.common.episodes.EpisodeEnv"


def make_env(env_id: str, kwargs: Mapping[str, Any]) -> Env:
    """An environment that a package registers; through an adapter, if the arguments hold one for it.

    Raises:
        UserError: if there is none, it does not take these arguments, or does not meet the contract.
    """
    own = {name: value for name, value in kwargs.items() if name != ADAPTERS}
    adapter = kwargs.get(ADAPTERS, {}).get(env_id)
    made_with, env = f" with {own}", env_id
    if adapter is None:
        _check_class(env_id)
    else:
        env = EnvSpec(id=env_id.rpartition(":")[2], entry_point="sims.adapted.env:AdaptedEnv")
        own, made_with = {**own, "env_id": env_id, "adapter": adapter}, ""
    try:
        made = gymnasium.make(env, disable_env_checker=True, **own)
    except (ValueError, TypeError, gymnasium.error.Error, ImportError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{env_id} cannot be made{made_with}: {reason}") from error
    check_contract(made, env_id)
    return made


def entry_class(env_id: str) -> Any:
    """The class of an environment, or the function that makes it; None if that cannot be found."""
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        entry: Any = gymnasium.registry[name].entry_point
        return load_env_creator(entry) if isinstance(entry, str) else entry
    except (ImportError, AttributeError, KeyError):
        return None  # `gymnasium.make` will say it, with the nearest name


def check_contract(env: Env, env_id: str) -> None:
    """Refuse an environment that lacks something.

    Raises:
        UserError: one line that names everything that is missing or wrong, and what to do.
    """
    inner = env.unwrapped
    found = {name: getattr(inner, name, _ABSENT) for name in CONTRACT}
    absent = [name for name, value in found.items() if value is _ABSENT]
    _refuse(env_id, [f"it lacks {', '.join(absent)}"] if absent else [])
    rows = [(name, *row) for name, row in CONTRACT.items()]
    _refuse(env_id, [f"{name} must be {what}" for name, what, is_right in rows if not is_right(found[name], inner)])


def _check_class(env_id: str) -> None:
    """What a class lacks is said before it is made with arguments that it does not know."""
    entry = entry_class(env_id)
    absent = [name for name in _OF_CLASS if isinstance(entry, type) and not hasattr(entry, name)]
    _refuse(env_id, [f"it lacks {', '.join(absent)}"] if absent else [])


def _refuse(env_id: str, faults: list[str]) -> None:
    if faults:
        raise UserError(f"{env_id} cannot be used as it is: {'; '.join(faults)}. You can {_ADVICE}.")


def _is_text(value: Any, env: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_names(value: Any, env: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)


def _is_method(value: Any, env: Any) -> bool:
    return callable(value)


def _is_positive(value: Any, env: Any) -> bool:
    return isinstance(value, int | float | np.number) and bool(value > 0)


def _are_bounded_actions(value: Any, env: Any) -> bool:
    return isinstance(value, spaces.Box) and len(value.shape) == 1 and value.is_bounded("both")


def _are_our_observations(value: Any, env: Any) -> bool:
    if not isinstance(value, spaces.Dict) or set(value) != {"pixels", "agent_pos"}:
        return False
    pixels, proprio, shape = value["pixels"], value["agent_pos"], (env.image_size, env.image_size, 3)
    return (
        isinstance(pixels, spaces.Dict)
        and set(pixels) == set(env.cameras)
        and all(picture.shape == shape and picture.dtype == np.uint8 for picture in pixels.values())
        and isinstance(proprio, spaces.Box)
        and len(proprio.shape) == 1
        and proprio.dtype == np.float32
    )


CONTRACT: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "task": ("the instruction, a text", _is_text),
    "embodiment": ("the body's name, a text", _is_text),
    "control_dt": ("seconds per action, above 0", _is_positive),
    "cameras": ("the names of the pictures", _are_names),
    "image_size": ("height and width of the pictures", _is_positive),
    "action_space": ("a Box in one dimension with finite bounds", _are_bounded_actions),
    "observation_space": (
        "a Dict of pixels (by camera uint8 image_size x image_size x 3) and agent_pos (float32 in one dimension)",
        _are_our_observations,
    ),
    "versions": ("what decides its numbers, a mapping", lambda value, _: isinstance(value, Mapping)),
    "render_pixels": ("a switch for drawing in reset and step", lambda value, _: isinstance(value, bool)),
    "render_frame": ("render_frame(camera, size), a picture", _is_method),
    "make_expert": ("make_expert(rng), may raise NotImplementedError", _is_method),
    "make_play": ("make_play(rng), may raise NotImplementedError", _is_method),
    "noise_size": ("how many numbers disturb an action", _is_positive),
    "perturbed": ("perturbed(action, noise), the disturbed action", _is_method),
    "measurements": ("measurements(), what recordings keep besides", _is_method),
    "sim_state_size": ("length of get_sim_state(), or 0", lambda value, _: value == 0 or _is_positive(value, _)),
}
_ABSENT = object()
_OF_CLASS = ("render_frame", "make_expert", "make_play", "perturbed", "measurements", "versions")
