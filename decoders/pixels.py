"""Video as patches of pixels."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from decoders.frames import FrameDecoder
from unified.errors import UserError
from unified.model.batch import Batch, Observation
from unified.model.spec import DataSpec

FLOW_SCALE = 0.25  # an output of 1 moves by an eighth of the picture


class PixelDecoder(FrameDecoder):
    """Future frames as patches of pixels; predicts the clean frames.

    Args:
        dim: width of a token.
        spec: cameras, image size and number of future frames.
        patch_size: pixels along a patch's side.
        channels: 3 for RGB.
        copy_gate: predict, for each pixel, how much of it is copied from the last observed frame; what stands still
            stays sharp.
        copy_flow: predict also, for each patch, from where it is copied; what moves as a whole stays sharp too, and a
            camera that turns need not learn to paint. Needs `copy_gate`. Source: the dynamic neural advection of Finn
            et al. 2016, "Unsupervised Learning for Physical Interaction through Video Prediction", with one smooth
            flow.
        time_per_frame: each future frame carries its own diffusion time.
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
        time_per_frame: bool = False,
    ):
        gates = patch_size**2 if copy_gate else 0
        super().__init__(dim, spec, channels, spec.image_size, patch_size, gates, time_per_frame)
        if copy_flow and not copy_gate:
            raise UserError("copy_flow says from where copy_gate copies; set copy_gate to true as well.")
        self.copy_gate = copy_gate
        self.flow_linear = nn.Linear(dim, 2) if copy_flow else None
        if self.flow_linear is not None:
            nn.init.zeros_(self.flow_linear.weight)
            nn.init.zeros_(self.flow_linear.bias)

    def encode(self, batch: Batch) -> Float[Tensor, " batch camera frame channel height width"]:
        """The batch's future frames as they are."""
        return self.future_frames(batch)

    def to_data(
        self, clean: Float[Tensor, " batch camera frame channel height width"], observation: Observation
    ) -> Float[Tensor, " batch camera frame channel height width"]:
        """Pixels within [-1, 1]."""
        return clean.clamp(-1, 1)

    def decode(
        self, tokens: Float[Tensor, " batch token dim"], observation: Observation
    ) -> Float[Tensor, " batch camera frame channel height width"]:
        frames = self.unembed(tokens)
        if not self.copy_gate:
            return frames
        gate = frames[:, :, :, self.channels :].float().sigmoid()
        now = observation.images[:, :, -1:]
        copied = now if self.flow_linear is None else warp(now, self.flow(tokens))
        return gate * copied + (1 - gate) * frames[:, :, :, : self.channels]

    def flow(self, tokens: Float[Tensor, " batch token dim"]) -> Float[Tensor, " batch camera frame 2 height width"]:
        """Right and down, as shares of half the picture: where each pixel is copied from, relative to itself."""
        assert self.flow_linear is not None
        cameras, num_frames = self.event_shape()[:2]
        flow = self.flow_linear(tokens).float().reshape(-1, *self.grid, 2).movedim(-1, 1)
        flow = F.interpolate(FLOW_SCALE * flow, size=self.size, mode="bilinear", align_corners=False)
        return flow.reshape(-1, cameras, num_frames, 2, *self.size)


def warp(
    now: Float[Tensor, " batch camera 1 channel height width"],
    flow: Float[Tensor, " batch camera frame 2 height width"],
) -> Float[Tensor, " batch camera frame channel height width"]:
    """The picture with every pixel taken from elsewhere, see `PixelDecoder.flow`; beyond the edge is the edge."""
    batch, cameras, num_frames, _, height, width = flow.shape
    rows = torch.arange(height, device=flow.device, dtype=torch.float32).add(0.5).mul(2 / height).sub(1)
    columns = torch.arange(width, device=flow.device, dtype=torch.float32).add(0.5).mul(2 / width).sub(1)
    still = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    places = still + flow.flatten(0, 2).movedim(1, -1)
    pictures = now.expand(-1, -1, num_frames, -1, -1, -1).flatten(0, 2).float()
    moved = F.grid_sample(pictures, places, padding_mode="border", align_corners=False)
    return moved.unflatten(0, (batch, cameras, num_frames))
