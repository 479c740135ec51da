"""Flow matching: what to learn and how to sample. Any callable can be the network.

Diffusion time t runs from 0 (clean) to 1 (noise); noisy = (1 - t) clean + t noise; velocity = noise - clean.

Source: flow matching guide (arXiv:2412.06264), conditional optimal-transport path with time reversed.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from unified.errors import UserError, unknown_name

SOLVERS = ("euler", "midpoint")

Denoiser = Callable[[dict[str, Tensor], Tensor], dict[str, Tensor]]
"""Noisy streams and one diffusion time, a scalar tensor, to the velocity of each stream."""


def add_noise(
    clean: Float[Tensor, " batch *event"], noise: Float[Tensor, " batch *event"], t: Float[Tensor, " batch *event_t"]
) -> Float[Tensor, " batch *event"]:
    """Move clean data along the straight path to noise; t is aligned with the leading dimensions of the data."""
    weight = _align(t, clean)
    return (1 - weight) * clean + weight * noise


def clean_from_velocity(
    velocity: Float[Tensor, " batch *event"], noisy: Float[Tensor, " batch *event"], t: Float[Tensor, " batch *event_t"]
) -> Float[Tensor, " batch *event"]:
    """What the clean data is, if this is the velocity at t."""
    return noisy - _align(t, noisy) * velocity


def velocity_from_clean(
    clean: Float[Tensor, " batch *event"],
    noisy: Float[Tensor, " batch *event"],
    t: Float[Tensor, " batch *event_t"],
    smallest_t: float = 1e-3,
) -> Float[Tensor, " batch *event"]:
    """The velocity at t that leads to this clean data; at t below `smallest_t` as if it were that."""
    return (noisy - clean) / _align(t, noisy).clamp_min(smallest_t)


def shift_time(t: Float[Tensor, " *shape"], shift: float) -> Float[Tensor, " *shape"]:
    """Move times towards noise (shift > 1); 0 and 1 stay.

    Source: Stable Diffusion 3 (arXiv:2403.03206), equation 23."""
    return (shift * t / (1 + (shift - 1) * t)).clamp(max=1)  # rounding


def sample(
    denoiser: Denoiser, noise: dict[str, Tensor], num_steps: int, shift: float = 1.0, solver: str = "euler"
) -> dict[str, Tensor]:
    """Integrate from noise at t = 1 to clean data at t = 0, all streams in step.

    Args:
        denoiser: gives the velocity of every stream in `noise`.
        noise: where each stream starts.
        num_steps: denoise steps; with 1, the result is the mean of what is possible.
        shift: see `shift_time`.
        solver: "euler" (one call a step) or "midpoint" (two calls, second order).

    Raises:
        UserError: for an unknown solver or no step.
    """
    if solver not in SOLVERS:
        raise unknown_name("solver", solver, SOLVERS)
    if num_steps < 1:
        raise UserError(f"num_steps must be at least 1, got {num_steps}.")
    grid = shift_time(torch.linspace(1, 0, num_steps + 1, dtype=torch.float64), shift).to(next(iter(noise.values())))
    state = dict(noise)
    for start, end in zip(grid[:-1], grid[1:], strict=True):
        velocity = denoiser(state, start)
        if solver == "midpoint":
            middle = (start + end) / 2
            velocity = denoiser(_advance(state, velocity, middle - start), middle)
        state = _advance(state, velocity, end - start)
    return state


def _advance(state: dict[str, Tensor], velocity: dict[str, Tensor], step: Tensor) -> dict[str, Tensor]:
    return {name: value + step * velocity[name] for name, value in state.items()}


def _align(t: Tensor, like: Tensor) -> Tensor:
    return t.reshape(t.shape + (1,) * (like.ndim - t.ndim)).to(like.dtype)
