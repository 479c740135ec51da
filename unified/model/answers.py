"""Answering queries: a timeline computed once, kept, and asked as often as one likes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unified.errors import UserError
from unified.model.batch import Batch
from unified.model.network import diffusion
from unified.model.network.backbone import KeysValues
from unified.model.network.sequence import ASKED, COMMANDS, INSTRUCTION, MOMENT, Layout, Part, Segment, sees
from unified.model.queries import Query
from unified.model.stream import Present
from unified.model.tokens import Tokens


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


class Answers(Tokens):
    """A model that answers queries about a timeline."""

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
        is_pad = None if batch.camera_is_pad is None else missing_cameras(cameras, batch.camera_is_pad)
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


def _cameras_of(segment: Segment) -> Int[Tensor, " token"]:
    return segment.kinds if segment.by_camera else torch.full((len(segment),), -1)


def missing_cameras(cameras: Int[Tensor, " token"], camera_is_pad: Bool[Tensor, " batch camera"]) -> Tensor:
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
    mask = ~torch.cat([*hidden, missing_cameras(cameras, present.camera_is_pad)], dim=1)[:, None]
    itself = torch.eye(len(cameras), dtype=torch.bool, device=device)
    return mask | torch.nn.functional.pad(itself, (mask.shape[-1] - len(cameras), 0))
