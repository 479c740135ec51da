"""Codecs by folder or name: ours, and pretrained image and video autoencoders of `diffusers`."""

import json
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from decoders.codec import CONFIG, FORMAT, ConvCodec, VideoCodec, fingerprint
from unified.errors import UserError


def load_codec(name_or_path: str) -> VideoCodec:
    """The codec in a folder: ours, or one of `diffusers`; else the one of that name on the Hub.

    Raises:
        UserError: if there is none, or it is none that can be used.
    """
    folder = Path(name_or_path)
    if (folder / CONFIG).is_file():
        if _read_config(folder / CONFIG).get("format") == FORMAT:
            return ConvCodec.from_pretrained(folder)
    elif folder.exists() or name_or_path.startswith(("/", ".", "~")) or Path(folder.parts[0]).exists():
        raise UserError(f"No codec at {folder}. `unified fit -c configs/codec.yaml` writes one to <run>/pretrained.")
    model = _load_autoencoder(name_or_path)
    kind = type(model).__name__
    if kind not in KINDS:
        raise UserError(f"{name_or_path} is a {kind}; codecs are made of {', '.join(KINDS)}.")
    return KINDS[kind](name_or_path, model)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not readable as JSON.") from error
    if not isinstance(config, dict) or not {"format", "_class_name"} & config.keys():
        raise UserError(f"{path.parent} is no codec: its {path.name} is neither ours nor one of diffusers.")
    return config


def _load_autoencoder(name_or_path: str) -> Any:
    try:
        from diffusers import AutoModel  # pyright: ignore[reportMissingImports, reportPrivateImportUsage]
    except ImportError as error:
        raise UserError("Autoencoders of diffusers need that package: `pip install 'diffusers>=0.38'`.") from error
    parts = name_or_path.split("/")  # OWNER/NAME of a repository, then a folder in it
    is_nested = len(parts) > 2 and not Path(name_or_path).exists()
    name, where = ("/".join(parts[:2]), {"subfolder": "/".join(parts[2:])}) if is_nested else (name_or_path, {})
    try:
        return AutoModel.from_pretrained(name, use_safetensors=True, **where).eval().requires_grad_(False)
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"codec {name_or_path!r} cannot be loaded: {str(error).splitlines()[0]} "
            "Give a local folder, or a name (OWNER/NAME or OWNER/NAME/FOLDER) that the Hub can be asked for."
        ) from error


class DiffusersCodec(VideoCodec):
    """What codecs made of an autoencoder of `diffusers` share: size, normalisation, fingerprint."""

    def __init__(self, name: str, model: Any):
        self.name, self.model = name, model
        config = model.config
        self.channels = config.get("z_dim") or config.get("latent_channels")
        mean, std = config.get("latents_mean"), config.get("latents_std")
        if mean is None or std is None:
            mean, std = config.get("shift_factor") or 0.0, 1 / (config.get("scaling_factor") or 1.0)
        self._mean, self._std = self._by_channel(mean), self._by_channel(std)
        plain = {key: value for key, value in config.items() if not key.startswith("_")}  # paths and versions
        self.fingerprint = fingerprint({"class": type(model).__name__, **plain}, model.state_dict())

    def _by_channel(self, values: float | Sequence[float]) -> Float[Tensor, " channel 1 1"]:
        """One number a channel; where it varies along the film, its mean, so that every latent is scaled alike."""
        given = torch.tensor(values, dtype=torch.float32).reshape(-1)
        return (given.expand(self.channels) if len(given) == 1 else given.reshape(self.channels, -1).mean(1))[
            :, None, None
        ]

    def encode_stream(
        self, frames: Float[Tensor, " batch time 3 height width"], state: Any = None
    ) -> tuple[Float[Tensor, " batch latent *cell"], Any]:
        self.check_size((frames.shape[-2], frames.shape[-1]))
        self.model.to(frames.device)
        means, state = self._encode(frames, state)
        return (means - self._mean.to(means)) / self._std.to(means), state

    def decode_stream(
        self, latents: Float[Tensor, " batch latent channel row column"], state: Any = None
    ) -> tuple[Float[Tensor, " batch time 3 height width"], Any]:
        self.check_latents(latents)
        self.model.to(latents.device)
        frames, state = self._decode(latents * self._std.to(latents) + self._mean.to(latents), state)
        return frames.clamp(-1, 1), state

    def decoder_state(self, previous_frame: Float[Tensor, " batch 3 height width"]) -> Any:
        """As after the film of this one frame."""
        return self.decode_stream(self.encode(previous_frame[:, None]))[1]

    @abstractmethod
    def _encode(self, frames: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Latents in the autoencoder's own scale."""

    @abstractmethod
    def _decode(self, latents: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Frames of latents in the autoencoder's own scale."""


class ImageCodec(DiffusersCodec):
    """An `AutoencoderKL`: every frame by itself, whatever came before."""

    frames_per_latent = 1

    def __init__(self, name: str, model: Any):
        super().__init__(name, model)
        self.downsampling = 2 ** (len(model.config.block_out_channels) - 1)

    def decoder_state(self, previous_frame: Float[Tensor, " batch 3 height width"]) -> None:
        """Nothing."""

    def _encode(self, frames: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self.model.encode(frames.flatten(0, 1)).latent_dist.mode().unflatten(0, frames.shape[:2]), None

    def _decode(self, latents: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self.model.decode(latents.flatten(0, 1)).sample.unflatten(0, latents.shape[:2]), None


class CosmosCodec(DiffusersCodec):
    """An `AutoencoderKLCosmos`, causal in time, which keeps no state: a stream computes the film so far again."""

    def __init__(self, name: str, model: Any):
        super().__init__(name, model)
        self.downsampling = model.config.spatial_compression_ratio
        self.frames_per_latent = model.config.temporal_compression_ratio

    def _encode(self, frames: Tensor, state: tuple[Tensor, int] | None) -> tuple[Tensor, Any]:
        film, num_given = (frames, 0) if state is None else (torch.cat([state[0], frames], dim=1), state[1])
        usable = film[:, : 1 + (film.shape[1] - 1) // self.frames_per_latent * self.frames_per_latent]
        latents = self.model.encode(usable.transpose(1, 2)).latent_dist.mode().transpose(1, 2)
        return latents[:, num_given:], (film, latents.shape[1])

    def _decode(self, latents: Tensor, state: Tensor | None) -> tuple[Tensor, Any]:
        film = latents if state is None else torch.cat([state, latents], dim=1)
        num_shown = 0 if state is None else 1 + (state.shape[1] - 1) * self.frames_per_latent
        return self.model.decode(film.transpose(1, 2)).sample.transpose(1, 2)[:, num_shown:], film


class WanCodec(DiffusersCodec):
    """An `AutoencoderKLWan`, causal in time; the state is what its convolutions keep of earlier frames."""

    def __init__(self, name: str, model: Any):
        super().__init__(name, model)
        self.downsampling = model.config.scale_factor_spatial
        self.frames_per_latent = model.config.scale_factor_temporal

    def _encode(self, frames: Tensor, state: tuple[Tensor, list[Any]] | None) -> tuple[Tensor, Any]:
        patch_size, first = self.model.config.patch_size, int(state is None)
        waiting, kept = (frames[:, :0], _empty(self.model.encoder)) if state is None else (state[0], [*state[1]])
        film = torch.cat([waiting, frames], dim=1)
        num = first + (film.shape[1] - first) // self.frames_per_latent * self.frames_per_latent
        hidden: list[Tensor] = []
        sizes = [1] * first + [self.frames_per_latent] * ((num - first) // self.frames_per_latent)
        for block in film[:, :num].transpose(1, 2).split(sizes, dim=2) if sizes else ():
            block = block if patch_size is None else _wan().patchify(block, patch_size=patch_size)
            hidden.append(self.model.encoder(block, feat_cache=kept, feat_idx=[0]))
        if not hidden:
            size = [side // self.downsampling for side in frames.shape[-2:]]
            return frames.new_zeros(len(frames), 0, self.channels, *size), (film, kept)
        means = self.model.quant_conv(torch.cat(hidden, dim=2))[:, : self.channels]
        return means.transpose(1, 2), (film[:, num:], kept)

    def _decode(self, latents: Tensor, state: list[Any] | None) -> tuple[Tensor, Any]:
        patch_size = self.model.config.patch_size
        kept = _empty(self.model.decoder) if state is None else [*state]
        frames: list[Tensor] = []
        for number, latent in enumerate(self.model.post_quant_conv(latents.transpose(1, 2)).split(1, dim=2)):
            is_first = state is None and number == 0
            frames.append(self.model.decoder(latent, feat_cache=kept, feat_idx=[0], first_chunk=is_first))
        film = torch.cat(frames, dim=2)
        film = film if patch_size is None else _wan().unpatchify(film, patch_size=patch_size)
        return film.transpose(1, 2), kept


def _wan() -> Any:
    from diffusers.models.autoencoders import autoencoder_kl_wan

    return autoencoder_kl_wan


def _empty(network: Any) -> list[None]:
    """Room for what each convolution keeps."""
    return [None] * sum(1 for _ in network.modules())


KINDS: dict[str, type[DiffusersCodec]] = {
    "AutoencoderKL": ImageCodec,
    "AutoencoderKLWan": WanCodec,
    "AutoencoderKLCosmos": CosmosCodec,
}
