"""Pictures moved by a few pixels: the same is to be done wherever it is seen; mirrored: the opposite is to be done.

Source: the random shifts of DrQ (Kostrikov et al. 2020), edges repeated; mirrored pictures with negated steering as in
"End to End Learning for Self-Driving Cars" and its many followers.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional as F

from unified.model.batch import Batch
from unified.model.spec import ACTION


def draw_shifts(
    num_rows: int, num_cameras: int, max_pixels: int, generator: torch.Generator
) -> Int[Tensor, " row camera 2"]:
    """Pixels down and right, from -max_pixels to max_pixels, for each row and camera."""
    shape = (num_rows, num_cameras, 2)
    return torch.randint(-max_pixels, max_pixels + 1, shape, generator=generator, device=generator.device)


def shift_pictures(batch: Batch, shifts: Int[Tensor, " batch camera 2"]) -> Batch:
    """Move what every camera shows by whole pixels, at all moments alike, so that all motion stays as it was.

    What comes in repeats the edge.
    """
    images = batch.images.transpose(1, 2)
    count, cameras, _, _, height, width = images.shape
    margin = int(shifts.abs().max())
    padded = F.pad(images.flatten(0, 1).flatten(1, 2), (margin,) * 4, mode="replicate")
    views = padded.unfold(2, height, 1).unfold(3, width, 1)  # every place a picture can be cut out at, without a copy
    down, right = margin - shifts.flatten(0, 1).T
    moved = views[torch.arange(count * cameras, device=images.device), :, down, right].view_as(images)
    return replace(batch, images=moved.transpose(1, 2))


def mirror(batch: Batch, rows: Bool[Tensor, " batch"], actions: Sequence[int]) -> Batch:
    """Exchange left and right in all pictures of these rows, and the sign of these actions.

    Proprio stays as it is, so it must not tell left from right.
    """
    images = torch.where(rows[(...,) + (None,) * 5], batch.images.flip(-1), batch.images)
    negated = {}
    for where, columns in (("between", batch.between), ("ahead", batch.ahead)):
        if ACTION in columns:
            sign = torch.ones(columns[ACTION].shape[-1], device=rows.device)
            sign[list(actions)] = -1.0
            values = columns[ACTION]
            negated[where] = {**columns, ACTION: torch.where(rows[:, None, None, None], values * sign, values)}
    return replace(batch, images=images, **negated)
