"""Commands of a body as tokens and back: those executed in a step, and the plan from a moment on, to be imitated."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from decoders.vectors import EmbodimentLinear, Normalizer, beyond_stride
from unified.errors import UserError, check_numbers, unknown_name
from unified.model.batch import Batch
from unified.model.network.sequence import Segment
from unified.model.spec import ACTION, DataSpec
from unified.model.stream import PLAN, STEP, Present

PREDICTIONS = ("velocity", "clean")


class CommandDecoder(nn.Module):
    """Commands of any body, normalised and projected per embodiment.

    Args:
        dim: width of a token.
        spec: the bodies.
        length: commands of an element.
        actions_per_token: commands merged into one token; `length` must be a multiple. None: all of them.
        predicts: "velocity", or "clean": for long vectors whose entries hang together, such as trajectories. The
            velocity holds the noise of every entry, and what the network does not copy of it ends as noise of the plan.
    """

    def __init__(self, dim: int, spec: DataSpec, length: int, actions_per_token: int | None, predicts: str):
        super().__init__()
        if predicts not in PREDICTIONS:
            raise unknown_name("prediction (predicts)", predicts, PREDICTIONS)
        self.predicts, self.length = predicts, length
        check_numbers(least=1, actions_per_token=actions_per_token)
        self.actions_per_token = actions_per_token or length
        if length % self.actions_per_token:
            raise UserError(
                f"{length} actions cannot be shared out to tokens of actions_per_token={actions_per_token}; it must "
                f"divide {length}."
            )
        self.normalizer = Normalizer([body.action_dim for body in spec.embodiments], spec.action_dim)
        self.spec = spec
        features = self.actions_per_token * spec.action_dim
        self.embed_linear = EmbodimentLinear(len(spec.embodiments), features, dim)
        self.decode_linear = EmbodimentLinear(len(spec.embodiments), dim, features, zero=True)

    def segment(self, name: str) -> Segment:
        """One token every `actions_per_token` env steps."""
        times = torch.arange(0, self.length, self.actions_per_token, dtype=torch.float32)
        middle = torch.full_like(times, 0.5)
        return Segment(name, torch.stack([times, middle, middle], dim=1), torch.zeros(len(times), dtype=torch.long))

    def event_shape(self) -> tuple[int, ...]:
        """Normalised commands, one row each."""
        return (self.length, self.spec.action_dim)

    def normalize(
        self, commands: Float[Tensor, " batch element command action_dim"], batch: Batch
    ) -> Float[Tensor, " batch element command action_dim"]:
        """Data units to about unit variance."""
        return self.normalizer.normalize(commands.flatten(1, 2), batch.embodiment).unflatten(1, commands.shape[1:3])

    def lacks(self, batch: Batch) -> Bool[Tensor, " batch 1 1 action_dim"]:
        """True for dimensions that a body does not have."""
        return self.normalizer.is_pad[batch.embodiment][:, None, None]

    def to_data(
        self, clean: Float[Tensor, " row command action_dim"], present: Present
    ) -> Float[Tensor, " row command action_dim"]:
        """Normalised commands to the body's own units."""
        return self.normalizer.unnormalize(clean, present.embodiment)

    def embed(
        self, noisy: Float[Tensor, " row command action_dim"], embodiment: Int[Tensor, " row"]
    ) -> Float[Tensor, " row token dim"]:
        return self.embed_linear(noisy.unflatten(1, (-1, self.actions_per_token)).flatten(2), embodiment)

    def decode(
        self, tokens: Float[Tensor, " row token dim"], present: Present
    ) -> Float[Tensor, " row command action_dim"]:
        return self.decode_linear(tokens, present.embodiment).reshape(len(tokens), *self.event_shape())

    def set_stats(self, stats: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> None:
        """Normalise with these statistics of the data from now on."""
        self.normalizer.set_stats(stats, ACTION, self.spec)


class ActionDecoder(CommandDecoder):
    """The commands executed from one moment to the next.

    Args:
        dim, spec, actions_per_token, predicts: see `CommandDecoder`.
    """

    where = STEP
    columns: ClassVar = {"between": (ACTION,)}

    def __init__(self, dim: int, spec: DataSpec, actions_per_token: int | None = None, predicts: str = "velocity"):
        super().__init__(dim, spec, spec.frame_stride, actions_per_token, predicts)

    def encode(self, batch: Batch) -> Float[Tensor, " batch step command action_dim"]:
        """The executed commands, normalised; 0 past a shorter stride of a sample's own."""
        clean = self.normalize(batch.column("between", ACTION), batch)
        return clean.masked_fill(self._beyond(batch), 0.0)

    def is_pad(self, batch: Batch) -> Bool[Tensor, " batch step command action_dim"]:
        """True in steps that end past the end of the episode, beyond a sample's stride, and for what a body lacks."""
        pad = (self.lacks(batch) | self._beyond(batch)).expand(-1, batch.num_moments - 1, -1, -1)
        return pad if batch.moment_is_pad is None else pad | batch.moment_is_pad[:, 1:, None, None]

    def _beyond(self, batch: Batch) -> Bool[Tensor, " batch 1 command 1"]:
        return beyond_stride(batch, self.length)[:, None, :, None]


class PlanDecoder(CommandDecoder):
    """The commands that an expert would execute from a moment on: what a policy is asked for.

    Args:
        dim, spec, predicts: see `CommandDecoder`.
        actions_per_token: commands merged into one token; `action_horizon` must be a multiple.
    """

    where = PLAN
    columns: ClassVar = {"ahead": (ACTION,)}

    def __init__(self, dim: int, spec: DataSpec, actions_per_token: int | None = 1, predicts: str = "velocity"):
        super().__init__(dim, spec, spec.action_horizon, actions_per_token, predicts)

    def encode(self, batch: Batch) -> Float[Tensor, " batch moment command action_dim"]:
        """The commands to imitate, normalised."""
        return self.normalize(batch.column("ahead", ACTION), batch)

    def is_pad(self, batch: Batch) -> Bool[Tensor, " batch moment command action_dim"]:
        """True past the end of the episode, in play, and for dimensions that a body lacks."""
        pad = self.lacks(batch).expand(-1, batch.num_moments, self.length, -1)
        if batch.ahead_is_pad is not None:
            pad = pad | batch.ahead_is_pad[..., None]
        return pad if batch.is_demonstration is None else pad | ~batch.is_demonstration[:, None, None, None]
