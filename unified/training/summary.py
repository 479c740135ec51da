"""What a model is made of and what it costs, for `--print-model`."""

from typing import Any

import pytorch_lightning as pl


def describe(task: pl.LightningModule) -> str:
    """Parameters of every part and, where the model can tell, FLOPs a sample of each query; a table for people."""
    model: Any = getattr(task, "model", task)
    lines = [f"{type(task).__name__}: {_count(task):,} parameters"]
    lines += [f"  {name:<16}{_count(part):>14,}" for name, part in model.named_children() if _count(part)]
    queries = getattr(task, "queries", {})
    if hasattr(model, "summary"):
        for name, query in queries.items():
            rows = model.summary(query)
            lines.append(f"query {name}:")
            lines += [f"  {row}" for row in rows]
    return "\n".join(lines) + "\n"


def _count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
