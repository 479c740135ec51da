"""How well a model imagines held-out films, beside copying and beside itself told the wrong commands or none.

A film begins at the present: its first picture is imagined from the known moments, every further one also from those
imagined before. Proprio is imagined with the pictures, never taken from the recording.

Films are compared as PSNR (in dB, peak 1) of squared errors pooled over all windows, so that windows in which nothing
moves, where copying is perfect, do not rule the mean. Intervals resample whole episodes, since windows of one episode
are alike.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unified.data.heldout import HeldOutWindows
from unified.judging.intervals import bootstrap
from unified.judging.questions import film_queries
from unified.model.batch import Batch
from unified.model.model import UnifiedModel
from unified.model.spec import ACTION, PROPRIO
from unified.rollout.dreams.dream import dream_film

MOVING_THRESHOLD = 0.05
"""A pixel moves if a colour changes by more than this share of the whole range between the present and the frame."""

STEPS_AHEAD = 8
"""Films are compared at the first imagined moment that is at least so many env steps ahead."""

ARMS = {
    "true_actions": "the world model, told the commands that were executed",
    "shuffled_actions": "the world model, told the commands of another episode of the same task",
    "no_actions": "the video query, told no commands",
    "copy_last": "the present frame again",
}
"""Other queries that imagine films have arms of their own names, told the true commands if they are given any."""

_SQUARES, _COUNT, _MOVING, _MOVING_COUNT, _SSIM, _SSIM_COUNT = range(6)


@torch.no_grad()
def film_scores(
    model: UnifiedModel, windows: HeldOutWindows, num_steps: int = 1, seed: int = 0, batch_size: int = 64
) -> dict[str, Any]:
    """PSNR and SSIM of imagined frames, per arm of `ARMS`, over all pixels and over those that move.

    Arms of queries that the model did not learn are left out, and so is what is compared with them.

    Returns:
        windows, episodes, num_steps, known_moments, moving_threshold.
        env_steps: of each imagined frame, how far ahead it is; steps_ahead: of the frame that is compared.
        proprio: "imagined", or "held" in films of queries that do not want it.
        moving_share: of all pixels of the frame that is compared.
        arms: name -> {psnr, psnr_ci95, moving_psnr, moving_psnr_ci95, ssim, ssim_ci95} of that frame, and
            {psnr_per_frame, moving_psnr_per_frame, ssim_per_frame}. SSIM is None for pictures of less than 11 pixels.
        gain_over_copy_db, moving_gain_over_copy_db: true_actions less copy_last.
        shuffled_cost_db, moving_shuffled_cost_db: true_actions less shuffled_actions, over the `shuffled_windows` that
            have a partner (same task, other episode); no_actions_cost_db likewise less no_actions.
            Each {value, ci95}.
    """
    partner = partners(windows, seed)
    has_partner = partner >= 0
    lent = torch.from_numpy(windows.commands_from(np.where(has_partner, partner, windows.present))).split(batch_size)
    errors: dict[str, list[Tensor]] = {}
    for number, (batch, commands) in enumerate(zip(windows.batches(batch_size), lent, strict=True)):
        keys = [(number * batch_size + row,) for row in range(len(batch))]
        for name, film in imagine(model, batch, commands, windows.known, num_steps, seed, keys).items():
            errors.setdefault(name, []).append(film_errors(film, batch, windows.known))
    pooled = {name: torch.cat(parts).numpy() for name, parts in errors.items()}
    env_steps, at = [windows.stride * step for step in range(1, windows.steps + 1)], compared(windows)
    total = pooled["copy_last"][:, at].sum(axis=0)
    return {
        "windows": len(windows),
        "episodes": len(np.unique(windows.episode)),
        "num_steps": num_steps,
        "known_moments": windows.known,
        "env_steps": env_steps,
        "steps_ahead": env_steps[at],
        "proprio": _proprio(model),
        "moving_threshold": MOVING_THRESHOLD,
        "moving_share": float(total[_MOVING_COUNT] / total[_COUNT]),
        **_film_table(pooled, at, windows.episode, has_partner, seed),
    }


def compared(windows: HeldOutWindows) -> int:
    """Which of the imagined frames is compared: the first at least `STEPS_AHEAD` env steps ahead, else the last."""
    return min(-(-STEPS_AHEAD // windows.stride), windows.steps) - 1


def imagine(
    model: UnifiedModel,
    batch: Batch,
    lent: Float[Tensor, " batch step env_step action_dim"],
    known: int = 1,
    num_steps: int = 1,
    seed: int = 0,
    keys: Sequence[Sequence[int]] | None = None,
) -> dict[str, Float[Tensor, " batch step camera channel height width"]]:
    """One film per arm of `ARMS` that was learned, from the same noise, on the CPU.

    Args:
        model: imagines.
        batch: windows, of which the first `known` moments are known.
        lent: another episode's commands, step by step from the present on.
        known: moments of the batch that are known.
        num_steps: denoise steps.
        seed, keys: of the noise, see `Dream`.
    """
    start, told = batch.window(0, known - 1), batch.column("between", ACTION)[:, known - 1 :]
    options = {"num_steps": num_steps, "seed": seed, "keys": keys}
    queries = film_queries(model)
    names = {"world_model": "true_actions", "video": "no_actions"}
    films = {names.get(name, name): dream_film(model, start, told, query, **options) for name, query in queries.items()}
    if "world_model" in queries:
        films["shuffled_actions"] = dream_film(model, start, lent, queries["world_model"], **options)
    return {**films, "copy_last": batch.images[:, known - 1 : known].expand(-1, told.shape[1], -1, -1, -1, -1)}


def _proprio(model: UnifiedModel) -> str:
    """Where films have proprio from; the recording is not among the answers."""
    streams = {name for name, columns in model.following.items() if PROPRIO in columns}
    ways = {"imagined" if streams & set(query.wanted) else "held" for query in film_queries(model).values()}
    return " or ".join(sorted(ways, reverse=True))


def film_errors(
    film: Float[Tensor, " batch step camera channel height width"], batch: Batch, known: int = 1
) -> Float[Tensor, " batch step 6"]:
    """What films add to the sums, for pixels in [0, 1].

    Returns:
        (sum of squares, count, sum of squares where moving, count where moving, sum of SSIM, count of pictures);
        padding counts nowhere.
    """
    truth, present = batch.images[:, known:], batch.images[:, known - 1 : known]
    squared = ((film.clamp(-1, 1) - truth) / 2).square().double()
    moving = ((truth - present).abs() / 2 > MOVING_THRESHOLD).any(dim=3, keepdim=True)
    keep = torch.ones_like(truth[:, :, :, :1, :1, :1], dtype=torch.bool)
    if batch.camera_is_pad is not None:
        keep &= ~batch.camera_is_pad[:, None, :, None, None, None]
    if batch.moment_is_pad is not None:
        keep &= ~batch.moment_is_pad[:, known:, None, None, None, None]
    axes = (2, 3, 4, 5)
    parts: list[Tensor] = []
    for mask in (keep.expand_as(squared), (keep & moving).expand_as(squared)):
        parts += [(squared * mask).sum(axes), mask.sum(axes).double()]
    likeness, is_picture = _ssim(film, truth), keep[..., 0, 0, 0]
    if likeness is None:
        return torch.stack([*parts, torch.zeros_like(parts[0]), torch.zeros_like(parts[0])], dim=-1)
    return torch.stack([*parts, (likeness * is_picture).sum(2), is_picture.sum(2).double()], dim=-1)


def _ssim(
    film: Float[Tensor, " batch step camera channel height width"],
    truth: Float[Tensor, " batch step camera channel height width"],
) -> Float[Tensor, " batch step camera"] | None:
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    if min(film.shape[-2:]) < 11:  # its window
        return None
    imagined, happened = ((frames.clamp(-1, 1).flatten(0, 2) + 1) / 2 for frames in (film, truth))
    likeness = ssim(imagined, happened, data_range=1.0, reduction="none")
    assert isinstance(likeness, Tensor)
    return likeness.double().reshape(film.shape[:3])


def partners(windows: HeldOutWindows, seed: int) -> Int[np.ndarray, " window"]:
    """For each window a row of its source in another episode of the same task, or -1 where there is none.

    Any episode may lend its commands, held out or not: nothing is learned from them.
    """
    rng = np.random.default_rng(seed)
    partner = np.full(len(windows), -1)
    for number, source in enumerate(windows.dataset.sources):
        cache = source.cache
        frames = np.arange(cache.bounds[-1])
        episode = np.searchsorted(cache.bounds, frames, side="right") - 1
        task = np.asarray(cache.task)
        whole = frames + windows.steps * source.frame_stride <= cache.bounds[episode + 1]
        for row in np.flatnonzero(windows.source == number):
            now = windows.present[row]
            others = np.flatnonzero(whole & (task == task[now]) & (episode != episode[now]))
            if len(others):
                partner[row] = rng.choice(others)
    return partner


def psnr(squares: Float[np.ndarray, " *shape"], count: Float[np.ndarray, " *shape"]) -> Float[np.ndarray, " *shape"]:
    """Peak signal-to-noise ratio in dB of pixels in [0, 1]; no error at all counts as 100 dB."""
    return -10 * np.log10(np.maximum(squares / np.maximum(count, 1), 1e-10))


def _film_table(
    errors: Mapping[str, Any], at: int, episodes: Any, has_partner: Bool[np.ndarray, " window"], seed: int
) -> dict[str, Any]:
    frame = {name: values[:, at] for name, values in errors.items()}

    def level(name: str, column: int) -> dict[str, Any]:
        return bootstrap(lambda total: psnr(total[:, column], total[:, column + 1]), frame[name], episodes, seed)

    def difference(better: str, worse: str, column: int, rows: Any) -> dict[str, Any]:
        both = np.concatenate([frame[better], frame[worse]], axis=1)[rows]
        left, right = column, column + frame[better].shape[1]
        return bootstrap(
            lambda total: psnr(total[:, left], total[:, left + 1]) - psnr(total[:, right], total[:, right + 1]),
            both,
            episodes[rows],
            seed,
        )

    arms: dict[str, Any] = {}
    for name, values in errors.items():
        if name == "shuffled_actions" and not has_partner.any():
            continue
        whole, moving, total = level(name, _SQUARES), level(name, _MOVING), values.sum(axis=0)
        arms[name] = {
            "psnr": whole["value"],
            "psnr_ci95": whole["ci95"],
            "moving_psnr": moving["value"],
            "moving_psnr_ci95": moving["ci95"],
            "psnr_per_frame": psnr(total[:, _SQUARES], total[:, _COUNT]).tolist(),
            "moving_psnr_per_frame": psnr(total[:, _MOVING], total[:, _MOVING_COUNT]).tolist(),
            **_likeness(frame[name], total, episodes, seed),
        }
    everywhere = np.ones_like(has_partner)
    table: dict[str, Any] = {"arms": arms, "shuffled_windows": int(has_partner.sum())}
    comparisons = {
        "gain_over_copy_db": ("copy_last", everywhere),
        "no_actions_cost_db": ("no_actions", everywhere),
        "shuffled_cost_db": ("shuffled_actions", has_partner),
    }
    for name, (worse, rows) in comparisons.items():
        if {"true_actions", worse} <= set(arms):
            table[name] = difference("true_actions", worse, _SQUARES, rows)
            table[f"moving_{name}"] = difference("true_actions", worse, _MOVING, rows)
    return table


def _likeness(frame: Any, total: Any, episodes: Any, seed: int) -> dict[str, Any]:
    """SSIM of the frame that is compared and of every frame, as means over pictures."""
    if not total[:, _SSIM_COUNT].all():
        return {"ssim": None, "ssim_ci95": None, "ssim_per_frame": None}
    made = bootstrap(lambda sums: sums[:, _SSIM] / sums[:, _SSIM_COUNT], frame, episodes, seed)
    per_frame = (total[:, _SSIM] / total[:, _SSIM_COUNT]).tolist()
    return {"ssim": made["value"], "ssim_ci95": made["ci95"], "ssim_per_frame": per_frame}
