"""A film that goes on: every moment that a model imagines is the present of the next one."""

import copy
import zlib
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unified.errors import UserError, check_numbers
from unified.model.answers import Shown
from unified.model.batch import Batch, stack_rows
from unified.model.model import UnifiedModel
from unified.model.network.sequence import COMMANDS, INSTRUCTION, Part
from unified.model.queries import Query
from unified.model.spec import ACTION, PROPRIO
from unified.model.stream import VIDEO, Present


class Dream:
    """A model's imagination, stepped like a world: commands in, the next moment out, as long as one likes.

    What is imagined goes back in as it was decoded, pictures and measurements alike; nothing is seen of the truth after
    the start. What is kept is bounded by the window and the anchor, however long the film.

    Args:
        model: in evaluation mode from here on.
        batch: the moments that are known, one film a row; the last is the present, `between` holds the commands
            between them.
        window: most moments that are seen at once, the present among them; by default as many as in training.
        anchor: how many of the first moments are kept for good, before the window.
        num_steps, solver, guidance: see `UnifiedModel.answer`.
        history: how noisy the model is told that its own pictures are, as a share of their range; 0 to what it was
            trained with.
        seed, keys: the noise of a row comes from the seed, the row's key and the number of the step alone; by default
            the keys are the rows' numbers.

    Attributes:
        present: the moment that the film has come to.
        now: its number, counted from the first moment of the batch.
        is_proprio_held: the model has no stream of proprio, so the measurements of the start stand still.

    Raises:
        UserError: for a model that cannot imagine, or a window, anchor or start that it was not built for.
    """

    def __init__(
        self,
        model: UnifiedModel,
        batch: Batch,
        window: int | None = None,
        anchor: int = 0,
        num_steps: int = 1,
        solver: str = "euler",
        guidance: float = 1.0,
        history: float = 0.0,
        seed: int = 0,
        keys: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self.model = model.eval()
        self.window, self.anchor = _check_window(model, window, anchor), anchor
        _check_start(model, batch, history)
        check_numbers(least=1, num_steps=num_steps)
        check_numbers(least=0, history=history)
        self._sampling = {"num_steps": num_steps, "solver": solver, "guidance": guidance}
        self._history = history
        self._keys = [(seed, *key) for key in (keys or [(row,) for row in range(len(batch))])]
        self._older = [0] * len(batch)  # by how many moments each row is, if they began at different times
        self.now = batch.num_moments - 1
        self.is_proprio_held = not any(PROPRIO in columns for columns in model.following.values())
        batch = batch.window(0, self.now).to(next(model.parameters()).device)
        self.present = replace(batch.window(self.now, self.now), between={}, ahead={}, ahead_is_pad=None)
        self._before = self.present
        self._kept, self._is_present_kept = self._within(model.remember(batch)), True

    def ask(
        self, query: Query | str, commands: Float[Tensor, " batch frame_stride action_dim"] | None = None
    ) -> dict[str, Float[Tensor, " batch *event"]]:
        """Answer a query about the step from the present, and stay there.

        Args:
            query: any that needs nothing of the next moment.
            commands: to be executed in the step, in data units; for queries that are given them.

        Returns:
            What the query wants, in data units, by stream.

        Raises:
            UserError: for a query that the model did not learn, or commands that are missing, of another shape, not
                finite, or that nobody asked for.
        """
        query = self._query(query, commands)
        return self._answer(query, self._timeline(commands))

    def step(
        self,
        commands: Float[Tensor, " batch frame_stride action_dim"] | None = None,
        query: Query | str = "world_model",
    ) -> dict[str, Float[Tensor, " batch *event"]]:
        """Imagine the next moment and go there; see `ask`. The query must want "video".

        A query that wants "action" too ("joint") imagines its own commands, and they are remembered; after one that
        knows of none ("video") those of this step stay unknown.
        """
        query = self._query(query, commands)
        if VIDEO not in query.wanted:
            raise UserError(f"A dream goes on with pictures, and the query {query.name!r} wants none.")
        self._kept = self._timeline(commands)
        answer = self._answer(query, self._kept)
        if ACTION in answer:
            self._kept = self._timeline(answer[ACTION])
        self._go_on(answer)
        return answer

    def measure(self, proprio: Float[Tensor, " batch proprio_dim"]) -> None:
        """Take these measurements of the present, in data units, in the place of what was imagined or held.

        Raises:
            UserError: if something was asked since the dream came here, so that they were already seen.
        """
        if self._is_present_kept:
            raise UserError("The present was already seen as it is; measure right after a step.")
        self.present = self.present.with_columns("at", {PROPRIO: proprio[:, None].to(self.present.images)})

    def fork(self) -> "Dream":
        """Another dream that stands where this one does and goes on by itself; asked the same it answers to the bit."""
        other = copy.copy(self)
        other._kept = list(self._kept)  # what is in it never changes
        return other

    @classmethod
    def joined(cls, dreams: Sequence["Dream"]) -> "Dream":
        """Dreams whose `standing` is equal as one, a row each; they go on as they would have by themselves."""
        other = copy.copy(dreams[0])
        other.present, other._before = (
            stack_rows([getattr(dream, name) for dream in dreams]) for name in ("present", "_before")
        )
        other._keys = [key for dream in dreams for key in dream._keys]
        other._older = [dream.now - other.now + older for dream in dreams for older in dream._older]
        other._kept = [_stack_shown(alike) for alike in zip(*(dream._kept for dream in dreams), strict=True)]
        return other

    def split(self) -> list["Dream"]:
        """A dream for each row."""
        return [self._row(row) for row in range(len(self._keys))]

    @property
    def standing(self) -> tuple[Hashable, ...]:
        """What is equal of dreams that can be `joined`: how they dream, and what is kept of which moments."""
        batch, options = self.present, (self.window, self.anchor, self._history, *self._sampling.items())
        absent = [name for name in ("stride", "camera_is_pad") if getattr(batch, name) is None]
        kept = [(item.part.segment.name, item.part.role, self._age(item.part)) for item in self._kept]
        return id(self.model), *options, *absent, *batch.at, self._is_present_kept, *kept

    def _age(self, part: Part) -> int:
        return 0 if part.role == INSTRUCTION else self.now - part.moment

    def _row(self, row: int) -> "Dream":
        other, here, older = copy.copy(self), torch.tensor([row], device=self.present.images.device), self._older[row]
        other.present, other._before = self.present.select(here), self._before.select(here)
        other._keys, other._older, other.now = [self._keys[row]], [0], self.now + older
        other._kept = [_row_shown(item, row, older) for item in self._kept]
        return other

    def _query(self, query: Query | str, commands: Tensor | None) -> Query:
        query = self.model.query(query)
        self.model.history.check_learned(query.name)
        ahead = [name for name in query.given if name != ACTION]
        if ahead:
            raise UserError(f"The query {query.name!r} is given {', '.join(ahead)} of a moment that is yet to come.")
        if (ACTION in query.given) != (commands is not None):
            needs = "needs commands" if commands is None else "is told no commands"
            raise UserError(f"The query {query.name!r} {needs}.")
        spec = self.model.spec
        shape = (len(self.present), spec.frame_stride, spec.action_dim)
        if commands is not None and (commands.shape != shape or not torch.isfinite(commands).all()):
            raise UserError(f"commands must be finite numbers of shape {shape}, got {tuple(commands.shape)}.")
        return query

    def _answer(self, query: Query, shown: list[Shown]) -> dict[str, Tensor]:
        batch = self.present
        present = Present(batch.images[:, 0], batch.embodiment, batch.camera_is_pad)
        noise = {name: self._noise(name) for name in query.wanted}
        return self.model.answer(shown, query, present, self.now, batch.stride, noise=noise, **self._sampling)

    def _noise(self, stream: str) -> Tensor:
        crc = zlib.crc32(stream.encode())
        keys = [(*key, self.now + older, crc) for key, older in zip(self._keys, self._older, strict=True)]
        return self.model.noise_of(stream, keys).to(self.present.images.device)

    def _timeline(self, commands: Tensor | None) -> list[Shown]:
        """What is kept, the present and the commands told of its step among it, each computed when first needed."""
        told = self.present
        if commands is not None:
            told = replace(told, between={ACTION: commands[:, None].to(told.images)})
        if self._is_present_kept:
            return [*self._kept, *(self.model.remember_commands(told, self.now) if told.between else [])]
        shown = self.model.remember(told, self.now, self._history, self._before)
        self._kept += [item for item in shown if item.part.role != COMMANDS]
        self._is_present_kept = True
        return [*self._kept, *(item for item in shown if item.part.role == COMMANDS)]

    def _go_on(self, answer: dict[str, Tensor]) -> None:
        batch, at = self.present, {PROPRIO: self.present.at[PROPRIO]}
        for name, columns in self.model.following.items():
            if name in answer:
                at |= dict.fromkeys(columns, answer[name][:, None])
        images = answer[VIDEO][:, None].to(batch.images)
        if batch.camera_is_pad is not None:
            images = torch.where(batch.camera_is_pad[:, None, :, None, None, None], batch.images, images)
        self._before, self.present = batch, replace(batch, images=images, at=at)
        self.now += 1
        self._kept, self._is_present_kept = self._within(self._kept), False

    def _within(self, shown: Sequence[Shown]) -> list[Shown]:
        """What is kept: anchor and window, and commands and changes between moments of them that follow each other."""

        def is_seen(moment: int) -> bool:
            return moment < self.anchor or moment > self.now - self.window

        def is_kept(part: Part) -> bool:
            follows = part.role != COMMANDS or is_seen(part.moment + 1)
            compares = not part.segment.is_change or is_seen(part.moment - 1)
            return part.role == INSTRUCTION or (is_seen(part.moment) and follows and compares)

        return [item for item in shown if is_kept(item.part)]


def step_together(
    dreams: Sequence[Dream], commands: Sequence[Float[Tensor, " 1 frame_stride action_dim"]]
) -> list[tuple[Dream, dict[str, Tensor]]]:
    """Let dreams of one row each imagine their next moments, those that stand alike in one batch.

    Returns:
        For each the dream as it has gone on (those given are left where they are), and what `Dream.step` answers.
    """
    alike: dict[Any, list[int]] = {}
    for number, dream in enumerate(dreams):
        alike.setdefault(dream.standing, []).append(number)
    went: dict[int, tuple[Dream, dict[str, Tensor]]] = {}
    for numbers in alike.values():
        if len(numbers) == 1:  # nothing to join
            (number,) = numbers
            alone = dreams[number].fork()
            went[number] = alone, alone.step(commands[number])
            continue
        together = Dream.joined([dreams[number] for number in numbers])
        answer = together.step(torch.cat([commands[number] for number in numbers]))
        for row, (number, dream) in enumerate(zip(numbers, together.split(), strict=True)):
            went[number] = dream, {name: value[row : row + 1] for name, value in answer.items()}
    return [went[number] for number in range(len(dreams))]


def _stack_shown(alike: Sequence[Shown]) -> Shown:
    pads = [item.is_pad for item in alike if item.is_pad is not None]
    past = torch.cat([item.past for item in alike], dim=2)
    return Shown(alike[0].part, past, torch.cat(pads) if pads else None)


def _row_shown(shown: Shown, row: int, older: int) -> Shown:
    part = shown.part if shown.part.role == INSTRUCTION else replace(shown.part, moment=shown.part.moment + older)
    is_pad = None if shown.is_pad is None else shown.is_pad[row : row + 1]
    return Shown(part, shown.past[:, :, row : row + 1].clone(), is_pad)  # no view: the other rows may go


def dream_film(
    model: UnifiedModel,
    start: Batch,
    commands: Float[Tensor, " batch step env_step action_dim"],
    query: Query,
    **options: Any,
) -> Float[Tensor, " batch step camera channel height width"]:
    """A film of as many moments as there are steps of commands, told of them if the query is; on the CPU.

    Args:
        model: imagines.
        start: the moments that are known.
        commands: of the steps that follow.
        query: asked at every moment.
        options: see `Dream`.
    """
    imagined, is_told = Dream(model, start, **options), ACTION in query.given
    steps = commands.to(next(model.parameters()).device).unbind(1)
    pictures = [imagined.step(step if is_told else None, query)[VIDEO] for step in steps]
    return torch.stack(pictures, dim=1).clamp(-1, 1).cpu()


def _check_window(model: UnifiedModel, window: int | None, anchor: int) -> int:
    """How long the window is, in moments, if the model was built for it."""
    most = model.spec.num_moments - 1  # one of a training window's moments is always the one to come
    if VIDEO not in model.following or not most:
        raise UserError("This model has no video stream, or was trained on single moments; it cannot imagine films.")
    check_numbers(least=0, most=most - 1, anchor=anchor)
    check_numbers(least=1, most=most - anchor, window=window)
    return most - anchor if window is None else window


def _check_start(model: UnifiedModel, batch: Batch, history: float) -> None:
    spec = model.spec
    size = (len(spec.cameras), 3, *spec.image_size)
    if tuple(batch.images.shape[2:]) != size or not torch.isfinite(batch.images).all():
        raise UserError(
            f"A dream starts from finite pictures (camera, colour, height, width) of shape {size}, those of cameras "
            f"{', '.join(spec.cameras)}; got {tuple(batch.images.shape[2:])}."
        )
    if batch.moment_is_pad is not None and batch.moment_is_pad.any():
        raise UserError("A dream cannot start past the end of an episode.")
    if history and history > model.config.history_noise:
        raise UserError(
            f"history must be 0 to the model's history_noise, {model.config.history_noise}, got {history}: it was "
            "trained on pictures no noisier than that."
        )
