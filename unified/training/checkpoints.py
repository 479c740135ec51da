"""Training checkpoints: written whole or not at all, read without unpickling anything, found again after a crash."""

import dataclasses
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from torch import Tensor

from unified.atomic import atomic_path
from unified.errors import UserError
from unified.model.plain import differences
from unified.model.stored.checkpoint import check_archive

FOLDER = "checkpoints"
ARCHITECTURE_KEYS = ("network", "spec")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, flushes to disk, then renames: a crash or a full disk leaves the old file or none."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save plain data and tensors.

        Raises:
            UserError: if the disk is full, or a tensor is not finite, whatever made it so.
        """
        for name, tensor in tensors_of(checkpoint):
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise UserError(f"{path} was not written: {name} is not finite. Earlier checkpoints are untouched.")
        try:
            with atomic_path(path) as temporary:
                torch.save(checkpoint, temporary)
        except RuntimeError as error:
            # torch's zip writer hides "no space left on device" behind messages about file positions.
            if re.search(r"unexpected pos|PytorchStreamWriter|iostream error|file write failed", str(error)):
                raise UserError(
                    f"Could not write {path}: the disk is full or a file size limit was reached. Earlier checkpoints "
                    "are untouched; free some space and continue with `--ckpt_path last`."
                ) from error
            raise

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Read one; `weights_only` is always on."""
        return read_checkpoint(path)


def tensors_of(value: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor inside nested dataclasses, mappings and sequences, with a dotted name."""
    if isinstance(value, Tensor):
        yield prefix or "batch", value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from tensors_of(getattr(value, field.name), f"{prefix}.{field.name}".lstrip("."))
    elif isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from tensors_of(item, f"{prefix}.{key}".lstrip("."))


def step_path(run_dir: Path, global_step: int) -> Path:
    """Where the checkpoint of an optimiser step lies."""
    return run_dir / FOLDER / f"step-{global_step:08d}.ckpt"


def list_checkpoints(run_dir: Path) -> list[Path]:
    """Checkpoints of a run, oldest first."""
    return sorted((run_dir / FOLDER).glob("step-*.ckpt"))


def read_checkpoint(path: Path | str, mmap: bool = False) -> dict[str, Any]:
    """Read a training checkpoint to the CPU.

    Raises:
        UserError: if the file is missing, incomplete, holds pickled objects or is something else; it names the file.
    """
    path = Path(path)
    if not path.is_file():
        siblings = sorted(str(item) for item in path.parent.glob("*.ckpt"))
        raise UserError(f"There is no checkpoint {path}." + (f" There are {', '.join(siblings)}." if siblings else ""))
    check_archive(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except (UnpicklingError, AttributeError) as error:
        if zipfile.is_zipfile(path):
            raise UserError(
                f"{path} holds pickled Python objects, which are never loaded, since loading them can run any program. "
                "Use a checkpoint of `unified fit` or a pretrained folder."
            ) from error
        raise UserError(f"{path} is not a checkpoint (neither zip nor tensors).") from error
    except (RuntimeError, EOFError, ValueError, OSError, KeyError) as error:
        reason = " ".join(str(error).split())[:60] or "it is empty"
        raise UserError(f"{path} is damaged or half-written ({reason}). Use an earlier checkpoint.") from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "global_step"} <= set(checkpoint):
        raise UserError(f"{path} is not a training checkpoint: it has no state_dict and global_step.")
    return checkpoint


def newest_checkpoint(run_dir: Path) -> Path:
    """The latest checkpoint of a run that can be read.

    Raises:
        UserError: if there is none.
    """
    damaged: list[str] = []
    for path in reversed(list_checkpoints(run_dir)):
        try:
            read_checkpoint(path, mmap=True)
        except UserError as error:
            damaged.append(str(error))
            continue
        return path
    reasons = (
        f" Not usable: {' '.join(damaged)}"
        if damaged
        else " Start without --ckpt_path, or name the run with --run_dir."
    )
    raise UserError(f"--ckpt_path last: no checkpoint in {run_dir / FOLDER}.{reasons}")


def check_same_architecture(
    path: Path | str, stored: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Compare a checkpoint's hyper-parameters with this run's.

    Returns:
        What differs without changing any shape; this run's values are the ones that count.

    Raises:
        UserError: if the networks or the data's shapes differ.
    """
    shapes: dict[str, tuple[Any, Any]] = {}
    for key in ARCHITECTURE_KEYS:
        if key in stored:
            shapes |= differences({key: stored[key]}, {key: given.get(key)})
    harmless = {"gradient_checkpointing", "compile", "text_dropout", "time_shifts", "history_noise", "own_rollouts"}
    shapes = {key: value for key, value in shapes.items() if harmless.isdisjoint(key.split(".")[1:2])}
    if shapes:
        listing = "; ".join(f"{key}: {old} there, {new} here" for key, (old, new) in list(shapes.items())[:3])
        raise UserError(
            f"{path} is of another architecture or data ({listing}). Give the config it was trained with, for example "
            "`-c` the config.yaml in its run folder, or train a new model without --ckpt_path."
        )
    ours, theirs = ({k: v for k, v in options.items() if k not in ARCHITECTURE_KEYS} for options in (given, stored))
    return differences(theirs, ours)
