"""A column of the data as a stream: what is measured at the next moment, or what a step brought, such as its reward."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from decoders.vectors import EmbodimentLinear, Normalizer, beyond_stride
from unified.errors import unknown_name
from unified.model.batch import Batch
from unified.model.network.sequence import Segment, grid_coordinates
from unified.model.spec import ACTION, PROPRIO, DataSpec
from unified.model.stream import NEXT_MOMENT, Present

LAST, SUM, ANY = "last", "sum", "any"
REDUCTIONS = (LAST, SUM, ANY)


class ColumnDecoder(nn.Module):
    """A column as one token; predicts it clean, so that one denoise step gives its mean: of flags the probability.

    Steps that end past the end of an episode teach nothing: to learn of success, an episode must go on for
    `frame_stride` env steps after it, as those that `unified record` writes do.

    Args:
        dim: width of a token.
        spec: the bodies; those that lack the column learn nothing of it.
        column: its name in the data, such as "next.reward".
        reduce: "last": as measured at the next moment; "sum": added up over the step's env steps, as rewards are;
            "any": whether it was true in any of them, as success and end are.
    """

    where = NEXT_MOMENT
    predicts = "clean"

    def __init__(self, dim: int, spec: DataSpec, column: str, reduce: str = LAST):
        super().__init__()
        if reduce not in REDUCTIONS:
            raise unknown_name("reduction (reduce)", reduce, REDUCTIONS)
        if not spec.width(column):
            raise unknown_name(
                "column of the data (data.columns says which are read)", column, (PROPRIO, ACTION, *spec.columns)
            )
        self.spec, self.column, self.reduce = spec, column, reduce
        self.columns = {"at" if reduce == LAST else "between": (column,)}
        sizes = [body.size(column) for body in spec.embodiments]
        self.normalizer = Normalizer(sizes, max(sizes))
        self.embed_linear = EmbodimentLinear(len(sizes), max(sizes), dim)
        self.decode_linear = EmbodimentLinear(len(sizes), dim, max(sizes), zero=True)

    def segment(self, name: str) -> Segment:
        """One token."""
        return Segment(name, grid_coordinates(1, 1), torch.zeros(1, dtype=torch.long), is_next=True)

    def event_shape(self) -> tuple[int, ...]:
        """Normalised numbers."""
        return (self.spec.width(self.column),)

    def encode(self, batch: Batch) -> Float[Tensor, " batch step width"]:
        """Of each step, normalised: sums by the statistics of a step's mean, flags to -1 and 1."""
        if self.reduce == LAST:
            return self.normalizer.normalize(batch.column("at", self.column)[:, 1:], batch.embodiment)
        values = batch.column("between", self.column)
        values = values.masked_fill(beyond_stride(batch, values.shape[2])[:, None, :, None], 0.0)
        if self.reduce == SUM:
            return self.normalizer.normalize(values.sum(dim=2) / self.spec.frame_stride, batch.embodiment)
        flags = (values > 0).any(dim=2).to(values.dtype) * 2 - 1
        return flags.masked_fill(self.normalizer.is_pad[batch.embodiment][:, None], 0.0)

    def is_pad(self, batch: Batch) -> Bool[Tensor, " batch step width"]:
        """True for steps that end past the end of the episode, and for numbers that a body lacks."""
        pad = self.normalizer.is_pad[batch.embodiment][:, None].expand(-1, batch.num_moments - 1, -1)
        return pad if batch.moment_is_pad is None else pad | batch.moment_is_pad[:, 1:, None]

    def to_data(self, clean: Float[Tensor, " row width"], present: Present) -> Float[Tensor, " row width"]:
        """In the data's units; of flags the probability; 0 where a body has none."""
        if self.reduce == ANY:
            values = (clean / 2 + 0.5).clamp(0, 1)
            return values.masked_fill(self.normalizer.is_pad[present.embodiment], 0.0)
        values = self.normalizer.unnormalize(clean[:, None], present.embodiment)[:, 0]
        return values * self.spec.frame_stride if self.reduce == SUM else values

    def embed(self, noisy: Float[Tensor, " row width"], embodiment: Int[Tensor, " row"]) -> Float[Tensor, " row 1 dim"]:
        return self.embed_linear(noisy[:, None], embodiment)

    def decode(self, tokens: Float[Tensor, " row 1 dim"], present: Present) -> Float[Tensor, " row width"]:
        return self.decode_linear(tokens, present.embodiment)[:, 0]

    def set_stats(self, stats: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> None:
        """Normalise with these statistics of the data from now on."""
        self.normalizer.set_stats(stats, self.column, self.spec)
