"""Video as latents of a frozen codec: ours (`tasks/codec.py`), or one from `diffusers`."""

import torch
from jaxtyping import Float
from torch import Tensor

from decoders.codec import VideoCodec
from decoders.pixels import FrameDecoder
from decoders.pretrained import load_codec
from unified.errors import UserError
from unified.model.batch import Batch, Observation
from unified.model.spec import DataSpec


class LatentDecoder(FrameDecoder):
    """Future frames as latents of a frozen codec; predicts the velocity.

    The codec is not part of the checkpoint: its folder or name is, and its fingerprint, so that a codec that changed
    since is refused.

    Args:
        dim: width of a token.
        spec: cameras, image size and number of future frames.
        codec: a folder written by `tasks/codec.py`, or a folder or name for `diffusers`.
        patch_size: latent cells along a token's side; times the codec's downsampling it must be the observation
            encoder's patch size.
    """

    predicts = "velocity"

    def __init__(self, dim: int, spec: DataSpec, codec: str, patch_size: int = 1):
        frozen = load_codec(codec)
        frozen.check_size(spec.image_size)
        frozen.check_cameras(spec.cameras)
        rows, columns = (side // frozen.downsampling for side in spec.image_size)
        super().__init__(dim, spec, frozen.channels, (rows, columns), patch_size)
        self._frozen = (frozen,)  # in a tuple: no part of this module

    @property
    def codec(self) -> VideoCodec:
        """The frozen codec."""
        return self._frozen[0]

    def get_extra_state(self) -> Tensor:
        """The codec's fingerprint, which goes into checkpoints."""
        return torch.tensor(list(bytes.fromhex(self.codec.fingerprint)), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse to go on with another codec than the one that was trained with.

        Raises:
            UserError: if the fingerprint is not the codec's.
        """
        then, now = bytes(state.tolist()).hex(), self.codec.fingerprint
        if then != now:
            raise UserError(
                f"Codec {self.codec.name} changed since this model was trained (its fingerprint was {then[:12]} and is "
                f"{now[:12]}), so its latents mean something else. Put the old codec back, or train the model anew."
            )

    @torch.no_grad()
    def encode(self, batch: Batch) -> Float[Tensor, " batch camera frame latent row column"]:
        """The batch's future frames as latents, each a picture by itself."""
        frames = self.future_frames(batch).flatten(0, 2)[:, None]
        return self.codec.encode(frames)[:, 0].reshape(len(batch), *self.event_shape())

    def to_data(
        self, clean: Float[Tensor, " batch camera frame latent row column"], observation: Observation
    ) -> Float[Tensor, " batch camera frame 3 height width"]:
        """Latents to pixels within [-1, 1]; films of a frame a latent go on from what was seen last."""
        if self.codec.frames_per_latent == 1:
            frames = self.codec.decode(clean.flatten(0, 1), observation.images[:, :, -1].flatten(0, 1))
        else:
            frames = self.codec.decode(clean.flatten(0, 2)[:, None])
        return frames.reshape(*clean.shape[:3], *frames.shape[2:])

    def decode(
        self, tokens: Float[Tensor, " batch token dim"], observation: Observation
    ) -> Float[Tensor, " batch camera frame latent row column"]:
        return self.unembed(tokens)
