"""The next moment of a dream from all that it still sees, computed at once: what streaming must be equal to."""

import zlib
from dataclasses import replace

import torch
from torch import Tensor

from unified.model.answers import Shown
from unified.model.batch import Batch
from unified.model.model import UnifiedModel, seed_of
from unified.model.network.sequence import COMMANDS, MOMENT
from unified.model.spec import ACTION, PROPRIO
from unified.model.stream import Present
from unified.rollout.dreams.dream import Dream


class Film:
    """What was shown of a dream, moment by moment, so that every step can be computed anew from it."""

    def __init__(self, model: UnifiedModel, start: Batch):
        self.model = model
        self.images, self.proprio, self.commands = list(start.images.unbind(1)), list(start.at[PROPRIO].unbind(1)), []
        self.commands += start.between[ACTION].unbind(1)
        self.start = start

    def append(self, dream: Dream, commands: Tensor) -> None:
        self.images.append(dream.present.images[:, 0])
        self.proprio.append(dream.present.at[PROPRIO][:, 0])
        self.commands.append(commands)

    def recomputed(self, commands: Tensor, window: int, anchor: int, shift: bool = False) -> dict[str, Tensor]:
        """The next moment from all that is still seen, computed at once and numbered anew."""
        now = len(self.images) - 1
        seen = [moment for moment in range(now + 1) if moment < anchor or moment > now - window]
        follows = [place for place, moment in enumerate(seen) if moment + 1 in [*seen, now + 1]]
        batch = replace(
            self.start,
            images=torch.stack([self.images[moment] for moment in seen], dim=1),
            at={PROPRIO: torch.stack([self.proprio[moment] for moment in seen], dim=1)},
            between={ACTION: torch.stack([[*self.commands, commands][moment] for moment in seen], dim=1)},
        )
        kept = [item for item in self.model.remember(batch) if step_of(item) is None or step_of(item) in follows]
        kept = [shifted(item, len(seen) - 1) for item in kept] if shift else kept
        present = Present(self.images[-1], batch.embodiment, batch.camera_is_pad)
        noise = {name: noise_of(self.model, name, now, len(batch)) for name in self.model.query("world_model").wanted}
        return self.model.answer(kept, "world_model", present, len(seen) - 1, batch.stride, noise=noise)


def step_of(item: Shown) -> int | None:
    """The step that commands or changes belong to."""
    if item.part.segment.is_change:
        return item.part.moment - 1
    return item.part.moment if item.part.role == COMMANDS else None


def noise_of(model: UnifiedModel, name: str, step: int, rows: int) -> Tensor:
    """What a dream of seed 0 starts a stream's answers from."""
    seeds = [seed_of((0, row, step, zlib.crc32(name.encode()))) for row in range(rows)]
    shape = model.decoder(name).event_shape()
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def shifted(item: Shown, present: int) -> Shown:
    """A moment of the window, but not its commands, one place further back; the oldest takes the latest one's."""
    moment = item.part.moment
    if item.part.role == MOMENT and 0 < moment < present:
        moment = moment - 1 or present - 1
    return replace(item, part=replace(item.part, moment=moment))
