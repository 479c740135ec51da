"""Vectors of a body, normalised and projected per embodiment; chunks of actions, one token for some commands each."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unified.errors import UserError, check_numbers, unknown_name
from unified.model.batch import ACTION, Batch, Observation
from unified.model.sequence import Segment
from unified.model.spec import DataSpec

PREDICTIONS = ("velocity", "clean")


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
        """Take mean and standard deviation of `key` for each embodiment (`unified.data.stats`); 0 counts as 1."""
        for row, body in enumerate(spec.embodiments):
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


class ActionDecoder(nn.Module):
    """Commands of any body as tokens and back, normalised and projected per embodiment.

    Args:
        dim: width of a token.
        spec: the bodies and the length of a chunk.
        actions_per_token: commands merged into one token; `action_horizon` must be a multiple.
        predicts: "velocity", or "clean": for long vectors whose entries hang together, such as plans. The velocity
            holds the noise of every entry, and what the network does not copy of it ends as noise of the plan.
    """

    def __init__(self, dim: int, spec: DataSpec, actions_per_token: int = 1, predicts: str = "velocity"):
        super().__init__()
        if predicts not in PREDICTIONS:
            raise unknown_name("prediction (predicts)", predicts, PREDICTIONS)
        self.predicts = predicts
        check_numbers(least=1, actions_per_token=actions_per_token)
        if spec.action_horizon % actions_per_token:
            raise UserError(
                f"action_horizon must be a multiple of actions_per_token ({actions_per_token}), "
                f"got {spec.action_horizon}."
            )
        self.spec, self.action_dim, self.actions_per_token = spec, spec.action_dim, actions_per_token
        self.normalizer = Normalizer([body.action_dim for body in spec.embodiments], spec.action_dim)
        features = actions_per_token * spec.action_dim
        self.embed_linear = EmbodimentLinear(len(spec.embodiments), features, dim)
        self.decode_linear = EmbodimentLinear(len(spec.embodiments), dim, features, zero=True)

    def segment(self, name: str) -> Segment:
        """One token every `actions_per_token` env steps from now; the whole chunk shares one diffusion time."""
        times = torch.arange(0, self.spec.action_horizon, self.actions_per_token, dtype=torch.float32)
        middle = torch.full_like(times, 0.5)
        zeros = torch.zeros(len(times), dtype=torch.long)
        return Segment(name, torch.stack([times, middle, middle], dim=1), kinds=zeros, groups=zeros)

    def event_shape(self) -> tuple[int, ...]:
        """Shape of one sample's normalised actions."""
        return (self.spec.action_horizon, self.action_dim)

    def time_index(self) -> tuple[int, ...]:
        """Leading event dimensions that the diffusion times are aligned with: none, one time for all."""
        return ()

    def encode(self, batch: Batch) -> Float[Tensor, " batch action_horizon action_dim"]:
        """The batch's actions, normalised.

        Raises:
            UserError: if the batch has none.
        """
        if batch.action is None:
            raise UserError("This query needs actions, and the batch has none (Batch.action is None).")
        return self.normalizer.normalize(batch.action, batch.observation.embodiment)

    def to_data(
        self, clean: Float[Tensor, " batch action_horizon action_dim"], observation: Observation
    ) -> Float[Tensor, " batch action_horizon action_dim"]:
        """Normalised actions to the body's own units."""
        return self.normalizer.unnormalize(clean, observation.embodiment)

    def is_pad(self, batch: Batch) -> Bool[Tensor, " batch action_horizon action_dim"]:
        """True where there is nothing to learn: past the end of the episode, or a dimension the body lacks."""
        pad = self.normalizer.is_pad[batch.observation.embodiment][:, None].expand(-1, self.spec.action_horizon, -1)
        return pad if batch.action_is_pad is None else pad | batch.action_is_pad[:, :, None]

    def embed(
        self,
        noisy: Float[Tensor, " batch action_horizon action_dim"],
        observation: Observation,
        context: Mapping[str, Tensor],
    ) -> Float[Tensor, " batch token dim"]:
        grouped = noisy.reshape(noisy.shape[0], -1, self.actions_per_token * noisy.shape[-1])
        return self.embed_linear(grouped, observation.embodiment)

    def decode(
        self, tokens: Float[Tensor, " batch token dim"], observation: Observation
    ) -> Float[Tensor, " batch action_horizon action_dim"]:
        return self.decode_linear(tokens, observation.embodiment).reshape(tokens.shape[0], *self.event_shape())

    def set_stats(self, stats: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> None:
        """Normalise with these statistics of the data from now on."""
        self.normalizer.set_stats(stats, ACTION, self.spec)
