"""The token sequence, described once: which tokens there are, where they stand, and who sees whom.

A sequence is the instruction, then the moments of a window, what changed between them and the commands executed between
them (the *timeline*, clean), then what is asked (noisy): of each stream, one element a step.

    instruction | moments | changes | commands | stream x: step 0, 1, ... | stream y: step 0, ...

The instruction sees itself; what shows a stream at a moment sees that stream at that moment; what shows a stream's
change sees that; commands see themselves. What is asked sees what its query says, and is seen by nobody but what the
same query asks about the same step. So the timeline is computed once, can be cached, and nothing of the future leaks
into it.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unified.model.network.backbone import Closed
from unified.model.queries import Query

INSTRUCTION, MOMENT, COMMANDS, ASKED = range(4)


@dataclass(frozen=True)
class Segment:
    """The tokens of one element of a stream, or of one part of a moment.

    Attributes:
        name: the stream's, or the part's.
        stream: of a part of a moment: the stream whose data it shows; queries name it to give or hide it.
        coordinates: one row a token: env steps from the element's own moment, then height and width in [0, 1].
        kinds: what distinguishes tokens at equal coordinates, for example the camera slot; counted from 0.
        by_camera: the kinds are camera slots, so that the tokens of a camera that a sample lacks can be masked.
        is_next: the element of a step belongs to the moment at its end, not at its beginning.
        is_change: a part of a moment that shows how it differs from the moment before.
    """

    name: str
    coordinates: Float[Tensor, " token 3"]
    kinds: Int[Tensor, " token"]
    stream: str = ""
    by_camera: bool = False
    is_next: bool = False
    is_change: bool = False

    def __len__(self) -> int:
        return self.coordinates.shape[0]

    @property
    def num_kinds(self) -> int:
        """How many kinds of tokens the segment has."""
        return int(self.kinds.max()) + 1

    @property
    def cameras(self) -> Int[Tensor, " token"]:
        """The camera slot that each token shows; -1: none."""
        return self.kinds if self.by_camera else torch.full_like(self.kinds, -1)


@dataclass(frozen=True)
class Part:
    """An element of a segment in a sequence.

    Attributes:
        role: INSTRUCTION, MOMENT, COMMANDS or ASKED.
        moment: number of the moment shown; of commands and of what is asked: of the step's first moment.
    """

    segment: Segment
    role: int
    moment: int = 0


class Layout:
    """Parts in a row. Nobody else knows where a stream begins or ends, or who sees whom.

    Attributes:
        moments: for every token the number of the moment that it belongs to, counted from the oldest; NaN for the
            instruction, which holds at all moments alike.
        env_steps: for every token the env steps from that moment.
        groups: which diffusion time a token carries: 0 is the instruction's, then one for each part that is shown or
            asked, in order.
        cameras: the camera slot that a token shows; -1: none.
        slices: where each part stands.
        runs: of the timeline, the sets that see but themselves, as `unified.model.network.backbone.Closed` has them.
    """

    def __init__(self, parts: Sequence[Part]):
        self.parts = tuple(parts)
        sizes = [len(part.segment) for part in parts]
        number, group = -1, []
        for part in parts:
            number += part.role != INSTRUCTION
            group.append(0 if part.role == INSTRUCTION else number + 1)
        self.groups = torch.tensor(group).repeat_interleave(torch.tensor(sizes))
        ends = [*itertools.accumulate(sizes)]
        self.slices = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
        place = [
            math.nan if part.role == INSTRUCTION else part.moment + (part.role == ASKED and part.segment.is_next)
            for part in parts
        ]
        self.moments = torch.tensor(place, dtype=torch.float32).repeat_interleave(torch.tensor(sizes))
        self.env_steps = torch.cat([part.segment.coordinates[:, 0] for part in parts])
        self.cameras = torch.cat([part.segment.cameras for part in parts])
        sets: list[int] = []
        for before, part in zip([None, *parts], parts, strict=False):
            if part.role != ASKED:
                starts = before is None or not _see_each_other(before, part)
                sets = [*sets, len(part.segment)] if starts else [*sets[:-1], sets[-1] + len(part.segment)]
        self.runs = tuple((len([*same]), size) for size, same in itertools.groupby(sets))

    def to(self, device: torch.device) -> "Layout":
        """The same with its numbers on a device."""
        moved = copy(self)
        for name in ("moments", "env_steps", "groups", "cameras"):
            setattr(moved, name, getattr(self, name).to(device))
        return moved

    @property
    def num_tokens(self) -> int:
        """Length of the sequence."""
        return len(self.groups)

    @property
    def asked(self) -> tuple[str, ...]:
        """The streams that are asked for, in order."""
        return tuple(dict.fromkeys(part.segment.name for part in self.parts if part.role == ASKED))

    @property
    def num_asked(self) -> int:
        """How many tokens, the last of the sequence, are asked."""
        return sum(len(part.segment) for part in self.parts if part.role == ASKED)

    def in_a_row(
        self, pieces: Mapping[tuple[int, str], Float[Tensor, " batch element _ dim"]]
    ) -> Float[Tensor, " batch token dim"]:
        """The tokens of all parts in their order.

        Args:
            pieces: by role and segment its elements; what changed begins with the second moment.
        """
        elements = {key: piece.unbind(1) for key, piece in pieces.items()}
        ordered = [elements[part.role, part.segment.name][part.moment - part.segment.is_change] for part in self.parts]
        return torch.cat(ordered, dim=1)

    def mask(self, queries: Mapping[str, Query]) -> Bool[Tensor, " asked source"]:
        """What each token that is asked sees, if each stream's elements (by its name) are asked this query.

        Elements of streams that nobody asks for see but themselves.
        """
        asked = [part for part in self.parts if part.role == ASKED]
        seen = torch.tensor([[_sees(one, part, queries) for part in self.parts] for one in asked], dtype=torch.bool)
        sizes = torch.tensor([len(part.segment) for part in self.parts])
        return seen.repeat_interleave(sizes[-len(asked) :], 0).repeat_interleave(sizes, 1)

    def without_cameras(
        self, mask: Bool[Tensor, " #batch asked token"], camera_is_pad: Bool[Tensor, " batch camera"] | None
    ) -> Bool[Tensor, " #batch asked token"]:
        """A mask in which nobody sees cameras that a sample lacks; but every token sees itself."""
        if camera_is_pad is None:
            return mask
        itself = torch.eye(self.num_tokens, dtype=torch.bool, device=mask.device)[-self.num_asked :]
        return (mask & ~missing_cameras(self.cameras, camera_is_pad)[:, None]) | itself

    def closed(self, camera_is_pad: Bool[Tensor, " batch camera"] | None) -> Closed:
        """The timeline's tokens for the backbone."""
        cameras = self.cameras[: self.num_tokens - self.num_asked]
        return Closed(self.runs, None if camera_is_pad is None else missing_cameras(cameras, camera_is_pad))


def _see_each_other(part: Part, other: Part) -> bool:
    """Whether two parts of a timeline do."""
    both, segments = (part.role, other.role), (part.segment, other.segment)
    same_stream = segments[0].stream == segments[1].stream and segments[0].is_change == segments[1].is_change
    return both == (MOMENT, MOMENT) and part.moment == other.moment and same_stream


def _sees(asking: Part, part: Part, queries: Mapping[str, Query]) -> bool:
    query = queries.get(asking.segment.name)
    if asking is part or query is None:
        return asking is part
    if part.role == ASKED:
        return part.moment == asking.moment and queries.get(part.segment.name) is query
    return sees(query, asking.moment, part)


def sees(query: Query, now: int, part: Part) -> bool:
    """Whether what a query asks about the step after moment `now` sees a part of the timeline."""
    if part.role == INSTRUCTION:
        return True
    if part.segment.is_change and not query.changes:
        return False
    earliest = part.moment - part.segment.is_change
    is_recent = query.history is None or earliest >= now - query.history
    if part.role == COMMANDS:
        if part.moment == now:
            return part.segment.name in query.given
        return query.past_actions and part.moment < now and is_recent
    if part.moment == now + 1:
        return part.segment.stream in query.given
    return part.moment <= now and is_recent and (query.observed is None or part.segment.stream in query.observed)


def missing_cameras(
    cameras: Int[Tensor, " token"], camera_is_pad: Bool[Tensor, " batch camera"]
) -> Bool[Tensor, " batch token"]:
    """True for tokens that show a camera which the sample lacks."""
    return camera_is_pad[:, cameras.clamp_min(0)] & (cameras >= 0)


def grid_coordinates(height: int, width: int, env_steps: float = 0.0) -> Float[Tensor, " token 3"]:
    """Coordinates of `height * width` tokens, row by row."""
    axes = (torch.tensor([env_steps]), (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width)
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)


class PositionEmbedding(nn.Module):
    """Where a token stands within its element and what it is, as a vector to add to it.

    Fourier features of the coordinates through a learned linear map, so that other resolutions and horizons than
    the trained ones have sensible positions, plus a learned vector for each kind of token of each segment in each role.
    When its moment is, the backbone is told apart (`unified.model.network.backbone.Moments`).
    """

    NUM_FREQUENCIES = 16
    LONGEST_ENV_STEPS = 512.0
    frequencies: Float[Tensor, " axis frequency"]

    def __init__(self, dim: int, segments: Mapping[int, Sequence[Segment]]):
        super().__init__()
        self.linear = nn.Linear(6 * self.NUM_FREQUENCIES, dim)
        time = torch.pi * torch.logspace(0, 1, self.NUM_FREQUENCIES, base=1 / self.LONGEST_ENV_STEPS)
        space = torch.pi * torch.logspace(-1, 5, self.NUM_FREQUENCIES, base=2)
        self.register_buffer("frequencies", torch.stack([time, space, space]), persistent=False)
        self.kinds = nn.ParameterDict()
        for role, members in segments.items():
            for segment in members:
                self.kinds[f"{role}_{segment.name}"] = nn.Parameter(torch.randn(segment.num_kinds, dim) * 0.02)

    def forward(self, part: Part) -> Float[Tensor, " token dim"]:
        """Of one element; the same at every moment."""
        device = self.linear.weight.device
        angles = (part.segment.coordinates.to(device)[:, :, None] * self.frequencies).flatten(1)
        features = torch.cat([angles.sin(), angles.cos()], dim=1)
        return self.linear(features) + self.kinds[f"{part.role}_{part.segment.name}"][part.segment.kinds.to(device)]
