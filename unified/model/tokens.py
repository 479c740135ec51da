"""A timeline and what is asked of it as tokens: what training and answering share."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unified.errors import UserError, unknown_name
from unified.model.batch import Batch
from unified.model.config import TRUSTED_PACKAGES, ModelConfig, build
from unified.model.network.backbone import UViT
from unified.model.network.sequence import ASKED, COMMANDS, INSTRUCTION, MOMENT, Part, PositionEmbedding, Segment
from unified.model.queries import NEXT, Query, get_query
from unified.model.spec import PROPRIO, DataSpec
from unified.model.stored.history import History
from unified.model.stream import DECODER_PARTS, NEXT_MOMENT, PLAN, STEP, Decoder


@runtime_checkable
class TextModel(Protocol):
    """What the model needs of a text encoder."""

    num_tokens: int

    def __call__(self, texts: Sequence[str]) -> Float[Tensor, " text token dim"]: ...
    def check(self, texts: Iterable[str]) -> None: ...  # UserError for one that it cannot take


class Tokens(nn.Module):
    """The parts of a `UnifiedModel`, and how they make tokens.

    Args:
        config: the architecture.
        spec: the data: bodies, cameras, window lengths.
        trusted: packages whose classes the config may name.

    Attributes:
        history: what it was trained on; training sets it, checkpoints keep it.
    """

    def __init__(self, config: ModelConfig, spec: DataSpec, trusted: tuple[str, ...] = TRUSTED_PACKAGES):
        super().__init__()
        self.config, self.spec, self.history = config, spec, History()
        self.observation = build(config.observation, trusted=trusted, dim=config.dim, spec=spec)
        self.text: TextModel = build(config.text, trusted=trusted, dim=config.dim)
        self.no_text = nn.Parameter(torch.randn(1, self.text.num_tokens, config.dim) * 0.02)
        self.registers = nn.Parameter(torch.randn(1, config.num_registers, config.dim) * 0.02)
        self.decoders = nn.ModuleDict()
        for name, decoder in config.decoders.items():
            self.decoders[name] = build(decoder, trusted=trusted, dim=config.dim, spec=spec)
            missing = sorted(part for part in DECODER_PARTS if not hasattr(self.decoders[name], part))
            if missing:
                raise UserError(f"decoders.{name}: {decoder.class_path} is no Decoder; it lacks {', '.join(missing)}.")
        self.backbone = UViT(config.dim, config.depth, config.num_heads, config.gradient_checkpointing)
        self._instruction = _instruction_segment(self.text.num_tokens + config.num_registers)
        shown: tuple[Segment, ...] = self.observation.segments()
        self._moment = tuple(segment for segment in shown if not segment.is_change)
        self._change = tuple(segment for segment in shown if segment.is_change)
        self._sets = [[*same] for _, same in itertools.groupby(shown, key=lambda each: (each.stream, each.is_change))]
        self._asked = {name: self.decoder(name).segment(name) for name in self.decoders}
        self._commands = tuple(name for name in self.decoders if self.decoder(name).where == STEP)
        roles = {
            INSTRUCTION: [self._instruction],
            MOMENT: list(shown),
            COMMANDS: [self._asked[name] for name in self._commands],
            ASKED: list(self._asked.values()),
        }
        self.positions = PositionEmbedding(config.dim, roles)
        control_dt = torch.tensor([body.control_dt for body in spec.embodiments])
        self.register_buffer("_control_dt", control_dt, persistent=False)
        if config.compile:
            self.backbone.compile()

    def decoder(self, name: str) -> Decoder:
        """The decoder of a stream."""
        return self.decoders[name]  # pyright: ignore[reportReturnType]

    @property
    def following(self) -> dict[str, tuple[str, ...]]:
        """The streams of the next moment, each with the columns that it holds of it."""
        decoders = {name: self.decoder(name) for name in self.decoders}
        return {name: each.columns.get("at", ()) for name, each in decoders.items() if each.where == NEXT_MOMENT}

    def query(self, query: Query | str) -> Query:
        """A query in this model's own streams: `next` stands for every stream of the next moment that it has.

        A name means the query as it was learned, or the usual one where nobody says.

        Raises:
            UserError: for a stream that this model was built without.
        """
        if isinstance(query, str):
            query = (self.history.queries or {}).get(query) or get_query(query)
        following = self.following

        def named(streams: tuple[str, ...], known: Sequence[str]) -> tuple[str, ...]:
            for name in streams:
                if name != NEXT and name not in known:
                    raise unknown_name(
                        f"stream (query {query.name!r} needs it; this model was built without)", name, known
                    )
            return tuple(dict.fromkeys(n for name in streams for n in (following if name == NEXT else [name])))

        shown = list(dict.fromkeys([segment.stream for segment in self._moment]))
        given = tuple(shown) if NEXT in query.given else ()
        given += named(tuple(name for name in query.given if name != NEXT), [*shown, *self._commands])
        wanted = named(query.wanted, list(self.decoders))
        if not wanted:
            raise UserError(f"query {query.name!r} wants the next moment, and this model has no stream of it.")
        observed = None if query.observed is None else named(query.observed, shown)
        return replace(query, given=given, wanted=wanted, observed=observed)

    def num_elements(self, stream: str, num_moments: int) -> int:
        """How many elements of a stream a window has."""
        return num_moments if self.decoder(stream).where == PLAN else num_moments - 1

    def set_stats(self, stats: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> None:
        """Normalise with these statistics: embodiment, then data key, then "mean" and "std"."""
        for part in (self.observation, *self.decoders.values()):
            part.set_stats(stats)  # pyright: ignore[reportCallIssue]

    def _tell(self, batch: Batch, no_text: Tensor | None = None) -> Float[Tensor, " batch token dim"]:
        texts = list(dict.fromkeys(batch.task))
        rows = torch.tensor([texts.index(task) for task in batch.task], device=batch.images.device)
        text = self.text(texts)[rows]
        if no_text is not None:
            text = torch.where(no_text[:, None, None], self.no_text.to(text.dtype), text)
        registers = self.registers.to(text.dtype).expand(len(batch), -1, -1)
        return torch.cat([text, registers], dim=1) + self.positions(Part(self._instruction, INSTRUCTION))

    def _moment_parts(self, num_moments: int, first_change: int = 1) -> list[Part]:
        """Parts that show moments and, from one moment on, what changed before them; set by set."""
        return [
            Part(segment, MOMENT, moment)
            for together in self._sets
            for moment in range(first_change if together[0].is_change else 0, num_moments)
            for segment in together
        ]

    def _show(self, batch: Batch) -> dict[str, Float[Tensor, " batch moment token dim"]]:
        """Moments as they are, by segment."""
        proprio, embodiment = batch.column("at", PROPRIO), batch.embodiment.repeat_interleave(batch.num_moments)
        parts = self.observation(batch.images.flatten(0, 1), proprio.flatten(0, 1), embodiment)
        return self._placed(parts, self._moment, batch.num_moments)

    def _compare(self, batch: Batch) -> dict[str, Float[Tensor, " batch step token dim"]]:
        """How moments differ from the ones before them, by segment; of none the first."""
        steps = batch.num_moments - 1
        if not (steps and self._change):
            return {}
        stride = torch.full_like(batch.embodiment, self.spec.frame_stride) if batch.stride is None else batch.stride
        seconds = stride * self.get_buffer("_control_dt")[batch.embodiment]
        windows = batch.images.unfold(1, 2, 1).movedim(-1, 2).flatten(0, 1)
        proprio = batch.column("at", PROPRIO).unfold(1, 2, 1).movedim(-1, 2).flatten(0, 1)
        rows = batch.embodiment.repeat_interleave(steps)
        parts = self.observation.compare(windows, proprio, rows, seconds.repeat_interleave(steps))
        return self._placed(parts, self._change, steps)

    def _placed(
        self, parts: Mapping[str, Tensor], segments: Sequence[Segment], count: int
    ) -> dict[str, Float[Tensor, " batch element token dim"]]:
        return {
            segment.name: (parts[segment.name] + self.positions(Part(segment, MOMENT))).unflatten(0, (-1, count))
            for segment in segments
        }

    def _command(self, name: str, batch: Batch) -> Float[Tensor, " batch step token dim"]:
        clean = self.decoder(name).encode(batch)
        tokens = self.decoder(name).embed(clean.flatten(0, 1), batch.embodiment.repeat_interleave(clean.shape[1]))
        return (tokens + self.positions(Part(self._asked[name], COMMANDS))).unflatten(0, (len(batch), -1))

    def _ask(self, name: str, noisy: Tensor, embodiment: Tensor) -> Float[Tensor, " batch element token dim"]:
        rows = embodiment.repeat_interleave(noisy.shape[1])
        tokens = self.decoder(name).embed(noisy.flatten(0, 1), rows) + self.positions(Part(self._asked[name], ASKED))
        return tokens.unflatten(0, (len(embodiment), -1))

    def _seconds(
        self, moments: Tensor, env_steps: Tensor, embodiment: Tensor, stride: Tensor | None
    ) -> Float[Tensor, " batch token"]:
        steps = moments[None] * (self.spec.frame_stride if stride is None else stride[:, None]) + env_steps[None]
        return steps * self.get_buffer("_control_dt")[embodiment][:, None]


def _instruction_segment(count: int) -> Segment:
    coordinates = torch.tensor([[0.0, 0.5, 0.5]]).repeat(count, 1)
    return Segment("instruction", coordinates, torch.arange(count))
