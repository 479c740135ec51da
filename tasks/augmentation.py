"""Pictures moved by a few pixels: the same is to be done wherever it is seen; mirrored: the opposite is to be done.

Source: the random shifts of DrQ (Kostrikov et al. 2020), edges repeated; mirrored pictures with negated steering as in
"End to End Learning for Self-Driving Cars" and its many followers.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from unified.model.batch import Batch


def draw_shifts(
    num_rows: int, num_cameras: int, max_pixels: int, generator: torch.Generator
) -> Int[Tensor, " row camera 2"]:
    """Pixels down and right, from -max_pixels to max_pixels, for each row and camera."""
    shape = (num_rows, num_cameras, 2)
    return torch.randint(-max_pixels, max_pixels + 1, shape, generator=generator, device=generator.device)


def shift_pictures(batch: Batch, shifts: Int[Tensor, " batch camera 2"]) -> Batch:
    """Move what every camera shows, observed and future frames alike, so that all motion stays as it was."""
    observation = replace(batch.observation, images=shift(batch.observation.images, shifts))
    return replace(batch, observation=observation, video=None if batch.video is None else shift(batch.video, shifts))


def shift(
    images: Float[Tensor, " batch camera time channel height width"], shifts: Int[Tensor, " batch camera 2"]
) -> Float[Tensor, " batch camera time channel height width"]:
    """Move pictures down and right by whole pixels; what comes in repeats the edge."""
    count, cameras, _, _, height, width = images.shape
    margin = int(shifts.abs().max())
    padded = F.pad(images.flatten(0, 1).flatten(1, 2), (margin,) * 4, mode="replicate")
    views = padded.unfold(2, height, 1).unfold(3, width, 1)  # every place a picture can be cut out at, without a copy
    down, right = margin - shifts.flatten(0, 1).T
    return views[torch.arange(count * cameras, device=images.device), :, down, right].view_as(images)


def mirror(batch: Batch, rows: Bool[Tensor, " batch"], actions: Sequence[int]) -> Batch:
    """Exchange left and right in all pictures of these rows, observed and future, and the sign of these actions.

    Proprio stays as it is, so it must not tell left from right.
    """
    sign = torch.ones((), device=rows.device).repeat(0 if batch.action is None else batch.action.shape[-1])
    sign[list(actions)] = -1.0

    def flipped(images: Tensor | None) -> Tensor | None:
        return None if images is None else torch.where(rows[(...,) + (None,) * 5], images.flip(-1), images)

    def negated(values: Tensor | None) -> Tensor | None:
        return None if values is None else torch.where(rows[:, None, None], values * sign, values)

    images = flipped(batch.observation.images)
    assert images is not None
    return replace(
        batch,
        observation=replace(batch.observation, images=images),
        video=flipped(batch.video),
        action=negated(batch.action),
        expert_action=negated(batch.expert_action),
    )
