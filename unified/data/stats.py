"""Statistics for normalisation: per body and per key, over training episodes only, in double precision."""

from collections.abc import Mapping, Sequence

import numpy as np

from unified.model.spec import PROPRIO

Stats = dict[str, dict[str, dict[str, list[float]]]]

SAME = 1e-6
"""A column that moves by less than this share of its own size is constant: float32 hardly tells its values apart."""
FARTHEST = 10.0
"""Measurements that are farther from the mean than so many standard deviations are shown to the model as so many."""


def column_stats(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, list[float]]:
    """What normalisation needs to know of each column, over the picked rows of all parts together.

    Exact, as if the parts were one array; memory is one column at a time.

    Args:
        parts: pairs of an array (row, size) and the numbers (picked,) of the rows that count.

    Returns:
        mean, std (1 where the column is constant), min, max, the 1 % and 99 % quantiles q01 and q99, and clipped, the
        share of rows more than `FARTHEST` standard deviations from the mean.
    """
    columns = [_one_column(parts, dimension) for dimension in range(parts[0][0].shape[1])]
    stats = {name: [column[name] for column in columns] for name in columns[0]} if columns else {}
    for dimension, is_same in enumerate(constant_columns(stats)):
        if is_same:
            stats["std"][dimension], stats["clipped"][dimension] = 1.0, 0.0
    return stats


def constant_columns(stats: Mapping[str, Sequence[float]]) -> list[bool]:
    """Which columns do not move: the one rule. What is a millionth of the widest column, squared, is only rounding."""
    low, high = np.array(stats["min"]), np.array(stats["max"])
    size = np.maximum(np.abs(low), np.abs(high))
    return (high - low <= SAME * np.maximum(size, SAME * size.max(initial=0.0))).tolist()


def _one_column(parts: Sequence[tuple[np.ndarray, np.ndarray]], dimension: int) -> dict[str, float]:
    column = np.concatenate([array[rows, dimension] for array, rows in parts]).astype(np.float64)
    low, high = np.quantile(column, [0.01, 0.99])
    mean, std = column.mean(), column.std()
    values = {"mean": mean, "std": std, "min": column.min(), "max": column.max(), "q01": low, "q99": high}
    values["clipped"] = (np.abs(column - mean) > FARTHEST * std).mean()
    return {name: float(value) for name, value in values.items()}


def describe_stats(stats: Stats) -> str:
    """The normalisation as a table: a line for each number of each body."""
    lines = ["normalisation, from the training episodes: (value - mean) / std"]
    for body, keys in stats.items():
        for key, columns in keys.items():
            lines.append(f"  {f'{body}, {key}':<34}{'min':>11}{'max':>11}{'mean':>11}{'std':>11}  clipped")
            for number, is_same in enumerate(constant_columns(columns)):
                shown = "".join(f"{columns[name][number]:>11.4g}" for name in ("min", "max", "mean"))
                share = columns["clipped"][number] if key == PROPRIO else 0.0
                rest = f"{'constant':>11}" if is_same else f"{columns['std'][number]:>11.4g}  {share:.2%}"
                lines.append(f"    {number:<32}{shown}{rest}")
    return "\n".join(lines) + "\n"


def embodiment_stats(sources: Sequence[tuple[str, Mapping[str, np.ndarray], np.ndarray]]) -> Stats:
    """Statistics of every column for every body, its sources taken together.

    Args:
        sources: embodiment, columns (row, size) by name, numbers of the rows that count.
    """
    stats: Stats = {}
    for name in dict.fromkeys(source[0] for source in sources):
        same = [source for source in sources if source[0] == name]
        columns = dict.fromkeys(column for _, columns, _ in same for column in columns)
        stats[name] = {
            column: column_stats([(columns[column], rows) for _, columns, rows in same if column in columns])
            for column in columns
        }
    return stats
