"""The unified model: every query of every moment of a window learned in one pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unified.model.answers import Answers
from unified.model.batch import Batch, map_tensors
from unified.model.config import TRUSTED_PACKAGES, ModelConfig
from unified.model.network import diffusion
from unified.model.network.sequence import ASKED, COMMANDS, INSTRUCTION, MOMENT, Layout, Part
from unified.model.queries import Query
from unified.model.spec import DataSpec
from unified.model.stored import checkpoint
from unified.model.stream import VIDEO, Present

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
        rounds: on how many moments of its own imagination a moment rests at most; 0: the row is shown as recorded.
        history_noise: what is added to the pictures; None where no moment is ever noisy.
    """

    t: dict[str, Tensor]
    noise: dict[str, Tensor]
    no_text: Bool[Tensor, " batch"]
    history: Float[Tensor, " batch moment"]
    rounds: Int[Tensor, " batch"]
    history_noise: Float[Tensor, " batch moment camera channel height width"] | None = None


class UnifiedModel(Answers):
    """Learns the joint distribution of future video and actions, given what was observed and what was asked.

    Args:
        config: the architecture.
        spec: the data: bodies, cameras, window lengths.
        trusted: packages whose classes the config may name.
    """

    def __init__(self, config: ModelConfig, spec: DataSpec, trusted: tuple[str, ...] = TRUSTED_PACKAGES):
        super().__init__(config, spec, trusted)
        self._layouts: dict[tuple[int, tuple[Mix, ...], torch.device], tuple[Layout, Tensor]] = {}

    def save_pretrained(self, folder: Path | str, card: str | None = None) -> Path:
        """Write weights, config and statistics to a folder; see `unified.model.stored.checkpoint`."""
        return checkpoint.save(self, Path(folder), card)

    @classmethod
    def from_pretrained(cls, folder: Path | str, trusted: tuple[str, ...] = TRUSTED_PACKAGES) -> "UnifiedModel":
        """Load what `save_pretrained` wrote; a Hub id works where `huggingface_hub` can reach it.

        Raises:
            UserError: if anything is missing, damaged or does not fit; nothing is ever unpickled.
        """
        return checkpoint.load(cls, folder, trusted)

    def draw(self, keys: Sequence[Sequence[int]]) -> Draws:
        """Random times, noise and withheld instructions of the rows with these keys, each from its own alone."""
        moments = self.spec.num_moments
        rows = [self._draw_row(torch.Generator().manual_seed(seed_of(key)), moments) for key in keys]
        noises = [row.history_noise for row in rows if row.history_noise is not None]
        return Draws(
            {name: torch.cat([row.t[name] for row in rows]) for name in rows[0].t},
            {name: torch.cat([row.noise[name] for row in rows]) for name in rows[0].noise},
            torch.cat([row.no_text for row in rows]),
            torch.cat([row.history for row in rows]),
            torch.cat([row.rounds for row in rows]),
            torch.cat(noises) if noises else None,
        )

    def noise_of(self, stream: str, keys: Sequence[Sequence[int]]) -> Float[Tensor, " row *event"]:
        """Where answers about a stream start, for rows with these keys, each from its own alone; on the CPU."""
        shape = self.decoder(stream).event_shape()
        generators = [torch.Generator().manual_seed(seed_of(key)) for key in keys]
        return torch.stack([torch.randn(shape, generator=generator) for generator in generators])

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
        rounds = torch.zeros(1, dtype=torch.long)
        if self.config.own_rollouts and moments > 1:
            is_own = torch.rand(1, generator=generator) < self.config.own_rollouts
            rounds = torch.randint(1, moments, (1,), generator=generator) * is_own
        return Draws(t, noise, no_text, level, rounds, history_noise)

    def loss(
        self, batch: Batch, mixes: Sequence[Mix], asked: Int[Tensor, " batch"], draws: Draws
    ) -> dict[str, tuple[Float[Tensor, " batch element"], Bool[Tensor, " batch element"]]]:
        """Squared error of what is wanted at every moment of a window, all in one pass.

        Moments past the end of an episode are not masked: whoever sees them has nothing to learn.

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
        asked = asked.to(device)
        streams = self._training_layout(batch.num_moments, tuple(mixes), device)[0].asked
        clean = {name: self.decoder(name).encode(batch) for name in streams}
        t = {name: draws.t[name].to(device) for name in streams}
        noise = {name: draws.noise[name].to(device) for name in streams}
        noisy = {name: diffusion.add_noise(clean[name], noise[name], t[name]) for name in streams}
        shown = self._imagined(batch, draws) if draws.rounds.any() else batch
        predictions = self._predict(shown, (tuple(mixes), asked), noisy, t, draws)
        errors = {}
        for name, prediction in predictions.items():
            is_clean = self.decoder(name).predicts == "clean"
            target = clean[name] if is_clean else noise[name] - clean[name]
            wants = torch.tensor([any(name in query.wanted for query in mix) for mix in mixes], device=device)
            errors[name] = self._error(name, prediction, target, batch, wants[asked])
        return errors

    def _predict(
        self,
        batch: Batch,
        questions: tuple[tuple[Mix, ...], Int[Tensor, " batch"]],
        noisy: Mapping[str, Tensor],
        t: Mapping[str, Float[Tensor, " batch element"]],
        draws: Draws,
    ) -> dict[str, Float[Tensor, " batch element *event"]]:
        """What the network says of all elements of the streams that are asked for, in one pass."""
        (mixes, asked), device = questions, batch.images.device
        layout, masks = self._training_layout(batch.num_moments, mixes, device)
        history, shown = draws.history.to(device), batch
        if draws.history_noise is not None:
            added = history[:, :, None, None, None, None] * draws.history_noise.to(device)
            shown = replace(batch, images=batch.images + added)
        pieces = {(INSTRUCTION, self._instruction.name): self._tell(batch, draws.no_text.to(device))[:, None]}
        pieces |= {(MOMENT, name): tokens for name, tokens in self._show(shown).items()}
        pieces |= {(MOMENT, name): tokens for name, tokens in self._compare(shown).items()}
        pieces |= {(COMMANDS, name): self._command(name, batch) for name in self._commands if batch.num_moments > 1}
        pieces |= {(ASKED, name): self._ask(name, noisy[name], batch.embodiment) for name in layout.asked}
        output = self.backbone(
            layout.in_a_row(pieces),
            _times(layout, history, t),
            layout.groups,
            layout.without_cameras(masks if len(mixes) == 1 else masks[asked], batch.camera_is_pad),
            self._seconds(layout.moments, layout.env_steps, batch.embodiment, batch.stride),
            layout.closed(batch.camera_is_pad),
        )
        counts = [self.num_elements(name, batch.num_moments) for name in layout.asked]
        sizes = [count * len(self._asked[name]) for name, count in zip(layout.asked, counts, strict=True)]
        predictions = {}
        for name, count, part in zip(layout.asked, counts, output.split(sizes, dim=1), strict=True):
            tokens = part.unflatten(1, (count, -1)).flatten(0, 1)
            predictions[name] = self.decoder(name).decode(tokens, _present(batch, count)).unflatten(0, (-1, count))
        return predictions

    @torch.no_grad()
    def _imagined(self, batch: Batch, draws: Draws) -> Batch:
        """The batch, some rows of it as the model would have gone on with them, told what was executed.

        All moments of a row are imagined at once, each from those before it; so after so many rounds a moment rests on
        as many that were imagined.
        """
        query, rows = self.query("world_model"), draws.rounds.nonzero().flatten()
        own, rounds = batch.select(rows.to(batch.images.device)), draws.rounds[rows].to(batch.images.device)
        theirs = map_tensors(draws, lambda drawn: drawn[rows])
        noise = {name: theirs.noise[name].to(batch.images.device) for name in query.wanted}
        t = {name: torch.ones(part.shape[:2], device=part.device) for name, part in noise.items()}
        plain = replace(theirs, history=0 * theirs.history, history_noise=None)
        questions = (((query,),), torch.zeros_like(rounds))
        for number in range(int(rounds.max())):
            predictions = self._predict(own, questions, noise, t, plain)
            own = self._go_on(own, predictions, noise, rounds > number)
        torch.clear_autocast_cache()  # weights that were cast here have no gradient
        images = batch.images.index_copy(0, rows.to(batch.images.device), own.images)
        at = {name: column.index_copy(0, rows.to(column.device), own.at[name]) for name, column in batch.at.items()}
        return replace(batch, images=images, at=at)

    def _go_on(
        self, batch: Batch, predictions: Mapping[str, Tensor], noise: Mapping[str, Tensor], goes_on: Tensor
    ) -> Batch:
        """Windows that show what was imagined from pure noise, where they go on and there is something to show."""
        present, images, at = _present(batch, batch.num_moments - 1), batch.images, dict(batch.at)
        for name, prediction in predictions.items():
            clean = prediction.float() if self.decoder(name).predicts == "clean" else noise[name] - prediction.float()
            imagined = self.decoder(name).to_data(clean.flatten(0, 1), present).unflatten(0, clean.shape[:2])
            for column in self.following[name]:
                at[column] = torch.cat([at[column][:, :1], imagined.to(at[column])], dim=1)
            if name == VIDEO:
                images = torch.cat([images[:, :1], imagined.to(images)], dim=1)
        if batch.camera_is_pad is not None:
            images = torch.where(batch.camera_is_pad[:, None, :, None, None, None], batch.images, images)
        rows = goes_on[:, None, None]
        at = {name: torch.where(rows, column, batch.at[name]) for name, column in at.items()}
        return replace(batch, images=torch.where(rows[..., None, None, None], images, batch.images), at=at)

    def _error(
        self, name: str, prediction: Tensor, target: Tensor, batch: Batch, is_asked: Bool[Tensor, " batch"]
    ) -> tuple[Tensor, Tensor]:
        squared = (prediction.float() - target).square()
        keep = (~self.decoder(name).is_pad(batch)).expand_as(squared).flatten(2)
        is_known = keep.any(dim=2) & is_asked[:, None]
        mean = (squared.flatten(2) * keep).sum(2) / keep.sum(2).clamp_min(1)
        return mean.masked_fill(~is_known, 0.0), is_known

    def _training_layout(
        self, num_moments: int, mixes: tuple[Mix, ...], device: torch.device
    ) -> tuple[Layout, Bool[Tensor, " mix asked token"]]:
        key = (num_moments, mixes, device)
        if key not in self._layouts:
            wanted = {name for mix in mixes for query in mix for name in query.wanted}
            parts = [Part(self._instruction, INSTRUCTION), *self._moment_parts(num_moments)]
            steps = range(num_moments - 1)
            parts += [Part(self._asked[name], COMMANDS, step) for name in self._commands for step in steps]
            for name in self.decoders:
                if name in wanted:
                    elements = range(self.num_elements(name, num_moments))
                    parts += [Part(self._asked[name], ASKED, element) for element in elements]
            layout = Layout(parts)
            queries = [{name: query for query in mix for name in query.wanted} for mix in mixes]
            masks = torch.stack([layout.mask(asked) for asked in queries])
            self._layouts[key] = layout.to(device), masks.to(device)
        return self._layouts[key]


def _times(
    layout: Layout, history: Float[Tensor, " batch moment"], t: Mapping[str, Float[Tensor, " batch element"]]
) -> Float[Tensor, " batch group"]:
    """The diffusion time of every group of a layout: how noisy what it shows or asks is."""
    zero = history.new_zeros(len(history))
    times = [zero]
    for part in layout.parts:
        if part.role == ASKED:
            times.append(t[part.segment.name][:, part.moment])
        elif part.role != INSTRUCTION:
            times.append(history[:, part.moment] if part.role == MOMENT else zero)
    return torch.stack(times, dim=1)


def seed_of(key: Sequence[int]) -> int:
    """Of the generator of whatever has this key, for example a row."""
    return int(np.random.SeedSequence(list(key)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _present(batch: Batch, count: int) -> Present:
    """What is known at the beginning of each of the first `count` elements, row by row."""
    return Present(batch.images[:, :count].flatten(0, 1), batch.embodiment.repeat_interleave(count))
