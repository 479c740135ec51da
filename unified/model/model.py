"""The unified model: context and streams to tokens, one backbone, one sampler for every query."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unified.errors import UserError, unknown_name
from unified.model import checkpoint, diffusion
from unified.model.backbone import UViT
from unified.model.batch import Batch, Observation
from unified.model.config import TRUSTED_PACKAGES, ModelConfig, build
from unified.model.history import History
from unified.model.queries import Query, get_query
from unified.model.sequence import Layout, PositionEmbedding, Segment
from unified.model.spec import DataSpec


@runtime_checkable
class TextModel(Protocol):
    """What `UnifiedModel` needs of a text encoder."""

    num_tokens: int

    def __call__(self, texts: Sequence[str]) -> Float[Tensor, " text token dim"]: ...
    def check(self, texts: Iterable[str]) -> None: ...  # UserError for one that it cannot take


@runtime_checkable
class Decoder(Protocol):
    """One stream: its tokens, how its data becomes noisy tokens and how tokens become a prediction.

    `predicts` is "velocity" or "clean". `event_shape` is one sample's shape in the space where noise is added;
    `time_index` says how the stream's diffusion times (batch group) are aligned with the leading event dimensions:
    reshaped to (batch, *time_index).
    """

    predicts: str

    def segment(self, name: str) -> Segment: ...
    def event_shape(self) -> tuple[int, ...]: ...
    def time_index(self) -> tuple[int, ...]: ...
    def encode(self, batch: Batch) -> Tensor: ...
    def to_data(self, clean: Tensor, observation: Observation) -> Tensor: ...
    def is_pad(self, batch: Batch) -> Tensor: ...
    def embed(self, noisy: Tensor, observation: Observation, context: Mapping[str, Tensor]) -> Tensor: ...
    def decode(self, tokens: Tensor, observation: Observation) -> Tensor: ...
    def set_stats(self, stats: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> None: ...


DECODER_PARTS = {"predicts", *(name for name in vars(Decoder) if not name.startswith("_"))}


@dataclass(frozen=True)
class Draws:
    """The random numbers of a training step, so that they can be drawn for a global batch and cut by rows.

    Attributes:
        t: diffusion times by stream (batch group).
        noise: by stream (batch *event).
        no_text: True where the instruction is withheld.
    """

    t: dict[str, Tensor]
    noise: dict[str, Tensor]
    no_text: Bool[Tensor, " batch"]

    def select(self, rows: Tensor) -> "Draws":
        """The draws of these rows, in this order."""
        return Draws(
            {name: value[rows] for name, value in self.t.items()},
            {name: value[rows] for name, value in self.noise.items()},
            self.no_text[rows],
        )

    def to(self, device: torch.device | str) -> "Draws":
        """Move to a device."""
        return Draws(
            {name: value.to(device) for name, value in self.t.items()},
            {name: value.to(device) for name, value in self.noise.items()},
            self.no_text.to(device),
        )


class UnifiedModel(nn.Module):
    """Learns the joint distribution of future video and actions, given what was observed and what was asked.

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
        self.decoders = nn.ModuleDict()
        for name, decoder in config.decoders.items():
            self.decoders[name] = build(decoder, trusted=trusted, dim=config.dim, spec=spec)
            missing = sorted(part for part in DECODER_PARTS if not hasattr(self.decoders[name], part))
            if missing:
                raise UserError(f"decoders.{name}: {decoder.class_path} is no Decoder; it lacks {', '.join(missing)}.")
        self.backbone = UViT(
            config.dim, config.depth, config.num_heads, config.num_registers, config.gradient_checkpointing
        )
        self._segments = {segment.name: segment for segment in self._all_segments()}
        self.positions = PositionEmbedding(config.dim, tuple(self._segments.values()))
        self._layouts: dict[tuple[str, ...], Layout] = {}
        if config.compile:
            self.backbone.compile()

    # ------------------------------------------------------------------ training

    def draw(self, batch_size: int, generator: torch.Generator | None = None) -> Draws:
        """Random times, noise and withheld instructions for `batch_size` samples, on the generator's device."""
        device = generator.device if generator is not None else torch.device("cpu")
        options: dict[str, Any] = {"generator": generator, "device": device}
        t, noise = {}, {}
        for name in self.decoders:
            uniform = torch.rand(batch_size, self._segments[name].num_groups, **options)
            t[name] = diffusion.shift_time(uniform, self.config.time_shift)
            noise[name] = torch.randn(batch_size, *self._decoder(name).event_shape(), **options)
        return Draws(t, noise, torch.rand(batch_size, **options) < self.config.text_dropout)

    def loss(
        self,
        batch: Batch,
        query: Query | str,
        draws: Draws | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Squared error of each wanted stream's prediction, a mean over what is not padding, for each sample.

        Args:
            batch: normal data units; what the query gives or wants must be there.
            query: its given streams stay clean (t = 0), its wanted ones carry their drawn times, others are left out.
            draws: random numbers; drawn with `generator` if None.
        """
        query = get_query(query) if isinstance(query, str) else query
        asked = torch.zeros(len(batch), dtype=torch.long)
        return self.mixed_loss(batch, [query], asked, draws or self.draw(len(batch), generator))

    def mixed_loss(
        self, batch: Batch, queries: Sequence[Query], asked: Int[Tensor, " batch"], draws: Draws
    ) -> dict[str, Float[Tensor, " batch"]]:
        """`loss` of rows that are asked different queries about the same streams, in one pass.

        Args:
            batch: normal data units.
            queries: with the same streams (in any order), and either all imitating or none.
            asked: which of them each row is asked.
            draws: random numbers.

        Returns:
            By stream that any query wants: the error of each row, 0 where that row's query is given the stream.
        """
        if queries[0].imitates:
            batch = _as_imitation(batch)
        device = batch.observation.images.device
        draws = draws.to(device)
        is_given = {
            name: torch.tensor([name in query.given for query in queries])[asked].to(device)
            for name in self.ordered(queries[0].streams)
        }
        clean, noisy, t = {}, {}, {}
        for name, given in is_given.items():
            clean[name] = self._decoder(name).encode(batch)
            t[name] = draws.t[name].masked_fill(given[:, None], 0.0)
            noisy[name] = diffusion.add_noise(clean[name], draws.noise[name], self._event_time(name, t[name]))
        predictions = self._predict(noisy, t, batch.observation, self._context(batch.observation, draws.no_text))
        wanted = [name for name in is_given if any(name in query.wanted for query in queries)]
        return {
            name: self._error(name, predictions[name], clean, draws, batch).masked_fill(is_given[name], 0.0)
            for name in wanted
        }

    def ordered(self, streams: Sequence[str]) -> tuple[str, ...]:
        """Streams in the order in which they stand in a sequence."""
        return tuple(name for name in self.decoders if name in streams)

    def _error(
        self, name: str, prediction: Tensor, clean: Mapping[str, Tensor], draws: Draws, batch: Batch
    ) -> Float[Tensor, " batch"]:
        decoder = self._decoder(name)
        target = clean[name] if decoder.predicts == "clean" else draws.noise[name] - clean[name]
        squared = (prediction.float() - target).square()
        keep = (~decoder.is_pad(batch)).expand_as(squared).flatten(1)
        return (squared.flatten(1) * keep).sum(1) / keep.sum(1).clamp_min(1)

    # ------------------------------------------------------------------ answering queries

    @torch.no_grad()
    def sample(
        self,
        batch: Batch,
        query: Query | str | None = None,
        given: Sequence[str] | None = None,
        wanted: Sequence[str] | None = None,
        num_steps: int = 1,
        solver: str = "euler",
        guidance: float = 1.0,
        generator: torch.Generator | None = None,
        noise: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Answer a query: `sample(batch, "world_model")`, or `sample(batch, given=["action"], wanted=["video"])`.

        Args:
            batch: the observation, and the streams that are given.
            num_steps: denoise steps; 1 gives the mean of what is possible, more give samples of it.
            solver: "euler", or "midpoint": two network calls a step, far closer to the exact distribution.
            guidance: above 1, follow the instruction more than was seen in training (classifier-free guidance).
            generator: source of the noise.
            noise: start from this noise, by stream, instead of drawing it.

        Returns:
            The wanted streams in data units, by name.

        Raises:
            UserError: for a stream that the model or the batch does not have.
        """
        question = self._question(query, given, wanted)
        observation = batch.observation
        device = observation.images.device
        clean = {name: self._decoder(name).encode(batch) for name in question.given}
        state = dict(noise) if noise else self._noise(question.wanted, len(batch), device, generator)
        contexts = [self._context(observation)]
        if guidance != 1.0:
            text = contexts[0]["text"]
            contexts.append({**contexts[0], "text": self.no_text.to(text.dtype).expand_as(text)})

        def velocity(noisy: dict[str, Tensor], time: Tensor) -> dict[str, Tensor]:
            t = {
                name: torch.zeros(len(batch), self._segments[name].num_groups, device=device) for name in question.given
            }
            t |= {name: time.expand(len(batch), self._segments[name].num_groups) for name in question.wanted}
            answers = [self._velocity({**clean, **noisy}, t, observation, c, question.wanted) for c in contexts]
            if len(answers) == 1:
                return answers[0]
            return {name: torch.lerp(answers[1][name], answers[0][name], guidance) for name in question.wanted}

        state = diffusion.sample(velocity, state, num_steps, self.config.time_shift, solver)
        return {name: self._decoder(name).to_data(state[name].float(), observation) for name in question.wanted}

    def _question(self, query: Query | str | None, given: Sequence[str] | None, wanted: Sequence[str] | None) -> Query:
        if query is None:
            query = Query("custom", tuple(given or ()), tuple(wanted or ()))
        question = get_query(query) if isinstance(query, str) else query
        for name in (*question.given, *question.wanted):
            if name not in self.decoders:
                raise unknown_name(
                    f"stream (query {question.name!r} needs it; this model was built without)", name, self.decoders
                )
        if not question.wanted:
            raise UserError("sample() needs a query, or at least one stream in wanted.")
        return question

    def _noise(
        self, names: Sequence[str], batch_size: int, device: torch.device, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        source = generator.device if generator is not None else device
        shapes = {name: (batch_size, *self._decoder(name).event_shape()) for name in names}
        return {n: torch.randn(shape, generator=generator, device=source).to(device) for n, shape in shapes.items()}

    def _velocity(
        self,
        noisy: dict[str, Tensor],
        t: dict[str, Tensor],
        observation: Observation,
        context: dict[str, Tensor],
        wanted: Sequence[str],
    ) -> dict[str, Tensor]:
        predictions = self._predict(noisy, t, observation, context)
        velocity = {}
        for name in wanted:
            velocity[name] = predictions[name].float()
            if self._decoder(name).predicts == "clean":
                time = self._event_time(name, t[name])
                velocity[name] = diffusion.velocity_from_clean(velocity[name], noisy[name], time)
        return velocity

    # ------------------------------------------------------------------ tokens

    def _predict(
        self, noisy: dict[str, Tensor], t: dict[str, Tensor], observation: Observation, context: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        streams = self.ordered(tuple(noisy))
        layout = self.layout(streams)
        tokens = [context[segment.name] for segment in layout.segments if segment.groups is None]
        tokens += [self._decoder(name).embed(noisy[name], observation, context) for name in streams]
        sequence = torch.cat(tokens, dim=1) + self.positions(layout)
        groups = layout.groups.to(sequence.device)
        first = layout.slice(streams[0]).start  # the streams stand behind the context
        output = self.backbone(sequence, layout.times(t), groups, self._mask(layout, observation), first)
        parts = zip(streams, output.split([len(self._segments[name]) for name in streams], dim=1), strict=True)
        return {name: self._decoder(name).decode(tokens, observation) for name, tokens in parts}

    def _context(self, observation: Observation, no_text: Tensor | None = None) -> dict[str, Tensor]:
        texts = list(dict.fromkeys(observation.task))
        rows = torch.tensor([texts.index(task) for task in observation.task], device=observation.images.device)
        text = self.text(texts)[rows]
        if no_text is not None:
            text = torch.where(no_text[:, None, None], self.no_text.to(text.dtype), text)
        return {"text": text, **self.observation(observation)}

    def _mask(self, layout: Layout, observation: Observation) -> Bool[Tensor, " batch 1 token"] | None:
        """True where a token may be attended to: everywhere but at cameras that a sample lacks."""
        if observation.camera_is_pad is None:
            return None
        columns = []
        for segment in layout.segments:
            if segment.by_camera:
                columns.append(~observation.camera_is_pad[:, segment.kinds.to(observation.images.device)])
            else:
                columns.append(
                    torch.ones(len(observation), len(segment), dtype=torch.bool, device=observation.images.device)
                )
        return torch.cat(columns, dim=1)[:, None]

    def layout(self, streams: tuple[str, ...]) -> Layout:
        """The sequence when these streams take part."""
        if streams not in self._layouts:
            context = [segment for segment in self._segments.values() if segment.groups is None]
            self._layouts[streams] = Layout([*context, *(self._segments[name] for name in streams)])
        return self._layouts[streams]

    def _all_segments(self) -> list[Segment]:
        num_text = self.text.num_tokens
        middle = torch.tensor([[0.0, 0.5, 0.5]]).repeat(num_text, 1)
        segments = [Segment("text", middle, torch.arange(num_text)), *self.observation.segments()]
        return segments + [self._decoder(name).segment(name) for name in self.decoders]

    def _decoder(self, name: str) -> Decoder:
        return self.decoders[name]  # pyright: ignore[reportReturnType]

    def _event_time(self, name: str, t: Float[Tensor, " batch group"]) -> Tensor:
        return t.reshape(t.shape[0], *self._decoder(name).time_index())

    # ------------------------------------------------------------------ storing

    def save_pretrained(self, folder: Path | str, card: str | None = None) -> Path:
        """Write weights, config and statistics to a folder; see `unified.model.checkpoint`."""
        return checkpoint.save(self, Path(folder), card)

    @classmethod
    def from_pretrained(cls, folder: Path | str, trusted: tuple[str, ...] = TRUSTED_PACKAGES) -> "UnifiedModel":
        """Load what `save_pretrained` wrote; a Hub id works where `huggingface_hub` can reach it.

        Raises:
            UserError: if anything is missing, damaged or does not fit; nothing is ever unpickled.
        """
        return checkpoint.load(cls, folder, trusted)

    def set_stats(self, stats: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> None:
        """Normalise with these statistics: embodiment, then data key, then "mean" and "std"."""
        for part in (self.observation, *self.decoders.values()):
            part.set_stats(stats)  # pyright: ignore[reportCallIssue]


def _as_imitation(batch: Batch) -> Batch:
    """The same batch with the expert's actions as actions, and nothing to learn from play."""
    if batch.action is None:
        return batch
    action = batch.action if batch.expert_action is None else batch.expert_action
    is_pad = batch.action_is_pad
    if batch.is_demonstration is not None:
        is_play = ~batch.is_demonstration[:, None].expand(-1, action.shape[1])
        is_pad = is_play if is_pad is None else is_pad | is_play
    return replace(batch, action=action, action_is_pad=is_pad)
