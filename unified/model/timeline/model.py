"""The timeline model: a timeline and what is asked of it to tokens, one backbone, one sampler for every query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unified.errors import UserError, unknown_name
from unified.model import diffusion
from unified.model.config import TRUSTED_PACKAGES, build
from unified.model.spec import PROPRIO
from unified.model.timeline.backbone import KeysValues, UViT
from unified.model.timeline.batch import Batch
from unified.model.timeline.config import TimelineConfig
from unified.model.timeline.queries import NEXT, Query, get_query
from unified.model.timeline.sequence import (
    ASKED,
    COMMANDS,
    INSTRUCTION,
    MOMENT,
    Layout,
    Part,
    PositionEmbedding,
    Segment,
    sees,
)
from unified.model.timeline.spec import TimelineSpec
from unified.model.timeline.stream import DECODER_PARTS, NEXT_MOMENT, PLAN, STEP, Decoder, Present

Mix = tuple[Query, ...]
"""Queries that one row is asked at once: no stream is wanted by two of them."""


@dataclass(frozen=True)
class Draws:
    """The random numbers of a training step. Those of a row come from a generator of its own.

    Attributes:
        t: diffusion times by stream (batch element).
        noise: by stream (batch element *event).
        no_text: True where the instruction is withheld.
        history: how noisy each moment's pictures are (batch moment), as a share of their range.
        history_noise: what is added to them; None where no moment is ever noisy.
    """

    t: dict[str, Tensor]
    noise: dict[str, Tensor]
    no_text: Bool[Tensor, " batch"]
    history: Float[Tensor, " batch moment"]
    history_noise: Float[Tensor, " batch moment camera channel height width"] | None = None


@dataclass(frozen=True)
class Shown:
    """A clean part of a timeline as the backbone keeps it: computed once, whatever is asked and whatever follows.

    Attributes:
        part: what it shows; its moment is counted from the beginning of the timeline.
        keys_values: what it offers, block by block of the backbone.
        is_pad: True for tokens of cameras that a sample lacks; None: of none.
    """

    part: Part
    keys_values: list[KeysValues]
    is_pad: Bool[Tensor, " batch token"] | None = None


class TimelineModel(nn.Module):
    """Learns the joint distribution of future video and actions, given what was observed and what was asked.

    Args:
        config: the architecture.
        spec: the data: bodies, cameras, window lengths.
        trusted: packages whose classes the config may name.
    """

    def __init__(self, config: TimelineConfig, spec: TimelineSpec, trusted: tuple[str, ...] = TRUSTED_PACKAGES):
        super().__init__()
        self.config, self.spec = config, spec
        self.observation = build(config.observation, trusted=trusted, dim=config.dim, spec=spec)
        self.text = build(config.text, trusted=trusted, dim=config.dim)
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
        self._moment: tuple[Segment, ...] = self.observation.segments()
        self._asked = {name: self.decoder(name).segment(name) for name in self.decoders}
        self._commands = tuple(name for name in self.decoders if self.decoder(name).where == STEP)
        roles = {
            INSTRUCTION: [self._instruction],
            MOMENT: list(self._moment),
            COMMANDS: [self._asked[name] for name in self._commands],
            ASKED: list(self._asked.values()),
        }
        self.positions = PositionEmbedding(config.dim, roles)
        control_dt = torch.tensor([body.control_dt for body in spec.embodiments])
        self.register_buffer("_control_dt", control_dt, persistent=False)
        self._masks: dict[tuple[int, tuple[Mix, ...]], tuple[Layout, Tensor]] = {}
        if config.compile:
            self.backbone.compile()

    def decoder(self, name: str) -> Decoder:
        """The decoder of a stream."""
        return self.decoders[name]  # pyright: ignore[reportReturnType]

    def query(self, query: Query | str) -> Query:
        """A query in this model's own streams: `next` stands for every stream of the next moment that it has.

        Raises:
            UserError: for a stream that this model was built without.
        """
        query = get_query(query) if isinstance(query, str) else query
        following = [name for name in self.decoders if self.decoder(name).where == NEXT_MOMENT]

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

    # ------------------------------------------------------------------ training

    def draw(self, keys: Sequence[Sequence[int]]) -> Draws:
        """Random times, noise and withheld instructions of the rows with these keys, each from its own alone."""
        moments = self.spec.num_moments
        rows = [self._draw_row(torch.Generator().manual_seed(_seed(key)), moments) for key in keys]
        noises = [row.history_noise for row in rows if row.history_noise is not None]
        return Draws(
            {name: torch.cat([row.t[name] for row in rows]) for name in rows[0].t},
            {name: torch.cat([row.noise[name] for row in rows]) for name in rows[0].noise},
            torch.cat([row.no_text for row in rows]),
            torch.cat([row.history for row in rows]),
            torch.cat(noises) if noises else None,
        )

    def _draw_row(self, generator: torch.Generator, moments: int) -> Draws:
        t, noise = {}, {}
        for name in self.decoders:
            count = self.num_elements(name, moments)
            if count:
                uniform = torch.rand(1, count, generator=generator)
                t[name] = diffusion.shift_time(uniform, self.config.time_shifts.get(name, 1.0))
                noise[name] = torch.randn(1, count, *self.decoder(name).event_shape(), generator=generator)
        no_text = torch.rand(1, generator=generator) < self.config.text_dropout
        level, history_noise = torch.zeros(1, moments), None
        if self.config.history_noise:
            is_noisy = torch.rand(1, 1, generator=generator) < 0.5
            level = self.config.history_noise * torch.rand(1, moments, generator=generator) * is_noisy
            shape = (1, moments, len(self.spec.cameras), 3, *self.spec.image_size)
            history_noise = torch.randn(shape, generator=generator)
        return Draws(t, noise, no_text, level, history_noise)

    def loss(
        self, batch: Batch, mixes: Sequence[Mix], asked: Int[Tensor, " batch"], draws: Draws
    ) -> dict[str, tuple[Float[Tensor, " batch element"], Bool[Tensor, " batch element"]]]:
        """Squared error of what is wanted at every moment of a window, all in one pass.

        Args:
            batch: a window of `num_moments` moments, in data units.
            mixes: what rows are asked, in this model's own streams (see `query`).
            asked: which of the mixes each row is asked.
            draws: random numbers.

        Returns:
            By stream that any mix wants: the mean error of each element over what is not padding, and where there
            is one: the row is asked for the stream, and something of the element is known.
        """
        device = batch.images.device
        layout, masks = self._training_layout(batch.num_moments, tuple(mixes))
        streams = [part.segment.name for part in layout.parts if part.role == ASKED]
        streams = list(dict.fromkeys(streams))
        clean = {name: self.decoder(name).encode(batch) for name in streams}
        t = {name: draws.t[name].to(device) for name in streams}
        noise = {name: draws.noise[name].to(device) for name in streams}
        noisy = {name: diffusion.add_noise(clean[name], noise[name], t[name]) for name in streams}
        history = draws.history.to(device)
        tokens = [self._tell(batch, draws.no_text.to(device))]
        tokens += [self._show(batch, history, draws.history_noise).flatten(1, 2)]
        tokens += [self._command(name, batch).flatten(1, 2) for name in self._commands if batch.num_moments > 1]
        tokens += [self._ask(name, noisy[name], batch.embodiment).flatten(1, 2) for name in streams]
        zeros = history.new_zeros(len(batch), 1)
        shown = history.repeat_interleave(len(self._moment), dim=1)
        times = [zeros, shown, zeros.expand(-1, len(self._commands) * (batch.num_moments - 1))]
        mask = masks.to(device) if len(mixes) == 1 else masks.to(device)[asked.to(device)]
        output = self.backbone(
            torch.cat(tokens, dim=1),
            torch.cat([*times, *(t[name] for name in streams)], dim=1),
            layout.groups.to(device),
            self._without_pads(mask, layout, batch),
            self._seconds(layout.moments.to(device), layout.env_steps.to(device), batch.embodiment, batch.stride),
            layout.num_asked,
        )
        counts = [self.num_elements(name, batch.num_moments) for name in streams]
        sizes = [count * len(self._asked[name]) for name, count in zip(streams, counts, strict=True)]
        errors = {}
        for name, count, part in zip(streams, counts, output.split(sizes, dim=1), strict=True):
            present = _present(batch, count)
            prediction = self.decoder(name).decode(part.unflatten(1, (count, -1)).flatten(0, 1), present)
            is_clean = self.decoder(name).predicts == "clean"
            target = clean[name] if is_clean else noise[name] - clean[name]
            is_asked = torch.tensor([any(name in query.wanted for query in mix) for mix in mixes])[asked].to(device)
            errors[name] = self._error(name, prediction.unflatten(0, (-1, count)), target, batch, is_asked)
        return errors

    def _error(
        self, name: str, prediction: Tensor, target: Tensor, batch: Batch, is_asked: Bool[Tensor, " batch"]
    ) -> tuple[Tensor, Tensor]:
        squared = (prediction.float() - target).square()
        keep = (~self.decoder(name).is_pad(batch)).expand_as(squared).flatten(2)
        is_known = keep.any(dim=2) & is_asked[:, None]
        mean = (squared.flatten(2) * keep).sum(2) / keep.sum(2).clamp_min(1)
        return mean.masked_fill(~is_known, 0.0), is_known

    def _training_layout(
        self, num_moments: int, mixes: tuple[Mix, ...]
    ) -> tuple[Layout, Bool[Tensor, " mix token token"]]:
        key = (num_moments, mixes)
        if key not in self._masks:
            wanted = {name for mix in mixes for query in mix for name in query.wanted}
            parts = [Part(self._instruction, INSTRUCTION)]
            parts += [Part(segment, MOMENT, moment) for moment in range(num_moments) for segment in self._moment]
            steps = range(num_moments - 1)
            parts += [Part(self._asked[name], COMMANDS, step) for name in self._commands for step in steps]
            for name in self.decoders:
                if name in wanted:
                    elements = range(self.num_elements(name, num_moments))
                    parts += [Part(self._asked[name], ASKED, element) for element in elements]
            layout = Layout(parts)
            queries = [{name: query for query in mix for name in query.wanted} for mix in mixes]
            self._masks[key] = layout, torch.stack([layout.mask(asked) for asked in queries])
        return self._masks[key]

    def _without_pads(
        self, mask: Bool[Tensor, " #batch token token"], layout: Layout, batch: Batch
    ) -> Bool[Tensor, " #batch token token"]:
        """Nobody sees cameras that a sample lacks, or moments past the end; but every token sees itself."""
        hidden = None
        if batch.camera_is_pad is not None:
            hidden = _missing_cameras(layout.cameras.to(mask.device), batch.camera_is_pad)
        if batch.moment_is_pad is not None:
            # Commands of a step that ends past the end are unknown in part.
            roles = torch.tensor([part.role for part in layout.parts for _ in range(len(part.segment))])
            moments = (layout.moments + (roles == COMMANDS)).to(mask.device)
            is_timeline = ((roles == MOMENT) | (roles == COMMANDS)).to(mask.device)
            past_end = batch.moment_is_pad[:, moments] & is_timeline
            hidden = past_end if hidden is None else hidden | past_end
        if hidden is None:
            return mask
        return (mask & ~hidden[:, None]) | torch.eye(mask.shape[-1], dtype=torch.bool, device=mask.device)

    # ------------------------------------------------------------------ tokens

    def _tell(self, batch: Batch, no_text: Tensor | None = None) -> Float[Tensor, " batch token dim"]:
        texts = list(dict.fromkeys(batch.task))
        rows = torch.tensor([texts.index(task) for task in batch.task], device=batch.images.device)
        text = self.text(texts)[rows]
        if no_text is not None:
            text = torch.where(no_text[:, None, None], self.no_text.to(text.dtype), text)
        registers = self.registers.to(text.dtype).expand(len(batch), -1, -1)
        return torch.cat([text, registers], dim=1) + self.positions(Part(self._instruction, INSTRUCTION))

    def _show(self, batch: Batch, history: Tensor, noise: Tensor | None) -> Float[Tensor, " batch moment token dim"]:
        images = batch.images
        if noise is not None:
            images = images + history[:, :, None, None, None, None] * noise.to(images.device)
        moments, embodiment = batch.num_moments, batch.embodiment.repeat_interleave(batch.num_moments)
        proprio = batch.column("at", PROPRIO).flatten(0, 1)
        parts = self.observation(images.flatten(0, 1), proprio, embodiment)
        tokens = [parts[segment.name] + self.positions(Part(segment, MOMENT)) for segment in self._moment]
        return torch.cat(tokens, dim=1).unflatten(0, (-1, moments))

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

    # ------------------------------------------------------------------ answering queries

    @torch.no_grad()
    def sample(self, batch: Batch, query: Query | str, now: int | None = None, **options: Any) -> dict[str, Tensor]:
        """Answer a query about the step after moment `now` of a batch.

        Args:
            batch: the moments that are known and, where the query sees or is given them, the commands between them.
            query: its name, or one of your own.
            now: number of the present moment; by default the last one from which the step is known as far as the
                query is given it.
            options: see `answer`.

        Returns:
            The wanted streams in data units, by name, one row a sample.

        Raises:
            UserError: for a stream that the model or the batch does not have.
        """
        query = self.query(query)
        if now is None:
            now = batch.num_moments - (2 if self._needs_next(query) else 1)
        if not 0 <= now < batch.num_moments:
            raise UserError(f"query {query.name!r} at moment {now} of {batch.num_moments}: there is no such step.")
        present = Present(batch.images[:, now], batch.embodiment, batch.camera_is_pad)
        return self.answer(self.remember(batch), query, present, now, batch.stride, **options)

    def _needs_next(self, query: Query) -> bool:
        return any(segment.stream in query.given for segment in self._moment)

    @torch.no_grad()
    def remember(self, batch: Batch, first: int = 0, history: float = 0.0) -> list[Shown]:
        """A batch as the backbone keeps it: the instruction where a timeline begins, its moments, its commands.

        Args:
            first: number of the batch's first moment in the timeline.
            history: how noisy its pictures are said to be.
        """
        shown: list[Shown] = []
        if first == 0:
            shown.append(Shown(Part(self._instruction, INSTRUCTION), self._keys_values(self._tell(batch))))
        tokens = self._show(batch, batch.images.new_zeros(len(batch), batch.num_moments), None)
        pieces = tokens.split([len(segment) for segment in self._moment], dim=2)
        for stream in dict.fromkeys(segment.stream for segment in self._moment):
            members = [index for index, segment in enumerate(self._moment) if segment.stream == stream]
            for moment in range(batch.num_moments):
                parts = [(self._moment[index], pieces[index][:, moment]) for index in members]
                shown += self._remember_stream(parts, first + moment, history, batch)
        for name in self._commands:
            if batch.between:
                commands = self._command(name, batch)
                for step in range(commands.shape[1]):
                    part = Part(self._asked[name], COMMANDS, first + step)
                    shown.append(Shown(part, self._keys_values(commands[:, step])))
        return shown

    def _remember_stream(
        self, parts: Sequence[tuple[Segment, Tensor]], moment: int, history: float, batch: Batch
    ) -> list[Shown]:
        """The parts of a moment that show one stream; they see each other."""
        tokens = torch.cat([tokens for _, tokens in parts], dim=1)
        cameras = torch.cat([_cameras_of(segment) for segment, _ in parts]).to(tokens.device)
        is_pad = None if batch.camera_is_pad is None else _missing_cameras(cameras, batch.camera_is_pad)
        keys_values = self._keys_values(tokens, history, is_pad)
        sizes, shown, start = [len(segment) for segment, _ in parts], [], 0
        for (segment, _), size in zip(parts, sizes, strict=True):
            rows = slice(start, start + size)
            own = [(key[:, :, rows], value[:, :, rows]) for key, value in keys_values]
            shown.append(Shown(Part(segment, MOMENT, moment), own, None if is_pad is None else is_pad[:, rows]))
            start += size
        return shown

    def _keys_values(self, tokens: Tensor, t: float = 0.0, is_pad: Tensor | None = None) -> list[KeysValues]:
        mask = None
        if is_pad is not None:
            mask = ~is_pad[:, None] | torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device)
        groups = torch.zeros(tokens.shape[1], dtype=torch.long, device=tokens.device)
        return self.backbone.keys_values(tokens, tokens.new_full((len(tokens), 1), t), groups, mask)

    @torch.no_grad()
    def answer(
        self,
        shown: Sequence[Shown],
        query: Query | str,
        present: Present,
        now: int,
        stride: Tensor | None = None,
        num_steps: int = 1,
        solver: str = "euler",
        guidance: float = 1.0,
        generator: torch.Generator | None = None,
        noise: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Answer a query about the step after moment `now` of a timeline.

        The moments shown are lined up without gaps: after the window has moved on, the step from an early moment that
        is kept (an anchor) to the oldest of the window counts as one stride.

        Args:
            shown: of the timeline, what is kept; from `remember`.
            present: what is known at moment `now`.
            stride: env steps from one moment to the next, by row; None: the spec's.
            num_steps: denoise steps; 1 gives the mean of what is possible, more give samples of it.
            solver: "euler", or "midpoint": two network calls a step, far closer to the exact distribution.
            guidance: above 1, follow the instruction more than was seen in training (classifier-free guidance).
            generator: source of the noise.
            noise: start from this noise, by stream, instead of drawing it.
        """
        query = self.query(query)
        size, device = len(present.embodiment), present.images.device
        moments = sorted({item.part.moment for item in shown if item.part.role == MOMENT})
        place = {moment: number for number, moment in enumerate(moments)}
        if now not in place:
            raise UserError(f"Moment {now} is not among those kept: {moments}.")
        seen = [item for item in shown if sees(query, now, item.part)]
        asked = [Part(self._asked[name], ASKED, place[now]) for name in query.wanted]
        layout = Layout([*(replace(item.part, moment=place.get(item.part.moment, 0)) for item in seen), *asked])
        seconds = self._seconds(layout.moments.to(device), layout.env_steps.to(device), present.embodiment, stride)
        pasts: list[list[KeysValues]] = [_joined([item.keys_values for item in seen])]
        if guidance != 1.0:
            pasts.append(_joined([self._untold(size) if _is_told(item) else item.keys_values for item in seen]))
        mask = _source_mask(seen, asked, present)
        sizes = [len(part.segment) for part in asked]
        groups = torch.arange(len(sizes), device=device).repeat_interleave(torch.tensor(sizes, device=device))
        state = dict(noise) if noise else self._noise(query.wanted, size, device, generator)

        def predict(noisy: dict[str, Tensor], time: Tensor, past: list[KeysValues]) -> dict[str, Tensor]:
            tokens = [self._ask(name, noisy[name][:, None], present.embodiment)[:, 0] for name in query.wanted]
            t = time.expand(size, len(sizes))
            output = self.backbone(torch.cat(tokens, dim=1), t, groups, mask, seconds, past=past)
            velocity = {}
            for name, part in zip(query.wanted, output.split(sizes, dim=1), strict=True):
                velocity[name] = self.decoder(name).decode(part, present).float()
                if self.decoder(name).predicts == "clean":
                    velocity[name] = diffusion.velocity_from_clean(velocity[name], noisy[name], time.expand(size))
            return velocity

        def velocity(noisy: dict[str, Tensor], time: Tensor) -> dict[str, Tensor]:
            answers = [predict(noisy, time, past) for past in pasts]
            if len(answers) == 1:
                return answers[0]
            return {name: torch.lerp(answers[1][name], answers[0][name], guidance) for name in query.wanted}

        shift = min(self.config.time_shifts.get(name, 1.0) for name in query.wanted)
        state = diffusion.sample(velocity, state, num_steps, shift, solver)
        return {name: self.decoder(name).to_data(state[name].float(), present) for name in query.wanted}

    def _untold(self, size: int) -> list[KeysValues]:
        text = torch.cat([self.no_text, self.registers], dim=1) + self.positions(Part(self._instruction, INSTRUCTION))
        return self._keys_values(text.expand(size, -1, -1))

    def _noise(
        self, names: Sequence[str], batch_size: int, device: torch.device, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        source = generator.device if generator is not None else device
        shapes = {name: (batch_size, *self.decoder(name).event_shape()) for name in names}
        return {n: torch.randn(shape, generator=generator, device=source).to(device) for n, shape in shapes.items()}

    def set_stats(self, stats: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> None:
        """Normalise with these statistics: embodiment, then data key, then "mean" and "std"."""
        for part in (self.observation, *self.decoders.values()):
            part.set_stats(stats)  # pyright: ignore[reportCallIssue]


def _seed(key: Sequence[int]) -> int:
    return int(np.random.SeedSequence(list(key)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _instruction_segment(count: int) -> Segment:
    coordinates = torch.tensor([[0.0, 0.5, 0.5]]).repeat(count, 1)
    return Segment("instruction", coordinates, torch.arange(count))


def _present(batch: Batch, count: int) -> Present:
    """What is known at the beginning of each of the first `count` elements, row by row."""
    return Present(batch.images[:, :count].flatten(0, 1), batch.embodiment.repeat_interleave(count))


def _cameras_of(segment: Segment) -> Int[Tensor, " token"]:
    return segment.kinds if segment.by_camera else torch.full((len(segment),), -1)


def _missing_cameras(cameras: Int[Tensor, " token"], camera_is_pad: Bool[Tensor, " batch camera"]) -> Tensor:
    """True for tokens (batch token) of a camera that the sample lacks."""
    return camera_is_pad[:, cameras.clamp_min(0)] & (cameras >= 0)


def _is_told(item: Shown) -> bool:
    return item.part.role == INSTRUCTION


def _joined(parts: Sequence[list[KeysValues]]) -> list[KeysValues]:
    return [
        (torch.cat([key for key, _ in block], dim=2), torch.cat([value for _, value in block], dim=2))
        for block in zip(*parts, strict=True)
    ]


def _source_mask(
    seen: Sequence[Shown], asked: Sequence[Part], present: Present
) -> Bool[Tensor, " batch asked source"] | None:
    """What is asked sees neither cameras that a sample lacks nor what is asked of them; but every token sees itself."""
    if present.camera_is_pad is None:
        return None
    device, size = present.images.device, len(present.embodiment)
    columns = [item.is_pad for item in seen]
    hidden = [
        torch.zeros(size, len(item.part.segment), dtype=torch.bool, device=device) if pad is None else pad
        for item, pad in zip(seen, columns, strict=True)
    ]
    cameras = torch.cat([_cameras_of(part.segment) for part in asked]).to(device)
    mask = ~torch.cat([*hidden, _missing_cameras(cameras, present.camera_is_pad)], dim=1)[:, None]
    itself = torch.eye(len(cameras), dtype=torch.bool, device=device)
    return mask | torch.nn.functional.pad(itself, (mask.shape[-1] - len(cameras), 0))
