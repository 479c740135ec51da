"""Which row of a batch is asked which queries: fixed shares, interleaved, the same however many processes train."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Int

from unified.errors import UserError
from unified.model.model import Mix
from unified.model.queries import Query

LEAST = 1e-6
"""Smaller shares of rows are rounding."""


def mixes_of(queries: Iterable[Query]) -> dict[Mix, float]:
    """Which queries rows are asked together, and in which share of the rows.

    A row is asked as many as want different streams. Those that want most choose their rows first.

    Raises:
        UserError: if queries that want the same stream want more than all rows.
    """
    rows: list[tuple[float, Mix]] = [(1.0, ())]
    for query in sorted(queries, key=lambda query: -len(query.wanted)):
        rows = _place(query, rows)
    mixes: dict[Mix, float] = {}
    for share, mix in rows:
        if mix:
            mixes[mix] = mixes.get(mix, 0.0) + share
    return mixes


def _place(query: Query, rows: Sequence[tuple[float, Mix]]) -> list[tuple[float, Mix]]:
    """Stretches of rows, with the query asked in the first of those that nobody asks for its streams."""
    left, placed = query.share, []
    for share, mix in rows:
        is_free = not any(set(query.wanted) & set(other.wanted) for other in mix)
        taken = min(left, share) if is_free else 0.0
        placed += [(taken, (*mix, query)), (share - taken, mix)]
        left -= taken
    if left > LEAST:
        raise UserError(
            f"queries.{query.name}.share is {query.share:g}, but others ask for {', '.join(query.wanted)} in all but "
            f"{query.share - left:g} of the rows; a stream is asked for once a row, so lower one of the shares."
        )
    return [(share, mix) for share, mix in placed if share > LEAST]


def interleave(shares: Sequence[float], num_rows: int) -> Int[torch.Tensor, " row"]:
    """Assign rows to mixes so that every stretch of rows holds each mix in its share, to within a row.

    Each row goes to the mix that is furthest behind (smooth weighted round robin).
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
