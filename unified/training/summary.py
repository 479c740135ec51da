"""What a model is made of and what it costs, for `--print-model`."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.flop_counter import FlopCounterMode

from unified.model.batch import Batch, Observation
from unified.model.spec import DataSpec


def describe(task: pl.LightningModule) -> str:
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
