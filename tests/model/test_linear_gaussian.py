"""In a linear-Gaussian world all queries have exact answers; the sampler and a trained network must reach them."""

import pytest
import torch
from torch import Tensor

from tests.worlds import LinearGaussianWorld, linear_gaussian_world
from unified.model.batch import Batch
from unified.model.config import ClassSpec, ModelConfig
from unified.model.model import UnifiedModel
from unified.model.network import diffusion
from unified.model.queries import NEXT, QUERIES, Query
from unified.model.spec import ACTION, PROPRIO, DataSpec, Embodiment
from unified.training.optimizers import Muon

MOMENTS, NOW = 3, 1
WORLD = linear_gaussian_world(MOMENTS)


def named(streams: tuple[str, ...]) -> list[str]:
    """The parts of the world that are these streams of the step after NOW."""
    following = [name for stream in streams for name in (("video", "proprio") if stream == NEXT else (stream,))]
    return [f"{name}{NOW + (name in ('video', 'proprio'))}" for name in following]


def seen(query: Query) -> list[str]:
    """The parts of the world that a query about the step after NOW sees."""
    moments = range(0 if query.history is None else max(0, NOW - query.history), NOW + 1)
    shown = ("video", "proprio") if query.observed is None else query.observed
    parts = [f"{name}{moment}" for moment in moments for name in shown]
    return parts + [f"action{step}" for step in moments if step < NOW and query.past_actions] + named(query.given)


@pytest.mark.parametrize("query", QUERIES.values(), ids=lambda query: query.name)
def test_sampler_driven_by_the_exact_velocity_gives_the_exact_conditional(query: Query) -> None:
    known, wanted = seen(query), named(query.wanted)
    values = WORLD.draw(1, torch.Generator().manual_seed(1))
    mean, covariance = WORLD.condition(wanted, known, torch.cat([values[name] for name in known], dim=1))
    sizes = [2] * len(wanted)

    def velocity(noisy: dict[str, Tensor], t: Tensor) -> dict[str, Tensor]:
        joined = torch.cat([noisy[name] for name in wanted], dim=1)
        spread = (1 - t) ** 2 * covariance + t**2 * torch.eye(len(covariance))
        surprise = torch.linalg.solve(spread, (joined - (1 - t) * mean).T).T
        exact = t * surprise - (mean + (1 - t) * surprise @ covariance)
        return dict(zip(wanted, exact.split(sizes, dim=1), strict=True))

    # The flow is affine in its start: where the origin and the unit vectors end says everything, without chance.
    starts = torch.cat([torch.zeros(1, sum(sizes)), torch.eye(sum(sizes))]).double()
    noise = dict(zip(wanted, starts.split(sizes, dim=1), strict=True))
    ends = torch.cat(list(diffusion.sample(velocity, noise, num_steps=2000, solver="midpoint").values()), dim=1)
    root = ends[1:] - ends[:1]
    torch.testing.assert_close(ends[:1], mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(root.T @ root, covariance, rtol=0, atol=1e-6)


NUM_SAMPLES = 1000
MIXES = (("policy", "world_model", "inverse_dynamics"), ("policy", "joint"), ("video", "inverse_by_sight"))


def train_model() -> UnifiedModel:
    """A small network trained on the world through the same losses as any other."""
    torch.manual_seed(0)
    body = Embodiment("point", 1, 2, ("pixel",), 0.1)
    spec = DataSpec((body,), ("pixel",), (1, 2), num_moments=MOMENTS, frame_stride=2, action_horizon=2)
    pixels = {"patch_size": 1, "channels": 1}
    config = ModelConfig(
        dim=64,
        depth=3,
        num_heads=2,
        num_registers=1,
        observation=ClassSpec("decoders.observation.ObservationEncoder", {**pixels, "width": 8}),
        text=ClassSpec("decoders.observation.TextEncoder", {"num_buckets": 8, "word_dim": 8}),
        decoders={
            "plan": ClassSpec("decoders.actions.PlanDecoder", {"actions_per_token": 2}),
            "action": ClassSpec("decoders.actions.ActionDecoder"),
            "video": ClassSpec("decoders.pixels.PixelDecoder", pixels),
            "proprio": ClassSpec("decoders.proprio.ProprioDecoder"),
        },
        time_shifts={},
    )
    model = UnifiedModel(config, spec)
    steps, rows = 300, 480
    optimizer = Muon(lr=0.02, adamw_lr=2e-3).build(model)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 50) * min(1.0, (1 - step / steps) / 0.7)
    )
    generator = torch.Generator().manual_seed(0)
    mixes = [tuple(model.query(name) for name in mix) for mix in MIXES]
    asked = torch.arange(rows) % len(mixes)
    for step in range(steps):
        draws = model.draw([(step, row) for row in range(rows)])
        errors = model.loss(_to_batch(WORLD.draw(rows, generator)), mixes, asked, draws)
        loss = torch.stack([error.mean() * (20 if name == "video" else 1) for name, (error, _) in errors.items()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@pytest.mark.slow
def test_trained_network_is_within_thrice_the_error_of_an_exact_sampler_in_every_query() -> None:
    model = train_model()  # once, so no parametrisation: parallel test processes would train one each
    ratios: dict[str, float] = {}
    for query in QUERIES.values():
        wanted = named(query.wanted)
        names = [*seen(query), *wanted]
        truth = WORLD.draw(NUM_SAMPLES, torch.Generator().manual_seed(100))
        generator = torch.Generator().manual_seed(3)
        answer = model.sample(_to_batch(truth), query, NOW, num_steps=16, solver="midpoint", generator=generator)
        values = truth | {name: answer[name.rstrip("0123456789")].double().flatten(1) for name in wanted}
        errors = _errors(WORLD, names, values)
        draws = (WORLD.draw(NUM_SAMPLES, torch.Generator().manual_seed(200 + seed)) for seed in range(20))
        exact = torch.tensor([_errors(WORLD, names, draw) for draw in draws]).mean(0).tolist()
        for kind, ours, theirs in zip(("mean", "covariance"), errors, exact, strict=True):
            ratios[f"{query.name} {kind}"] = ours / theirs
    assert max(ratios.values()) < 3, ratios


def _errors(world: LinearGaussianWorld, names: list[str], values: dict[str, Tensor]) -> tuple[float, float]:
    """Norms of the errors of mean and covariance, each dimension in units of its standard deviation."""
    mean, covariance = world.marginal(names)
    scale = covariance.diagonal().sqrt()
    data = torch.cat([values[name] for name in names], dim=1)
    mean_error = ((data.mean(0) - mean) / scale).norm()
    covariance_error = ((data.T.cov() - covariance) / scale / scale[:, None]).norm()
    return mean_error.item(), covariance_error.item()


def _to_batch(values: dict[str, Tensor]) -> Batch:
    size = len(values["proprio0"])

    def column(name: str, count: int) -> Tensor:
        return torch.stack([values[f"{name}{moment}"] for moment in range(count)], dim=1).float()

    return Batch(
        images=column("video", MOMENTS)[:, :, None, None, None],
        at={PROPRIO: column("proprio", MOMENTS)},
        between={ACTION: column("action", MOMENTS - 1)[..., None]},
        ahead={ACTION: column("plan", MOMENTS)[..., None]},
        embodiment=torch.zeros(size, dtype=torch.long),
        task=("move",) * size,
    )
