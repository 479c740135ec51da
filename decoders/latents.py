"""The next moment's frames as latents of a frozen codec: ours (`tasks/codec.py`), or one from `diffusers`."""

import torch
from jaxtyping import Float
from torch import Tensor

from decoders.frames import FrameDecoder
from decoders.pretrained import load_codec
from unified.model.batch import Batch
from unified.model.spec import DataSpec
from unified.model.stream import Present


class LatentDecoder(FrameDecoder):
    """Frames as latents, in which noise is added; predicts the velocity.

    What is imagined goes back into the timeline as pixels, decoded after the frame before: moments are always shown as
    pixels, recorded or imagined.

    Args:
        dim: width of a token.
        spec: cameras and image size.
        codec: a folder written by `tasks/codec.py`, or a folder or name for `diffusers`; one frame a latent.
        patch_size: latent cells along a token's side.
    """

    predicts = "velocity"

    def __init__(self, dim: int, spec: DataSpec, codec: str, patch_size: int = 2):
        frozen = load_codec(codec)
        frozen.check_size(spec.image_size)
        frozen.check_cameras(spec.cameras)
        rows, columns = (side // frozen.downsampling for side in spec.image_size)
        super().__init__(dim, spec, frozen.channels, (rows, columns), patch_size)
        self._frozen = (frozen,)  # in a tuple: no part of this module, nor of its checkpoint

    @torch.no_grad()
    def encode(self, batch: Batch) -> Float[Tensor, " batch step camera latent row column"]:
        """The frames at the end of each step as latents, each a picture by itself."""
        frames = batch.images[:, 1:]
        latents = self._frozen[0].encode(frames.flatten(0, 2)[:, None])[:, 0]
        return latents.reshape(*frames.shape[:3], *latents.shape[1:]).float()

    def to_data(
        self, clean: Float[Tensor, " row camera latent height width"], present: Present
    ) -> Float[Tensor, " row camera 3 height width"]:
        """Latents to pixels within [-1, 1]; the film goes on from the present picture."""
        frames = self._frozen[0].decode(clean.flatten(0, 1)[:, None], present.images.flatten(0, 1))[:, 0]
        return frames.unflatten(0, clean.shape[:2]).clamp(-1, 1)

    def decode(
        self, tokens: Float[Tensor, " row token dim"], present: Present
    ) -> Float[Tensor, " row camera latent height width"]:
        return self.unembed(tokens)
