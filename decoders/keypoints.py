"""Where things are, as numbers: feature points of a picture.

Source: spatial softmax, Levine et al. 2016, "End-to-End Training of Deep Visuomotor Policies", section 5.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

SHRINK = 4  # pixels along the side of what one feature of the trunk covers


def trunk(channels: int, width: int) -> nn.Sequential:
    """Fine features of a picture: 2 * width channels at a quarter of its height and width."""
    return nn.Sequential(
        *_layer(channels, width, kernel=5, stride=2),
        *_layer(width, 2 * width, kernel=3, stride=2),
        *_layer(2 * width, 2 * width, kernel=3, stride=1),
    )


def _layer(inputs: int, outputs: int, kernel: int, stride: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.GroupNorm(8, outputs), nn.GELU()


class Keypoints(nn.Module):
    """The mean places of what each of some detectors responds to, as one token.

    A place is continuous, so it tells a hand by how much it is off; the patches of a transformer only tell it by what
    is in them, which takes many more examples.

    Args:
        channels: of the features.
        number: of detectors.
        dim: width of the token.
    """

    def __init__(self, channels: int, number: int, dim: int):
        super().__init__()
        self.detect = nn.Conv2d(channels, number, kernel_size=1)
        self.linear = nn.Sequential(nn.Linear(2 * number, dim), nn.GELU(), nn.Linear(dim, dim))

    def places(self, features: Float[Tensor, "batch channel row column"]) -> Float[Tensor, "batch detector 2"]:
        """Row and column of every detector's mean response, in [-1, 1]."""
        response = self.detect(features).float()
        rows, columns = response.shape[-2:]
        response = response.flatten(2).softmax(dim=-1).unflatten(2, (rows, columns))
        row = response.sum(3) @ torch.linspace(-1, 1, rows, device=response.device)
        column = response.sum(2) @ torch.linspace(-1, 1, columns, device=response.device)
        return torch.stack([row, column], dim=-1)

    def forward(self, features: Float[Tensor, "batch channel row column"]) -> Float[Tensor, "batch dim"]:
        return self.linear(self.places(features).flatten(1))
