"""Films to latents and back: what every codec offers, and our own small one, which `tasks/codec.py` trains."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unified.atomic import atomic_path
from unified.errors import UserError, check_numbers

WEIGHTS, CONFIG, FORMAT = "model.safetensors", "config.json", "unified-codec-1"
FINE = 16  # channels at full resolution


class VideoCodec(ABC):
    """Films in [-1, 1] to latents of about unit variance and back, causal in time; cameras go into the batch.

    The first frame of a film has a latent of its own, so a single picture is a film; every further latent stands for
    `frames_per_latent` frames. A film may come in blocks of any size with a state carried from one to the next;
    `encode` and `decode` are streams of one block.

    Attributes:
        name: of the folder or repository, for messages.
        channels: of a latent.
        downsampling: pixels along the side of a latent's cell.
        image_size, cameras: what it was trained on; None: any.
        fingerprint: SHA-256 of weights and options; latents of two codecs with the same mean the same.
    """

    name: str
    channels: int
    downsampling: int
    frames_per_latent: int
    fingerprint: str
    image_size: tuple[int, int] | None = None
    cameras: tuple[str, ...] | None = None

    def encode(self, frames: Float[Tensor, " batch time 3 height width"]) -> Float[Tensor, " batch latent *cell"]:
        """The latents of whole films.

        Raises:
            UserError: if frames are of another size, or their number does not fit `frames_per_latent`.
        """
        if (frames.shape[1] - 1) % self.frames_per_latent:
            raise UserError(
                f"Codec {self.name} encodes films of one frame and then {self.frames_per_latent} for each further "
                f"latent, got {frames.shape[1]} frames."
            )
        return self.encode_stream(frames)[0]

    def decode(
        self,
        latents: Float[Tensor, " batch latent channel row column"],
        previous_frame: Float[Tensor, " batch 3 height width"] | None = None,
    ) -> Float[Tensor, " batch time 3 height width"]:
        """The films of these latents within [-1, 1], which go on from `previous_frame` or else begin.

        Where a film begins its first latent gives one frame; every other latent gives `frames_per_latent`.

        Raises:
            UserError: if the latents are not this codec's.
        """
        state = None if previous_frame is None else self.decoder_state(previous_frame)
        return self.decode_stream(latents, state)[0]

    @abstractmethod
    def encode_stream(
        self, frames: Float[Tensor, " batch time 3 height width"], state: Any = None
    ) -> tuple[Float[Tensor, " batch latent *cell"], Any]:
        """The latents that these frames complete, and the state for the next block; None begins a film."""

    @abstractmethod
    def decode_stream(
        self, latents: Float[Tensor, " batch latent channel row column"], state: Any = None
    ) -> tuple[Float[Tensor, " batch time 3 height width"], Any]:
        """The frames of these latents, and the state for the next block; None begins a film."""

    @abstractmethod
    def decoder_state(self, previous_frame: Float[Tensor, " batch 3 height width"]) -> Any:
        """The state of `decode_stream` after a frame that is known, for example the one that was seen last."""

    def check_latents(self, latents: Float[Tensor, " batch latent channel row column"]) -> None:
        """Refuse latents of another codec."""
        size = (self.downsampling * latents.shape[-2], self.downsampling * latents.shape[-1])
        if latents.shape[2] != self.channels or self.image_size not in (None, size):
            expected = f"{self.channels} channels" + (
                ""
                if self.image_size is None
                else f" of {' x '.join(str(s // self.downsampling) for s in self.image_size)}"
            )
            raise UserError(
                f"Latents for codec {self.name} must have {expected}, got {latents.shape[2]} channels of "
                f"{latents.shape[-2]} x {latents.shape[-1]}; they are another codec's."
            )

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse pictures of another size than it was trained on, or that do not divide into cells.

        Raises:
            UserError: naming both sizes and what to do.
        """
        height, width = size
        if self.image_size not in (None, size):
            raise UserError(
                f"Codec {self.name} was trained on pictures of {self.image_size[0]} x {self.image_size[1]} pixels, got "
                f"{height} x {width}. Set data.image_size to the codec's, or train one for yours: "
                f"unified fit -c configs/codec.yaml --data.image_size {height}."
            )
        if height % self.downsampling or width % self.downsampling:
            raise UserError(
                f"image_size must be a multiple of the codec's downsampling ({self.downsampling}), got {height} x "
                f"{width} for codec {self.name}."
            )

    def check_cameras(self, cameras: Sequence[str]) -> None:
        """Refuse cameras that it was not trained on.

        Raises:
            UserError: naming them, those that are allowed, and what to do.
        """
        strange = [] if self.cameras is None else [camera for camera in cameras if camera not in self.cameras]
        if strange:
            raise UserError(
                f"Codec {self.name} was not trained on camera {', '.join(strange)}; it knows "
                f"{', '.join(self.cameras or ())}. Train one on these recordings: unified fit -c configs/codec.yaml."
            )


class ResidualBlock(nn.Module):
    """Two convolutions around which the input is carried."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, hidden: Float[Tensor, " batch channel row column"]) -> Float[Tensor, " batch channel row column"]:
        return hidden + self.layers(hidden)


def blocks(width: int) -> list[nn.Module]:
    """Two residual blocks and an activation."""
    return [ResidualBlock(width), ResidualBlock(width), nn.GroupNorm(8, width), nn.SiLU()]


class ConvCodec(nn.Module, VideoCodec):
    """A small convolutional codec, 8 pixels to a cell.

    A latent sees its own frames alone, so that it tells nothing of the past and may be computed from any window. The
    decoder also sees the frame that it decoded before and says, for each pixel, how much of it stays: what stands still
    is as sharp as the frame that the film went on from.

    Args:
        channels: of a latent.
        width: channels at a quarter of the resolution, a multiple of 8; twice as many at an eighth.
        frames_per_latent: frames that share a latent, 1, 2 or 4.
        image_size, cameras: of the pictures that it is trained on.
    """

    downsampling = 8

    def __init__(
        self,
        channels: int = 8,
        width: int = 64,
        frames_per_latent: int = 1,
        image_size: Sequence[int] | None = None,
        cameras: Sequence[str] | None = None,
    ):
        super().__init__()
        check_numbers(least=1, channels=channels)
        if frames_per_latent not in (1, 2, 4):
            raise UserError(f"frames_per_latent must be 1, 2 or 4, got {frames_per_latent}.")
        if width < 8 or width % 8:
            raise UserError(f"width must be a multiple of 8, got {width}.")
        if channels < 1:
            raise UserError(f"channels must be at least 1, got {channels}.")
        self.name = "(in training)"
        self.channels, self.width, self.frames_per_latent = channels, width, frames_per_latent
        self.image_size = None if image_size is None else (int(image_size[0]), int(image_size[1]))
        self.cameras = None if cameras is None else tuple(cameras)
        if self.image_size is not None:
            self.check_size(self.image_size)
        self.encoder = nn.Sequential(
            nn.Conv2d(3 * frames_per_latent, width, 8, stride=4, padding=2),
            *blocks(width),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            *blocks(2 * width),
            nn.Conv2d(2 * width, channels, 1),
        )
        self.coarse = nn.Sequential(
            nn.Conv2d(channels, 2 * width, 3, padding=1),
            *blocks(2 * width),
            nn.Conv2d(2 * width, 4 * width, 1),
            nn.PixelShuffle(2),
        )
        self.previous = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(3 * 16, width, 3, padding=1))
        self.fine = nn.Sequential(
            *blocks(width), nn.Conv2d(width, 16 * FINE, 3, padding=1), nn.PixelShuffle(4), nn.SiLU()
        )
        self.paint = nn.Conv2d(FINE + 3, 4 * frames_per_latent, 3, padding=1)
        nn.init.constant_(self.paint.bias.view(-1, 4)[:, 3], -2.0)  # at first little is kept  # pyright: ignore[reportOptionalMemberAccess]
        self.mean: Tensor
        self.std: Tensor
        self.num_updates: Tensor
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.long))

    @property
    def options(self) -> dict[str, Any]:
        """What the constructor was given, as plain data."""
        names = ("channels", "width", "frames_per_latent", "image_size", "cameras")
        values = {name: getattr(self, name) for name in names}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @property
    def fingerprint(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] -- follows the weights
        return fingerprint(self.options, self.state_dict())

    # ------------------------------------------------------------------ streams

    def encode_stream(
        self, frames: Float[Tensor, " batch time 3 height width"], state: Tensor | None = None
    ) -> tuple[Float[Tensor, " batch latent *cell"], Tensor]:
        """The latents that these frames complete, and the frames that wait for others."""
        self.check_size((frames.shape[-2], frames.shape[-1]))
        self.to(frames.device)
        frames = self.with_start(frames) if state is None else torch.cat([state, frames], dim=1)
        num = frames.shape[1] // self.frames_per_latent * self.frames_per_latent
        return (self.compress(frames[:, :num]) - self.mean) / self.std, frames[:, num:]

    def decode_stream(
        self, latents: Float[Tensor, " batch latent channel row column"], state: Tensor | None = None
    ) -> tuple[Float[Tensor, " batch time 3 height width"], Tensor | None]:
        """The frames of these latents, and the last of them."""
        self.check_latents(latents)
        self.to(latents.device)
        shown: list[Tensor] = []
        for hidden in self.unfold(latents * self.std + self.mean).unbind(1):
            frames = self.draw(hidden, state).clamp(-1, 1)
            shown.append(frames if state is not None else frames[:, -1:])
            state = frames[:, -1]
        size = (self.downsampling * latents.shape[-2], self.downsampling * latents.shape[-1])
        return torch.cat(shown, dim=1) if shown else latents.new_zeros(len(latents), 0, 3, *size), state

    def decoder_state(self, previous_frame: Float[Tensor, " batch 3 height width"]) -> Tensor:
        """The frame itself."""
        self.check_size((previous_frame.shape[-2], previous_frame.shape[-1]))
        return previous_frame

    # ------------------------------------------------------------------ network

    def with_start(
        self, frames: Float[Tensor, " batch time 3 height width"]
    ) -> Float[Tensor, " batch longer 3 height width"]:
        """A film with its first frame as often as a latent has frames."""
        return torch.cat([frames[:, :1].expand(-1, self.frames_per_latent - 1, -1, -1, -1), frames], dim=1)

    def compress(
        self, frames: Float[Tensor, " batch time 3 height width"]
    ) -> Float[Tensor, " batch latent channel row column"]:
        """Latents as the network makes them, for groups of `frames_per_latent` frames."""
        groups = frames.unflatten(1, (-1, self.frames_per_latent)).flatten(2, 3)
        return self.encoder(groups.flatten(0, 1)).float().unflatten(0, groups.shape[:2])

    def unfold(
        self, latents: Float[Tensor, " batch latent channel row column"]
    ) -> Float[Tensor, " batch latent *place"]:
        """The part of decoding that needs no previous frame: latents as the network makes them to a finer grid."""
        return self.coarse(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])

    def draw(
        self,
        hidden: Float[Tensor, " batch channel row column"],
        previous: Float[Tensor, " batch 3 height width"] | None,
    ) -> Float[Tensor, " batch frame 3 height width"]:
        """The frames of one latent: painted, or kept from the previous frame, as the network says for each pixel."""
        if previous is None:
            seen = hidden.new_zeros(len(hidden), 3, 4 * hidden.shape[-2], 4 * hidden.shape[-1])
        else:
            seen, hidden = previous, hidden + self.previous(previous)
        drawn = self.paint(torch.cat([self.fine(hidden), seen.to(hidden.dtype)], dim=1)).float()
        frames, stays = drawn.unflatten(1, (self.frames_per_latent, 4)).split((3, 1), dim=2)
        return frames if previous is None else torch.lerp(frames, seen[:, None], stays.sigmoid())

    @torch.no_grad()
    def observe(self, latents: Float[Tensor, " batch latent channel row column"]) -> None:
        """Let the statistics that make latents of unit variance follow these, while training."""
        self.num_updates += 1
        share = max(0.01, 1 / int(self.num_updates))
        values = latents.detach().float().movedim(2, 0).flatten(1)
        self.mean.lerp_(values.mean(1)[:, None, None], share)
        variance = (values - self.mean[:, 0]).square().mean(1)[:, None, None]
        self.std.copy_(torch.lerp(self.std.square(), variance, share).sqrt().clamp_min(1e-4))

    # ------------------------------------------------------------------ folders

    def save_pretrained(self, folder: Path | str) -> Path:
        """Write weights, statistics and options as a folder that appears whole, in the place of an older one.

        Raises:
            UserError: if the disk is full; then an older folder is still there.
        """
        folder = Path(folder)
        with atomic_path(folder, replaces_folder=True) as temporary:
            temporary.mkdir()
            save_file({name: tensor.contiguous() for name, tensor in self.state_dict().items()}, temporary / WEIGHTS)
            config = {"format": FORMAT, **self.options, "fingerprint": self.fingerprint}
            (temporary / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        return folder

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> "ConvCodec":
        """Read what `save_pretrained` wrote, ready for use.

        Raises:
            UserError: naming the file, if something is missing, damaged or does not fit.
        """
        folder = Path(folder)
        try:
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            expected = config.pop("fingerprint")
            if config.pop("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT}")
            codec = cls(**config)
            codec.load_state_dict(load_file(folder / WEIGHTS))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, SafetensorError) as error:
            raise UserError(f"{folder} holds no codec that can be read: {str(error).splitlines()[0]}.") from error
        if codec.fingerprint != expected:
            raise UserError(
                f"{folder / WEIGHTS} is damaged or was changed: its fingerprint is not the one in {CONFIG}."
            )
        codec.name = str(folder)
        return codec.eval().requires_grad_(False)


def fingerprint(options: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of options and weights; the same for equal ones wherever they lie."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
