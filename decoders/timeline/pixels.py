"""Video as patches of pixels."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from decoders.pixels import FLOW_SCALE, warp
from decoders.timeline.frames import FrameDecoder
from unified.errors import UserError
from unified.model.timeline.batch import Batch
from unified.model.timeline.spec import TimelineSpec
from unified.model.timeline.stream import Present


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
        spec: TimelineSpec,
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
        copied = present.images if self.flow_linear is None else self._flowed(present, tokens)
        return gate * copied + (1 - gate) * frames[:, :, : self.channels]

    def flow(self, tokens: Float[Tensor, " row token dim"]) -> Float[Tensor, " row camera 2 height width"]:
        """Right and down, as shares of half the picture: where each pixel is copied from, relative to itself."""
        assert self.flow_linear is not None
        cameras = len(self.spec.cameras)
        flow = self.flow_linear(tokens).float().reshape(-1, *self.grid, 2).movedim(-1, 1)
        flow = F.interpolate(FLOW_SCALE * flow, size=self.size, mode="bilinear", align_corners=False)
        return flow.unflatten(0, (-1, cameras))

    def _flowed(self, present: Present, tokens: Tensor) -> Float[Tensor, " row camera channel height width"]:
        return warp(present.images[:, :, None], self.flow(tokens)[:, :, None])[:, :, 0]
