"""Which environments the contract is tested on: a few of every family always, all of them as slow tests."""

from typing import Any

import gymnasium
import pytest

import sims

FAST = (
    "MetaWorld-reach-v3",
    "MetaWorld-drawer-open-v3",
    "MetaWorld-push-v3",
    "MetaWorld-door-lock-v3",
    "Driving-follow-v0",
    "Deformable-RopeStraighten-v0",
    "Games-LightsOut-v0",
    "Screen-SelectTiles-v0",
)

# Driving families are one class and differ in the scenario alone; these hold everything that a state must carry
# (lights, people, weather, traffic that changes lanes), so the long tests run on them.
DRIVING = tuple(f"Driving-{name}-v0" for name in ("follow", "merge", "red-light", "pedestrian-dart", "fog"))


def env_ids() -> list[str]:
    """Every environment that `sims` registers."""
    prefix = f"{sims.__name__}."
    return sorted(spec.id for spec in gymnasium.registry.values() if str(spec.entry_point).startswith(prefix))


def parameters() -> list[Any]:
    """Every environment as a test parameter, marked slow where it isn't in the small set."""
    return [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in env_ids()]


def long_parameters() -> list[Any]:
    """`parameters` for tests that take seconds an environment: of the driving families only `DRIVING`."""
    return [item for item in parameters() if not item.values[0].startswith("Driving-") or item.values[0] in DRIVING]


def make(env_id: str, **kwargs: Any) -> Any:
    """The environment itself, without Gymnasium's wrappers."""
    return gymnasium.make(f"sims:{env_id}", **kwargs).unwrapped
