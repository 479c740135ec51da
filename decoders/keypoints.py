"""Where things are and what is there: feature points of a picture.

Source: spatial softmax, Levine et al. 2016, "End-to-End Training of Deep Visuomotor Policies", section 5; what is there
is pooled with the same weights as in Ryoo et al. 2021, "TokenLearner".
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unified.errors import UserError

SHRINK = 4  # pixels along the side of what one feature of the trunk covers
_SHARPNESS = 3.0  # standard deviation of a detector's first responses; with less it looks everywhere and learns slowly


def trunk(channels: int, width: int, first_stride: int = 2) -> nn.Sequential:
    """Fine features of a picture: 2 * width channels at a quarter of its height and width.

    Args:
        channels, width: of the picture, and half of those of the features.
        first_stride: 2: by way of half the height and width; 4: at once, for a third less work.

    Raises:
        UserError: for another first stride.
    """
    if first_stride not in (2, SHRINK):
        raise UserError(f"first_stride must be 2 or {SHRINK}, got {first_stride}.")
    fine = 2 * width
    if first_stride == 2:
        first = *_layer(channels, width, 5, 2), *_layer(width, width, 3, 1), *_layer(width, fine, 3, 2)
    else:
        first = *_layer(channels, fine, 2 * SHRINK, SHRINK), *_layer(fine, fine, 3, 1)
    return nn.Sequential(*first, *_layer(fine, fine, 3, 1), *_layer(fine, fine, 3, 1))


def _layer(inputs: int, outputs: int, kernel: int, stride: int) -> tuple[nn.Module, ...]:
    padding = (kernel - stride + 1) // 2
    return nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.GroupNorm(8, outputs), nn.GELU()


class Keypoints(nn.Module):
    """Some detectors, each giving a token: the mean place of what it responds to, and what is there.

    A place is continuous, so it tells a hand by how much it is off; the patches of a transformer only tell it by what
    is in them, which takes many more examples.

    Args:
        channels: of the features.
        number: of detectors.
        dim: width of a token.
    """

    def __init__(self, channels: int, number: int, dim: int):
        super().__init__()
        self.number = number
        self.detect = nn.Conv2d(channels, number, kernel_size=1)
        nn.init.normal_(self.detect.weight, std=_SHARPNESS / channels**0.5)
        self.prefer = nn.Parameter(torch.zeros(2, number))  # a detector may look more at one side
        self.place_linear = nn.Linear(2 * number, dim)
        self.point_linear = nn.Linear(2 + channels, dim)
        self.names = nn.Parameter(torch.randn(number, dim) * 0.5)

    def weights(self, features: Float[Tensor, "batch channel row column"]) -> Float[Tensor, "batch detector cell"]:
        """How much each detector looks at each cell, row by row; sums to 1."""
        response = self.detect(features).float()
        side = coordinates(response) @ self.prefer
        return (response.flatten(2) + side.T).softmax(dim=-1)

    def places(self, features: Float[Tensor, "batch channel row column"]) -> Float[Tensor, "batch detector 2"]:
        """Row and column of every detector's mean response, in [-1, 1]."""
        return self.weights(features) @ coordinates(features)

    def forward(self, features: Float[Tensor, "batch channel row column"]) -> Float[Tensor, "batch token dim"]:
        """A token for each detector, and one of all places together."""
        weights = self.weights(features)
        places = weights @ coordinates(features)
        content = weights.to(features.dtype) @ features.flatten(2).transpose(1, 2)
        points = self.point_linear(torch.cat([places, content.float()], dim=-1)) + self.names
        return torch.cat([points, self.place_linear(places.flatten(1))[:, None]], dim=1)


def coordinates(features: Float[Tensor, "batch channel row column"]) -> Float[Tensor, "cell 2"]:
    """Row and column of every cell, in [-1, 1]."""
    rows, columns = features.shape[-2:]
    row, column = (torch.linspace(-1, 1, count, device=features.device) for count in (rows, columns))
    return torch.stack(torch.meshgrid(row, column, indexing="ij"), dim=-1).flatten(0, 1)
