"""What changed since the moment before: pictures beside the ones before them, proprio as its rate of change."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from decoders.frames import patchify
from unified.errors import UserError

SHRINK = 8
"""Pixels along the side of what one feature of the convolutions covers."""


class PictureChanges(nn.Module):
    """Two pictures of a camera to a coarse grid of tokens: a speed is read off them without comparing two grids.

    Args:
        dim: width of a token.
        size: height and width of a picture.
        patch_size: pixels along the side of the square that becomes one token, a multiple of 8.
        channels: 3 for RGB.
        width: channels of the first convolution.
    """

    def __init__(self, dim: int, size: tuple[int, int], patch_size: int = 32, channels: int = 3, width: int = 32):
        super().__init__()
        if patch_size % SHRINK or any(side % patch_size for side in size):
            raise UserError(
                f"observation.changes must be 0, or a multiple of {SHRINK} pixels that divides the picture's "
                f"{size[0]}x{size[1]}, got {patch_size}."
            )
        self.grid = (size[0] // patch_size, size[1] // patch_size)
        self.stem = nn.Sequential(
            nn.Conv2d(2 * channels, width, kernel_size=8, stride=4, padding=2),
            nn.GroupNorm(8, width),
            nn.GELU(),
            nn.Conv2d(width, 2 * width, kernel_size=4, stride=2, padding=1),
            nn.GroupNorm(8, 2 * width),
            nn.GELU(),
        )
        self.cells = patch_size // SHRINK
        self.linear = nn.Linear(2 * width * self.cells**2, dim)

    def forward(
        self, before: Float[Tensor, " row channel height width"], now: Float[Tensor, " row channel height width"]
    ) -> Float[Tensor, " row token dim"]:
        return self.linear(patchify(self.stem(torch.cat([now, now - before], dim=1)), self.cells))
