"""How near a sampled answer is to the truth, one number a stream; logged at validation beside the losses."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unified.model.batch import Batch
from unified.model.model import UnifiedModel
from unified.model.queries import Query


def psnr(
    frames: Float[Tensor, " batch camera frame channel height width"],
    truth: Float[Tensor, " batch camera frame channel height width"],
    is_pad: Bool[Tensor, " batch camera frame 1 1 1"],
) -> Float[Tensor, ""]:
    """Mean over frames of 10 log10(4 / mean squared error), in dB; pixels in [-1, 1], no padded frames."""
    error = (frames - truth).square().mean(dim=(-3, -2, -1)).clamp_min(1e-10)
    keep = ~is_pad[..., 0, 0, 0]
    return (10 * torch.log10(4 / error))[keep].mean()


def video_metrics(model: UnifiedModel, batch: Batch, query: Query, answer: Tensor) -> dict[str, Tensor]:
    """PSNR of the film in dB, and of repeating the last observed frame."""
    assert batch.video is not None
    is_pad = model.decoders["video"].is_pad(batch)  # pyright: ignore[reportCallIssue]
    still = batch.observation.images[:, :, -1:].expand_as(batch.video)
    return {f"psnr_{query.name}": psnr(answer, batch.video, is_pad), "psnr_copy_last": psnr(still, batch.video, is_pad)}


def action_metrics(model: UnifiedModel, batch: Batch, query: Query, answer: Tensor) -> dict[str, Tensor]:
    """Mean squared error in units of the data's variance: always predicting the mean action gives about 1."""
    decoder = model.decoders["action"]
    target = batch
    if query.imitates and batch.expert_action is not None:
        target = replace(batch, action=batch.expert_action)
    keep = ~decoder.is_pad(batch)  # pyright: ignore[reportCallIssue]
    if query.imitates and batch.is_demonstration is not None:
        keep = keep & batch.is_demonstration[:, None, None]
    difference = decoder.encode(replace(batch, action=answer)) - decoder.encode(target)  # pyright: ignore[reportCallIssue]
    return {f"action_mse_{query.name}": difference.square()[keep.expand_as(difference)].mean()}


Metric = Callable[[UnifiedModel, Batch, Query, Tensor], dict[str, Tensor]]
METRICS: dict[str, Metric] = {
    "video": video_metrics,
    "action": action_metrics,
}
"""By stream. A stream without an entry is judged by its loss alone."""
