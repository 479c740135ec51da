"""The backbone against the published one and against PyTorch's attention."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unified.errors import UserError
from unified.model.network.backbone import Closed, UViT, attend, bias_of


def published_uvit(weights: dict[str, Tensor], tokens: Tensor, depth: int, num_heads: int) -> Tensor:
    """U-ViT's blocks in plain functions, written from the paper's figure 1 and section 3 (arXiv:2209.12152)."""

    def linear(name: str, value: Tensor) -> Tensor:
        return F.linear(value, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def norm(name: str, value: Tensor) -> Tensor:
        return F.layer_norm(value, value.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    def block(name: str, value: Tensor) -> Tensor:
        batch, count, dim = value.shape
        heads = linear(f"{name}.attention.qkv", norm(f"{name}.norm1", value)).reshape(batch, count, 3, num_heads, -1)
        q, k, v = (heads[:, :, part].transpose(1, 2) for part in range(3))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, count, dim)
        value = value + linear(f"{name}.attention.proj", mixed)
        hidden = F.gelu(linear(f"{name}.mlp.0", norm(f"{name}.norm2", value)))
        return value + linear(f"{name}.mlp.2", hidden)

    skips = []
    for index in range(depth // 2):
        tokens = block(f"in_blocks.{index}", tokens)
        skips.append(tokens)
    tokens = block("mid_block", tokens)
    for index in range(depth // 2):
        tokens = linear(f"out_blocks.{index}.skip_linear", torch.cat([tokens, skips.pop()], dim=-1))
        tokens = block(f"out_blocks.{index}", tokens)
    return norm("norm", tokens)


@pytest.mark.parametrize(("depth", "num_heads"), [(1, 1), (5, 2), (7, 4)])
def test_backbone_without_our_additions_computes_the_published_function(depth: int, num_heads: int) -> None:
    torch.manual_seed(0)
    backbone = UViT(32, depth, num_heads)
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    tokens = torch.randn(3, 9, 32)
    published = published_uvit(dict(backbone.named_parameters()), tokens, depth, num_heads)
    torch.testing.assert_close(backbone(tokens), published, rtol=0, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_on_the_cpu_equals_pytorchs(masked: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 5, 8, generator=generator)
    mask = torch.rand(2, 1, 5, 5, generator=generator) < 0.7 if masked else None
    if mask is not None:
        mask[..., 0] = True
    bias = None if mask is None else bias_of(mask)
    torch.testing.assert_close(attend(query, key, value, bias), F.scaled_dot_product_attention(query, key, value, mask))


def wide_backbone(depth: int = 3) -> UViT:
    """With weights so large that whatever a token sees changes it."""
    torch.manual_seed(0)
    backbone = UViT(32, depth, 2).eval()
    for parameter in backbone.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return backbone


def test_tokens_that_may_not_be_attended_to_change_nothing() -> None:
    backbone, tokens = wide_backbone(), torch.randn(2, 6, 32)
    mask = torch.ones(2, 1, 6, dtype=torch.bool)
    mask[:, :, 4:] = False
    changed = tokens.clone()
    changed[:, 4:] += 1
    assert not torch.allclose(backbone(tokens)[:, :4], backbone(changed)[:, :4], atol=1e-3)
    torch.testing.assert_close(backbone(tokens, mask=mask)[:, :4], backbone(changed, mask=mask)[:, :4])
    torch.testing.assert_close(backbone(tokens, mask=mask)[:, :4], backbone(tokens[:, :4]))


@pytest.mark.parametrize("depth", [1, 5])
@pytest.mark.parametrize("has_pad", [False, True])
def test_closed_tokens_see_their_sets_alone_and_can_be_computed_before(depth: int, has_pad: bool) -> None:
    backbone, tokens = wide_backbone(depth), torch.randn(2, 7, 32)
    seconds = torch.tensor([[0.0, 0.0, 0.1, 0.1, 0.3, 0.1, 0.2]])
    is_pad = torch.tensor([[False, True, False, False, False], [False] * 5]) if has_pad else None
    closed = Closed(((2, 2), (1, 1)), is_pad)
    sets = torch.tensor([0, 0, 1, 1, 2])
    mask = torch.ones(2, 7, 7, dtype=torch.bool)
    mask[:, :5, :5], mask[:, :5, 5:] = sets[:, None] == sets, False
    if is_pad is not None:
        mask[:, :, :5] &= ~is_pad[:, None]
    mask |= torch.eye(7, dtype=torch.bool)
    t, groups = torch.tensor([[0.0, 0.4]]).expand(2, -1), torch.tensor([0, 0, 0, 0, 0, 1, 1])
    whole = backbone(tokens, t, groups, mask, seconds)[:, 5:]
    torch.testing.assert_close(backbone(tokens, t, groups, mask[:, 5:], seconds, closed), whole)
    past = backbone.keys_values(tokens[:, :5], t, groups[:5], closed)
    torch.testing.assert_close(backbone(tokens[:, 5:], t, groups[5:], mask[:, 5:], seconds, past=past), whole)


def test_moments_matter_and_only_relative_to_each_other() -> None:
    backbone, tokens, seconds = wide_backbone(), torch.randn(2, 6, 32), torch.arange(6)[None] / 10
    there = backbone(tokens, seconds=seconds)
    assert not torch.allclose(backbone(tokens, seconds=2 * seconds), there, atol=1e-3)
    torch.testing.assert_close(backbone(tokens, seconds=seconds + 1), there, rtol=0, atol=1e-4)


def test_a_token_of_no_moment_is_the_same_at_all_moments() -> None:
    backbone, tokens = wide_backbone(), torch.randn(2, 3, 32)
    early, late = (torch.tensor([[torch.nan, torch.nan, second]]) for second in (0.0, 7.0))
    torch.testing.assert_close(backbone(tokens, seconds=early), backbone(tokens, seconds=late))


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    torch.manual_seed(0)
    plain, frugal = UViT(32, 3, 2), UViT(32, 3, 2, gradient_checkpointing=True)
    frugal.load_state_dict(plain.state_dict())
    tokens, mask = torch.randn(2, 5, 32), torch.tril(torch.ones(1, 5, 5, dtype=torch.bool))
    times, seconds = torch.rand(2, 1), torch.rand(1, 5)
    for backbone in (plain, frugal):
        groups, closed = torch.zeros(5, dtype=torch.long), Closed(((1, 2),))
        output = backbone(tokens, times, groups, mask[:, 2:], seconds, closed)
        output.square().sum().backward()
    for ours, theirs in zip(plain.parameters(), frugal.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_each_token_feels_its_own_diffusion_time() -> None:
    torch.manual_seed(0)
    backbone = UViT(32, 1, 2).eval()
    tokens, groups = torch.randn(1, 4, 32), torch.tensor([0, 0, 1, 1])
    times = torch.tensor([[0.0, 0.3]])
    expected = tokens + torch.stack([backbone.time(times)[0, group] for group in groups])
    torch.testing.assert_close(backbone(tokens, times, groups), backbone(expected))


@pytest.mark.parametrize(("depth", "num_heads", "word"), [(4, 2, "odd"), (3, 5, "multiple of num_heads")])
def test_impossible_shapes_are_refused(depth: int, num_heads: int, word: str) -> None:
    with pytest.raises(UserError, match=word):
        UViT(32, depth, num_heads)


COMPILED = """
import torch
from unified.model.network.backbone import Closed, UViT
torch.manual_seed(0)
backbone = UViT(32, 3, 2).eval()
tokens, times, groups = torch.randn(2, 6, 32), torch.rand(2, 2), torch.tensor([0, 0, 0, 1, 1, 1])
mask, closed = torch.tril(torch.ones(1, 6, 6, dtype=torch.bool))[:, 3:], Closed(((1, 1), (1, 2)))
inputs = tokens, times, groups, mask, torch.rand(1, 6), closed
with torch.no_grad():
    expected = backbone(*inputs)
    past = backbone.keys_values(tokens[:, :3], times, groups[:3], closed)
    kept = backbone(tokens[:, 3:], times, groups[3:], past=past)
    backbone.compile()
    torch.testing.assert_close(backbone(*inputs), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(backbone(tokens[:, 3:], times, groups[3:], past=past), kept, rtol=1e-4, atol=1e-5)
"""


@pytest.mark.slow
def test_compiled_backbone_computes_the_same(repository: Path) -> None:
    # In a process of its own: the compiler cannot look into the shape checks that tests switch on.
    done = subprocess.run([sys.executable, "-c", COMPILED], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
