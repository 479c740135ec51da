"""Statistics as LeRobot keeps them: per episode and feature, then folded together in the order of the episodes."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped, UInt8

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
SAMPLED_FRAMES = 100  # LeRobot too looks at about 100 pictures of an episode
SAMPLED_PIXELS = 150

Stats = dict[str, np.ndarray]


def vector_stats(values: Shaped[np.ndarray, " frame *event"]) -> Stats:
    """min, max, mean, std, count and quantiles of each component over the frames of an episode."""
    table = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    stats = {"min": table.min(0), "max": table.max(0), "mean": table.mean(0), "std": table.std(0)}
    stats["count"] = np.array([len(table)])
    return stats | dict(zip(QUANTILES, np.quantile(table, list(QUANTILES.values()), axis=0), strict=True))


def image_stats(frames: UInt8[np.ndarray, " frame height width 3"]) -> Stats:
    """The same per colour, of pixels in [0, 1], shape (3, 1, 1); from at most 100 evenly spread frames."""
    picked = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), SAMPLED_FRAMES)).round().astype(int))
    stride = max(1, min(frames.shape[1:3]) // SAMPLED_PIXELS)
    pixels = frames[picked, ::stride, ::stride].reshape(-1, 3)
    columns = [_histogram_stats(np.bincount(pixels[:, channel], minlength=256)) for channel in range(3)]
    stats = {name: np.array([column[name] for column in columns]).reshape(3, 1, 1) for name in columns[0]}
    return stats | {"count": np.array([len(picked)])}


def fold_stats(total: Mapping[str, Stats], episode: Mapping[str, Stats]) -> dict[str, Stats]:
    """Add one episode to the totals; as LeRobot's `aggregate_stats`, quantiles are means weighted by count."""
    if not total:
        return {key: dict(stats) for key, stats in episode.items()}
    return {key: _fold(total[key], episode[key]) for key in episode}


def _fold(a: Stats, b: Stats) -> Stats:
    count = a["count"] + b["count"]
    share = (b["count"] / count).reshape((-1,) + (1,) * (a["mean"].ndim - 1))
    gap = b["mean"] - a["mean"]
    variance = a["std"] ** 2 * (1 - share) + b["std"] ** 2 * share + gap**2 * share * (1 - share)
    folded = {name: a[name] + (b[name] - a[name]) * share for name in ("mean", *QUANTILES)}
    extremes = {"min": np.minimum(a["min"], b["min"]), "max": np.maximum(a["max"], b["max"])}
    return extremes | folded | {"std": np.sqrt(variance), "count": count}


def _histogram_stats(counts: Shaped[np.ndarray, " 256"]) -> dict[str, float]:
    levels = np.arange(256) / 255
    total = counts.sum()
    mean = float((levels * counts).sum() / total)
    deviation = float(np.sqrt((((levels - mean) ** 2) * counts).sum() / total))
    present = np.flatnonzero(counts)
    below = np.cumsum(counts)
    quantiles = {name: float(levels[np.searchsorted(below, share * total)]) for name, share in QUANTILES.items()}
    return {"min": present[0] / 255, "max": present[-1] / 255, "mean": mean, "std": deviation} | quantiles
