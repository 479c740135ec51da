"""robomimic's HDF5 files: one group a demonstration, with actions and observations by key; no times, no instruction."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from unified.data.imports.findings import Findings
from unified.data.imports.importing import Checked, Importer, OnEpisode, Ready, names, numbers
from unified.data.lerobot3.writer import prepare_episode
from unified.errors import UserError, unknown_name, unreadable

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# What robomimic's own policies take; `object` is where things are, which no robot measures.
_USUAL = re.compile(r"robot\d_(eef_pos|eef_quat|gripper_qpos)")
_PICTURE = re.compile(r"_?(image|rgb)$")


@dataclass(frozen=True)
class _Wanted:
    """The options of `check_robomimic`."""

    task: str
    cameras: Sequence[str] | None
    proprio: Sequence[str] | None
    actions: str
    filter_key: str | None
    fps: float | None
    skip_episodes: Sequence[int]


@dataclass(frozen=True)
class _Layout:
    """What is taken of every demonstration: keys of `obs`, cameras by our name of them."""

    cameras: dict[str, str]
    proprio: tuple[str, ...]
    actions: str
    features: dict[str, dict[str, Any]]


def is_robomimic(path: Path) -> bool:
    """Whether a path is an HDF5 file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def check_robomimic(
    source: Path,
    on_episode: OnEpisode,
    task: str = "",
    cameras: Sequence[str] | None = None,
    proprio: Sequence[str] | None = None,
    action_key: str = "actions",
    filter_key: str | None = None,
    fps: float | None = None,
    skip_episodes: Sequence[int] = (),
) -> Checked:
    """Look at a file to its last frame; states of the simulator, rewards and next observations are not taken.

    Args:
        on_episode: called with (demonstrations checked, of how many).
        task: the instruction, which these files don't have.
        cameras: by our names, which are the keys without `_image`; default: every picture of the first demonstration.
        proprio: keys of vectors; default: place, attitude and gripper of every hand, as robomimic's own policies take.
        action_key: `actions` are promised to lie in [-1, 1]; nothing is promised of others, such as `actions_abs`.
        filter_key: take only the demonstrations that `mask` lists there.
        fps: true rate, where `env_args` doesn't say `control_freq`.
        skip_episodes: numbers of demonstrations to leave out.

    Raises:
        UserError: if it is no such file, or options name what it doesn't have.
    """
    if not task.strip():
        raise UserError("These files hold no instruction; say what is done, such as --task 'lift the cube'.")
    try:
        with _h5py().File(source) as file:
            wanted = _Wanted(task, cameras, proprio, action_key, filter_key, fps, skip_episodes)
            return _check(source, file, on_episode, wanted)
    except (OSError, RuntimeError) as error:  # what h5py raises of a file that is damaged
        raise UserError(unreadable(source, error)) from error


def _check(source: Path, file: Any, on_episode: OnEpisode, wanted: _Wanted) -> Checked:
    data = file.get("data")
    if data is None or not hasattr(data, "keys"):
        raise UserError(f"{source} is HDF5, but not as robomimic writes it: there is no group 'data'.")
    findings = Findings()
    about = _env_args(data, findings)
    rate = wanted.fps if wanted.fps is not None else (about.get("env_kwargs") or {}).get("control_freq")
    if not isinstance(rate, int | float) or rate < 1 or rate != round(rate):
        findings.breaks(f"the rate must be a whole number of steps a second, got {rate!r} as control_freq; give --fps")
        rate = 1
    demos = _demos(file, data, wanted.filter_key, findings)
    unknown = sorted(set(wanted.skip_episodes) - set(demos))
    if unknown:
        raise UserError(f"--skip-episodes names {unknown[0]}, {source} has no such demonstration.")
    demos = [number for number in demos if number not in wanted.skip_episodes]
    if not demos:
        raise UserError(f"{source} holds no demonstration (groups demo_0, demo_1, ... of 'data') that is wanted.")
    taken = _layout(data[f"demo_{demos[0]}"], wanted, source, findings)
    lengths: dict[int, int] = {}
    for done, number in enumerate(demos, start=1):
        frames = _read(data[f"demo_{number}"], number, taken, findings)
        lengths[number] = 0 if frames is None else len(frames["action"])
        on_episode(done, len(demos))

    def ready(folder: Path) -> Iterator[Ready]:
        with _h5py().File(source) as again:
            for number, length in lengths.items():
                frames = _read(again["data"][f"demo_{number}"], number, taken, Findings())
                assert frames is not None
                episode = prepare_episode(frames, taken.features, round(rate), folder)
                yield Ready(episode, [wanted.task] * length, {"source_demo": f"demo_{number}"})

    total = sum(lengths.values())
    size = len(demos), total
    return Checked("robomimic HDF5", _body(about), float(rate), taken.features, findings, size, size, ready)


def _h5py() -> Any:
    try:
        return import_module("h5py")
    except ImportError as error:
        way_out = "`pip install h5py` (in a checkout: `.venv/bin/pip install -e '.[hdf5]'`)"
        raise UserError(f"HDF5 files need the package h5py: {way_out}.") from error


def _env_args(data: Any, findings: Findings) -> dict[str, Any]:
    try:
        about = json.loads(data.attrs["env_args"])
    except (KeyError, ValueError, TypeError):
        findings.notes.append("data has no env_args that can be read: neither robot nor rate are known from the file")
        return {}
    return about if isinstance(about, dict) else {}


def _body(about: dict[str, Any]) -> str:
    robots = (about.get("env_kwargs") or {}).get("robots") or "robomimic"
    return "_".join([robots] if isinstance(robots, str) else map(str, robots)).lower()


def _demos(file: Any, data: Any, filter_key: str | None, findings: Findings) -> list[int]:
    """Numbers of the demonstrations, in order."""
    found = {int(match[1]) for match in (re.fullmatch(r"demo_(\d+)", name) for name in data) if match}
    mask: Any = file.get("mask") or {}
    keys = sorted(mask)
    if not keys:
        findings.notes.append("there is no mask: which demonstrations were meant for validation cannot be told")
    if filter_key is None:
        return sorted(found)
    if filter_key not in keys:
        raise unknown_name("--filter-key", filter_key, keys) if keys else UserError("--filter-key: there is no mask.")
    listed = [name.decode() if isinstance(name, bytes) else str(name) for name in mask[filter_key][()].ravel()]
    absent = sorted(set(listed) - {f"demo_{number}" for number in found})
    if absent:
        findings.lie("episodes", f"mask/{filter_key} lists {', '.join(absent[:3])}, which data does not hold")
    return [number for number in sorted(found) if f"demo_{number}" in listed]


def _layout(first: Any, wanted: _Wanted, source: Path, findings: Findings) -> _Layout:
    """What of the first demonstration is taken, and from then on must be in every other."""
    obs = first.get("obs")
    if obs is None or not hasattr(obs, "keys"):
        raise UserError(f"{source}: {first.name} has no group 'obs'; extract observations with robomimic first.")
    if wanted.actions not in first:
        raise UserError(f"{source}: {first.name} has no {wanted.actions!r}; it holds {', '.join(first)}.")
    pictures = {_PICTURE.sub("", key) or key: key for key in obs if obs[key].ndim == 4 and obs[key].dtype == np.uint8}
    vectors = [key for key in obs if obs[key].ndim in (1, 2) and obs[key].dtype.kind in "fiu"]
    for name in wanted.cameras or ():
        if name not in pictures:
            raise unknown_name("camera", name, pictures)
    for key in wanted.proprio or ():
        if key not in vectors:
            raise unknown_name("key of obs with numbers", key, vectors)
    chosen = tuple(wanted.proprio or (key for key in vectors if _USUAL.fullmatch(key)))
    if not chosen:
        raise UserError(f"{source}: none of the usual keys are in obs; choose --proprio among {', '.join(vectors)}.")
    cameras = {name: key for name, key in pictures.items() if wanted.cameras is None or name in wanted.cameras}
    if not cameras:
        raise UserError(f"{source}: obs of {first.name} holds no pictures, only {', '.join(obs)}.")
    left_out = [key for key in obs if key not in chosen and key not in cameras.values()]
    if left_out:
        findings.notes.append(f"of obs, {', '.join(left_out)} are not taken")
    features = {f"observation.images.{name}": _film(obs[key]) for name, key in cameras.items()}
    parts = [(key, _width(obs[key])) for key in chosen]
    labels = [f"{key}_{place}" if width > 1 else key for key, width in parts for place in range(width)]
    features["observation.state"] = {"dtype": "float32", "shape": (len(labels),), "names": labels}
    features["action"] = {"dtype": "float32", "shape": (_width(first[wanted.actions]),), "names": None}
    return _Layout(cameras, chosen, wanted.actions, features)


def _film(dataset: Any) -> dict[str, Any]:
    shape = tuple(int(size) for size in dataset.shape[1:])
    return {"dtype": "video", "shape": shape, "names": ["height", "width", "channels"]}


def _width(dataset: Any) -> int:
    return int(dataset.shape[1]) if dataset.ndim == 2 else 1


def _read(demo: Any, number: int, taken: _Layout, findings: Findings) -> dict[str, np.ndarray] | None:
    """A demonstration's frames; None if something is wrong that nothing can repair, which the findings name."""
    wanted = [taken.actions, *(f"obs/{key}" for key in (*taken.cameras.values(), *taken.proprio))]
    missing = [key for key in wanted if key not in demo]
    if missing:
        findings.breaks(f"{', '.join(missing)} missing", number)
        return None
    arrays = {key: demo[key][()] for key in wanted}
    lengths = {key: len(array) for key, array in arrays.items()}
    if len(set(lengths.values())) > 1 or not lengths[taken.actions]:
        findings.breaks(f"lengths differ or are 0: {', '.join(f'{key} {n}' for key, n in lengths.items())}", number)
        return None
    told = demo.attrs.get("num_samples")
    if told is not None and int(told) != lengths[taken.actions]:
        findings.lie("length", f"demo_{number} has {lengths[taken.actions]} steps, num_samples says {told}")
    frames = {f"observation.images.{name}": arrays[f"obs/{key}"] for name, key in taken.cameras.items()}
    frames["observation.state"] = _rows([arrays[f"obs/{key}"] for key in taken.proprio])
    frames["action"] = _rows([arrays[taken.actions]])
    faults = _faults(frames, taken.features)
    for text in faults:
        findings.breaks(text, number)
    if not faults and taken.actions == "actions":
        _check_range(frames, number, findings)
    return None if faults else frames


def _rows(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1).astype(np.float32)


def _faults(frames: dict[str, np.ndarray], features: dict[str, dict[str, Any]]) -> list[str]:
    faults: list[str] = []
    for key, array in frames.items():
        shape, is_film = features[key]["shape"], features[key]["dtype"] == "video"
        if is_film and (array.dtype != np.uint8 or array.shape[1:] != shape or shape[-1] != 3):
            faults.append(
                f"{key} is {array.dtype} {array.shape[1:]}, must be uint8 (height, width, 3), as {shape} first"
            )
        elif array.shape[1:] != shape:
            faults.append(f"{key} has {array.shape[1]} numbers, the first one {shape[0]}")
        elif not np.isfinite(array).all():
            faults.append(f"{key} is not finite")
    return faults


def _check_range(frames: dict[str, np.ndarray], number: int, findings: Findings) -> None:
    """Robomimic promises actions in [-1, 1]; those beyond are clipped, if told to."""
    far = float(np.abs(frames["action"]).max())
    if far > 1:
        findings.lie("action-range", f"demo_{number} reaches {far:.3g}", "actions are promised to lie in [-1, 1]")
        frames["action"] = frames["action"].clip(-1, 1)


IMPORTER = Importer(
    "a robomimic HDF5 file",
    is_robomimic,
    check_robomimic,
    {
        "task": {"metavar": "TEXT", "help": "the instruction (tub: follow the track; HDF5: must be given)"},
        "cameras": {"metavar": "A,B", "type": names, "help": "cameras to take (default: all)"},
        "proprio": {"metavar": "KEY,KEY", "type": names, "help": "keys of obs that the robot measures (default: place, "
                    "attitude and gripper of its hands)"},
        "action_key": {"metavar": "KEY", "help": "which actions (default: actions)"},
        "filter_key": {"metavar": "KEY", "help": "take only what the file's mask lists there, such as train"},
        "fps": {"type": float, "help": "true rate of the rows, if neither metadata nor times have it right"},
        "skip_episodes": {"metavar": "3,7", "type": numbers, "help": "episodes to leave out"},
    },
)  # fmt: skip
