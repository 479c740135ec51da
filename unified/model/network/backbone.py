"""U-ViT: a transformer with long skip connections. Tokens and their diffusion times in, tokens out.

It knows neither noise nor losses nor what a token means.

Source: "All are Worth Words: A ViT Backbone for Diffusion Models" (arXiv:2209.12152). Ours in addition, each of which
can be off: several diffusion times in one sequence, attention masks, moments in seconds as rotations of queries and
keys, keys and values of tokens that were computed before, gradient checkpointing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from unified.errors import UserError

KeysValues = tuple[Float[Tensor, " batch head _ channel"], Float[Tensor, " batch head _ channel"]]
"""What one block offers to attend to, keys turned to their moments."""

Past = Float[Tensor, " 2 block batch head _ channel"]
"""Keys, then values, of all blocks; keys are not turned to their moments yet, so they stay right as a window moves on.
"""

Rotation = tuple[Float[Tensor, " _ 1 _ pair"], Float[Tensor, " _ 1 _ pair"]]
"""Cosines and sines of every token's moment, see `Moments`."""


class Moments(nn.Module):
    """Moments in seconds as rotations: what a token gathers depends on how long before or after itself a key lies.

    Half of the channels of a head are rotated, in pairs, with periods from a twentieth of a second to a minute and a
    half; the others see content alone. Of a token that belongs to no moment (NaN) only these others are seen, so that
    it is the same to all.

    Source: rotary position embedding (arXiv:2104.09864).
    """

    SHORTEST_S, LONGEST_S = 0.05, 90.0
    frequencies: Float[Tensor, " pair"]

    def __init__(self, channels: int):
        super().__init__()
        pairs = max(channels // 4, 1)
        periods = self.SHORTEST_S * (self.LONGEST_S / self.SHORTEST_S) ** (torch.arange(pairs) / max(pairs - 1, 1))
        self.register_buffer("frequencies", 2 * math.pi / periods, persistent=False)

    def forward(self, seconds: Float[Tensor, " #batch token"]) -> Rotation:
        angles = seconds[:, None, :, None].float() * self.frequencies
        return angles.cos().nan_to_num(0.0), angles.sin().nan_to_num(0.0)


def rotate(
    vectors: Float[Tensor, " *batch head token channel"], rotation: Rotation
) -> Float[Tensor, " *batch head token channel"]:
    """Turn the first pairs of channels of every token by its moment's angles."""
    cosine, sine = (part.to(vectors.dtype) for part in rotation)
    pairs = cosine.shape[-1]
    left, right, rest = vectors.split([pairs, pairs, vectors.shape[-1] - 2 * pairs], dim=-1)
    return torch.cat([left * cosine - right * sine, right * cosine + left * sine, rest], dim=-1)


def _parted(rotation: Rotation, place: int) -> tuple[Rotation, Rotation]:
    """What turns the tokens before a place, and from there on."""
    cosine, sine = rotation
    return (cosine[:, :, :place], sine[:, :, :place]), (cosine[:, :, place:], sine[:, :, place:])


@dataclass(frozen=True)
class Closed:
    """The first tokens of a sequence, in sets whose tokens see each other and nothing else, all at one moment.

    Attributes:
        runs: how many sets of which size follow each other, for example ((5, 17), (4, 2)).
        is_pad: True for tokens that only they themselves see; None: none are.
    """

    runs: tuple[tuple[int, int], ...] = ()
    is_pad: Bool[Tensor, " batch token"] | None = None

    def __len__(self) -> int:
        return sum(count * size for count, size in self.runs)


NOTHING_CLOSED = Closed()


class Attention(nn.Module):
    """Multi-head attention, no bias on queries, keys and values."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def heads(
        self, tokens: Float[Tensor, " batch token dim"]
    ) -> tuple[Float[Tensor, " batch head token channel"], KeysValues]:
        """What these tokens ask, and what they offer."""
        query, key, value = self.qkv(tokens).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return query, (key, value)

    def forward(self, gathered: Sequence[Float[Tensor, " batch head _ channel"]]) -> Float[Tensor, " batch token dim"]:
        """What tokens make of what they gathered, stretch by stretch."""
        return self.proj(torch.cat([*gathered], dim=2).transpose(1, 2).flatten(2))


def attend(
    query: Float[Tensor, " *batch token channel"],
    key: Float[Tensor, " *batch source channel"],
    value: Float[Tensor, " *batch source channel"],
    bias: Float[Tensor, " *#batch #token source"] | None = None,
) -> Float[Tensor, " *batch token channel"]:
    """Scaled dot-product attention; minus infinity in `bias` hides a source from a token.

    On CPUs the plain products are used: PyTorch's fused kernel has a backward pass there that takes several times
    as long as two matrix products (tests/benchmarks/attention.py).
    """
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, None if bias is None else bias.to(query.dtype))
    weights = (query * (1 / math.sqrt(query.shape[-1]))) @ key.transpose(-2, -1)
    if bias is not None:
        weights = weights + bias.to(weights.dtype)
    return weights.softmax(dim=-1).to(value.dtype) @ value


def bias_of(mask: Bool[Tensor, " *shape"]) -> Float[Tensor, " *shape"]:
    """What hides the sources where the mask is False, see `attend`."""
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, float("-inf"))


def attend_within(
    query: Float[Tensor, " batch head token channel"], offered: KeysValues, closed: Closed
) -> list[Float[Tensor, " batch head _ channel"]]:
    """What tokens of closed sets gather, run by run."""
    sizes = [count * size for count, size in closed.runs]
    pads = [None] * len(sizes) if closed.is_pad is None else closed.is_pad.split(sizes, dim=1)
    stretches = zip(closed.runs, *(part.split(sizes, dim=2) for part in (query, *offered)), pads, strict=True)
    gathered = []
    for run, asked, key, value, is_pad in stretches:
        if run[1] == 1:
            gathered.append(value)  # whoever sees but itself
            continue
        bias = None
        if is_pad is not None:
            itself = torch.eye(run[1], dtype=torch.bool, device=query.device)
            bias = bias_of(~is_pad.unflatten(1, run)[:, None, :, None] | itself)
        asked, key, value = (part.unflatten(2, run) for part in (asked, key, value))
        gathered.append(attend(asked, key, value, bias).flatten(2, 3))
    return gathered


class Block(nn.Module):
    """Pre-norm transformer block; with `skip`, it first merges an earlier block's output in (concatenate, project)."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float = 4.0, skip: bool = False):
        super().__init__()
        self.skip_linear = nn.Linear(2 * dim, dim) if skip else None
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        hidden = int(dim * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(
        self,
        tokens: Float[Tensor, " batch token dim"],
        skip: Float[Tensor, " batch token dim"] | None = None,
        closed: Closed = NOTHING_CLOSED,
        bias: Float[Tensor, " #batch 1 _ source"] | None = None,
        rotation: Rotation | None = None,
        past: KeysValues | None = None,
        is_last: bool = False,
    ) -> tuple[Float[Tensor, " batch _ dim"], KeysValues]:
        """Transform the tokens, if this is the last block only the open ones; and what all of them offer.

        Open tokens, those after the closed ones, see all tokens and the past.
        """
        if self.skip_linear is not None:
            tokens = self.skip_linear(torch.cat([tokens, skip], dim=-1))  # pyright: ignore[reportArgumentType, reportCallIssue]
        query, own = self.attention.heads(self.norm1(tokens))
        parts = [len(closed), query.shape[2] - len(closed)]
        (within, query), (key, value) = query.split(parts, dim=2), own
        gathered = []
        if is_last:
            tokens = tokens[:, len(closed) :]
        else:
            gathered += attend_within(within, (key.split(parts, dim=2)[0], value.split(parts, dim=2)[0]), closed)
        if query.shape[2]:
            if rotation is not None:
                query, key = rotate(query, _parted(rotation, len(closed))[1]), rotate(key, rotation)
            if past is not None:
                key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
            gathered.append(attend(query, key, value, bias))
        if not gathered:
            return tokens, own
        tokens = tokens + self.attention(gathered)
        return tokens + self.mlp(self.norm2(tokens)), own


class TimeEmbedding(nn.Module):
    """Diffusion times in [0, 1] to vectors: sinusoids, then two linear layers."""

    NUM_FEATURES = 256
    frequencies: Float[Tensor, " frequency"]

    def __init__(self, dim: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(self.NUM_FEATURES, dim), nn.SiLU(), nn.Linear(dim, dim))
        half = self.NUM_FEATURES // 2
        self.register_buffer(
            "frequencies", 1000 * torch.exp(-math.log(1e4) * torch.arange(half) / half), persistent=False
        )

    def forward(self, t: Float[Tensor, " *shape"]) -> Float[Tensor, " *shape dim"]:
        angles = t[..., None].float() * self.frequencies
        features = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return self.mlp(features.to(next(self.mlp.parameters()).dtype))


class UViT(nn.Module):
    """Half of the blocks, one in the middle, the other half; block i of the second half sees block depth-1-i's output.

    Args:
        dim: width of a token.
        depth: number of blocks, odd.
        num_heads: attention heads; `dim` must be a multiple.
        gradient_checkpointing: keep only block borders for the backward pass.
    """

    def __init__(self, dim: int, depth: int, num_heads: int, gradient_checkpointing: bool = False):
        super().__init__()
        if depth % 2 == 0 or depth < 1:
            raise UserError(f"depth must be odd (two halves and a middle block), got {depth}; use {depth + 1}.")
        if dim % num_heads:
            raise UserError(f"dim must be a multiple of num_heads ({num_heads}), got {dim}.")
        self.gradient_checkpointing = gradient_checkpointing
        half = depth // 2
        self.time = TimeEmbedding(dim)
        self.moments = Moments(dim // num_heads)
        self.in_blocks = nn.ModuleList(Block(dim, num_heads) for _ in range(half))
        self.mid_block = Block(dim, num_heads)
        self.out_blocks = nn.ModuleList(Block(dim, num_heads, skip=True) for _ in range(half))
        self.norm = nn.LayerNorm(dim)
        self.apply(initialise)

    def forward(
        self,
        tokens: Float[Tensor, " batch token dim"],
        t: Float[Tensor, " batch group"] | None = None,
        groups: Int[Tensor, " token"] | None = None,
        mask: Bool[Tensor, " #batch _ source"] | None = None,
        seconds: Float[Tensor, " #batch source"] | None = None,
        closed: Closed = NOTHING_CLOSED,
        past: Past | None = None,
    ) -> Float[Tensor, " batch open dim"]:
        """Transform the tokens, and return those that are not closed.

        Args:
            tokens: embedded tokens.
            t: diffusion times; None leaves them out, for callers that bring time in as a token (as published).
            groups: which time each token carries.
            mask: True where an open token (row) may attend to a token of the past or of these (column); None:
                everywhere.
            seconds: the moment of each token, those of the past first; NaN: it has none; None: all at one moment.
            closed: the first tokens, which see but their own sets; the last block spares itself them.
            past: what tokens that were computed before offer, from `keys_values`.
        """
        if t is not None:
            tokens = tokens + self.time(t)[:, groups]
        return self.norm(self._run(tokens, closed, mask, seconds, past)[0])

    def keys_values(
        self,
        tokens: Float[Tensor, " batch token dim"],
        t: Float[Tensor, " batch group"],
        groups: Int[Tensor, " token"],
        closed: Closed,
    ) -> Past:
        """What tokens that are all closed offer to later ones."""
        keys, values = zip(*self._run(tokens + self.time(t)[:, groups], closed)[1], strict=True)
        return torch.stack([torch.stack(keys), torch.stack(values)])

    def _run(
        self,
        tokens: Tensor,
        closed: Closed,
        mask: Tensor | None = None,
        seconds: Tensor | None = None,
        past: Past | None = None,
    ) -> tuple[Tensor, list[KeysValues]]:
        blocks = [*self.in_blocks, self.mid_block, *self.out_blocks]
        bias = None if mask is None else bias_of(mask)[:, None]
        rotation = None if seconds is None else self.moments(seconds)
        seen: list[KeysValues | None] = [None] * len(blocks)
        if past is not None:
            keys, values = past
            if rotation is not None:
                before, rotation = _parted(rotation, keys.shape[-2])
                keys = rotate(keys, before)
            seen = list(zip(keys, values, strict=True))
        offered: list[KeysValues] = []
        skips: list[Tensor] = []
        for index, block in enumerate(blocks):
            skip = skips.pop() if index > len(self.in_blocks) else None
            inputs = (tokens, skip, closed, bias, rotation, seen[index], index == len(blocks) - 1)
            if self.gradient_checkpointing and self.training:
                tokens, own = checkpoint(block, *inputs, use_reentrant=False)  # pyright: ignore[reportGeneralTypeIssues]
            else:
                tokens, own = block(*inputs)
            offered.append(own)
            if index < len(self.in_blocks):
                skips.append(tokens)
        return tokens, offered


def initialise(module: nn.Module) -> None:
    """Small random weights, no offsets."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if isinstance(module.bias, nn.Parameter):
            nn.init.zeros_(module.bias)
