"""A model's architecture on its way from a YAML file, and what it is made of and costs, for `--print-model`."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.flop_counter import FlopCounterMode

from unified.model.batch import Batch, Observation
from unified.model.config import ModelConfig
from unified.model.spec import DataSpec


class Network:
    """The block `network:` of a config as it stands there; `ModelConfig` checks it.

    The parser of command lines would try to construct every `class_path` in it, before the shapes of data are known.

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


def describe_model(task: pl.LightningModule) -> str:
    """Parameters of every part and, for tasks that answer queries, FLOPs of one forward pass of one sample."""
    model: Any = getattr(task, "model", task)
    lines = [f"{type(task).__name__}: {_count(task):,} parameters"]
    lines += [f"  {name:<18}{_count(part):>14,}" for name, part in model.named_children() if _count(part)]
    queries = getattr(task, "queries", {})
    if queries:
        lines.append("GFLOPs a sample, forward (training: about three times as many):")
        lines += [f"  {name:<18}{_flops(model, query) / 1e9:>14.3f}" for name, query in queries.items()]
    return "\n".join(lines) + "\n"


def empty_batch(spec: DataSpec, batch_size: int = 1) -> Batch:
    """A batch of zeros in the shapes of `spec`."""
    cameras, (height, width) = len(spec.cameras), spec.image_size
    observation = Observation(
        images=torch.zeros(batch_size, cameras, spec.n_obs_steps, 3, height, width),
        proprio=torch.zeros(batch_size, spec.n_obs_steps, spec.proprio_dim),
        embodiment=torch.zeros(batch_size, dtype=torch.long),
        task=("do the task",) * batch_size,
    )
    return Batch(
        observation,
        video=torch.zeros(batch_size, cameras, spec.num_frames, 3, height, width),
        action=torch.zeros(batch_size, spec.action_horizon, spec.action_dim),
    )


@torch.no_grad()
def _flops(model: Any, query: Any) -> int:
    with FlopCounterMode(display=False) as counter:
        model.loss(empty_batch(model.spec), query)
    return counter.get_total_flops()


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
