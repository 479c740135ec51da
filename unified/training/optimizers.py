"""Optimisers, each a small factory that a config names: `optimizer: Muon` or `optimizer: AdamW`."""

import dataclasses
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.adamw import adamw

from unified.errors import check_numbers
from unified.model.config import ModelConfig

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class OptimizerFactory:
    """Builds an optimiser for a network. Subclasses are frozen dataclasses: their fields are the options."""

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """Make the optimiser of all parameters of `network` that require a gradient."""
        raise NotImplementedError


@dataclass(frozen=True)
class AdamW(OptimizerFactory):
    """AdamW; weight decay acts on matrices only."""

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        check_numbers(prefix="optimizer.", above=0, lr=self.lr)
        check_numbers(prefix="optimizer.", least=0, weight_decay=self.weight_decay)
        _check_betas(self.betas)

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        options = {"lr": self.lr, "betas": self.betas, "kind": "adamw", "fused": True}
        groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": self.weight_decay, **options},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0, **options},
        ]
        # PyTorch's own fused AdamW would do, but Lightning refuses to clip gradients for it in mixed precision.
        return MuonAdamW([group for group in groups if group["params"]])


@dataclass(frozen=True)
class Muon(OptimizerFactory):
    """Muon for the weight matrices inside the backbone, AdamW for all else (embeddings, norms, biases, heads).

    The kernel of a convolution is a matrix of one row an output.

    Attributes:
        lr: learning rate of the matrices, in Keller Jordan's scale.
        momentum: of the matrices (Nesterov).
        newton_schulz_steps: iterations of the orthogonalisation.
        bfloat16: compute these in bfloat16 where that is fast. Rounding then differs by a step in 256 between machines
            and between one process and several (after ten steps weights by 0.02); in float32 it does by 1e-6.
        adamw_lr, betas: for everything else.
        weight_decay: of all matrices, decoupled.
    """

    lr: float = 0.02
    momentum: float = 0.95
    newton_schulz_steps: int = 5
    bfloat16: bool = True
    adamw_lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_numbers(prefix="optimizer.", above=0, lr=self.lr, adamw_lr=self.adamw_lr)
        check_numbers(prefix="optimizer.", least=0, weight_decay=self.weight_decay)
        check_numbers(prefix="optimizer.", least=0, below=1, momentum=self.momentum)
        check_numbers(prefix="optimizer.", least=1, newton_schulz_steps=self.newton_schulz_steps)
        _check_betas(self.betas)

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        matrices, others = split_parameters(network)
        adamw_options = {"lr": self.adamw_lr, "betas": self.betas, "kind": "adamw", "fused": True}
        groups: list[dict[str, Any]] = [
            {
                "params": matrices,
                "lr": self.lr,
                "kind": "muon",
                "momentum": self.momentum,
                "steps": self.newton_schulz_steps,
                "bfloat16": self.bfloat16,
                "weight_decay": self.weight_decay,
            },
            {"params": [p for p in others if p.ndim >= 2], "weight_decay": self.weight_decay, **adamw_options},
            {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0, **adamw_options},
        ]
        return MuonAdamW([group for group in groups if group["params"]])


def _check_betas(betas: tuple[float, float]) -> None:
    first, second = betas
    check_numbers(prefix="optimizer.", least=0, below=1, **{"betas[0]": first, "betas[1]": second})


def save_options(task: pl.LightningModule, **resolved: Any) -> None:
    """Keep what a task and all its bases are made with as its hyper-parameters, plain data for a checkpoint.

    Called in the constructor of the class that all tasks share, whose arguments count as they are by then.

    Args:
        resolved: what counts in place of arguments.
    """
    levels: list[dict[str, Any]] = []
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "__init__" and frame.f_locals.get("self") is task:
            names, _, _, values = inspect.getargvalues(frame)
            levels.append({name: values[name] for name in names if name != "self"})
        frame = frame.f_back
    options: dict[str, Any] = {"task": f"{type(task).__module__}.{type(task).__name__}"}
    for level in reversed(levels):  # from the task's own class to the shared one
        options |= level
    task.save_hyperparameters({key: _plain(value) for key, value in {**options, **resolved}.items()}, logger=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, ModelConfig):
        return value.to_dict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return describe(value)
    is_plain = value is None or isinstance(value, bool | int | float | str)
    return value if is_plain else f"{type(value).__module__}.{type(value).__name__}"


def describe(thing: Any) -> dict[str, Any]:
    """`class_path` and `init_args` of a dataclass's instance, as a config names it."""
    path = f"{type(thing).__module__}.{type(thing).__name__}"
    return {"class_path": path, "init_args": _plain(dataclasses.asdict(thing))}


def split_parameters(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable parameters as (weights of linear layers and wide convolutions inside `backbone`, everything else).

    A network without a part called `backbone` counts as one. Convolutions with few outputs are heads.
    """
    inside = getattr(network, "backbone", network)
    chosen = {
        id(module.weight)
        for module in inside.modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
        and min(module.weight.flatten(1).shape) > (1 if isinstance(module, nn.Linear) else 15)
    }
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in network.parameters():
        if parameter.requires_grad:
            (matrices if id(parameter) in chosen else others).append(parameter)
    return matrices, others


class MuonAdamW(torch.optim.Optimizer):
    """Muon and AdamW in one optimiser, so that loops, schedules and checkpoints see a single one.

    Every parameter group says its `kind`: "muon" (weights of two or more dimensions; all but the first count
    as one; options momentum, steps) or "adamw" (options betas).

    Source: Muon, kellerjordan.github.io/posts/muon, with its original learning rate scale sqrt(max(1, rows / columns)).
    """

    def __init__(self, groups: Iterable[dict[str, Any]]):
        super().__init__(list(groups), {"weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                (self._muon if group["kind"] == "muon" else self._adamw)(group, parameters)
        return loss

    def _muon(self, group: dict[str, Any], parameters: list[nn.Parameter]) -> None:
        by_shape: dict[tuple[int, ...], list[nn.Parameter]] = defaultdict(list)
        for parameter in parameters:
            by_shape[tuple(parameter.shape)].append(parameter)
        for shape, members in by_shape.items():
            grads = [cast(Tensor, parameter.grad) for parameter in members]
            momenta = [self._state(parameter, "momentum_buffer") for parameter in members]
            torch._foreach_lerp_(momenta, grads, 1 - group["momentum"])
            lookahead = torch._foreach_lerp(grads, momenta, group["momentum"])
            updates = orthogonalize(torch.stack(list(lookahead)).flatten(2), group["steps"], group["bfloat16"])
            if group["weight_decay"]:
                torch._foreach_mul_(cast(list[Tensor], members), 1 - group["lr"] * group["weight_decay"])
            scale = max(1.0, updates.shape[1] / updates.shape[2]) ** 0.5
            for parameter, update in zip(members, updates.unbind(), strict=True):
                parameter.add_(update.reshape(shape), alpha=-group["lr"] * scale)

    def _adamw(self, group: dict[str, Any], parameters: list[nn.Parameter]) -> None:
        for parameter in parameters:
            if "step" not in self.state[parameter]:
                self.state[parameter]["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        adamw(
            cast(list[Tensor], parameters),
            [cast(Tensor, parameter.grad) for parameter in parameters],
            [self._state(parameter, "exp_avg") for parameter in parameters],
            [self._state(parameter, "exp_avg_sq") for parameter in parameters],
            [],
            [self.state[parameter]["step"] for parameter in parameters],
            fused=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )

    def _state(self, parameter: nn.Parameter, name: str) -> Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state[name]


def orthogonalize(
    matrices: Float[Tensor, " matrix row column"],
    steps: int,
    bfloat16: bool = True,
    coefficients: Sequence[float] = NEWTON_SCHULZ,
) -> Float[Tensor, " matrix row column"]:
    """Bring the singular values of each matrix near one, all matrices of a shape at once, in bfloat16 where it is fast.

    Source: quintic Newton-Schulz iteration of Muon; its result has singular values of about 0.7 to 1.2, not exactly 1.
    """
    a, b, c = coefficients
    x = matrices.bfloat16() if bfloat16 and is_bfloat16_fast(matrices.device) else matrices.float()
    is_tall = x.shape[-2] > x.shape[-1]
    x = x.mT if is_tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


def is_bfloat16_fast(device: torch.device | str = "cpu") -> bool:
    """Whether matrices multiply faster in bfloat16 than in float32 there.

    A processor without instructions for it (AVX-512 BF16, AMX, Arm's BF16) emulates them, up to fifty times slower.
    """
    if torch.device(device).type != "cpu":
        return True
    return any(has_it for name, has_it in torch.cpu.get_capabilities().items() if "bf16" in name)
