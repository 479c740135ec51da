"""A trained model as a folder: weights, config, statistics, a card, and a manifest that tells damage.

    model.safetensors   every parameter
    stats.safetensors   the normalisation statistics, apart, so that they can be read without the weights
    config.yaml         architecture and data spec as plain data
    trained_on.json     queries, data sets and episodes that it was trained on, for whoever judges it
    codec-<stream>/     the frozen codec of a stream that has one of ours
    README.md           the card
    manifest.json       SHA-256 of the files above but the card, written last

Nothing is ever unpickled, and a folder appears whole or not at all.
"""

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from unified.atomic import atomic_path
from unified.errors import UserError, unreadable
from unified.model.config import ModelConfig
from unified.model.plain import conform, read_json, read_yaml
from unified.model.spec import DataSpec
from unified.model.stored.history import History

if TYPE_CHECKING:
    import unified.model.model

FORMAT_VERSION = 1
WEIGHTS, STATS, CONFIG, HISTORY, CARD, MANIFEST = (
    "model.safetensors",
    "stats.safetensors",
    "config.yaml",
    "trained_on.json",
    "README.md",
    "manifest.json",
)
HASHED = (WEIGHTS, STATS, CONFIG, HISTORY)
CODEC = "codec-"
"""Folders that begin with this hold the codecs of streams."""


def save(model: "unified.model.model.UnifiedModel", folder: Path, card: str | None = None) -> Path:
    """Write the folder, replacing an older one at once.

    Raises:
        UserError: if the disk is full; then an older folder is still there.
    """
    weights, stats = _split(model)
    with atomic_path(folder, replaces_folder=True) as temporary:
        temporary.mkdir()
        save_file(weights, temporary / WEIGHTS)
        save_file(stats, temporary / STATS)
        architecture = dataclasses.replace(model.config, compile=False).to_dict()
        for stream, codec in _carried(model).items():
            codec.save_pretrained(temporary / f"{CODEC}{stream}")
            architecture["decoders"][stream]["init_args"]["codec"] = f"{CODEC}{stream}"
        config = {"format_version": FORMAT_VERSION, "model": architecture, "spec": model.spec.to_dict()}
        (temporary / CONFIG).write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        (temporary / HISTORY).write_text(json.dumps(model.history.to_dict(), indent=1) + "\n", encoding="utf-8")
        (temporary / CARD).write_text(card or default_card(model), encoding="utf-8")
        files = [*HASHED, *(str(path.relative_to(temporary)) for path in sorted(temporary.glob(f"{CODEC}*/*")))]
        hashes = {name: _sha256(temporary / name) for name in files}
        (temporary / MANIFEST).write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")
    return folder


def load(
    cls: "type[unified.model.model.UnifiedModel]", name: Path | str, trusted: tuple[str, ...]
) -> "unified.model.model.UnifiedModel":
    """Rebuild a model from a folder, or from a Hub repository's files.

    Raises:
        UserError: naming the file, if anything is missing, damaged or does not fit.
    """
    folder = _locate(name)
    _check_hashes(folder)
    config = read_config(folder)
    _find_codecs(folder, config)
    try:
        model = cls(ModelConfig.from_dict(config.get("model", {})), DataSpec.from_dict(config.get("spec", {})), trusted)
    except UserError as error:
        raise UserError(f"{folder / CONFIG}: {error}") from error
    tensors = {**_read_tensors(folder / WEIGHTS), **_read_tensors(folder / STATS)}
    expected = model.state_dict()
    problems = [f"{key} is missing" for key in expected.keys() - tensors.keys()]
    problems += [f"{key} is not part of the model" for key in tensors.keys() - expected.keys()]
    problems += [
        f"{key} has shape {tuple(tensors[key].shape)}, not {tuple(value.shape)}"
        for key, value in expected.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    problems += [f"{key} is not finite" for key, value in tensors.items() if not torch.isfinite(value).all()]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(f"{folder}: weights do not fit the config: {'; '.join(sorted(problems)[:3])}{more}.")
    model.load_state_dict(tensors)
    model.history = read_json(folder / HISTORY, History)
    return model.eval()


def read_config(folder: Path) -> dict[str, Any]:
    """The config file as plain data, with keys "model" and "spec".

    Raises:
        UserError: if it is missing, no YAML, or of another format version.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(f"{folder} is no checkpoint folder: it has no {CONFIG}.")
    config = read_yaml(path)[1]
    version = config.get("format_version") if isinstance(config, dict) else None
    if version != FORMAT_VERSION:
        raise UserError(f"{path}: format_version is {version}, this program reads {FORMAT_VERSION}.")
    return conform(config, dict[str, Any], path)


def default_card(model: "unified.model.model.UnifiedModel") -> str:
    """A short model card: what it is, what it was trained on the data of, how to use it."""
    spec = model.spec
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    bodies = ", ".join(f"{b.name} ({b.action_dim} actions, cameras {', '.join(b.cameras)})" for b in spec.embodiments)
    return "\n".join(
        (
            "---",
            "library_name: unified",
            "tags: [robotics, world-model, lerobot]",
            "---",
            "# World-action model",
            "",
            f"{millions:.1f} M parameters; streams: {', '.join(model.decoders)}; bodies: {bodies}.",
            f"Moments of {spec.image_size[0]}x{spec.image_size[1]} pixels, {spec.frame_stride} env steps apart, "
            f"{spec.num_moments} to a window; plans of {spec.action_horizon} actions.",
            "",
            "```python",
            "from unified.model.model import UnifiedModel",
            "",
            'model = UnifiedModel.from_pretrained("this/folder")',
            "```",
            "",
        )
    )


def _carried(model: "unified.model.model.UnifiedModel") -> dict[str, Any]:
    """The codecs that stand beside the weights, by stream; those that have a name on the Hub are found by it."""
    codecs = {name: getattr(decoder, "codec", None) for name, decoder in model.decoders.items()}
    return {name: codec for name, codec in codecs.items() if hasattr(codec, "save_pretrained")}


def _find_codecs(folder: Path, config: dict[str, Any]) -> None:
    """Name the codecs beside the weights by where they lie now."""
    for path in folder.glob(f"{CODEC}*"):
        inner: Any = config
        for key in ("model", "decoders", path.name.removeprefix(CODEC), "init_args"):
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and inner.get("codec") == path.name:
            inner["codec"] = str(path)


def _split(model: "unified.model.model.UnifiedModel") -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    state = {key: value.detach().cpu().contiguous().clone() for key, value in model.state_dict().items()}
    is_stat = {key: key.endswith(("normalizer.mean", "normalizer.std")) for key in state}
    return (
        {key: value for key, value in state.items() if not is_stat[key]},
        {key: value for key, value in state.items() if is_stat[key]},
    )


def _locate(name: Path | str) -> Path:
    folder = Path(name)
    if folder.is_dir():
        return folder
    if folder.exists() or len(folder.parts) != 2 or str(name).startswith(("/", ".", "~")):
        raise UserError(f"No checkpoint folder at {folder}. Training writes one to <run>/pretrained.")
    from huggingface_hub import snapshot_download  # reaches for the network: only when a Hub id is meant

    try:
        return Path(snapshot_download(str(name), allow_patterns=[*HASHED, f"{CODEC}*/*", CARD, MANIFEST]))
    except Exception as error:  # the library raises a dozen kinds, all of which mean the same to a user
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{name!r} is no local folder, and the Hub did not give it: {reason}") from error


def _check_hashes(folder: Path) -> None:
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{folder} is no checkpoint folder, or half of one: it has no {MANIFEST}.")
    hashes = read_json(path, dict[str, str])
    for name in [*HASHED, *(name for name in hashes if name.startswith(CODEC))]:
        if not (folder / name).is_file():
            raise UserError(f"{folder} is incomplete: {name} is missing.")
        if _sha256(folder / name) != hashes.get(name):
            raise UserError(f"{folder / name} is damaged or was changed: its SHA-256 is not the one in {MANIFEST}.")


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(unreadable(path, error)) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_archive(path: Path) -> None:
    """Compare each part of a file of `torch.save` with its CRC-32, which `torch.load` does not: about 1 s a GB.

    Raises:
        UserError: naming the file, if a part is not what was written.
    """
    if not zipfile.is_zipfile(path):
        return  # whoever loads it will say so
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except Exception as error:  # of a dozen kinds, by where the file is damaged
        raise UserError(unreadable(path, error)) from error
    if bad is not None:
        raise UserError(f"{path} is damaged: {bad} in it is not what was written. Use an earlier checkpoint.")


def load_weights(path: Path) -> dict[str, Any]:
    """Read a Lightning checkpoint without running anything that may be in it.

    Raises:
        UserError: naming the file, if it is truncated, or holds more than tensors and plain values.
    """
    check_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"No checkpoint at {path}.") from error
    except Exception as error:  # zip, pickle and runtime errors of many kinds: all mean that this file is no good
        raise UserError(
            f"{path} is no checkpoint of ours, or is damaged: {str(error).splitlines()[0][:160]}"
        ) from error
