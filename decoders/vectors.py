"""Vectors of a body: normalised and projected per embodiment."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unified.model.batch import Batch
from unified.model.spec import DataSpec


class EmbodimentLinear(nn.Module):
    """One linear map per embodiment; each sample of a batch uses its own body's."""

    def __init__(self, num_embodiments: int, in_features: int, out_features: int, zero: bool = False):
        super().__init__()
        std = 0.0 if zero else in_features**-0.5
        self.weight = nn.Parameter(torch.randn(num_embodiments, in_features, out_features) * std)
        self.bias = nn.Parameter(torch.zeros(num_embodiments, 1, out_features))

    def forward(
        self, values: Float[Tensor, " batch row in_features"], embodiment: Int[Tensor, " batch"]
    ) -> Float[Tensor, " batch row out_features"]:
        if self.weight.shape[0] == 1:
            return values @ self.weight[0] + self.bias[0]
        return torch.baddbmm(self.bias[embodiment], values, self.weight[embodiment])


class Normalizer(nn.Module):
    """Data units to zero mean and unit variance per embodiment and dimension, and back.

    Dimensions that a body does not have are 0 on both sides, and marked in `is_pad`.

    Args:
        dims: how many dimensions each embodiment has.
        width: the widest of them, the size of the vectors.
    """

    mean: Float[Tensor, " embodiment width"]
    std: Float[Tensor, " embodiment width"]
    is_pad: Bool[Tensor, " embodiment width"]

    def __init__(self, dims: list[int], width: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(dims), width))
        self.register_buffer("std", torch.ones(len(dims), width))
        is_pad = torch.arange(width) >= torch.tensor(dims)[:, None]
        self.register_buffer("is_pad", is_pad, persistent=False)

    def set_stats(self, stats: Mapping[str, Mapping[str, Mapping[str, list[float]]]], key: str, spec: DataSpec) -> None:
        """Take mean and standard deviation of `key` for each embodiment (`unified.data.stats`); 0 counts as 1.

        Embodiments without such a column are left alone.
        """
        for row, body in enumerate(spec.embodiments):
            if bool(self.is_pad[row].all()):
                continue
            values = stats[body.name][key]
            size = len(values["std"])
            self.mean[row, :size] = torch.tensor(values["mean"], dtype=torch.float32)
            std = torch.tensor(values["std"], dtype=torch.float32)
            self.std[row, :size] = torch.where(std == 0, 1.0, std)

    def normalize(
        self, values: Float[Tensor, " batch row width"], embodiment: Int[Tensor, " batch"]
    ) -> Float[Tensor, " batch row width"]:
        """Data units to normalised ones."""
        scaled = (values - self.mean[embodiment][:, None]) / self.std[embodiment][:, None]
        return scaled.masked_fill(self.is_pad[embodiment][:, None], 0.0)

    def unnormalize(
        self, values: Float[Tensor, " batch row width"], embodiment: Int[Tensor, " batch"]
    ) -> Float[Tensor, " batch row width"]:
        """The inverse of `normalize`."""
        scaled = values * self.std[embodiment][:, None] + self.mean[embodiment][:, None]
        return scaled.masked_fill(self.is_pad[embodiment][:, None], 0.0)


def beyond_stride(batch: Batch, env_steps: int) -> Bool[Tensor, " batch env_step"]:
    """True for env steps of a step that lie beyond a sample's own, shorter stride."""
    count = torch.arange(env_steps, device=batch.images.device).expand(len(batch), -1)
    return torch.zeros_like(count, dtype=torch.bool) if batch.stride is None else count >= batch.stride[:, None]
