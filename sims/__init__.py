"""Environments with scripted experts, reached as `gymnasium.make("sims:NAME")`; importing this registers them."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from sims.deformable import TASKS as _DEFORMABLE_TASKS
from sims.driving.scenarios.families import FAMILY_NAMES as _DRIVING_FAMILIES
from sims.games.catalog import GAMES as _GAMES
from sims.highway import WORLDS as _HIGHWAY_WORLDS
from sims.metaworld.tasks import TASKS as _METAWORLD_TASKS
from sims.screen import PUZZLES as _SCREEN_PUZZLES

for _name in _METAWORLD_TASKS:
    gymnasium.register(
        id=f"MetaWorld-{_name}",
        entry_point="sims.metaworld.env:MetaWorldEnv",
        kwargs={"task_name": _name},
        disable_env_checker=True,  # it refuses the empty "pixels" of cameras=(); the tests run the full check
    )

for _name in _DRIVING_FAMILIES:
    gymnasium.register(
        id=f"Driving-{_name}-v0",
        entry_point="sims.driving.environment:DrivingEnv",
        kwargs={"family": _name},
        disable_env_checker=True,
    )

for _name, _entry_point in _DEFORMABLE_TASKS.items():
    gymnasium.register(id=f"Deformable-{_name}-v0", entry_point=_entry_point, disable_env_checker=True)

for _name, _entry_point in _GAMES.items():
    gymnasium.register(id=f"Games-{_name}-v0", entry_point=_entry_point, disable_env_checker=True)

for _name in _SCREEN_PUZZLES:
    gymnasium.register(
        id=f"Screen-{_name}-v0",
        entry_point="sims.screen.env:ScreenEnv",
        kwargs={"puzzle": _name},
        disable_env_checker=True,
    )

for _name in _HIGHWAY_WORLDS:
    gymnasium.register(
        id=f"Highway-{_name}-v0",
        entry_point="sims.highway.env:HighwayEnv",
        kwargs={"world": _name},
        disable_env_checker=True,
    )

gymnasium.register(id="Box2D-CarRacing-v0", entry_point="sims.box2d.car_racing:CarRacingEnv", disable_env_checker=True)


def expert(env: gymnasium.Env[Any, Any]) -> Callable[[Any, gymnasium.Env[Any, Any]], np.ndarray]:
    """The scripted expert of an environment: `expert(obs, env) -> action`."""
    policy = env.unwrapped.make_expert()  # pyright: ignore[reportAttributeAccessIssue]
    return lambda observation, env: policy(observation)
