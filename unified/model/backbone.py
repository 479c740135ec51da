"""U-ViT: a transformer with long skip connections. Tokens and their diffusion times in, tokens out.

It knows neither noise nor losses nor what a token means.

Source: "All are Worth Words: A ViT Backbone for Diffusion Models" (arXiv:2209.12152). Ours in addition, each of which
can be off: register tokens, several diffusion times in one sequence, attention masks, gradient checkpointing.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from unified.errors import UserError


class Attention(nn.Module):
    """Multi-head self-attention, no bias on queries, keys and values."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self,
        tokens: Float[Tensor, " batch token dim"],
        mask: Bool[Tensor, " #batch 1 #token token"] | None = None,
        first: int = 0,
    ) -> Float[Tensor, " batch wanted dim"]:
        """What the tokens from `first` on gather from all."""
        batch, num_tokens, dim = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, num_tokens, 3, self.num_heads, dim // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if mask is not None and mask.shape[2] > 1:
            mask = mask[:, :, first:]
        mixed = attend(query[:, :, first:], key, value, mask)
        return self.proj(mixed.transpose(1, 2).reshape(batch, num_tokens - first, dim))


def attend(
    query: Float[Tensor, " batch head token channel"],
    key: Float[Tensor, " batch head source channel"],
    value: Float[Tensor, " batch head source channel"],
    mask: Bool[Tensor, " #batch 1 #token source"] | None = None,
) -> Float[Tensor, " batch head token channel"]:
    """Scaled dot-product attention; mask is True where a token may be attended to.

    On CPUs the plain products are used: PyTorch's fused kernel has a backward pass there that takes several times
    as long as two matrix products (tests/benchmarks/attention.py).
    """
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    weights = (query * (1 / math.sqrt(query.shape[-1]))) @ key.transpose(-2, -1)
    if mask is not None:
        weights = weights.masked_fill(~mask, float("-inf"))
    return weights.softmax(dim=-1).to(value.dtype) @ value


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
        mask: Bool[Tensor, " #batch 1 #token token"] | None = None,
        skip: Float[Tensor, " batch token dim"] | None = None,
        first: int = 0,
    ) -> Float[Tensor, " batch wanted dim"]:
        """Transform the tokens from `first` on."""
        if self.skip_linear is not None:
            tokens = self.skip_linear(torch.cat([tokens, skip], dim=-1))  # pyright: ignore[reportArgumentType, reportCallIssue]
        tokens = tokens[:, first:] + self.attention(self.norm1(tokens), mask, first)
        return tokens + self.mlp(self.norm2(tokens))


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
        num_registers: learned tokens put before the sequence and taken off after it; 0 as published.
        gradient_checkpointing: keep only block borders for the backward pass.
    """

    def __init__(
        self, dim: int, depth: int, num_heads: int, num_registers: int = 0, gradient_checkpointing: bool = False
    ):
        super().__init__()
        if depth % 2 == 0 or depth < 1:
            raise UserError(f"depth must be odd (two halves and a middle block), got {depth}; use {depth + 1}.")
        if dim % num_heads:
            raise UserError(f"dim must be a multiple of num_heads ({num_heads}), got {dim}.")
        self.gradient_checkpointing = gradient_checkpointing
        half = depth // 2
        self.registers = nn.Parameter(torch.randn(1, num_registers, dim) * 0.02)
        self.time = TimeEmbedding(dim)
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
        mask: Bool[Tensor, " #batch #token token"] | None = None,
        first: int = 0,
    ) -> Float[Tensor, " batch wanted dim"]:
        """Transform the tokens.

        Args:
            tokens: embedded tokens, positions included.
            t: diffusion times; None leaves them out, for callers that bring time in as a token (as published).
            groups: which time each token carries.
            mask: True where a token (row) may attend to a token (column); None: everywhere.
            first: the tokens from here on are all that is asked for; the last block spares itself the others.
        """
        if t is not None:
            tokens = tokens + self.time(t)[:, groups]
        num_registers = self.registers.shape[1]
        if num_registers:
            tokens = torch.cat([self.registers.to(tokens.dtype).expand(tokens.shape[0], -1, -1), tokens], dim=1)
        full_mask = None if mask is None else _admit_registers(mask, num_registers)[:, None]
        skips: list[Tensor] = []
        for block in self.in_blocks:
            tokens = self._run(block, tokens, full_mask)
            skips.append(tokens)
        blocks = [self.mid_block, *self.out_blocks]
        for index, block in enumerate(blocks):
            skip = skips.pop() if index else None
            tokens = self._run(block, tokens, full_mask, skip, num_registers + first if block is blocks[-1] else 0)
        return self.norm(tokens)

    def _run(self, block: nn.Module, *inputs: Tensor | int | None) -> Tensor:
        if self.gradient_checkpointing and self.training:
            return checkpoint(block, *inputs, use_reentrant=False)  # pyright: ignore[reportReturnType]
        return block(*inputs)


def _admit_registers(mask: Bool[Tensor, " #batch #token token"], num_registers: int) -> Tensor:
    """Let everyone see the registers, and the registers see what anyone sees."""
    if mask.shape[1] > 1:
        mask = torch.cat([mask.any(dim=1, keepdim=True).expand(-1, num_registers, -1), mask], dim=1)
    return F.pad(mask, (num_registers, 0), value=True)


def initialise(module: nn.Module) -> None:
    """Small random weights, no offsets."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if isinstance(module.bias, nn.Parameter):
            nn.init.zeros_(module.bias)
