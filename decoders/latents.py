"""Video as latents of a frozen image autoencoder: ours (`tasks/autoencoder.py`), or one from `diffusers`."""

import json
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from decoders.autoencoder import CONFIG, ConvAutoencoder
from decoders.frames import FrameDecoder
from unified.errors import UserError
from unified.model.batch import Batch, Observation
from unified.model.spec import DataSpec


@runtime_checkable
class ImageCodec(Protocol):
    """Frames in [-1, 1] to latents of about unit variance, and back."""

    channels: int
    downsampling: int

    def encode(self, frames: Float[Tensor, " batch 3 height width"]) -> Tensor: ...
    def decode(self, latents: Float[Tensor, " batch latent row column"]) -> Tensor: ...


def load_codec(name_or_path: str) -> ImageCodec:
    """Ours if the folder says so, else one of `diffusers`.

    Raises:
        UserError: if it cannot be loaded.
    """
    config = Path(name_or_path) / CONFIG
    is_ours = config.is_file() and "_class_name" not in json.loads(config.read_text(encoding="utf-8"))
    return OwnCodec(name_or_path) if is_ours else DiffusersCodec(name_or_path)


class OwnCodec:
    """A `ConvAutoencoder` from a folder that `tasks/autoencoder.py` wrote."""

    def __init__(self, folder: str):
        self.model = ConvAutoencoder.from_pretrained(folder).eval().requires_grad_(False)
        self.channels, self.downsampling = self.model.latent_channels, self.model.downsampling

    def encode(self, frames: Float[Tensor, " batch 3 height width"]) -> Tensor:
        self.model.to(frames.device)
        return self.model.encode(frames)[0]

    def decode(self, latents: Float[Tensor, " batch latent row column"]) -> Tensor:
        self.model.to(latents.device)
        return self.model.decode(latents)


class DiffusersCodec:
    """An image autoencoder of `diffusers` (AutoencoderKL and its like), by local folder or Hub name."""

    def __init__(self, name_or_path: str):
        try:
            from diffusers import AutoModel  # pyright: ignore[reportMissingImports, reportPrivateImportUsage]
        except ImportError as error:
            raise UserError("Autoencoders of diffusers need an extra: pip install 'unified[autoencoders]'.") from error
        try:
            self.model: Any = AutoModel.from_pretrained(name_or_path).eval().requires_grad_(False)
        except (OSError, ValueError) as error:
            raise UserError(
                f"autoencoder {name_or_path!r} cannot be loaded: {str(error).splitlines()[0]} "
                "Give a local folder, or a name that the Hub can be asked for."
            ) from error
        config = self.model.config
        self.channels = config.latent_channels
        self.downsampling = 2 ** (len(config.block_out_channels) - 1)
        self._scale = getattr(config, "scaling_factor", None) or 1.0
        self._shift = getattr(config, "shift_factor", None) or 0.0

    def encode(self, frames: Float[Tensor, " batch 3 height width"]) -> Tensor:
        self.model.to(frames.device)
        return (self.model.encode(frames).latent_dist.mode() - self._shift) * self._scale

    def decode(self, latents: Float[Tensor, " batch latent row column"]) -> Tensor:
        self.model.to(latents.device)
        return self.model.decode(latents / self._scale + self._shift).sample


class LatentDecoder(FrameDecoder):
    """Future frames as latents of a frozen autoencoder; predicts the velocity.

    The autoencoder is not part of the checkpoint: its folder or name is.

    Args:
        dim: width of a token.
        spec: cameras, image size and number of future frames.
        autoencoder: a folder written by `tasks/autoencoder.py`, or a folder or name for `diffusers`.
        patch_size: latent cells along a token's side; times the autoencoder's downsampling it must be the observation
            encoder's patch size.
    """

    predicts = "velocity"

    def __init__(self, dim: int, spec: DataSpec, autoencoder: str, patch_size: int = 1):
        codec = load_codec(autoencoder)
        height, width = spec.image_size
        if height % codec.downsampling or width % codec.downsampling:
            raise UserError(
                f"image_size must be a multiple of the autoencoder's downsampling ({codec.downsampling}), "
                f"got {height}x{width}."
            )
        size = (height // codec.downsampling, width // codec.downsampling)
        super().__init__(dim, spec, codec.channels, size, patch_size)
        self._codec = codec  # no module: frozen, and not part of the checkpoint

    @torch.no_grad()
    def encode(self, batch: Batch) -> Float[Tensor, " batch camera frame latent row column"]:
        """The batch's future frames as latents."""
        return self._codec.encode(self.future_frames(batch).flatten(0, 2)).reshape(len(batch), *self.event_shape())

    def to_data(
        self, clean: Float[Tensor, " batch camera frame latent row column"], observation: Observation
    ) -> Float[Tensor, " batch camera frame 3 height width"]:
        """Latents to pixels within [-1, 1]."""
        frames = self._codec.decode(clean.flatten(0, 2)).clamp(-1, 1)
        return frames.reshape(*clean.shape[:3], *frames.shape[1:])

    def decode(
        self, tokens: Float[Tensor, " batch token dim"], observation: Observation
    ) -> Float[Tensor, " batch camera frame latent row column"]:
        return self.unembed(tokens)
