"""Which row of a batch is asked which query: fixed shares, interleaved, the same however many processes train."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unified.model.queries import Query


def interleave(shares: Sequence[float], num_rows: int) -> Int[Tensor, " row"]:
    """Assign rows to queries so that every stretch of rows holds each query in its share, to within a row.

    Each row goes to the query that is furthest behind (smooth weighted round robin).
    """
    total = sum(shares)
    credit = [0.0] * len(shares)
    rows: list[int] = []
    for _ in range(num_rows):
        credit = [have + share / total for have, share in zip(credit, shares, strict=True)]
        winner = max(range(len(shares)), key=credit.__getitem__)
        credit[winner] -= 1
        rows.append(winner)
    return torch.tensor(rows)


def move_play(
    assignment: Int[Tensor, " row"], is_demonstration: Bool[Tensor, " row"], imitates: Bool[Tensor, " query"]
) -> Int[Tensor, " row"]:
    """Let rows of play, from which nothing can be imitated, change places with demonstrations of other queries.

    The shares stay as they are. What finds no partner stays too, and has no loss (see `UnifiedModel.loss`).
    """
    asked = imitates[assignment]
    misplaced = torch.nonzero(asked & ~is_demonstration).flatten()
    partners = torch.nonzero(~asked & is_demonstration).flatten()
    count = min(len(misplaced), len(partners))
    swapped = assignment.clone()
    swapped[misplaced[:count]] = assignment[partners[:count]]
    swapped[partners[:count]] = assignment[misplaced[:count]]
    return swapped


def shares_of(queries: Mapping[str, float]) -> list[float]:
    """The shares in order, summing to one."""
    total = sum(queries.values())
    return [share / total for share in queries.values()]


def passes_of(queries: Sequence[Query]) -> list[list[int]]:
    """Which queries (by place, rising) can share a pass through the network: same streams, all imitating or none."""
    passes: dict[tuple[frozenset[str], bool], list[int]] = {}
    for index, query in enumerate(queries):
        passes.setdefault((frozenset(query.streams), query.imitates), []).append(index)
    return list(passes.values())
