"""The body's own measurements at the next moment, so that a dream needs none from outside."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from decoders.vectors import EmbodimentLinear, Normalizer
from unified.model.batch import Batch
from unified.model.network.sequence import Segment, grid_coordinates
from unified.model.spec import PROPRIO, DataSpec
from unified.model.stream import NEXT_MOMENT, Present


class ProprioDecoder(nn.Module):
    """Proprio as one token; predicts it clean, since what a body measures follows from what it was told.

    Args:
        dim: width of a token.
        spec: the bodies.
    """

    where = NEXT_MOMENT
    predicts = "clean"
    columns: ClassVar = {"at": (PROPRIO,)}

    def __init__(self, dim: int, spec: DataSpec):
        super().__init__()
        bodies = spec.embodiments
        self.spec = spec
        self.normalizer = Normalizer([body.proprio_dim for body in bodies], spec.proprio_dim)
        self.embed_linear = EmbodimentLinear(len(bodies), spec.proprio_dim, dim)
        self.decode_linear = EmbodimentLinear(len(bodies), dim, spec.proprio_dim, zero=True)

    def segment(self, name: str) -> Segment:
        """One token."""
        return Segment(name, grid_coordinates(1, 1), torch.zeros(1, dtype=torch.long), is_next=True)

    def event_shape(self) -> tuple[int, ...]:
        """Normalised measurements."""
        return (self.spec.proprio_dim,)

    def encode(self, batch: Batch) -> Float[Tensor, " batch step proprio_dim"]:
        """What is measured at the end of each step, normalised."""
        return self.normalizer.normalize(batch.column("at", PROPRIO)[:, 1:], batch.embodiment)

    def is_pad(self, batch: Batch) -> Bool[Tensor, " batch step proprio_dim"]:
        """True past the end of the episode, and for dimensions that a body lacks."""
        pad = self.normalizer.is_pad[batch.embodiment][:, None].expand(-1, batch.num_moments - 1, -1)
        return pad if batch.moment_is_pad is None else pad | batch.moment_is_pad[:, 1:, None]

    def to_data(self, clean: Float[Tensor, " row proprio_dim"], present: Present) -> Float[Tensor, " row proprio_dim"]:
        """Normalised measurements to the body's own units."""
        return self.normalizer.unnormalize(clean[:, None], present.embodiment)[:, 0]

    def embed(
        self, noisy: Float[Tensor, " row proprio_dim"], embodiment: Int[Tensor, " row"]
    ) -> Float[Tensor, " row 1 dim"]:
        return self.embed_linear(noisy[:, None], embodiment)

    def decode(self, tokens: Float[Tensor, " row 1 dim"], present: Present) -> Float[Tensor, " row proprio_dim"]:
        return self.decode_linear(tokens, present.embodiment)[:, 0]

    def set_stats(self, stats: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> None:
        """Normalise with these statistics of the data from now on."""
        self.normalizer.set_stats(stats, PROPRIO, self.spec)
