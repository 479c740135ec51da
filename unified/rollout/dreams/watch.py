"""Whether a dream still deserves belief, by a model that was trained apart from the one that dreams.

Two numbers a moment, each as a mean over the last second: how far the commands that the film shows are from those that
were given (inverse dynamics by sight alone), and how far the pictures are from those of the training data, in how they
look and in what the model makes of them. A dream is over when one of them is beyond its limit; the limits come from
dreams that are believed (`unified watch`).
"""

import json
from collections import deque
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from unified.atomic import atomic_path
from unified.errors import UserError, first_line
from unified.model.batch import Batch, join_moments
from unified.model.model import UnifiedModel
from unified.model.network.sequence import MOMENT
from unified.model.spec import ACTION
from unified.model.stream import VIDEO
from unified.rollout.dreams.starts import Start
from unified.rollout.policies import load_model

QUERY = "inverse_by_sight"
ERROR, STRANGENESS = "action_error", "strangeness"
SPAN_S = 1.0
_FILE, _NUMBERS = "watch.json", "watch.safetensors"
_SHRINKAGE = 0.1
_GRID = 4


@dataclass(frozen=True)
class Familiar:
    """What pictures are like that a model knows: mean and inverse covariance of what it makes of them."""

    mean: Float[Tensor, " feature"]
    precision: Float[Tensor, " feature feature"]

    @classmethod
    def of(cls, features: Float[Tensor, " picture feature"]) -> "Familiar":
        """Of many; the covariance is shrunk towards that of a ball, so that few pictures do."""
        mean, count = features.mean(0), features.shape[1]
        covariance = (features - mean).T @ (features - mean) / max(len(features) - 1, 1)
        ball = covariance.diagonal().mean().clamp_min(1e-12) * torch.eye(count)
        return cls(mean, torch.linalg.inv((1 - _SHRINKAGE) * covariance + _SHRINKAGE * ball))

    def distance(self, features: Float[Tensor, " picture feature"]) -> Float[Tensor, " picture"]:
        """Of pictures, in standard deviations of the familiar ones (Mahalanobis)."""
        off = features - self.mean
        return ((off @ self.precision * off).sum(1) / len(self.mean)).clamp_min(0).sqrt()


class DriftWatch:
    """Looks on at dreams.

    Args:
        model: learned "inverse_by_sight".
        familiar: pictures of the training data.
        limits: of "action_error" and "strangeness"; what is beyond ends a dream.

    Raises:
        UserError: for a model that did not learn that query.
    """

    def __init__(self, model: UnifiedModel, familiar: Familiar, limits: Mapping[str, float]):
        model.history.check_learned(QUERY)
        self.model, self.familiar, self.limits = model.eval(), familiar, dict(limits)

    def save(self, folder: Path | str) -> None:
        """Write it to a folder, the model with it."""
        folder = Path(folder)
        self.model.save_pretrained(folder / "model")
        with atomic_path(folder / _NUMBERS) as temporary:
            save_file({"mean": self.familiar.mean, "precision": self.familiar.precision.contiguous()}, temporary)
        with atomic_path(folder / _FILE) as temporary:
            temporary.write_text(json.dumps({"limits": self.limits}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> "DriftWatch":
        """Read what `save` wrote.

        Raises:
            UserError: if something is missing or damaged.
        """
        folder = Path(folder)
        try:
            stored = json.loads((folder / _FILE).read_text(encoding="utf-8"))["limits"]
            limits = {name: float(stored[name]) for name in (ERROR, STRANGENESS)}
            numbers = load_file(folder / _NUMBERS)
            familiar = Familiar(numbers["mean"], numbers["precision"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{folder} holds no drift watch: {first_line(error)}; make one with `unified watch`."
            ) from error
        return cls(load_model(folder / "model"), familiar, limits)

    def begin(self, start: Start) -> "Notes":
        """A dream's notes.

        Raises:
            UserError: if the watch sees another body, other cameras or sizes, or another rate.
        """
        return Notes(self, start)

    @torch.no_grad()
    def features(self, moment: Batch) -> Float[Tensor, " row feature"]:
        """What the model makes of the pictures of one moment, and how they look."""
        shown = [item for item in self.model.remember(moment) if item.part.role == MOMENT]
        (pictures,) = [item for item in shown if item.part.segment.stream == VIDEO and not item.part.segment.is_change]
        values = pictures.past[1]  # block, row, head, token, channel
        some = values[[0, len(values) // 2]].movedim(1, 0).transpose(2, 3).flatten(3)  # row, block, token, feature
        some = some.movedim(2, 1).flatten(2).float()
        return torch.cat([some.mean(1), some.std(1), _looks(moment.images[:, 0])], dim=1).cpu()

    @torch.no_grad()
    def recovered(self, moments: Batch, key: int) -> Float[Tensor, " row env_step action_dim"]:
        """The commands that the step to the last moment shows."""
        noise = self.model.noise_of(ACTION, [(key, row) for row in range(len(moments))]).to(moments.images.device)
        return self.model.sample(moments, QUERY, moments.num_moments - 2, noise={ACTION: noise})[ACTION]


class Notes:
    """What is known of one dream so far.

    Attributes:
        is_over: it deserves no belief any more.
    """

    def __init__(self, watch: DriftWatch, start: Start):
        spec = watch.model.spec
        self._body = watch.model.history.find_body(spec, start.body, "The dream")
        stride = watch.model.history.frame_stride(spec, self._body.name)
        size = tuple(start.batch.images.shape[-2:])
        if stride != start.stride or size != tuple(spec.image_size) or spec.cameras != start.body.cameras:
            raise UserError(
                f"The drift watch sees {', '.join(spec.cameras)} at {spec.image_size} every {stride} env steps; the "
                f"dream shows {', '.join(start.body.cameras)} at {size} every {start.stride}."
            )
        self._watch, self._stride, self.is_over = watch, stride, False
        commands: Any = watch.model.decoder(ACTION)
        self._scale = commands.normalizer.std[spec.index(self._body.name), : self._body.action_dim].cpu()
        self._last = start.present
        span = max(1, round(SPAN_S / (stride * self._body.control_dt)))
        self._recent: deque[tuple[float, float]] = deque(maxlen=span)

    @property
    def is_full(self) -> bool:
        """Whether a whole second was seen, so that the numbers count."""
        return len(self._recent) == self._recent.maxlen

    def fork(self) -> "Notes":
        """Another dream's notes that begin with these."""
        other = copy(self)
        other._recent = copy(self._recent)
        return other

    def look(self, commands: Float[Tensor, " 1 env_step action_dim"], after: Batch) -> dict[str, float]:
        """Note the moment that commands brought; the means over the last second, by name."""
        watch, width = self._watch, self._body.action_dim
        joined, self._last = join_moments(self._last, after), after
        told = commands[:, :, :width].cpu()
        shown = watch.recovered(joined, len(self._recent))[..., :width].cpu()
        error = ((shown - told) / self._scale)[:, : self._stride].square().mean()
        strangeness = watch.familiar.distance(watch.features(after))[0]
        self._recent.append((float(error), float(strangeness)))
        count = len(self._recent)
        means = [sum(numbers) / count for numbers in zip(*self._recent, strict=True)]
        now: dict[str, float] = dict(zip((ERROR, STRANGENESS), means, strict=True))
        if self.is_full:
            self.is_over |= any(not value <= watch.limits[name] for name, value in now.items())
        return now


def _looks(images: Float[Tensor, " row camera 3 height width"]) -> Float[Tensor, " row look"]:
    """Colours of a coarse grid, and how sharp each of its squares is: noise and blur show here first."""
    pictures = images.flatten(0, 1).float()
    down, right = pictures.diff(dim=2)[..., :-1].abs(), pictures.diff(dim=3)[..., :-1, :].abs()
    sharpness = (F.adaptive_avg_pool2d(down + right, _GRID).mean(1, keepdim=True) + 1e-3).log()
    looks = torch.cat([F.adaptive_avg_pool2d(pictures, _GRID), sharpness], dim=1)
    return looks.flatten(1).unflatten(0, (len(images), -1)).flatten(1)
