"""How well a model answers its queries on held-out windows, beside what costs nothing and beside itself without a hint.

Films are compared as PSNR (in dB, peak 1) of squared errors pooled over all windows, so that windows in which nothing
moves, where copying is perfect, do not rule the mean. Intervals resample whole episodes, since windows of one episode
are alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unified.data.heldout import HeldOutWindows
from unified.model.batch import Batch
from unified.model.model import UnifiedModel
from unified.model.queries import get_query

MOVING_THRESHOLD = 0.05
"""A pixel moves if a colour changes by more than this share of the whole range between now and the future frame."""

RESAMPLES = 1000
ARMS = {
    "true_actions": "the world model, told the actions that were executed",
    "shuffled_actions": "the world model, told the actions of another episode of the same task",
    "no_actions": "the video query, told no actions",
    "copy_last": "the last observed frame again",
}
FILM_QUERIES = {"true_actions": "world_model", "shuffled_actions": "world_model", "no_actions": "video"}
ACTION_QUERIES = ("policy", "inverse_dynamics", "joint")


def learned_queries(model: UnifiedModel) -> dict[str, bool]:
    """Of the queries that are scored and that the model has the streams for, whether it learned them."""
    names = dict.fromkeys((*FILM_QUERIES.values(), *ACTION_QUERIES))
    return {
        name: model.history.has_learned(name) for name in names if set(get_query(name).streams) <= set(model.decoders)
    }


@torch.no_grad()
def film_scores(
    model: UnifiedModel, windows: HeldOutWindows, num_steps: int = 1, seed: int = 0, batch_size: int = 64
) -> dict[str, Any]:
    """PSNR of imagined future frames, per arm of `ARMS`, over all pixels and over those that move.

    Arms of queries that the model did not learn are left out, and so is what is compared with them.

    Returns:
        windows, episodes, num_steps, moving_threshold, moving_share (of all pixels).
        arms: name -> {psnr, psnr_ci95, moving_psnr, moving_psnr_ci95, psnr_per_frame}.
        gain_over_copy_db, moving_gain_over_copy_db: true_actions less copy_last.
        shuffled_cost_db, moving_shuffled_cost_db: true_actions less shuffled_actions, over the `shuffled_windows` that
            have a partner (same task, other episode); no_actions_cost_db likewise less no_actions.
            Each {value, ci95}.
    """
    partner = partners(windows, seed)
    has_partner = partner >= 0
    lender = replace(windows, frame=np.where(has_partner, partner, windows.frame))
    errors: dict[str, list[Tensor]] = {}
    for batch, shuffled in zip(windows.batches(batch_size), lender.batches(batch_size), strict=True):
        for name, film in imagine(model, batch, shuffled, num_steps, seed).items():
            errors.setdefault(name, []).append(film_errors(film, batch))
    pooled = {name: torch.cat(parts).numpy() for name, parts in errors.items()}
    return {
        "windows": len(windows),
        "episodes": len(np.unique(windows.episode)),
        "num_steps": num_steps,
        "moving_threshold": MOVING_THRESHOLD,
        "moving_share": float(pooled["copy_last"][..., 3].sum() / pooled["copy_last"][..., 1].sum()),
        **_film_table(pooled, windows.episode, has_partner, seed),
    }


def imagine(
    model: UnifiedModel, batch: Batch, shuffled: Batch, num_steps: int = 1, seed: int = 0
) -> dict[str, Float[Tensor, " batch camera frame channel height width"]]:
    """One film per arm of `ARMS` that was learned, from the same noise, on the CPU; `shuffled` lends its actions."""
    device = next(model.parameters()).device

    def sample(question: Batch, query: str) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return model.sample(question.to(device), query, num_steps=num_steps, generator=generator)["video"].cpu()

    assert batch.video is not None
    questions = {
        "true_actions": batch,
        "shuffled_actions": replace(batch, action=shuffled.action),
        "no_actions": batch,
    }
    is_learned = learned_queries(model)
    films = {arm: sample(questions[arm], query) for arm, query in FILM_QUERIES.items() if is_learned.get(query)}
    return {**films, "copy_last": batch.observation.images[:, :, -1:].expand_as(batch.video)}


def film_errors(
    film: Float[Tensor, " batch camera frame channel height width"], batch: Batch
) -> Float[Tensor, " batch frame 4"]:
    """Squared error and number of values, over all pixels and over those that move, for pixels in [0, 1].

    Returns:
        (sum of squares, count, sum of squares where moving, count where moving); padding counts nowhere.
    """
    truth, last = batch.video, batch.observation.images[:, :, -1:]
    assert truth is not None
    squared = ((film.clamp(-1, 1) - truth) / 2).square().double()
    moving = ((truth - last).abs() / 2 > MOVING_THRESHOLD).any(dim=3, keepdim=True)
    keep = torch.ones_like(truth[:, :, :, :1, :1, :1], dtype=torch.bool)
    if batch.observation.camera_is_pad is not None:
        keep &= ~batch.observation.camera_is_pad[:, :, None, None, None, None]
    if batch.video_is_pad is not None:
        keep &= ~batch.video_is_pad[:, None, :, None, None, None]
    axes = (1, 3, 4, 5)
    parts: list[Tensor] = []
    for mask in (keep.expand_as(squared), (keep & moving).expand_as(squared)):
        parts += [(squared * mask).sum(axes), mask.sum(axes).double()]
    return torch.stack(parts, dim=-1)


def partners(windows: HeldOutWindows, seed: int) -> Int[np.ndarray, " window"]:
    """For each window a frame of its source from another episode of the same task, or -1 where there is none.

    Any episode may lend its actions, held out or not: nothing is learned from them.
    """
    rng = np.random.default_rng(seed)
    partner = np.full(len(windows), -1)
    for number, source in enumerate(windows.dataset.sources):
        cache = source.cache
        frames = np.arange(cache.bounds[-1])
        episode = np.searchsorted(cache.bounds, frames, side="right") - 1
        task = np.asarray(cache.task)
        whole = frames + windows.dataset.spec.action_horizon <= cache.bounds[episode + 1]
        for row in np.flatnonzero(windows.source == number):
            now = windows.frame[row]
            others = np.flatnonzero(whole & (task == task[now]) & (episode != episode[now]))
            if len(others):
                partner[row] = rng.choice(others)
    return partner


@torch.no_grad()
def action_scores(
    model: UnifiedModel, windows: HeldOutWindows, num_steps: int = 1, seed: int = 0, batch_size: int = 64
) -> dict[str, Any]:
    """Squared error of actions in units of their standard deviation, against the actions that were executed.

    An inverse-dynamics error means little beside the mean predictor alone, since most actions can be guessed from the
    observation: the policy query's error stands there to show what the film adds.

    Returns:
        windows, episodes, num_steps.
        arms: name -> {mse, mse_ci95, mse_per_action} for mean_predictor; hold_action (the action of the frame before,
            where there is one); hold_state (the measured state as command) where it beats the mean, that is where
            actions are positions; policy; inverse_dynamics and joint where there is video; learned queries only.
        inverse_over_policy: {value, ci95}, the ratio of the two errors (below 1: the film helps).
        policy_on_expert: {mse, mse_ci95} against the expert's clean action, where it was recorded.
    """
    queries = [name for name in ACTION_QUERIES if learned_queries(model).get(name)]
    arms = ("mean_predictor", "hold_action", "hold_state", *queries, "policy_on_expert")
    errors: dict[str, list[Tensor]] = {name: [] for name in arms}
    device = next(model.parameters()).device
    decoder: Any = model.decoders["action"]
    last_actions, has_last = (torch.from_numpy(array).split(batch_size) for array in windows.last_actions())
    for held_out, last, is_known in zip(windows.batches(batch_size), last_actions, has_last, strict=True):
        batch = held_out.to(device)
        keep = ~decoder.is_pad(batch)
        target = decoder.encode(batch)
        errors["mean_predictor"].append(_masked_sums(target, keep))
        held = last.to(device)[:, None].expand_as(target)
        held_error = decoder.encode(replace(batch, action=held)) - target
        errors["hold_action"].append(_masked_sums(held_error, keep & is_known.to(device)[:, None, None]))
        now = batch.observation.proprio[:, -1:].expand(-1, target.shape[1], -1)
        if now.shape == target.shape:
            errors["hold_state"].append(_masked_sums(decoder.encode(replace(batch, action=now)) - target, keep))
        for query in queries:
            generator = torch.Generator().manual_seed(seed)
            answer = model.sample(batch, query, num_steps=num_steps, generator=generator)["action"]
            guess = decoder.encode(replace(batch, action=answer))
            errors[query].append(_masked_sums(guess - target, keep))
            if query == "policy" and batch.expert_action is not None:
                clean = decoder.encode(replace(batch, action=batch.expert_action))
                errors["policy_on_expert"].append(_masked_sums(guess - clean, keep))
    pooled = {name: torch.cat(parts).cpu().numpy() for name, parts in errors.items() if parts}
    mean, held = (pooled.get(name) for name in ("mean_predictor", "hold_state"))
    if held is not None and mean is not None and _pooled_mse(held) >= _pooled_mse(mean):
        del pooled["hold_state"]
    if not _counts(pooled["hold_action"]).any():  # every window begins its episode
        del pooled["hold_action"]
    return {
        "windows": len(windows),
        "episodes": len(np.unique(windows.episode)),
        "num_steps": num_steps,
        **_action_table(pooled, windows.episode, seed),
    }


def _masked_sums(error: Tensor, keep: Bool[Tensor, " batch time action"]) -> Float[Tensor, " batch sum"]:
    """Sums of squares, then counts, of each action."""
    squared = error.square().double() * keep
    return torch.cat([squared.sum(1), keep.sum(1).double()], dim=1)


def _mse(sums: Float[np.ndarray, " resample sum"]) -> Float[np.ndarray, " resample"]:
    squares, counts = np.split(sums, 2, axis=1)
    return squares.sum(axis=1) / counts.sum(axis=1)


def _pooled_mse(sums: Float[np.ndarray, " window sum"]) -> float:
    return float(_mse(sums.sum(axis=0, keepdims=True))[0])


def _counts(sums: Float[np.ndarray, " window sum"]) -> Float[np.ndarray, " window"]:
    return np.split(sums, 2, axis=1)[1].sum(axis=1)


def bootstrap(
    statistic: Callable[[Float[np.ndarray, " resample column"]], Float[np.ndarray, " resample"]],
    sums: Float[np.ndarray, " window column"],
    episodes: Int[np.ndarray, " window"],
    seed: int = 0,
) -> dict[str, Any]:
    """Value and 95 % percentile interval (None for a single episode) of a statistic of sums, resampling whole episodes.

    Args:
        statistic: from sums over windows, one row a resample, to numbers.
        sums: what each window adds.
        episodes: the episode of each window.
    """
    numbers, place = np.unique(episodes, return_inverse=True)
    per_episode = np.zeros((len(numbers), sums.shape[1]))
    np.add.at(per_episode, place, sums)
    value = float(statistic(per_episode.sum(axis=0, keepdims=True))[0])
    if len(numbers) < 2:
        return {"value": value, "ci95": None}
    share = np.full(len(numbers), 1 / len(numbers))
    counts = np.random.default_rng(seed).multinomial(len(numbers), share, size=RESAMPLES)
    low, high = np.quantile(statistic(counts @ per_episode), [0.025, 0.975])
    return {"value": value, "ci95": [float(low), float(high)]}


def psnr(squares: Float[np.ndarray, " *shape"], count: Float[np.ndarray, " *shape"]) -> Float[np.ndarray, " *shape"]:
    """Peak signal-to-noise ratio in dB of pixels in [0, 1]; no error at all counts as 100 dB."""
    return -10 * np.log10(np.maximum(squares / np.maximum(count, 1), 1e-10))


def _film_table(
    errors: Mapping[str, Any], episodes: Any, has_partner: Bool[np.ndarray, " window"], seed: int
) -> dict[str, Any]:
    first = {name: values[:, 0] for name, values in errors.items()}

    def level(name: str, column: int) -> dict[str, Any]:
        return bootstrap(lambda total: psnr(total[:, column], total[:, column + 1]), first[name], episodes, seed)

    def difference(better: str, worse: str, column: int, rows: Any) -> dict[str, Any]:
        both = np.concatenate([first[better], first[worse]], axis=1)[rows]
        left, right = column, column + 4
        return bootstrap(
            lambda total: psnr(total[:, left], total[:, left + 1]) - psnr(total[:, right], total[:, right + 1]),
            both,
            episodes[rows],
            seed,
        )

    arms: dict[str, Any] = {}
    for name, values in errors.items():
        whole, moving = level(name, 0), level(name, 2)
        total = values.sum(axis=0)
        arms[name] = {
            "psnr": whole["value"],
            "psnr_ci95": whole["ci95"],
            "moving_psnr": moving["value"],
            "moving_psnr_ci95": moving["ci95"],
            "psnr_per_frame": psnr(total[:, 0], total[:, 1]).tolist(),
        }
    if not has_partner.any():
        arms.pop("shuffled_actions", None)
    everywhere = np.ones_like(has_partner)
    table: dict[str, Any] = {"arms": arms, "shuffled_windows": int(has_partner.sum())}
    comparisons = {
        "gain_over_copy_db": ("copy_last", everywhere),
        "no_actions_cost_db": ("no_actions", everywhere),
        "shuffled_cost_db": ("shuffled_actions", has_partner),
    }
    for name, (worse, rows) in comparisons.items():
        if {"true_actions", worse} <= set(arms):
            table[name] = difference("true_actions", worse, 0, rows)
            table[f"moving_{name}"] = difference("true_actions", worse, 2, rows)
    return table


def _action_table(errors: Mapping[str, Any], episodes: Any, seed: int) -> dict[str, Any]:
    def level(name: str) -> dict[str, Any]:
        used = _counts(errors[name]) > 0  # a resample of episodes in which nothing counts would have no value
        made = bootstrap(_mse, errors[name][used], episodes[used], seed)
        squares, counts = np.split(errors[name].sum(axis=0), 2)
        per_action = [float(square / count) if count else None for square, count in zip(squares, counts, strict=True)]
        return {"mse": made["value"], "mse_ci95": made["ci95"], "mse_per_action": per_action}

    table: dict[str, Any] = {"arms": {name: level(name) for name in errors if name != "policy_on_expert"}}
    if {"inverse_dynamics", "policy"} <= set(errors):
        both = np.concatenate([errors["inverse_dynamics"], errors["policy"]], axis=1)
        half = both.shape[1] // 2
        ratio = bootstrap(lambda total: _mse(total[:, :half]) / _mse(total[:, half:]), both, episodes, seed)
        table["inverse_over_policy"] = ratio
    if "policy_on_expert" in errors:
        table["policy_on_expert"] = level("policy_on_expert")
    return table
