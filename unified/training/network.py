"""A model's architecture on its way from a YAML file, which the parser of command lines must not look into."""

from collections.abc import Mapping
from typing import Any

from unified.model.config import ModelConfig


class Network:
    """The block `network:` of a config as it stands there; `ModelConfig` checks it.

    The parser would otherwise try to construct every `class_path` in it, before the data's shapes are known.

    Attributes:
        values: nested plain data.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)

    def config(self) -> ModelConfig:
        """The checked architecture.

        Raises:
            UserError: for an unknown key, with the nearest right one.
        """
        return ModelConfig.from_dict(self.values)


def register_with_parser() -> None:
    """Let jsonargparse hand `network:` over unread."""
    from jsonargparse.typing import register_type

    register_type(
        Network, lambda network: network.values, _from_block, type_check=lambda value, _: isinstance(value, Network)
    )


def _from_block(block: Any) -> Network:
    if not isinstance(block, Mapping):
        raise ValueError(f"Expected a mapping such as {{dim: 192, depth: 7}}. Got value: {block!r}")
    return Network(block)
