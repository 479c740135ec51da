"""A small convolutional variational autoencoder of frames; trained by `tasks/autoencoder.py`, frozen elsewhere."""

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from unified.atomic import atomic_path, write_text
from unified.errors import UserError

WEIGHTS, CONFIG = "model.safetensors", "config.json"


class ResidualBlock(nn.Module):
    """Two convolutions around which the input is carried."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(
        self, pixels: Float[Tensor, " batch channel height width"]
    ) -> Float[Tensor, " batch channel height width"]:
        hidden = self.conv1(F.silu(self.norm1(pixels)))
        return pixels + self.conv2(F.silu(self.norm2(hidden)))


class ConvAutoencoder(nn.Module):
    """Frames in [-1, 1] to a smaller grid of latents and back.

    Args:
        width: channels at full resolution, a multiple of 8; doubled once on the way down.
        latent_channels: numbers kept for each cell of the smaller grid.
        downsampling: pixels along a cell's side, 2, 4, 8 or 16.
    """

    def __init__(self, width: int = 32, latent_channels: int = 8, downsampling: int = 8):
        super().__init__()
        if downsampling not in (2, 4, 8, 16):
            raise UserError(f"downsampling must be 2, 4, 8 or 16, got {downsampling}.")
        if width % 8:
            raise UserError(f"width must be a multiple of 8, got {width}.")
        self.options = {"width": width, "latent_channels": latent_channels, "downsampling": downsampling}
        self.latent_channels, self.downsampling = latent_channels, downsampling
        widths = [width] + [2 * width] * (downsampling.bit_length() - 1)
        down: list[nn.Module] = [nn.Conv2d(3, widths[0], 3, padding=1)]
        for before, after in zip(widths, widths[1:], strict=False):
            down += [ResidualBlock(before), nn.Conv2d(before, after, 4, stride=2, padding=1)]
        down += [ResidualBlock(widths[-1]), nn.Conv2d(widths[-1], 2 * latent_channels, 3, padding=1)]
        up: list[nn.Module] = [nn.Conv2d(latent_channels, widths[-1], 3, padding=1), ResidualBlock(widths[-1])]
        for after, before in zip(reversed(widths[:-1]), reversed(widths[1:]), strict=True):
            up += [nn.Conv2d(before, 4 * after, 3, padding=1), nn.PixelShuffle(2), ResidualBlock(after)]
        up += [nn.Conv2d(widths[0], 3, 3, padding=1)]
        self.encoder, self.decoder = nn.Sequential(*down), nn.Sequential(*up)

    def encode(
        self, frames: Float[Tensor, " batch 3 height width"]
    ) -> tuple[Float[Tensor, " batch latent row column"], Float[Tensor, " batch latent row column"]]:
        """Mean and log variance of the latents.

        Raises:
            UserError: if the frames do not divide into cells.
        """
        if frames.shape[-1] % self.downsampling or frames.shape[-2] % self.downsampling:
            raise UserError(
                f"Frames must be a multiple of downsampling ({self.downsampling}) high and wide, "
                f"got {frames.shape[-2]}x{frames.shape[-1]}."
            )
        mean, log_variance = self.encoder(frames).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-20, 10)

    def decode(self, latents: Float[Tensor, " batch latent row column"]) -> Float[Tensor, " batch 3 height width"]:
        """Frames, not clipped."""
        return self.decoder(latents).float()

    def loss(
        self, frames: Float[Tensor, " batch 3 height width"], generator: torch.Generator | None = None
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Squared reconstruction error and Kullback-Leibler divergence to a unit normal, means over their elements."""
        mean, log_variance = self.encode(frames)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        error = (self.decode(mean + noise * (0.5 * log_variance).exp()) - frames).square()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        return {"reconstruction": error.flatten(1).mean(1), "divergence": divergence.flatten(1).mean(1)}

    def save_pretrained(self, folder: Path | str) -> None:
        """Write weights and options, each file whole or not at all."""
        folder = Path(folder)
        write_text(folder / CONFIG, json.dumps(self.options, indent=2) + "\n")
        with atomic_path(folder / WEIGHTS) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in self.state_dict().items()}, temporary)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> "ConvAutoencoder":
        """Read what `save_pretrained` wrote.

        Raises:
            UserError: if it is not there or does not fit; the message names the folder.
        """
        folder = Path(folder)
        try:
            options: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            model = cls(**options)
            model.load_state_dict(load_file(folder / WEIGHTS))
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise UserError(f"{folder} holds no autoencoder that fits: {str(error).splitlines()[0]}.") from error
        return model
