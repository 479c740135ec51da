"""Video as patches of pixels."""

from jaxtyping import Float
from torch import Tensor

from decoders.frames import FrameDecoder
from unified.batch import Batch, Observation
from unified.spec import DataSpec


class PixelDecoder(FrameDecoder):
    """Future frames as patches of pixels; predicts the clean frames.

    Args:
        dim: width of a token.
        spec: cameras, image size and number of future frames.
        patch_size: pixels along a patch's side.
        channels: 3 for RGB.
        copy_gate: predict, for each pixel, how much of it is copied from the last observed frame; what stands still
            stays sharp.
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
        time_per_frame: bool = False,
    ):
        gates = patch_size**2 if copy_gate else 0
        super().__init__(dim, spec, channels, spec.image_size, patch_size, gates, time_per_frame)
        self.copy_gate = copy_gate

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
        return gate * observation.images[:, :, -1:] + (1 - gate) * frames[:, :, :, : self.channels]
