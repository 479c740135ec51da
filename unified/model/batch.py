"""What crosses from the data to the model: a window, as one frozen dataclass, shapes in its annotations."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unified.errors import UserError


@dataclass(frozen=True)
class Batch:
    """Moments, some env steps apart, and what was done between them. Masks are named for what True means.

    Columns of the data set are kept by name, in the data's own units, zero-padded to the widest embodiment.

    Attributes:
        images: RGB in [-1, 1] of every moment.
        at: columns at the moments, such as "observation.state".
        between: columns of every env step between two moments, such as "action", the commands executed.
        ahead: columns of the env steps from every moment on, such as the expert's "action", to be imitated.
        embodiment: index into `DataSpec.embodiments`.
        task: the instruction in words, one string a sample.
        stride: env steps from one moment to the next; None: the spec's `frame_stride`.
        camera_is_pad: True where a camera slot holds no picture for this sample; None: nowhere.
        moment_is_pad: True past the end of the episode; None: nowhere.
        ahead_is_pad: likewise, for every env step ahead; None: nowhere.
        is_demonstration: False for play, from which no policy should be learned; None: all are demonstrations.
    """

    images: Float[Tensor, " batch moment camera channel height width"]
    at: Mapping[str, Float[Tensor, " batch moment _"]]
    embodiment: Int[Tensor, " batch"]
    task: tuple[str, ...]
    between: Mapping[str, Float[Tensor, " batch step env_step _"]] = field(default_factory=dict)
    ahead: Mapping[str, Float[Tensor, " batch moment action_horizon _"]] = field(default_factory=dict)
    stride: Int[Tensor, " batch"] | None = None
    camera_is_pad: Bool[Tensor, " batch camera"] | None = None
    moment_is_pad: Bool[Tensor, " batch moment"] | None = None
    ahead_is_pad: Bool[Tensor, " batch moment action_horizon"] | None = None
    is_demonstration: Bool[Tensor, " batch"] | None = None

    def __len__(self) -> int:
        return self.images.shape[0]

    @property
    def num_moments(self) -> int:
        """How many moments are shown."""
        return self.images.shape[1]

    def column(self, where: str, name: str) -> Tensor:
        """A column of `at`, `between` or `ahead`.

        Raises:
            UserError: if the batch lacks it.
        """
        columns: Mapping[str, Tensor] = getattr(self, where)
        if name not in columns:
            raise UserError(f"This query needs the column {name!r} ({where} the moments), and the batch has none.")
        return columns[name]

    def with_columns(self, where: str, columns: Mapping[str, Tensor]) -> "Batch":
        """The batch with these columns of `at`, `between` or `ahead` in the place of its own."""
        return dataclasses.replace(self, **{where: {**getattr(self, where), **columns}})

    def to(self, *args: object, **kwargs: object) -> "Batch":
        """Move every tensor; the arguments are those of `Tensor.to`. Lightning calls this."""
        return map_tensors(self, lambda tensor: tensor.to(*args, **kwargs))  # pyright: ignore[reportCallIssue, reportArgumentType]

    def select(self, rows: Int[Tensor, " row"]) -> "Batch":
        """The batch made of these rows, in this order."""
        task = tuple(self.task[row] for row in rows.tolist())
        return dataclasses.replace(map_tensors(self, lambda tensor: tensor[rows]), task=task)

    def window(self, first: int, last: int) -> "Batch":
        """The moments from `first` to `last` (included), and what was done between them."""
        moments, steps = slice(first, last + 1), slice(first, last)
        return dataclasses.replace(
            self,
            images=self.images[:, moments],
            at={name: value[:, moments] for name, value in self.at.items()},
            between={name: value[:, steps] for name, value in self.between.items()},
            ahead={name: value[:, moments] for name, value in self.ahead.items()},
            moment_is_pad=None if self.moment_is_pad is None else self.moment_is_pad[:, moments],
            ahead_is_pad=None if self.ahead_is_pad is None else self.ahead_is_pad[:, moments],
        )


def stack_rows(batches: Sequence[Batch]) -> Batch:
    """The rows of batches of equal shapes, one batch after the other."""

    def join(values: Sequence[Any]) -> Any:
        if isinstance(values[0], Tensor):
            return torch.cat([*values])
        if isinstance(values[0], Mapping):
            return {name: torch.cat([value[name] for value in values]) for name in values[0]}
        return None if values[0] is None else tuple(itertools.chain(*values))

    fields = [field.name for field in dataclasses.fields(Batch)]
    return Batch(**{name: join([getattr(batch, name) for batch in batches]) for name in fields})


def join_moments(before: Batch, batch: Batch) -> Batch:
    """What is seen and measured in both, the moments of one batch before those of another."""
    at = {name: torch.cat([before.at[name], batch.at[name]], dim=1) for name in batch.at if name in before.at}
    images = torch.cat([before.images, batch.images], dim=1)
    return dataclasses.replace(batch, images=images, at=at, ahead={}, ahead_is_pad=None, moment_is_pad=None)


def map_tensors[Tensors: Any](batch: Tensors, function: Callable[[Tensor], Tensor]) -> Tensors:
    """A dataclass with this done to every tensor in it, also to those in its mappings."""

    def apply(value: object) -> object:
        if isinstance(value, Tensor):
            return function(value)
        if isinstance(value, Mapping):
            return {name: function(tensor) for name, tensor in value.items()}
        return value

    fields = dataclasses.fields(batch)
    return dataclasses.replace(batch, **{field.name: apply(getattr(batch, field.name)) for field in fields})


def images_to_float(images: Tensor) -> Tensor:
    """uint8 pixels in [0, 255] to float32 in [-1, 1]."""
    return images.to(torch.float32).mul_(2 / 255).sub_(1)


def images_to_uint8(images: Tensor) -> Tensor:
    """Float pixels in [-1, 1] to uint8 in [0, 255]; values outside are clipped."""
    return images.float().add(1).mul(255 / 2).round().clamp(0, 255).to(torch.uint8)
