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
    """Proprio s, actions a = K s + noise, video y = M s + N a + noise; (s, a, y) is one Gaussian with mean `mean`."""

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


def linear_gaussian_world() -> LinearGaussianWorld:
    """Two proprio dimensions, two actions of one dimension, two frames of one pixel."""
    generator = torch.Generator().manual_seed(5)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    s_to_a, s_to_y, a_to_y = normal(2, 2) * 0.7, normal(2, 2) * 0.1, normal(2, 2) * 0.15
    noise_a = torch.diag(torch.tensor([0.5, 0.7], dtype=torch.float64))
    noise_y = torch.diag(torch.tensor([0.10, 0.07], dtype=torch.float64))
    # (s, a, y) = bias + mix @ standard normal
    mix = torch.zeros(6, 6, dtype=torch.float64)
    mix[:2, :2] = torch.eye(2)
    mix[2:4, :2], mix[2:4, 2:4] = s_to_a, noise_a
    mix[4:, :2], mix[4:, 2:4], mix[4:, 4:] = s_to_y + a_to_y @ s_to_a, a_to_y @ noise_a, noise_y
    mean = torch.tensor([0.0, 0.0, 0.3, -0.2, 0.05, -0.05], dtype=torch.float64)
    parts = {"proprio": slice(0, 2), "action": slice(2, 4), "video": slice(4, 6)}
    return LinearGaussianWorld(mean, mix @ mix.T, parts)
