"""The next moment's frames as latents of a frozen codec: ours (`tasks/codec.py`), or one from `diffusers`."""

import torch
from jaxtyping import Float
from torch import Tensor

from decoders.codec import VideoCodec
from decoders.frames import FrameDecoder
from decoders.pretrained import load_codec
from unified.errors import UserError
from unified.model.batch import Batch
from unified.model.spec import DataSpec
from unified.model.stream import Present


class LatentDecoder(FrameDecoder):
    """Frames as latents, in which noise is added; predicts the velocity.

    What is imagined goes back into the timeline as pixels, decoded after the frame before: moments are always shown as
    pixels, recorded or imagined. A codec of ours lies in a trained model's folder; one of `diffusers` is found by its
    name. Its fingerprint is part of the weights, so that a codec that changed since is refused.

    Args:
        dim: width of a token.
        spec: cameras and image size.
        codec: a folder written by `tasks/codec.py`, or a folder or name for `diffusers`.
        patch_size: latent cells along a token's side.
    """

    predicts = "velocity"

    def __init__(self, dim: int, spec: DataSpec, codec: str, patch_size: int = 2):
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
    def encode(self, batch: Batch) -> Float[Tensor, " batch step camera latent row column"]:
        """The frames at the end of each step as latents, each a picture by itself."""
        frames = batch.images[:, 1:]
        latents = self.codec.encode(frames.flatten(0, 2)[:, None])[:, 0]
        return latents.reshape(*frames.shape[:2], *self.event_shape()).float()

    def to_data(
        self, clean: Float[Tensor, " row camera latent height width"], present: Present
    ) -> Float[Tensor, " row camera 3 *picture"]:
        """Latents to pixels within [-1, 1]; where a frame has a latent of its own the film goes on from the present."""
        previous = present.images.flatten(0, 1) if self.codec.frames_per_latent == 1 else None
        return self.codec.decode(clean.flatten(0, 1)[:, None], previous)[:, 0].unflatten(0, clean.shape[:2])

    def decode(
        self, tokens: Float[Tensor, " row token dim"], present: Present
    ) -> Float[Tensor, " row camera latent height width"]:
        return self.unembed(tokens)
