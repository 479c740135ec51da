"""The token sequence, described once: which tokens there are, where they stand, which diffusion time they carry."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


@dataclass(frozen=True)
class Segment:
    """The tokens of one stream or of one part of the context.

    Attributes:
        name: the stream's name, or the context part's.
        coordinates: one row a token: env steps from now, then height and width in [0, 1].
        kinds: what distinguishes tokens at equal coordinates, for example the camera slot; counted from 0.
        groups: which of the stream's diffusion times a token carries; counted from 0. None: always clean context.
        by_camera: the kinds are camera slots, so that the tokens of a camera that a sample lacks can be masked.
    """

    name: str
    coordinates: Float[Tensor, " token 3"]
    kinds: Int[Tensor, " token"]
    groups: Int[Tensor, " token"] | None = None
    by_camera: bool = False

    def __len__(self) -> int:
        return self.coordinates.shape[0]

    @property
    def num_groups(self) -> int:
        """How many diffusion times the segment has: 0 for context."""
        return 0 if self.groups is None else int(self.groups.max()) + 1

    @property
    def num_kinds(self) -> int:
        """How many kinds of tokens the segment has."""
        return int(self.kinds.max()) + 1


class Layout:
    """Segments in a row. Nobody else knows where a stream begins or ends.

    Group 0 is the context's, with diffusion time 0; the streams' groups follow in the order of the segments.
    """

    def __init__(self, segments: Sequence[Segment]):
        self.segments = tuple(segments)
        self._starts: dict[str, int] = {}
        groups: list[Tensor] = []
        num_groups = 1
        position = 0
        for segment in self.segments:
            self._starts[segment.name] = position
            position += len(segment)
            if segment.groups is None:
                groups.append(torch.zeros(len(segment), dtype=torch.long))
            else:
                groups.append(segment.groups + num_groups)
                num_groups += segment.num_groups
        self.num_tokens = position
        self.groups: Int[Tensor, " token"] = torch.cat(groups)

    def __contains__(self, name: str) -> bool:
        return name in self._starts

    def slice(self, name: str) -> slice:
        """Where a segment's tokens stand."""
        start = self._starts[name]
        return slice(start, start + len(self._segment(name)))

    def times(self, t: dict[str, Float[Tensor, " batch stream_group"]]) -> Float[Tensor, " batch group"]:
        """Line the streams' diffusion times up with the layout's groups; the context gets 0."""
        first = next(iter(t.values()))
        columns = [first.new_zeros(first.shape[0], 1)]
        columns += [t[segment.name] for segment in self.segments if segment.groups is not None]
        return torch.cat(columns, dim=1)

    def _segment(self, name: str) -> Segment:
        return next(segment for segment in self.segments if segment.name == name)


def grid_coordinates(times: Sequence[float], height: int, width: int) -> Float[Tensor, " token 3"]:
    """Coordinates of `height * width` tokens for each time (in env steps), row by row."""
    axes = (
        torch.tensor(times, dtype=torch.float32),
        (torch.arange(height) + 0.5) / height,
        (torch.arange(width) + 0.5) / width,
    )
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)


class PositionEmbedding(nn.Module):
    """Where a token stands and what it is, as a vector to add to it.

    Fourier features of the coordinates through a learned linear map, so that other resolutions and horizons than
    the trained ones have sensible positions, plus a learned vector for each kind of token of each segment.
    """

    NUM_FREQUENCIES = 16
    LONGEST_ENV_STEPS = 512.0
    frequencies: Float[Tensor, " axis frequency"]

    def __init__(self, dim: int, segments: Sequence[Segment]):
        super().__init__()
        self.linear = nn.Linear(6 * self.NUM_FREQUENCIES, dim)
        self.kinds = nn.ParameterDict({s.name: nn.Parameter(torch.randn(s.num_kinds, dim) * 0.02) for s in segments})
        time = torch.pi * torch.logspace(0, 1, self.NUM_FREQUENCIES, base=1 / self.LONGEST_ENV_STEPS)
        space = torch.pi * torch.logspace(-1, 5, self.NUM_FREQUENCIES, base=2)
        self.register_buffer("frequencies", torch.stack([time, space, space]), persistent=False)
        for segment in segments:
            self.register_buffer(f"features_{segment.name}", self._features(segment.coordinates), persistent=False)
            self.register_buffer(f"kinds_{segment.name}", segment.kinds, persistent=False)

    def _features(self, coordinates: Float[Tensor, " token 3"]) -> Float[Tensor, " token feature"]:
        angles = (coordinates[:, :, None] * self.frequencies).flatten(1)
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    def forward(self, layout: Layout) -> Float[Tensor, " token dim"]:
        names = [segment.name for segment in layout.segments]
        features = torch.cat([self.get_buffer(f"features_{name}") for name in names])
        kinds = torch.cat([self.kinds[name][self.get_buffer(f"kinds_{name}")] for name in names])
        return self.linear(features) + kinds
