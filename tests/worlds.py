"""Small worlds and batches for tests: a linear-Gaussian world whose every conditional is known, and random batches."""

from dataclasses import dataclass

import torch
from torch import Tensor

from unified.model.batch import Batch
from unified.model.config import ClassSpec, ModelConfig
from unified.model.model import UnifiedModel
from unified.model.spec import ACTION, PROPRIO, DataSpec, Embodiment


def small_spec(**changes: object) -> DataSpec:
    """One body, one camera, 16-pixel pictures; three moments, two env steps apart, and plans of four."""
    values = {
        "embodiments": (Embodiment("arm", 4, 3, ("front",), 0.1),),
        "cameras": ("front",),
        "image_size": (16, 16),
        "num_moments": 3,
        "frame_stride": 2,
        "action_horizon": 4,
    }
    return DataSpec(**{**values, **changes})


def mixed_spec(**changes: object) -> DataSpec:
    """Two bodies of unlike actions, cameras and rates."""
    bodies = (Embodiment("arm", 4, 3, ("front",), 0.1), Embodiment("car", 2, 1, ("front", "rear"), 0.05))
    return small_spec(**{"embodiments": bodies, "cameras": ("front", "rear"), **changes})


def small_config(**changes: object) -> ModelConfig:
    """Two heads, three blocks, patches of 8 pixels, every stream."""
    values = {
        "dim": 32,
        "depth": 3,
        "num_heads": 2,
        "num_registers": 2,
        "observation": ClassSpec("decoders.observation.ObservationEncoder", {"patch_size": 8, "width": 8}),
        "text": ClassSpec("decoders.observation.TextEncoder", {"num_buckets": 64, "word_dim": 16}),
        "decoders": {
            "plan": ClassSpec("decoders.actions.PlanDecoder"),
            "action": ClassSpec("decoders.actions.ActionDecoder"),
            "video": ClassSpec("decoders.pixels.PixelDecoder", {"patch_size": 8}),
            "proprio": ClassSpec("decoders.proprio.ProprioDecoder"),
        },
    }
    return ModelConfig(**{**values, **changes})


def small_model(config: ModelConfig | None = None, spec: DataSpec | None = None, seed: int = 0) -> UnifiedModel:
    """A model with weights so large that whatever it sees changes its answers."""
    torch.manual_seed(seed)
    model = UnifiedModel(config or small_config(), spec or small_spec())
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def random_batch(spec: DataSpec, size: int = 3, seed: int = 0, moments: int | None = None, channels: int = 3) -> Batch:
    """Windows of noise with everything in them, as the data module would make them."""
    generator = torch.Generator().manual_seed(seed)
    moments = spec.num_moments if moments is None else moments

    def uniform(*shape: int) -> Tensor:
        return torch.rand((size, *shape), generator=generator) * 2 - 1

    embodiment = torch.arange(size) % len(spec.embodiments)
    has = torch.tensor([[camera in body.cameras for camera in spec.cameras] for body in spec.embodiments])[embodiment]
    return Batch(
        images=uniform(moments, len(spec.cameras), channels, *spec.image_size),
        at={name: uniform(moments, spec.width(name)) for name in (PROPRIO, *spec.columns)},
        between={name: uniform(moments - 1, spec.frame_stride, spec.width(name)) for name in (ACTION, *spec.columns)},
        ahead={ACTION: uniform(moments, spec.action_horizon, spec.action_dim)},
        embodiment=embodiment,
        task=tuple(f"task number {index % 2}" for index in range(size)),
        camera_is_pad=None if bool(has.all()) else ~has,
    )


@dataclass(frozen=True)
class LinearGaussianWorld:
    """A state that is steered and never seen exactly; all that is seen, done and planned is one Gaussian.

    Attributes:
        parts: "proprio0" is what is measured at moment 0, "action0" what is done from there to moment 1, and so on.
    """

    mean: Tensor
    covariance: Tensor
    parts: dict[str, slice]

    def condition(self, wanted: list[str], known: list[str], values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (sample, dim) and covariance of the wanted parts, given values of the known ones."""
        w, k = self._index(wanted), self._index(known)
        gain = torch.linalg.solve(self.covariance[k][:, k], self.covariance[k][:, w]).T
        return self.mean[w] + (values - self.mean[k]) @ gain.T, self.covariance[w][:, w] - gain @ self.covariance[k][
            :, w
        ]

    def marginal(self, names: list[str]) -> tuple[Tensor, Tensor]:
        """Mean and covariance of some parts, in this order."""
        index = self._index(names)
        return self.mean[index], self.covariance[index][:, index]

    def draw(self, size: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Exact samples by part."""
        root = torch.linalg.cholesky(self.covariance)
        noise = torch.randn(size, len(self.mean), generator=generator, dtype=self.mean.dtype)
        values = self.mean + noise @ root.T
        return {name: values[:, part] for name, part in self.parts.items()}

    def _index(self, names: list[str]) -> Tensor:
        places = torch.arange(len(self.mean))
        return torch.cat([places[self.parts[name]] for name in names])


def linear_gaussian_world(moments: int = 3) -> LinearGaussianWorld:
    """Two numbers of each: state x, proprio s = x + noise, pixels y = C s + noise, plan p = K s + noise.

    Done is a = p + noise, and then x follows as A x + B a + noise; some of these are off by a constant. So the past
    says more of x than the present alone, what is done is not what was planned, and every moment obeys the same laws.
    """
    generator = torch.Generator().manual_seed(5)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    a, b, c, k = torch.eye(2) * 0.8 + normal(2, 2) * 0.2, normal(2, 2) * 0.5, normal(2, 2) * 0.1, normal(2, 2) * 0.6
    # A row is a number as a sum: column 0 is its constant, the others are independent sources of chance.
    sums = torch.eye(3 + 10 * moments, dtype=torch.float64)
    chance, one = iter(sums[1:].split(2)), sums[0]
    off_y, off_p = (torch.outer(normal(2) * size, one) for size in (0.05, 0.3))
    rows: dict[str, Tensor] = {}
    x = next(chance)
    for moment in range(moments):
        s = rows[f"proprio{moment}"] = x + 0.5 * next(chance)
        rows[f"video{moment}"] = c @ s + 0.07 * next(chance) + off_y
        p = rows[f"plan{moment}"] = k @ s + 0.5 * next(chance) + off_p
        done = rows[f"action{moment}"] = p + 0.4 * next(chance)
        x = a @ x + b @ done + 0.3 * next(chance)
    mix = torch.cat(list(rows.values()))
    parts = {name: slice(2 * place, 2 * place + 2) for place, name in enumerate(rows)}
    return LinearGaussianWorld(mix[:, 0], mix[:, 1:] @ mix[:, 1:].T, parts)
