"""Pictures and films of what a model imagines, beside the truth where it is known."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unified.data.heldout import HeldOutWindows
from unified.judging.scores import compared, imagine, partners, psnr
from unified.model.batch import Batch, images_to_uint8
from unified.model.model import UnifiedModel
from unified.report.video import Film, Frame, enlarge, error_map, side_by_side

Pictures = tuple[Any, Any, Any]
"""(before, imagined, happened), uint8 (camera, height, width, 3) each."""

_HEADINGS = {
    "copy_last": "now",
    "truth": "truth",
    "true_actions": "imagined",
    "shuffled_actions": "other actions",
    "no_actions": "no actions",
    "error": "error x3",
}


@torch.no_grad()
def strip(model: UnifiedModel, windows: HeldOutWindows, count: int = 6, size: int = 128, seed: int = 0) -> Frame:
    """A table of pictures: held-out windows as rows; now, truth and the arms that are compared as columns."""
    chosen = windows.pick(np.unique(np.linspace(0, len(windows) - 1, min(count, len(windows))).round().astype(int)))
    batch, partner = chosen.fetch(), partners(chosen, seed)
    lent = torch.from_numpy(chosen.commands_from(np.where(partner >= 0, partner, chosen.present)))
    films = {"truth": batch.images[:, chosen.known :], **imagine(model, batch, lent, chosen.known, seed=seed)}
    camera = first_camera(batch)
    columns = {name: to_film(film[:, compared(chosen), camera]) for name, film in films.items() if name in _HEADINGS}
    if "true_actions" in columns:
        columns["error"] = error_map(columns["truth"], columns["true_actions"])
    shown = {name: heading for name, heading in _HEADINGS.items() if name in columns}
    tall = [np.concatenate(enlarge(columns[name], size))[None] for name in shown]
    return side_by_side(tall, list(shown.values()))[0]


def first_camera(batch: Batch) -> int:
    """The first camera slot that the first sample fills."""
    is_pad = batch.camera_is_pad
    return 0 if is_pad is None else int((~is_pad[0]).nonzero()[0])


def to_film(images: Tensor) -> Film:
    """Images in [-1, 1] (frame, 3, height, width) to pixels."""
    return images_to_uint8(images).movedim(1, -1).contiguous().cpu().numpy()


def plan_film(pictures: Sequence[Pictures], size: int = 192) -> tuple[Film, dict[str, float]]:
    """A film of plans beside what then happened, and how near they came.

    Args:
        pictures: of one episode, from `unified.rollout.policies.PlanPolicy`.
        size: about the height of a picture.

    Returns:
        The film (imagined | happened | difference), and {"psnr", "copy_psnr"} in dB.
    """
    before, imagined, happened = (np.stack([row[part][0] for row in pictures]) for part in range(3))
    parts = [enlarge(imagined, size), enlarge(happened, size), enlarge(error_map(happened, imagined), size)]
    film = side_by_side(parts, ["imagined plan", "what happened", "difference x3"])
    return film, {"psnr": film_psnr(imagined, happened), "copy_psnr": film_psnr(before, happened)}


def film_psnr(film: Film, truth: Film) -> float:
    """PSNR in dB of a film of pixels against another, errors pooled over all frames."""
    squared = ((film.astype(np.float64) - truth) / 255) ** 2
    return float(psnr(np.array([squared.sum()]), np.array([float(squared.size)]))[0])


@torch.no_grad()
def imagined_film(
    model: UnifiedModel,
    batches: Sequence[Batch],
    query: str,
    num_steps: int,
    seed: int,
    actions: Sequence[Tensor] | None = None,
    hold_proprio: bool = False,
) -> tuple[Film, Film]:
    """Imagine window after window, each from the last picture imagined before, and the truth beside it.

    Args:
        model: answers.
        batches: one window each, one after the other, with the instructions, the actions and the body's measurements.
        query: "world_model", "video" or "joint".
        num_steps: denoise steps.
        seed: of the noise.
        actions: told to the model instead of the executed ones, one chunk (1, action_horizon, action_dim) a window.
        hold_proprio: keep the first window's measurements, since the later ones belong to what really happened.

    Returns:
        imagined, truth; both begin with the last observed picture.
    """
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    camera = first_camera(batches[0])
    start = batches[0].observation.images[:, :, -1]
    imagined, truth = [start[:, camera]], [start[:, camera]]
    images = batches[0].observation.images
    for number, batch in enumerate(batches):
        proprio = batches[0].observation.proprio if hold_proprio else batch.observation.proprio
        question = replace(batch, observation=replace(batch.observation, images=images, proprio=proprio))
        if actions is not None:
            question = replace(question, action=actions[number])
        answer = model.sample(question.to(device), query, num_steps=num_steps, generator=generator)
        film = answer["video"].clamp(-1, 1).cpu()
        assert batch.video is not None
        imagined.append(film[0, camera])
        truth.append(batch.video[0, camera])
        images = film[:, :, -1:]
    return to_film(torch.cat(imagined)), to_film(torch.cat(truth))


def comparison(films: Mapping[str, Film], size: int = 256) -> Film:
    """Films side by side under their names, enlarged, with the error of "imagined" against "truth" where both are."""
    shown = dict(films)
    if {"imagined", "truth"} <= set(shown):
        shown["error x3"] = error_map(shown["truth"], shown["imagined"])
    return side_by_side([enlarge(film, size) for film in shown.values()], list(shown))
