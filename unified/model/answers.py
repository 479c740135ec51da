"""Answering queries: a timeline computed once, kept, and asked as often as one likes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unified.errors import UserError
from unified.model.batch import Batch, join_moments
from unified.model.network import diffusion
from unified.model.network.backbone import Past
from unified.model.network.sequence import (
    ASKED,
    COMMANDS,
    INSTRUCTION,
    MOMENT,
    Layout,
    Part,
    missing_cameras,
    sees,
)
from unified.model.queries import Query
from unified.model.stream import Present
from unified.model.tokens import Tokens

ONE_PASS = {"num_steps": 1, "solver": "euler", "guidance": 1.0}
"""With these options of `Answers.answer` the network is called once."""


@dataclass(frozen=True)
class Shown:
    """A clean part of a timeline as the backbone keeps it: computed once, whatever is asked and whatever follows.

    Attributes:
        part: what it shows; its moment is counted from the beginning of the timeline.
        past: what it offers to whatever is asked.
        is_pad: True for tokens of cameras that a sample lacks; None: of none.
    """

    part: Part
    past: Past
    is_pad: Bool[Tensor, " batch token"] | None = None


@dataclass(frozen=True)
class _Asked:
    """A query made ready: what is asked of whom, who sees what, and when everything is."""

    query: Query
    mask: Bool[Tensor, " batch asked source"] | None
    seconds: Float[Tensor, " batch source"]
    present: Present


class Answers(Tokens):
    """A model that answers queries about a timeline."""

    @torch.no_grad()
    def sample(self, batch: Batch, query: Query | str, now: int | None = None, **options: Any) -> dict[str, Tensor]:
        """Answer a query about the step after moment `now` of a batch.

        Args:
            batch: the moments that are known and, where the query sees or is given them, the commands between them.
            query: its name, or one of your own.
            now: number of the present moment; by default the last one from which all that the query is given is known.
            options: see `answer`.

        Returns:
            The wanted streams in data units, by name, one row a sample.

        Raises:
            UserError: for a stream or a step that the model or the batch does not have.
        """
        query = self.query(query)
        now = self._latest(batch, query) if now is None else now
        if not 0 <= now < batch.num_moments:
            raise UserError(f"query {query.name!r} at moment {now} of {batch.num_moments}: there is no such step.")
        present = Present(batch.images[:, now], batch.embodiment, batch.camera_is_pad)
        first = 0 if query.history is None else max(0, now - query.history)
        is_told = any(name in query.given for name in self._commands)
        steps = slice(first, now + is_told)
        sees_steps = is_told or (query.past_actions and now > first)
        between = {name: column[:, steps] for name, column in batch.between.items() if sees_steps}
        known = replace(batch.window(first, now + self._needs_next(query)), between=between)
        pieces = [self._told(known), *self._moments(known), *self._steps(known)]
        if ONE_PASS.items() <= {**ONE_PASS, **options}.items():
            seen = [piece for piece in pieces if sees(query, now - first, piece[0])]
            _check_given(query, now, first, [part for part, _ in seen])
            rest = {name: value for name, value in options.items() if name not in ONE_PASS}
            return self._answer_at_once(seen, query, present, now - first, batch.stride, **rest)
        shown = self._keep(pieces, batch.camera_is_pad, first)
        return self.answer(shown, query, present, now, batch.stride, **options)

    def _answer_at_once(
        self,
        pieces: Sequence[tuple[Part, Tensor]],
        query: Query,
        present: Present,
        now: int,
        stride: Tensor | None,
        generator: torch.Generator | None = None,
        noise: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """What `answer` says with one denoise step, when nothing shall be kept: all tokens in one pass."""
        asked = [Part(self._asked[name], ASKED, now) for name in query.wanted]
        layout = Layout([*(part for part, _ in pieces), *asked]).to(present.images.device)
        mask = None
        if present.camera_is_pad is not None:
            everything = torch.ones(
                1, layout.num_asked, layout.num_tokens, dtype=torch.bool, device=present.images.device
            )
            mask = layout.without_cameras(everything, present.camera_is_pad)
        seconds = self._seconds(layout.moments, layout.env_steps, present.embodiment, stride)
        noisy = self._start(query, present, generator, noise)
        t = torch.zeros(len(present.embodiment), len(layout.parts), device=present.images.device)
        t[:, -len(asked) :] = 1.0
        tokens = torch.cat([*(tokens for _, tokens in pieces), self._noisy_tokens(query, noisy, present)], dim=1)
        output = self.backbone(tokens, t, layout.groups, mask, seconds, layout.closed(present.camera_is_pad))
        velocity = self._decoded(query, output, noisy, t[:, -1], present)
        clean = {name: noisy[name] - velocity[name] for name in query.wanted}
        return {name: self.decoder(name).to_data(clean[name].float(), present) for name in query.wanted}

    def _needs_next(self, query: Query) -> bool:
        return any(segment.stream in query.given for segment in self._moment)

    def _latest(self, batch: Batch, query: Query) -> int:
        given = [column for name in self._commands if name in query.given for column in self._columns(name)]
        steps = [batch.column("between", column).shape[1] - 1 for column in given]
        return min([batch.num_moments - 1 - self._needs_next(query), *steps])

    def _columns(self, commands: str) -> tuple[str, ...]:
        return self.decoder(commands).columns.get("between", ())

    @torch.no_grad()
    def remember(self, batch: Batch, first: int = 0, history: float = 0.0, before: Batch | None = None) -> list[Shown]:
        """A batch as the backbone keeps it: the instruction where a timeline begins, its moments, its commands.

        Args:
            first: number of the batch's first moment in the timeline.
            history: how noisy its pictures are said to be.
            before: the moment before the first, if there is one; what changed since then is kept too.
        """
        told = [self._told(batch)] if first == 0 else []
        pieces = [*told, *self._moments(batch, before), *self._steps(batch)]
        return self._keep(pieces, batch.camera_is_pad, first, history)

    @torch.no_grad()
    def remember_commands(self, batch: Batch, first: int = 0) -> list[Shown]:
        """The commands of a batch alone, see `remember`."""
        return self._keep(self._steps(batch), first=first)

    def _told(self, batch: Batch) -> tuple[Part, Tensor]:
        return Part(self._instruction, INSTRUCTION), self._tell(batch)

    def _moments(self, batch: Batch, before: Batch | None = None) -> list[tuple[Part, Tensor]]:
        shown, first = self._show(batch), int(before is None)
        changed = self._compare(batch if before is None else join_moments(before, batch))
        elements = {name: tokens.unbind(1) for name, tokens in [*shown.items(), *changed.items()]}
        parts = self._moment_parts(batch.num_moments, first)
        return [(part, elements[part.segment.name][part.moment - part.segment.is_change * first]) for part in parts]

    def _steps(self, batch: Batch) -> list[tuple[Part, Tensor]]:
        known = [name for name in self._commands if batch.between.keys() >= set(self._columns(name))]
        return [
            (Part(self._asked[name], COMMANDS, step), tokens)
            for name in known
            for step, tokens in enumerate(self._command(name, batch).unbind(1))
        ]

    def _keep(
        self,
        pieces: Sequence[tuple[Part, Tensor]],
        camera_is_pad: Bool[Tensor, " batch camera"] | None = None,
        first: int = 0,
        history: float = 0.0,
    ) -> list[Shown]:
        """Run the tokens of these parts through the backbone, all in one pass; each as if it were alone."""
        if not pieces:
            return []
        parts, tokens = [part for part, _ in pieces], torch.cat([tokens for _, tokens in pieces], dim=1)
        layout = Layout(parts).to(tokens.device)
        levels = [history if part.role == MOMENT else 0.0 for part in parts if part.role != INSTRUCTION]
        t = tokens.new_tensor([0.0, *levels]).expand(len(tokens), -1)
        past = self.backbone.keys_values(tokens, t, layout.groups, layout.closed(camera_is_pad))
        is_pad = None if camera_is_pad is None else missing_cameras(layout.cameras, camera_is_pad)
        return [
            Shown(
                replace(part, moment=part.moment + first * (part.role != INSTRUCTION)),
                past[..., place, :].clone(),  # no view: the rest may go
                None if is_pad is None else is_pad[:, place],
            )
            for part, place in zip(parts, layout.slices, strict=True)
        ]

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

        Raises:
            UserError: if what the query is given is not among what is kept.
        """
        query = self.query(query)
        seen = [item for item in shown if sees(query, now, item.part)]
        _check_given(query, now, 0, [item.part for item in seen])
        asked = self._prepare(query, now, shown, seen, present, stride)
        pasts = [torch.cat([item.past for item in seen], dim=-2)]
        if guidance != 1.0:
            untold = self._untold(len(present.embodiment))
            told = [untold if item.part.role == INSTRUCTION else item.past for item in seen]
            pasts.append(torch.cat(told, dim=-2))

        def velocity(noisy: dict[str, Tensor], time: Tensor) -> dict[str, Tensor]:
            answers = [self._velocity(asked, noisy, time, past) for past in pasts]
            if len(answers) == 1:
                return answers[0]
            return {name: torch.lerp(answers[1][name], answers[0][name], guidance) for name in query.wanted}

        shift = min(self.config.time_shifts.get(name, 1.0) for name in query.wanted)
        start = self._start(query, present, generator, noise)
        state = diffusion.sample(velocity, start, num_steps, shift, solver)
        return {name: self.decoder(name).to_data(state[name].float(), present) for name in query.wanted}

    def _prepare(
        self,
        query: Query,
        now: int,
        shown: Sequence[Shown],
        seen: Sequence[Shown],
        present: Present,
        stride: Tensor | None,
    ) -> _Asked:
        moments = sorted({item.part.moment for item in shown if item.part.role == MOMENT})
        if now not in moments:
            raise UserError(f"Moment {now} is not among those kept: {moments}.")
        place = {moment: number for number, moment in enumerate(moments)}
        parts = [
            item.part if item.part.role == INSTRUCTION else replace(item.part, moment=place[item.part.moment])
            for item in seen
        ]
        asked = [Part(self._asked[name], ASKED, place[now]) for name in query.wanted]
        layout = Layout([*parts, *asked]).to(present.images.device)
        seconds = self._seconds(layout.moments, layout.env_steps, present.embodiment, stride)
        mask = _source_mask(seen, layout.cameras[-layout.num_asked :], present.camera_is_pad)
        return _Asked(query, mask, seconds, present)

    def _velocity(self, asked: _Asked, noisy: dict[str, Tensor], time: Tensor, past: Past) -> dict[str, Tensor]:
        """What the network says of noisy streams, all at one diffusion time."""
        tokens = self._noisy_tokens(asked.query, noisy, asked.present)
        groups = torch.zeros(tokens.shape[1], dtype=torch.long, device=tokens.device)
        t = time.expand(len(tokens))
        output = self.backbone(tokens, t[:, None], groups, asked.mask, asked.seconds, past=past)
        return self._decoded(asked.query, output, noisy, t, asked.present)

    def _noisy_tokens(self, query: Query, noisy: Mapping[str, Tensor], present: Present) -> Tensor:
        body = present.embodiment
        return torch.cat([self._ask(name, noisy[name][:, None], body)[:, 0] for name in query.wanted], dim=1)

    def _decoded(
        self, query: Query, output: Tensor, noisy: Mapping[str, Tensor], t: Tensor, present: Present
    ) -> dict[str, Tensor]:
        """Velocities, by stream."""
        velocity = {}
        sizes = [len(self._asked[name]) for name in query.wanted]
        for name, part in zip(query.wanted, output.split(sizes, dim=1), strict=True):
            velocity[name] = self.decoder(name).decode(part, present).float()
            if self.decoder(name).predicts == "clean":
                velocity[name] = diffusion.velocity_from_clean(velocity[name], noisy[name], t)
        return velocity

    def _untold(self, size: int) -> Past:
        text = torch.cat([self.no_text, self.registers], dim=1) + self.positions(Part(self._instruction, INSTRUCTION))
        return self._keep([(Part(self._instruction, INSTRUCTION), text.expand(size, -1, -1))])[0].past

    def _start(
        self,
        query: Query,
        present: Present,
        generator: torch.Generator | None,
        noise: Mapping[str, Tensor] | None,
    ) -> dict[str, Tensor]:
        """The noise that an answer starts from: what is given, or drawn."""
        if noise:
            return {name: noise[name] for name in query.wanted}
        device = present.images.device
        source = device if generator is None else generator.device
        shapes = {name: (len(present.embodiment), *self.decoder(name).event_shape()) for name in query.wanted}
        return {n: torch.randn(shape, generator=generator, device=source).to(device) for n, shape in shapes.items()}


def _check_given(query: Query, now: int, first: int, seen: Sequence[Part]) -> None:
    """What is seen is numbered from moment `first` on."""
    following = [part.segment for part in seen if (part.role, part.moment + first) == (MOMENT, now + 1)]
    commands = [part.segment for part in seen if (part.role, part.moment + first) == (COMMANDS, now)]
    known = {*(segment.stream for segment in following), *(segment.name for segment in commands)}
    missing = [name for name in query.given if name not in known]
    if missing:
        raise UserError(
            f"query {query.name!r} is given {', '.join(missing)} of the step after moment {now}, and it is not known."
        )


def _source_mask(
    seen: Sequence[Shown], cameras: Int[Tensor, " asked"], camera_is_pad: Bool[Tensor, " batch camera"] | None
) -> Bool[Tensor, " batch asked source"] | None:
    """What is asked sees neither cameras that a sample lacks nor what is asked of them; but every token sees itself."""
    if camera_is_pad is None:
        return None
    pads = [item.is_pad for item in seen]
    none = [camera_is_pad.new_zeros(len(camera_is_pad), len(item.part.segment)) for item in seen]
    hidden = [no if pad is None else pad for pad, no in zip(pads, none, strict=True)]
    mask = ~torch.cat([*hidden, missing_cameras(cameras, camera_is_pad)], dim=1)[:, None]
    itself = torch.eye(len(cameras), dtype=torch.bool, device=cameras.device)
    return mask | torch.nn.functional.pad(itself, (mask.shape[-1] - len(cameras), 0))
