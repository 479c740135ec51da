"""Video as patches of pixels."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from decoders.frames import FrameDecoder
from unified.errors import UserError
from unified.model.batch import Batch
from unified.model.spec import DataSpec
from unified.model.stream import Present

FLOW_SCALE = 0.25  # an output of 1 moves by an eighth of the picture


class PixelDecoder(FrameDecoder):
    """The next moment's frames as patches of pixels; predicts them clean.

    Args:
        dim: width of a token.
        spec: cameras and image size.
        patch_size: pixels along a patch's side.
        channels: 3 for RGB.
        copy_gate: predict, for each pixel, how much of it is copied from the frame before; what stands still
            stays sharp.
        copy_flow: predict also, for each patch, from where it is copied; what moves as a whole stays sharp too, and a
            camera that turns need not learn to paint. Needs `copy_gate`. Source: the dynamic neural advection of Finn
            et al. 2016, "Unsupervised Learning for Physical Interaction through Video Prediction", with one smooth
            flow.
    """

    predicts = "clean"

    def __init__(
        self,
        dim: int,
        spec: DataSpec,
        patch_size: int = 16,
        channels: int = 3,
        copy_gate: bool = False,
        copy_flow: bool = False,
    ):
        gates = patch_size**2 if copy_gate else 0
        super().__init__(dim, spec, channels, spec.image_size, patch_size, gates)
        if copy_flow and not copy_gate:
            raise UserError("copy_flow says from where copy_gate copies; set copy_gate to true as well.")
        self.copy_gate = copy_gate
        self.flow_linear = nn.Linear(dim, 2) if copy_flow else None
        if self.flow_linear is not None:
            nn.init.zeros_(self.flow_linear.weight)
            nn.init.zeros_(self.flow_linear.bias)

    def encode(self, batch: Batch) -> Float[Tensor, " batch step camera channel height width"]:
        """The frames at the end of each step as they are."""
        return batch.images[:, 1:]

    def to_data(
        self, clean: Float[Tensor, " row camera channel height width"], present: Present
    ) -> Float[Tensor, " row camera channel height width"]:
        """Pixels within [-1, 1]."""
        return clean.clamp(-1, 1)

    def decode(
        self, tokens: Float[Tensor, " row token dim"], present: Present
    ) -> Float[Tensor, " row camera channel height width"]:
        frames = self.unembed(tokens)
        if not self.copy_gate:
            return frames
        gate = frames[:, :, self.channels :].float().sigmoid()
        copied = present.images if self.flow_linear is None else warp(present.images, self.flow(tokens))
        return gate * copied + (1 - gate) * frames[:, :, : self.channels]

    def flow(self, tokens: Float[Tensor, " row token dim"]) -> Float[Tensor, " row camera 2 height width"]:
        """Right and down, as shares of half the picture: where each pixel is copied from, relative to itself."""
        assert self.flow_linear is not None
        cameras = len(self.spec.cameras)
        flow = self.flow_linear(tokens).float().reshape(-1, *self.grid, 2).movedim(-1, 1)
        flow = F.interpolate(FLOW_SCALE * flow, size=self.size, mode="bilinear", align_corners=False)
        return flow.unflatten(0, (-1, cameras))


def warp(
    frames: Float[Tensor, " row camera channel height width"], flow: Float[Tensor, " row camera 2 height width"]
) -> Float[Tensor, " row camera channel height width"]:
    """Pictures with every pixel taken from elsewhere, see `PixelDecoder.flow`; beyond the edge is the edge."""
    height, width = flow.shape[-2:]
    rows = torch.arange(height, device=flow.device, dtype=torch.float32).add(0.5).mul(2 / height).sub(1)
    columns = torch.arange(width, device=flow.device, dtype=torch.float32).add(0.5).mul(2 / width).sub(1)
    still = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    places = still + flow.flatten(0, 1).movedim(1, -1)
    moved = F.grid_sample(frames.flatten(0, 1).float(), places, padding_mode="border", align_corners=False)
    return moved.unflatten(0, flow.shape[:2])
