"""Writing LeRobot v3.0 datasets so that an episode that was saved stays saved, whatever happens next.

LeRobot's own writer keeps parquet files open until the end and loses every episode of a process that is killed. Here
each episode has its own small files. They are written under hidden names and renamed; `meta/info.json`, which says how
many episodes there are, is replaced last. LeRobot does not look past that number, and what an interrupted process left
beyond it is removed when the dataset is opened for writing again: names that are this module's own, and nothing that is
reached through a link. Nothing here imports torch or lerobot.
"""

import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pyarrow.parquet as pq

from unified.atomic import atomic_path, flush, remove_leftovers, write_text
from unified.data.lerobot3 import layout
from unified.data.lerobot3.episode_stats import Stats, fold_stats, image_stats, vector_stats
from unified.data.lerobot3.mp4 import find_encoding, probe_mp4, write_mp4
from unified.errors import DataError, UserError
from unified.model.plain import conform, read_json

_SCRATCH = ".unfinished"


class _Info(layout.Info):
    total_tasks: int


class _Provenance(TypedDict):
    episodes: list[dict[str, Any]]


@dataclass(frozen=True)
class PreparedEpisode:
    """An episode whose films are files already, so that saving it is a matter of milliseconds.

    Attributes:
        arrays: every feature that is not a film, (frame, n).
        films: camera feature -> mp4 to be moved into the dataset.
        stats: statistics of every feature.
        film_starts: seconds into its film at which a camera's first frame is shown.
    """

    arrays: dict[str, np.ndarray]
    films: dict[str, Path]
    stats: dict[str, Stats]
    film_starts: dict[str, float] = field(default_factory=dict[str, float])

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))


def prepare_episode(
    frames: Mapping[str, np.ndarray], features: layout.Features, fps: int, folder: Path, encoding: str = "lossless"
) -> PreparedEpisode:
    """Check an episode, encode its films into `folder` and measure its statistics; safe in a worker process.

    Raises:
        DataError: if the arrays are not what the features say.
        UserError: if the disk is full.
    """
    films = layout.video_keys(features)
    layout.check_frames(frames, features, [*films, *layout.array_keys(features)])
    folder.mkdir(parents=True, exist_ok=True)
    with _disk_full(folder):
        for key in films:
            write_mp4(folder / f"{key}.mp4", frames[key], fps, find_encoding(encoding))
    arrays = {key: frames[key] for key in layout.array_keys(features)}
    stats = {key: image_stats(frames[key]) for key in films} | layout.array_stats(arrays)
    return PreparedEpisode(arrays, {key: folder / f"{key}.mp4" for key in films}, stats)


class EpisodeWriter:
    """Appends episodes to a LeRobot v3.0 dataset; use `create` or `open`, and `finish` (or `with`) at the end.

    One process at a time may write to a dataset; readers may come at any moment after the first saved episode.
    """

    def __init__(self, root: Path, encoding: str, is_new: bool = False) -> None:
        self.root = root
        self.encoding = encoding
        self._scratch_name = secrets.token_hex(8)  # a worker that outlives its parent writes into no other's films
        self._lock: int | None = _lock(root)
        try:
            self.info, self.provenance = read_info(root), read_provenance(root)
            self._tasks = layout.read_tasks(root / layout.TASKS)
            self._totals: dict[str, Stats] = {}
            if not is_new:
                self._recover()
        except BaseException:
            os.close(self._lock)
            raise

    @classmethod
    def create(
        cls,
        root: Path | str,
        fps: int,
        features: layout.Features,
        robot_type: str,
        provenance: Mapping[str, Any] | None = None,
        encoding: str = "lossless",
    ) -> "EpisodeWriter":
        """Start an empty dataset in a folder that is not there yet.

        Args:
            features: name -> {"dtype": "video" or a number type, "shape": (h, w, 3) or (n,), "names": ...}.
            provenance: plain values kept in `meta/unified.json`.

        Raises:
            UserError: if the folder holds something, or a feature cannot be stored.
        """
        root = Path(root)
        layout.check_features(features)
        find_encoding(encoding)
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise UserError(
                f"{root} exists and is not empty; choose another folder, delete it, or resume what is in it."
            )
        kept = {key: {**feature, "shape": list(feature["shape"])} for key, feature in features.items()}
        info = layout.empty_info(fps, kept, robot_type)
        origin: dict[str, Any] = {"schema_version": 1, **(provenance or {}), "episodes": []}
        with atomic_path(root) as folder:
            (folder / "meta").mkdir(parents=True)
            (folder / layout.PROVENANCE).write_text(json.dumps(origin, indent=1), encoding="utf-8")
            (folder / layout.INFO).write_text(json.dumps(info, indent=4), encoding="utf-8")
        return cls(root, encoding, is_new=True)

    @classmethod
    def open(cls, root: Path | str, encoding: str = "lossless") -> "EpisodeWriter":
        """Continue a dataset that this class made; what an interrupted process left unfinished is removed.

        Raises:
            UserError: if there is none, or another process is writing to it.
            DataError: if a file of what is counted is missing or damaged, or a folder in it is a link.
        """
        return cls(Path(root), encoding)

    @property
    def num_episodes(self) -> int:
        """Episodes saved so far."""
        return self.info["total_episodes"]

    @property
    def num_frames(self) -> int:
        """Frames saved so far."""
        return self.info["total_frames"]

    @property
    def episodes(self) -> list[dict[str, Any]]:
        """What was noted about each saved episode (`details` of `save_episode`)."""
        return self.provenance["episodes"]

    @property
    def scratch(self) -> Path:
        """A folder on the dataset's disk for films of episodes that are not saved yet, no other writer's."""
        return self.root / _SCRATCH / self._scratch_name

    def save_episode(
        self, frames: Mapping[str, np.ndarray], task: str | Sequence[str], details: Mapping[str, Any] | None = None
    ) -> int:
        """Store an episode; when this returns, it is on disk for good. Returns its index.

        Args:
            frames: every feature, first axis is the frame; pictures are uint8 (frame, height, width, 3).
            task: the instruction, or one for every frame.
            details: plain values about this episode for `meta/unified.json`.

        Raises:
            DataError: if the arrays are not what the features say.
            UserError: if the disk is full; the dataset then is as it was before.
        """
        features = {key: value for key, value in self.info["features"].items() if key not in layout.INDEX_FEATURES}
        folder = self.scratch / "current"
        return self.commit(prepare_episode(frames, features, self.info["fps"], folder, self.encoding), task, details)

    def commit(
        self, episode: PreparedEpisode, task: str | Sequence[str], details: Mapping[str, Any] | None = None
    ) -> int:
        """`save_episode` for an episode that was prepared elsewhere."""
        if self._lock is None:
            raise ValueError(f"The writer of {self.root} is finished; open the dataset again.")
        tasks = [task] * len(episode) if isinstance(task, str) else list(task)
        if len(tasks) != len(episode):
            raise ValueError(f"task must be one text or one a frame ({len(episode)}), got {len(tasks)}.")
        index = self.num_episodes
        known = self._tasks + [text for text in dict.fromkeys(tasks) if text not in self._tasks]
        written: tuple[dict[str, Any], dict[str, Stats]] | None = None
        try:
            with _disk_full(self.root):
                written = self._write_episode(index, episode, tasks, known, dict(details or {}))
                write_text(self.root / layout.INFO, json.dumps(written[0], indent=4))
        finally:
            # A signal may come at any line, also when the new count is in its place already: what is stored decides.
            if written is not None and read_info(self.root)["total_episodes"] > index:
                self._tasks, (self.info, self._totals) = known, written
            else:
                self._roll_back(index)
        return index

    def finish(self) -> None:
        """Let go of the dataset; it is complete at any time, so there is nothing else to do."""
        if self._lock is not None:
            shutil.rmtree(self.root / _SCRATCH, ignore_errors=True)
            os.close(self._lock)
            self._lock = None

    def write_provenance(self) -> None:
        """Store `provenance` after it was changed."""
        write_text(self.root / layout.PROVENANCE, json.dumps(self.provenance, indent=1))

    def __enter__(self) -> "EpisodeWriter":
        return self

    def __exit__(self, *_error: object) -> None:
        self.finish()

    def _write_episode(
        self, index: int, episode: PreparedEpisode, tasks: list[str], known: list[str], details: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Stats]]:
        """Everything but info.json, which makes it count; returns what that must say, and the new statistics."""
        films = {key: layout.place(layout.VIDEO_PATH, index, video_key=key) for key in episode.films}
        for key, film in episode.films.items():
            target = self.root / films[key]
            target.parent.mkdir(parents=True, exist_ok=True)
            flush(film)
            os.replace(film, target)
            flush(target.parent)
        features = self._features_with_film_info(index)
        numbers = [known.index(text) for text in tasks]
        columns = layout.index_columns(len(episode), self.info["fps"], index, self.num_frames, numbers)
        with atomic_path(self.root / layout.place(layout.DATA_PATH, index)) as path:
            pq.write_table(layout.frame_table({**episode.arrays, **columns}, features), path, compression="zstd")
        if known != self._tasks:
            with atomic_path(self.root / layout.TASKS) as path:
                layout.write_tasks(path, known)
        starts = {key: episode.film_starts.get(key, 0.0) for key in episode.films}
        stats = {**episode.stats, **{key: vector_stats(value) for key, value in columns.items()}}
        with atomic_path(self.root / layout.place(layout.EPISODES_PATH, index)) as path:
            row = layout.episode_row(index, self.num_frames, len(episode), list(dict.fromkeys(tasks)))
            row |= layout.film_columns(index, len(episode) / self.info["fps"], starts) | layout.stats_columns(stats)
            layout.write_episode_row(path, row, self.root, [*films.values(), layout.place(layout.DATA_PATH, index)])
        totals = fold_stats(self._totals, stats)
        self.episodes.append(details)
        self.write_provenance()
        self._write_stats(totals)
        counters = {
            **self.info,
            "features": features,
            "total_episodes": index + 1,
            "total_frames": self.num_frames + len(episode),
            "total_tasks": len(known),
            "splits": {"train": f"0:{index + 1}"},
        }
        return counters, totals

    def _features_with_film_info(self, index: int) -> dict[str, Any]:
        features = dict(self.info["features"])
        for key in layout.video_keys(features):
            if "info" not in features[key]:
                film = self.root / layout.place(layout.VIDEO_PATH, index, video_key=key)
                features[key] = {**features[key], "info": probe_mp4(film)}
        return features

    def _write_stats(self, totals: Mapping[str, Stats]) -> None:
        plain = {key: {name: value.tolist() for name, value in stats.items()} for key, stats in totals.items()}
        write_text(self.root / layout.STATS, json.dumps(plain, indent=4))

    def _recover(self) -> None:
        """Make the folder hold exactly the episodes that info.json counts."""
        _check_own_folders(self.root)
        self._check_counted()
        shutil.rmtree(self.root / _SCRATCH, ignore_errors=True)
        unsaved = layout.episode_files_of(self.num_episodes, self.info["features"])
        for path in (layout.INFO, layout.STATS, layout.TASKS, layout.PROVENANCE, *unsaved):
            remove_leftovers(self.root / path)
        frames = 0
        for path in layout.episode_files(self.root)[: self.num_episodes]:
            length, stats = layout.read_episode(path)
            frames, self._totals = frames + length, fold_stats(self._totals, stats)
        if frames != self.num_frames:
            raise DataError(f"{self.root}: {layout.INFO} counts {self.num_frames} frames, its episodes have {frames}.")
        self._roll_back(self.num_episodes)

    def _check_counted(self) -> None:
        """Refuse a dataset in which something that is counted is missing."""
        count, features = self.num_episodes, self.info["features"]
        files = (path for index in range(count) for path in layout.episode_files_of(index, features))
        missing = next((path for path in files if not _holds_something(self.root / path)), None)
        found = f"{missing} is missing or empty" if missing is not None else ""
        if len(self.episodes) < count:
            found = f"{layout.PROVENANCE} holds {len(self.episodes)}"
        if len(self._tasks) < self.info["total_tasks"]:
            found = f"{layout.TASKS} holds {len(self._tasks)} of {self.info['total_tasks']} instructions"
        if found:
            raise DataError(
                f"{self.root}: {layout.INFO} counts {count} episodes, but {found}. Bring that file back from a copy, "
                "or make the dataset anew in another folder."
            )

    def _roll_back(self, count: int) -> None:
        """Forget episodes from `count` on; they are stored in order, so there is at most one."""
        self.provenance["episodes"] = self.episodes[:count]
        self._tasks = self._tasks[: self.info["total_tasks"]]
        for path in layout.episode_files_of(count, self.info["features"]):
            (self.root / path).unlink(missing_ok=True)
        with suppress(OSError, UserError):  # on a full disk these keep an entry too many, which nobody reads
            self.write_provenance()
            if count:
                self._write_stats(self._totals)


def read_info(root: Path) -> dict[str, Any]:
    """`meta/info.json` of a dataset that this module wrote.

    Raises:
        DataError: if it is damaged.
        UserError: if it names a feature that cannot be stored.
    """
    info = _read_json(root / layout.INFO, _Info)
    layout.check_features({key: value for key, value in info["features"].items() if key not in layout.INDEX_FEATURES})
    return info


def read_provenance(root: Path) -> dict[str, Any]:
    """`meta/unified.json` of a dataset that this module wrote.

    Raises:
        DataError: if it is damaged.
    """
    return _read_json(root / layout.PROVENANCE, _Provenance)


def _read_json(path: Path, wanted: Any) -> dict[str, Any]:
    if not path.exists():
        raise _no_dataset(path.parent.parent)
    values = read_json(path, dict[str, Any], DataError)
    conform(values, wanted, path, DataError)
    return values


def _holds_something(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _no_dataset(root: Path) -> UserError:
    return UserError(f"{root} holds no dataset made by `unified record` or `unified import`; nothing to continue.")


def _check_own_folders(root: Path) -> None:
    """Refuse links to folders: what is written or removed through them would be another dataset's."""
    for name in ("meta", "data", "videos", _SCRATCH):
        inside = (Path(folder) / child for folder, children, _ in os.walk(root / name) for child in children)
        for path in (root / name, *inside):
            if path.is_symlink():
                raise DataError(
                    f"{path} is a link. A dataset is continued in folders of its own: copy it (`cp -rL`) and continue "
                    "the copy."
                )


def _lock(root: Path) -> int:
    """Hold the dataset's folder; the kernel lets go when the process ends, however it ends."""
    try:
        descriptor = os.open(root / "meta", os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _no_dataset(root) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UserError(f"Another process is writing to {root}; wait for it or choose another folder.") from error
    return descriptor


@contextmanager
def _disk_full(folder: Path) -> Generator[None]:
    """Say "disk full" for every way in which libraries report it."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(folder).free / 1e6
        message = f"Disk full while writing to {folder}: {free:.0f} MB free. Saved episodes are kept"
        raise UserError(f"{message}; free some space and resume.") from error
