import copy

import pytest
import torch
from torch import nn

from unified.training import optimizers
from unified.training.optimizers import AdamW, Muon, describe, orthogonalize, split_parameters
from unified.training.schedule import ProgressSchedule, Schedule


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 8)
        self.backbone = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8), nn.LayerNorm(8), nn.Linear(8, 8))
        self.head = nn.Linear(8, 3)


def with_gradients(network: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_muon_takes_the_matrices_of_the_backbone_only() -> None:
    network = Network()
    matrices, others = split_parameters(network)
    assert [tuple(parameter.shape) for parameter in matrices] == [(16, 8), (8, 16), (8, 8)]
    assert len(matrices) + len(others) == len(list(network.parameters()))
    assert any(parameter is network.head.weight for parameter in others)


def test_muon_and_adamw_in_one_equal_pytorchs_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizers, "is_bfloat16_fast", lambda _: True)  # PyTorch's rounds to it everywhere
    ours = Network()
    theirs = copy.deepcopy(ours)
    optimizer = Muon(weight_decay=0.05).build(ours)
    matrices, others = split_parameters(theirs)
    muon = torch.optim.Muon(matrices, lr=0.02, weight_decay=0.05)
    wide = [p for p in others if p.ndim >= 2]
    rest = torch.optim.AdamW(
        [{"params": wide, "weight_decay": 0.05}, {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0}],
        lr=1e-3,
        betas=(0.9, 0.95),
    )
    for step in range(4):
        with_gradients(ours, step)
        with_gradients(theirs, step)
        optimizer.step()
        muon.step()
        rest.step()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=2e-4, rtol=1e-3, msg=name)


def test_muon_takes_the_kernel_of_a_wide_convolution_for_a_matrix() -> None:
    convolution, linear = nn.Conv2d(16, 32, 3, bias=False), nn.Linear(16 * 9, 32, bias=False)
    assert split_parameters(nn.Sequential(convolution, nn.Conv2d(32, 3, 3, bias=False)))[0] == [convolution.weight]
    linear.load_state_dict({"weight": convolution.weight.flatten(1)})
    for network in (convolution, linear):
        optimizer = Muon().build(network)
        for step in range(2):
            with_gradients(network, step)
            optimizer.step()
    assert torch.equal(convolution.weight.flatten(1), linear.weight)


@pytest.mark.parametrize("shape", [(2, 24, 24), (3, 32, 8), (1, 8, 32)])
def test_orthogonalized_matrices_have_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape), 5).float())
    assert values.max() < 1.3
    assert values.median() > 0.6


@pytest.mark.parametrize("factory", [Muon(), AdamW()])
def test_gradients_can_be_clipped_in_mixed_precision(factory: Muon | AdamW) -> None:
    # Lightning refuses to where an optimizer says that it unscales gradients by itself, as PyTorch's fused ones do.
    assert not getattr(factory.build(Network()), "_step_supports_amp_scaling", False)


@pytest.mark.parametrize("factory", [Muon(), AdamW()])
def test_a_restored_optimizer_goes_on_as_if_never_stopped(factory: Muon | AdamW) -> None:
    straight, first = Network(), Network()
    first.load_state_dict(straight.state_dict())
    one, two = factory.build(straight), factory.build(first)
    for step in range(2):
        for network, optimizer in ((straight, one), (first, two)):
            with_gradients(network, step)
            optimizer.step()
    second = copy.deepcopy(first)
    three = factory.build(second)
    three.load_state_dict(copy.deepcopy(two.state_dict()))
    for network, optimizer in ((straight, one), (second, three)):
        with_gradients(network, 9)
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), second.parameters(), strict=True))


def test_options_of_an_optimizer_are_plain_data() -> None:
    assert describe(AdamW(lr=0.1)) == {
        "class_path": "unified.training.optimizers.AdamW",
        "init_args": {"lr": 0.1, "betas": [0.9, 0.95], "weight_decay": 0.01},
    }


def test_the_rate_rises_stays_and_falls_to_zero_in_every_group() -> None:
    optimizer = Muon().build(Network())
    schedule = ProgressSchedule(optimizer, Schedule(warmup_steps=4, flat=0.5), lambda step: step / 20)
    rates: list[float] = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        assert optimizer.param_groups[1]["lr"] == pytest.approx(rates[-1] * 1e-3 / 0.02)
        optimizer.step()
        schedule.step()
    assert rates[:4] == pytest.approx([0.005, 0.01, 0.015, 0.02])
    assert rates[4:11] == pytest.approx([0.02] * 7)
    assert rates[15] == pytest.approx(0.01)
    assert optimizer.param_groups[0]["lr"] == 0
