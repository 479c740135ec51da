"""Statistics for normalisation: per body and per key, over training episodes only, in double precision."""

from collections.abc import Sequence

import numpy as np

from unified.model.spec import ACTION, PROPRIO

Stats = dict[str, dict[str, dict[str, list[float]]]]

STD_FLOOR = 1e-3
"""A dimension that hardly moved in the data is not blown up: below this, differences are not signal."""


def column_stats(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, list[float]]:
    """Mean, std, min, max and the 1 % and 99 % quantiles of each column, over the picked rows of all parts together.

    Exact, as if the parts were one array; memory is one column at a time.

    Args:
        parts: pairs of an array (row, size) and the numbers (picked,) of the rows that count.
    """
    stats: dict[str, list[float]] = {name: [] for name in ("mean", "std", "min", "max", "q01", "q99")}
    for dimension in range(parts[0][0].shape[1]):
        column = np.concatenate([array[rows, dimension] for array, rows in parts]).astype(np.float64)
        low, high = np.quantile(column, [0.01, 0.99])
        values = (column.mean(), max(column.std(), STD_FLOOR), column.min(), column.max(), low, high)
        for name, value in zip(stats, values, strict=True):
            stats[name].append(float(value))
    return stats


def embodiment_stats(sources: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]]) -> Stats:
    """Statistics for every body, its sources taken together.

    Args:
        sources: embodiment, actions (row, action_dim), proprio (row, proprio_dim), numbers of the rows that count.
    """
    stats: Stats = {}
    for name in dict.fromkeys(source[0] for source in sources):
        same = [source for source in sources if source[0] == name]
        stats[name] = {
            ACTION: column_stats([(action, rows) for _, action, _, rows in same]),
            PROPRIO: column_stats([(proprio, rows) for _, _, proprio, rows in same]),
        }
    return stats
