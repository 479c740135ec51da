"""Which environments the contract is tested on: a few of every family always, all of them as slow tests."""

import importlib.util
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
    "Highway-parking-v0",
)
NEEDS = {"Highway": ("highway_env", "pygame"), "Box2D": ("Box2D", "pygame")}  # modules that only some have

# Families whose environments are one class and differ in their scenario or task alone: the tests that take seconds run
# on these members, which hold everything that a state must carry. Restoring is tested on every task of Meta-World, and
# in `highway/test_env.py` on every world of highway-env.
MEMBERS = {
    "Driving": ("follow", "merge", "red-light", "pedestrian-dart", "fog"),
    "Highway": ("parking",),
    "MetaWorld": ("reach", "push", "door-lock", "drawer-open", "bin-picking", "hammer", "soccer", "stick-pull"),
}


def env_ids() -> list[str]:
    """Every environment that `sims` registers."""
    prefix = f"{sims.__name__}."
    return sorted(spec.id for spec in gymnasium.registry.values() if str(spec.entry_point).startswith(prefix))


def parameters() -> list[Any]:
    """Every environment as a test parameter, marked slow where it isn't in the small set."""
    return [pytest.param(name, marks=_marks(name)) for name in env_ids()]


def long_parameters(*families: str) -> list[Any]:
    """`parameters` without those environments of the named families that are not among their `MEMBERS`."""
    return [item for item in parameters() if _family(item.values[0]) not in families or _is_member(item.values[0])]


def _marks(env_id: str) -> list[pytest.MarkDecorator]:
    missing = [name for name in NEEDS.get(_family(env_id), ()) if importlib.util.find_spec(name) is None]
    absent = [pytest.mark.skip(reason=f"needs {', '.join(missing)}: pip install -e '.[worlds]'")] if missing else []
    return absent + ([] if env_id in FAST else [pytest.mark.slow])


def _family(env_id: str) -> str:
    return env_id.split("-", 1)[0]


def _is_member(env_id: str) -> bool:
    family, rest = env_id.split("-", 1)
    return rest.rsplit("-v", 1)[0] in MEMBERS[family]


def make(env_id: str, **kwargs: Any) -> Any:
    """The environment itself, without Gymnasium's wrappers."""
    return gymnasium.make(f"sims:{env_id}", **kwargs).unwrapped
