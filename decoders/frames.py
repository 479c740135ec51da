"""What decoders of video share: frames as patches, a grid for every camera."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unified.errors import UserError, check_numbers
from unified.model.batch import Batch
from unified.model.network.sequence import Segment, grid_coordinates
from unified.model.spec import DataSpec
from unified.model.stream import NEXT_MOMENT


def patchify(
    frames: Float[Tensor, " *batch channel height width"], patch_size: int
) -> Float[Tensor, " *batch token feature"]:
    """Frames to rows of patches, top left first; `unpatchify` is the exact inverse."""
    *batch, channels, height, width = frames.shape
    rows, columns = height // patch_size, width // patch_size
    blocks = frames.reshape(*batch, channels, rows, patch_size, columns, patch_size)
    return blocks.movedim((-4, -2), (-5, -4)).reshape(*batch, rows * columns, channels * patch_size**2)


def unpatchify(
    patches: Float[Tensor, " *batch token feature"], patch_size: int, height: int, width: int
) -> Float[Tensor, " *batch channel height width"]:
    """Rows of patches back to frames of this size."""
    *batch, _, features = patches.shape
    rows, columns, channels = height // patch_size, width // patch_size, features // patch_size**2
    blocks = patches.reshape(*batch, rows, columns, channels, patch_size, patch_size)
    return blocks.movedim((-5, -4), (-4, -2)).reshape(*batch, channels, height, width)


class FrameDecoder(nn.Module):
    """The next moment's frames, in whatever space noise is added, as a grid of patches and back.

    Args:
        dim: width of a token.
        spec: cameras.
        channels: of a frame in the space where noise is added.
        size: height and width of a frame there.
        patch_size: cells along a patch's side.
        extra_features: outputs for each patch beside the frame's own.
    """

    where = NEXT_MOMENT
    columns: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(
        self,
        dim: int,
        spec: DataSpec,
        channels: int,
        size: tuple[int, int],
        patch_size: int,
        extra_features: int = 0,
    ):
        super().__init__()
        check_numbers(least=1, patch_size=patch_size, channels=channels)
        height, width = size
        if height % patch_size or width % patch_size:
            raise UserError(f"Frames must be a multiple of patch_size ({patch_size}), got {height}x{width}.")
        self.spec, self.channels, self.size, self.patch_size = spec, channels, size, patch_size
        self.grid = (height // patch_size, width // patch_size)
        features = channels * patch_size**2
        self.embed_linear = nn.Linear(features, dim)
        self.decode_linear = nn.Linear(dim, features + extra_features)
        nn.init.zeros_(self.decode_linear.weight)
        nn.init.zeros_(self.decode_linear.bias)

    def segment(self, name: str) -> Segment:
        """Camera by camera, patch by patch."""
        num_cameras, (rows, columns) = len(self.spec.cameras), self.grid
        kinds = torch.arange(num_cameras).repeat_interleave(rows * columns)
        coordinates = grid_coordinates(rows, columns).repeat(num_cameras, 1)
        return Segment(name, coordinates, kinds, by_camera=True, is_next=True)

    def event_shape(self) -> tuple[int, ...]:
        """Camera, channel, height, width."""
        return (len(self.spec.cameras), self.channels, *self.size)

    def is_pad(self, batch: Batch) -> Bool[Tensor, " batch step camera 1 1 1"]:
        """True for moments past the end of the episode and for cameras that the body lacks."""
        shape = (len(batch), batch.num_moments - 1, len(self.spec.cameras))
        pad = torch.zeros(shape, dtype=torch.bool, device=batch.images.device)
        if batch.moment_is_pad is not None:
            pad = pad | batch.moment_is_pad[:, 1:, None]
        if batch.camera_is_pad is not None:
            pad = pad | batch.camera_is_pad[:, None]
        return pad[..., None, None, None]

    def embed(
        self, noisy: Float[Tensor, " row camera channel height width"], embodiment: Int[Tensor, " row"]
    ) -> Float[Tensor, " row token dim"]:
        return self.embed_linear(patchify(noisy, self.patch_size)).flatten(1, 2)

    def unembed(self, tokens: Float[Tensor, " row token dim"]) -> Float[Tensor, " row camera feature height width"]:
        """Tokens to frames, extra features as more channels."""
        patches = self.decode_linear(tokens).unflatten(1, (len(self.spec.cameras), -1))
        return unpatchify(patches, self.patch_size, *self.size)

    def set_stats(self, stats: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> None:
        """Frames are what they are."""
