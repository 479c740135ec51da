"""What a model is made of, as plain data: YAML-able, storable beside the weights, checked when it is built."""

import dataclasses
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta

from unified.errors import UserError, first_line, unknown_name
from unified.model.plain import Count, conform, is_plain

TRUSTED_PACKAGES = ("unified", "decoders", "tasks")


@dataclass(frozen=True)
class ClassSpec:
    """A class by import path and the arguments to construct it with.

    Attributes:
        class_path: for example "decoders.pixels.PixelDecoder".
        init_args: keyword arguments; a wrong name is refused with the nearest right one.
    """

    class_path: str
    init_args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelConfig:
    """The architecture of a `UnifiedModel`; `configs/sizes/` holds presets of the first four.

    Attributes:
        dim: width of the backbone, a multiple of `num_heads`.
        depth: number of transformer blocks, odd (half of them, one in the middle, the other half).
        num_heads: attention heads; 64 channels a head is fastest on CPUs and GPUs alike.
        num_registers: learned tokens beside the instruction's (UWM ablation: 8 registers .88, none .81).
        observation: what turns pictures and proprio into tokens.
        text: what turns instructions into tokens.
        decoders: one per stream, by the stream's name.
        text_dropout: share of training samples whose instruction is withheld, so that guidance works.
        time_shifts: by stream; above 1, more training and denoise steps near noise (SD3's shift of the diffusion time),
            where answers of one denoise step are made.
        history_noise: in half of the windows, the pictures of each moment are up to this noisy, as a share of their
            range, and the model is told how much; what it imagines is never quite right either.
        own_rollouts: share of the windows that are shown as the model itself would have gone on with them, for up to
            all of their moments; what is wanted stays the truth.
        gradient_checkpointing: recompute blocks in the backward pass; a third slower, memory for one block only.
        compile: run the backbone through `torch.compile`.
    """

    dim: Count = 192
    depth: Count = 7
    num_heads: Count = 3
    num_registers: Annotated[int, Meta(ge=0, le=1 << 20)] = 4
    observation: ClassSpec = ClassSpec("decoders.observation.ObservationEncoder")
    text: ClassSpec = ClassSpec("decoders.observation.TextEncoder")
    decoders: dict[str, ClassSpec] = field(
        default_factory=lambda: {
            "plan": ClassSpec("decoders.actions.PlanDecoder"),
            "action": ClassSpec("decoders.actions.ActionDecoder"),
            "video": ClassSpec("decoders.pixels.PixelDecoder"),
            "proprio": ClassSpec("decoders.proprio.ProprioDecoder"),
        }
    )
    text_dropout: Annotated[float, Meta(ge=0, le=1)] = 0.0
    time_shifts: dict[str, Annotated[float, Meta(gt=0, le=1e6)]] = field(
        default_factory=lambda: {"plan": 10.0, "action": 10.0, "video": 10.0, "proprio": 10.0}
    )
    history_noise: Annotated[float, Meta(ge=0, le=1)] = 0.0
    own_rollouts: Annotated[float, Meta(ge=0, le=1)] = 0.0
    gradient_checkpointing: bool = False
    compile: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, strings and numbers."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelConfig":
        """The inverse of `to_dict`.

        Raises:
            UserError: for a key that does not exist, with the nearest right one.
        """
        known = {item.name for item in dataclasses.fields(cls)}
        for key in values if isinstance(values, Mapping) else ():
            if key not in known:
                raise unknown_name("model option", str(key), known)
        return conform(values, cls, "network")


def build(target: ClassSpec, /, *, trusted: tuple[str, ...] = TRUSTED_PACKAGES, **given: Any) -> Any:
    """Construct `target.class_path(**given, **target.init_args)`.

    Only classes of trusted packages are imported, since a downloaded checkpoint brings its own config.

    Raises:
        UserError: for an untrusted or unknown class, or an argument that it does not take.
    """
    module_name, _, class_name = target.class_path.rpartition(".")
    if module_name.split(".")[0] not in trusted:
        raise UserError(
            f"class_path {target.class_path!r} is outside the trusted packages ({', '.join(trusted)}); "
            "classes named by a config are imported only from these."
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(f"class_path {target.class_path!r}: cannot import {module_name!r} ({error}).") from error
    if not hasattr(module, class_name):
        classes = [name for name, _ in inspect.getmembers(module, inspect.isclass)]
        raise unknown_name(f"class in {module_name}", class_name, classes)
    cls = getattr(module, class_name)
    if not inspect.isclass(cls):
        raise UserError(f"class_path {target.class_path!r} is no class.")
    parameters = inspect.signature(cls).parameters
    missing = [name for name in given if name not in parameters]
    if missing:
        raise UserError(f"class_path {target.class_path!r} cannot be used here: it takes no {', '.join(missing)}.")
    options = [name for name in parameters if name not in given]
    for key in target.init_args:
        if key not in options:
            raise unknown_name(f"argument of {target.class_path}", key, options)
        if is_plain(parameters[key].annotation):
            conform(target.init_args[key], parameters[key].annotation, f"{target.class_path}: {key!r}")
    try:
        return cls(**given, **target.init_args)
    except (TypeError, ValueError, ArithmeticError, RuntimeError, LookupError) as error:
        raise UserError(f"{target.class_path} cannot be made of {target.init_args}: {first_line(error)}.") from error
