"""One diffusion transformer over future video and future actions, and the program `unified` that trains and judges it.

Importing this package is cheap: torch is loaded only when a name that needs it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from unified.model.config import ClassSpec, ModelConfig
    from unified.model.model import UnifiedModel
    from unified.model.queries import QUERIES, Query, get_query
    from unified.rollout.dreams.env import DreamEnv, DreamVectorEnv

_HOMES = {
    "ClassSpec": "unified.model.config",
    "ModelConfig": "unified.model.config",
    "UnifiedModel": "unified.model.model",
    "QUERIES": "unified.model.queries",
    "Query": "unified.model.queries",
    "get_query": "unified.model.queries",
    "DreamEnv": "unified.rollout.dreams.env",
    "DreamVectorEnv": "unified.rollout.dreams.env",
}

__all__ = [
    "QUERIES",
    "ClassSpec",
    "DreamEnv",
    "DreamVectorEnv",
    "ModelConfig",
    "Query",
    "UnifiedModel",
    "__version__",
    "get_query",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'unified' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
