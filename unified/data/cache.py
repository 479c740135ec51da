"""Decoded copies of recordings: one memory-mapped array a camera, built once, from which training reads windows.

A cache lies in `<data set>/.cache/unified/<key>`, or in the XDG cache folder where the data set cannot be written to.
The key is made of the content of the data set and of what is decoded; the folder appears whole or not at all.
"""

import hashlib
import json
import mmap
import os
import re
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from jaxtyping import Bool, Int, UInt8
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from unified.atomic import atomic_path, write_text
from unified.data.fingerprint import content_hash, episode_fingerprints
from unified.data.frames import camera_frames, resize
from unified.data.source import Episode, Recording
from unified.data.table import read_numbers
from unified.errors import DataError
from unified.model.spec import ACTION, PROPRIO

CACHE_VERSION = 2
_MANIFEST = "manifest.json"
_OWN_NAME = re.compile(r"\.?[0-9a-f]{16}-[0-9a-f]{16}(\.\w{8})?")


class Cache:
    """The arrays of one built cache, mapped into memory; pickles as its path, so that worker processes map it anew.

    Attributes:
        images: camera name to uint8 (row, height, width, 3).
        columns: float32 (row, size) by our names, see `unified.data.source.Recording.sizes`.
        episode_index: the data set's number of each episode.
        bounds: episode number i covers rows bounds[i] to bounds[i + 1].
        task: for every row the position in `tasks`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        self.tasks: tuple[str, ...] = tuple(manifest["tasks"])
        self._maps = {name: _map_file(folder / file) for name, file in manifest["cameras"].items()}
        self.images: dict[str, np.ndarray] = {name: array for name, (_, array) in self._maps.items()}
        self.columns: dict[str, np.ndarray] = {name: self._map(file) for name, file in manifest["columns"].items()}
        self.task = self._map("task.npy")
        self.bounds: np.ndarray = np.load(folder / "bounds.npy")
        self.episode_index: np.ndarray = np.load(folder / "episode_index.npy")

    def __len__(self) -> int:
        return int(self.bounds[-1])

    def rows(self, episodes: Bool[np.ndarray, " episode"]) -> Int[np.ndarray, " row"]:
        """The rows of the marked episodes."""
        return np.flatnonzero(np.repeat(episodes, np.diff(self.bounds)))

    def fingerprints(self, origins: Sequence[str]) -> list[tuple[str, ...]]:
        """What its episodes are known by; `origins` are the recording's, of every episode of the data set."""
        known = [origins[int(index)] for index in self.episode_index]
        return episode_fingerprints(self.columns[ACTION], self.columns[PROPRIO], self.bounds, known)

    def __reduce__(self) -> tuple[type["Cache"], tuple[Path]]:
        return Cache, (self.folder,)

    def release(self) -> None:
        """Give back the pages of pictures read so far; they stay in the system's file cache.

        Without this a process's memory would grow with the data set, one touched page after the other.
        """
        for mapped, _ in self._maps.values():
            mapped.madvise(mmap.MADV_DONTNEED)

    def _map(self, name: str) -> np.ndarray:
        return np.load(self.folder / name, mmap_mode="r", allow_pickle=False)

    @classmethod
    def open(cls, recording: Recording, image_size: tuple[int, int]) -> "Cache":
        """Open the cache of a recording; build it first if there is none that fits. Safe in several processes at once.

        Raises:
            DataError: if the recording holds something that may not be trained on.
            UserError: if the disk is full.
        """
        base = _base_folder(recording.root)
        key = _key(recording, image_size, content_hash(recording.root, recording.source_files(), base / "source.json"))
        folder = base / key
        if not _is_sound(folder):
            with _locked(base / "lock", recording.root):
                if not _is_sound(folder):
                    _clear(base, folder)
                    _build(recording, image_size, folder)
                    after = content_hash(recording.root, recording.source_files(), base / "source.json")
                    if _key(recording, image_size, after) != key:
                        shutil.rmtree(folder, ignore_errors=True)
                        raise DataError(
                            f"{recording.root} changed while it was read; run again when recording has ended."
                        )
        return cls(folder)


def _map_file(path: Path) -> tuple[mmap.mmap, UInt8[np.ndarray, " row height width 3"]]:
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return mapped, np.frombuffer(mapped, np.uint8, offset=file.tell()).reshape(shape)


def _base_folder(root: Path) -> Path:
    """Where the caches of a data set go; tried by writing, because permission bits do not tell of read-only mounts."""
    base = root / ".cache" / "unified"
    try:
        base.mkdir(parents=True, exist_ok=True)
        with (base / "lock").open("ab"):
            return base
    except OSError:
        home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        base = home / "unified" / f"{root.name}-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"
        base.mkdir(parents=True, exist_ok=True)
        return base


def _key(recording: Recording, image_size: tuple[int, int], content: str) -> str:
    episodes, rename = recording.source.episodes, recording.source.rename
    asked = [CACHE_VERSION, content, image_size, list(recording.cameras), episodes, rename, recording.sizes]
    return f"{content[:16]}-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]}"


def _is_sound(folder: Path) -> bool:
    """Whether the folder holds what its builder wrote, as far as `_hashes` looks."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        if manifest.pop("digest") != _digest(manifest):
            return False
        return manifest["hashes"] == _hashes(folder)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False


def _hashes(folder: Path) -> dict[str, str]:
    """Of the numbers, and of the pictures.

    Numbers are read at each opening. Pictures may be terabytes, a second a GB, so they are read once; from then on they
    are believed while their files' sizes and times stay. A bit that flips on the disk by itself is not seen in them.
    """
    files = sorted(folder.glob("*.npy"))
    pictures = [path for path in files if path.name.startswith("images")]
    numbers = [path for path in files if path not in pictures]
    return {
        "numbers": content_hash(folder, numbers),
        "pictures": content_hash(folder, pictures, folder / "checked.json"),
    }


def _digest(manifest: dict[str, Any]) -> str:
    """Of all that a manifest says; the arrays have a hash of their own in it."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


@contextmanager
def _locked(path: Path, root: Path) -> Generator[None]:
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        _console().print(f"Waiting for another process that decodes {root}.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _clear(base: Path, folder: Path) -> None:
    """Remove what builders that were killed left behind, and caches of a content that the data set no longer has.

    Only names that `open` gives; in a folder that is a link there may be those of other data sets.
    """
    if base.is_symlink() or base.parent.is_symlink():
        return
    for path in base.iterdir():
        is_ours = _OWN_NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
        if is_ours and (path == folder or path.name.split("-")[0] != folder.name.split("-")[0]):
            shutil.rmtree(path, ignore_errors=True)


def _build(recording: Recording, image_size: tuple[int, int], folder: Path) -> None:
    episodes = recording.episodes()
    if not episodes:
        raise DataError(f"{recording.root} holds no episodes.")
    numbers = read_numbers(recording, episodes)
    columns = {name: f"column{number}.npy" for number, name in enumerate(numbers.columns)}
    arrays = {
        **{columns[name].removesuffix(".npy"): values for name, values in numbers.columns.items()},
        "task": numbers.task,
        "bounds": numbers.bounds,
        "episode_index": np.array([episode.index for episode in episodes], dtype=np.int64),
    }
    cameras = {name: f"images{number}.npy" for number, name in enumerate(recording.cameras)}
    with atomic_path(folder, replaces_folder=True) as temporary:
        temporary.mkdir()
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array, allow_pickle=False)
        with _progress(recording, int(numbers.bounds[-1])) as advance:
            for camera, file in cameras.items():
                _decode_camera(recording, camera, episodes, numbers.bounds, image_size, temporary / file, advance)
        # Last, so that what can be said of a damaged file more exactly has been said.
        films = [film.path for episode in episodes for film in episode.films.values()]
        recording.check_digests([*films, *(episode.table for episode in episodes)])
        manifest: dict[str, Any] = {
            "hashes": _hashes(temporary),
            "source": str(recording.root),
            "cameras": cameras,
            "columns": columns,
            "tasks": numbers.tasks,
        }
        for file in temporary.glob("*.npy"):
            _flush(file)
        write_text(temporary / _MANIFEST, json.dumps({**manifest, "digest": _digest(manifest)}))


def _decode_camera(
    recording: Recording,
    camera: str,
    episodes: list[Episode],
    bounds: np.ndarray,
    image_size: tuple[int, int],
    path: Path,
    advance: Callable[[], None],
) -> None:
    """Write one camera's frames. Plain writes, no memory map: on a full disk those raise, a map would crash."""
    starts = {episode.index: int(start) for episode, start in zip(episodes, bounds[:-1], strict=True)}
    shape = (int(bounds[-1]), *image_size, 3)
    written = 0
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        offset = file.tell()
        for episode, frame, picture in camera_frames(recording, camera, episodes):
            small: UInt8[np.ndarray, " height width 3"] = resize(picture, image_size)
            place = offset + (starts[episode] + frame) * small.nbytes
            if file.tell() != place:
                file.seek(place)
            file.write(np.ascontiguousarray(small).data)
            written += 1
            advance()
    if written != shape[0]:
        raise DataError(f"{recording.root}: camera {camera!r} has {written} frames, its table has {shape[0]}.")


@contextmanager
def _progress(recording: Recording, rows: int) -> Generator[Callable[[], None]]:
    console, total = _console(), rows * len(recording.cameras)
    if not console.is_terminal:
        console.print(f"Decoding {recording.root.name}: {total} frames, once.")
    columns = (TextColumn("Decoding {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(recording.root.name, total=total)
        yield lambda: progress.advance(task)


def _console() -> Console:
    return Console(stderr=True)


def _flush(path: Path) -> None:
    with suppress(OSError), path.open("rb") as file:
        os.fsync(file.fileno())
