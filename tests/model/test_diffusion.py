"""The diffusion process against closed forms."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from unified.model.network import diffusion


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10**6))
def test_velocity_and_clean_are_two_ways_to_say_the_same(batch: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    clean, noise = torch.randn(2, batch, width, generator=generator)
    t = torch.rand(batch, generator=generator) * 0.9 + 0.1
    noisy = diffusion.add_noise(clean, noise, t)
    torch.testing.assert_close(noisy, (1 - t[:, None]) * clean + t[:, None] * noise)
    torch.testing.assert_close(diffusion.clean_from_velocity(noise - clean, noisy, t), clean)
    torch.testing.assert_close(diffusion.velocity_from_clean(clean, noisy, t), noise - clean, rtol=1e-4, atol=1e-4)


def test_time_zero_is_clean_and_time_one_is_noise() -> None:
    clean, noise = torch.randn(2, 3, 3)
    assert diffusion.add_noise(clean, noise, torch.zeros(3)).equal(clean)
    assert diffusion.add_noise(clean, noise, torch.ones(3)).equal(noise)


def test_times_may_be_aligned_with_leading_dimensions() -> None:
    clean, noise = torch.randn(2, 2, 3, 4)
    t = torch.rand(2, 3)
    noisy = diffusion.add_noise(clean, noise, t)
    torch.testing.assert_close(noisy[1, 2], (1 - t[1, 2]) * clean[1, 2] + t[1, 2] * noise[1, 2])


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2)])
def test_solvers_converge_with_their_order(solver: str, order: int) -> None:
    # dx/dt = x from t = 1 to 0 shrinks x by e.
    def velocity(state: dict[str, Tensor], t: Tensor) -> dict[str, Tensor]:
        return {"x": state["x"]}

    start = {"x": torch.ones(1, dtype=torch.float64)}
    errors = [
        abs(diffusion.sample(velocity, start, steps, solver=solver)["x"].item() - torch.e**-1) for steps in (20, 40)
    ]
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.1)


def test_one_step_lands_on_the_predicted_mean() -> None:
    noise = {"x": torch.randn(4, 2)}
    mean = torch.tensor([1.0, -2.0])
    landed = diffusion.sample(lambda state, t: {"x": state["x"] - mean}, noise, num_steps=1)
    torch.testing.assert_close(landed["x"], mean.expand(4, 2))


@given(st.floats(0, 1), st.floats(0.2, 5))
def test_shifted_time_stays_within_bounds(t: float, shift: float) -> None:
    shifted = diffusion.shift_time(torch.tensor(t, dtype=torch.float64), shift).item()
    assert 0 <= shifted <= 1
    assert shifted >= t - 1e-12 if shift >= 1 else shifted <= t + 1e-12
