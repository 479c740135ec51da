"""LeRobot's batches as the model takes them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from unified.data.frames import resize
from unified.model.batch import Batch, images_to_float
from unified.model.spec import ACTION, IMAGES, PROPRIO, DataSpec
from unified.rollout.episodes import Decision


def to_windows(batch: Mapping[str, Any], spec: DataSpec) -> Batch:
    """Windows of one body from what LeRobot reads for `UnifiedConfig`'s delta indices."""
    action, past_end = batch[ACTION], batch[f"{ACTION}_is_pad"]
    moments = torch.arange(spec.num_moments, device=action.device) * spec.frame_stride
    between = moments[:-1, None] + torch.arange(spec.frame_stride, device=action.device)
    ahead = moments[:, None] + torch.arange(spec.action_horizon, device=action.device)
    pictures = [_pictures(batch[f"{IMAGES}{camera}"], spec.image_size) for camera in spec.cameras]
    return Batch(
        images=images_to_float(torch.stack(pictures, dim=2)),
        at={PROPRIO: batch[PROPRIO]},
        between={ACTION: action[:, between]},
        ahead={ACTION: action[:, ahead]},
        embodiment=torch.zeros(len(action), dtype=torch.long, device=action.device),
        task=tuple(batch["task"]),
        moment_is_pad=past_end[:, moments],
        ahead_is_pad=past_end[:, ahead],
    )


def to_decisions(
    batch: Mapping[str, Any], cameras: tuple[str, ...], spec: DataSpec, embodiment: str, number: int
) -> list[Decision]:
    """What an environment shows now, one decision a row."""
    body = spec.embodiments[spec.index(embodiment)]
    pictures = {name: _pictures(batch[f"{IMAGES}{name}"], spec.image_size).movedim(-3, -1) for name in cameras}
    shown = {name: picture.cpu().numpy() for name, picture in pictures.items()}
    proprio = batch[PROPRIO].float().cpu().numpy()
    return [
        Decision(
            index=row,
            number=number,
            observation={
                "pixels": {name: picture[row][None] for name, picture in shown.items()},
                "agent_pos": proprio[row][None],
            },
            executed=np.zeros((0, 1, body.action_dim), np.float32),
            task=task,
            embodiment=embodiment,
            action_dim=body.action_dim,
        )
        for row, task in enumerate(batch["task"])
    ]


def _pictures(
    pictures: Float[Tensor, " *batch 3 height width"], size: tuple[int, int]
) -> UInt8[Tensor, " *batch 3 new_height new_width"]:
    """Pixels in [0, 1] as the bytes that they were, scaled as `unified fit` scales them."""
    whole = (pictures * 255).round().clamp(0, 255).to(torch.uint8)
    if whole.shape[-2:] == size:
        return whole
    frames = whole.movedim(-3, -1).flatten(0, -4).cpu().numpy()
    scaled = torch.from_numpy(np.stack([resize(frame, size) for frame in frames]))
    return scaled.movedim(-1, -3).view(*whole.shape[:-2], *size).to(whole.device)
