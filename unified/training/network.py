"""A model's architecture on its way from a YAML file, and what it is made of and costs, for `--print-model`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.flop_counter import FlopCounterMode

from unified.model.batch import Batch
from unified.model.config import ModelConfig
from unified.model.spec import ACTION, PROPRIO, DataSpec


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
    """Parameters of every part and, for tasks that answer queries, FLOPs of one training window and of each answer."""
    model: Any = getattr(task, "model", task)
    lines = [f"{type(task).__name__}: {_count(task):,} parameters"]
    lines += [f"  {name:<18}{_count(part):>14,}" for name, part in model.named_children() if _count(part)]
    mixes = getattr(task, "mixes", ())
    if mixes:
        lines.append("GFLOPs, forward (training: about three times as many):")
        costs = {"a training window": lambda batch: _pass(model, batch, mixes)}
        for name, query in getattr(task, "queries", {}).items():
            costs[f"answer: {name}"] = lambda batch, query=query: model.sample(batch, query, 0)
        lines += [f"  {name:<28}{_flops(model, cost) / 1e9:>8.3f}" for name, cost in costs.items()]
    return "\n".join(lines) + "\n"


def empty_batch(spec: DataSpec, batch_size: int = 1) -> Batch:
    """A batch of zeros in the shapes of `spec`."""
    moments, step = spec.num_moments, (spec.num_moments - 1, spec.frame_stride)
    at, between = (PROPRIO, *spec.columns), (ACTION, *spec.columns)
    return Batch(
        images=torch.zeros(batch_size, moments, len(spec.cameras), 3, *spec.image_size),
        at={name: torch.zeros(batch_size, moments, spec.width(name)) for name in at},
        between={name: torch.zeros(batch_size, *step, spec.width(name)) for name in between},
        ahead={ACTION: torch.zeros(batch_size, moments, spec.action_horizon, spec.action_dim)},
        embodiment=torch.zeros(batch_size, dtype=torch.long),
        task=("do the task",) * batch_size,
    )


def _pass(model: Any, batch: Batch, mixes: Sequence[Any]) -> None:
    model.loss(batch, mixes, torch.zeros(len(batch), dtype=torch.long), model.draw([(0,)] * len(batch)))


@torch.no_grad()
def _flops(model: Any, cost: Callable[[Batch], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        cost(empty_batch(model.spec))
    return counter.get_total_flops()


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
