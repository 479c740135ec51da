"""What crosses from the data to the model: one frozen dataclass, shapes in its annotations."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unified.model.spec import ACTION as ACTION
from unified.model.spec import EXPERT_ACTION as EXPERT_ACTION
from unified.model.spec import IMAGES as IMAGES
from unified.model.spec import PROPRIO as PROPRIO
from unified.model.spec import SIM_STATE as SIM_STATE


@dataclass(frozen=True)
class Observation:
    """What the model is told: frames up to now, the body's own measurements, the task in words.

    Attributes:
        images: RGB in [-1, 1]; the last obs_step is now.
        proprio: in the data's own units, zero-padded to the widest embodiment.
        embodiment: index into `DataSpec.embodiments`.
        task: the instruction in words, one string a sample.
        camera_is_pad: True where a camera slot holds no picture for this sample; None if every slot is filled.
    """

    images: Float[Tensor, " batch camera obs_step channel height width"]
    proprio: Float[Tensor, " batch obs_step proprio_dim"]
    embodiment: Int[Tensor, " batch"]
    task: tuple[str, ...]
    camera_is_pad: Bool[Tensor, " batch camera"] | None = None

    def __len__(self) -> int:
        return self.images.shape[0]


@dataclass(frozen=True)
class Batch:
    """An observation and what followed it. Masks are named for what True means; None masks mean "nowhere".

    Attributes:
        video: the future frames, RGB in [-1, 1].
        action: the executed commands, zero-padded to the widest embodiment, in the data's own units.
        expert_action: what an expert would have done; the target of the `policy` query. None: same as `action`.
        is_demonstration: False for play, from which no policy should be learned; None: all are demonstrations.
        video_is_pad, action_is_pad: True past the end of the episode.
    """

    observation: Observation
    video: Float[Tensor, " batch camera frame channel height width"] | None = None
    action: Float[Tensor, " batch action_horizon action_dim"] | None = None
    expert_action: Float[Tensor, " batch action_horizon action_dim"] | None = None
    is_demonstration: Bool[Tensor, " batch"] | None = None
    video_is_pad: Bool[Tensor, " batch frame"] | None = None
    action_is_pad: Bool[Tensor, " batch action_horizon"] | None = None

    def __len__(self) -> int:
        return len(self.observation)

    def to(self, *args: object, **kwargs: object) -> "Batch":
        """Move every tensor; the arguments are those of `Tensor.to`. Lightning calls this."""
        return _map(self, lambda tensor: tensor.to(*args, **kwargs))  # pyright: ignore[reportCallIssue, reportArgumentType]

    def select(self, rows: Int[Tensor, " row"]) -> "Batch":
        """The batch made of these rows, in this order."""
        picked = _map(self, lambda tensor: tensor[rows])
        task = tuple(self.observation.task[row] for row in rows.tolist())
        return dataclasses.replace(picked, observation=dataclasses.replace(picked.observation, task=task))


def images_to_float(images: Tensor) -> Tensor:
    """uint8 pixels in [0, 255] to float32 in [-1, 1]."""
    return images.to(torch.float32).mul_(2 / 255).sub_(1)


def images_to_uint8(images: Tensor) -> Tensor:
    """Float pixels in [-1, 1] to uint8 in [0, 255]; values outside are clipped."""
    return images.float().add(1).mul(255 / 2).round().clamp(0, 255).to(torch.uint8)


def _map(batch: Batch, function: Callable[[Tensor], Tensor]) -> Batch:
    def apply(value: object) -> object:
        if isinstance(value, Tensor):
            return function(value)
        if isinstance(value, Observation):
            return _replace(value)
        return value

    def _replace(part: Batch | Observation) -> Batch | Observation:
        return dataclasses.replace(part, **{f.name: apply(getattr(part, f.name)) for f in dataclasses.fields(part)})

    return _replace(batch)  # pyright: ignore[reportReturnType]
