"""How near a sampled answer is to the truth, one number a stream; logged at validation beside the losses."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unified.model.batch import Batch
from unified.model.model import UnifiedModel
from unified.model.queries import Query
from unified.model.spec import ACTION


def psnr(
    frames: Float[Tensor, " row camera channel height width"],
    truth: Float[Tensor, " row camera channel height width"],
    is_pad: Bool[Tensor, " row camera 1 1 1"],
) -> Float[Tensor, ""]:
    """Mean over frames of 10 log10(4 / mean squared error), in dB; pixels in [-1, 1], no padded frames."""
    error = (frames - truth).square().mean(dim=(-3, -2, -1)).clamp_min(1e-10)
    return (10 * torch.log10(4 / error))[~is_pad[..., 0, 0, 0]].mean()


def video_metrics(model: UnifiedModel, batch: Batch, query: Query, answer: Tensor, now: int) -> dict[str, Tensor]:
    """PSNR of the next moment's frames in dB, and of showing the present ones again."""
    is_pad = model.decoder("video").is_pad(batch)[:, now]
    present, truth = batch.images[:, now], batch.images[:, now + 1]
    return {f"psnr_{query.name}": psnr(answer, truth, is_pad), "psnr_copy_last": psnr(present, truth, is_pad)}


def action_metrics(model: UnifiedModel, batch: Batch, query: Query, answer: Tensor, now: int) -> dict[str, Tensor]:
    """Mean squared error in units of the data's variance: always predicting the mean action gives about 1."""
    stream, column = ("plan", batch.ahead) if query.imitates else ("action", batch.between)
    decoder, truth = model.decoder(stream), column[ACTION]
    guess = truth.clone()
    guess[:, now] = answer.to(truth)
    guessed = batch.with_columns("ahead" if query.imitates else "between", {ACTION: guess})
    difference = (decoder.encode(guessed) - decoder.encode(batch))[:, now]
    keep = ~decoder.is_pad(batch)[:, now].expand_as(difference)
    return {f"action_mse_{query.name}": difference.square()[keep].mean()}


Metric = Callable[[UnifiedModel, Batch, Query, Tensor, int], dict[str, Tensor]]
METRICS: dict[str, Metric] = {
    "video": video_metrics,
    "action": action_metrics,
    "plan": action_metrics,
}
"""By stream: what validation measures of an answer about the step after a moment. Others are judged by their loss."""
