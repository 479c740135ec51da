"""A recorded data set as it lies on disk: LeRobot v3 metadata, read without importing LeRobot (12 CPU seconds)."""

import json
import math
import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow
import pyarrow.parquet

from unified.data.lerobot3 import layout
from unified.data.lerobot3.features import missing_feature, pick_cameras, stored_names
from unified.errors import DataError, UserError, first_line, unreadable
from unified.model.plain import conform, read_json
from unified.model.spec import ACTION, EXPERT_ACTION, PROPRIO


@dataclass
class Source:
    """A data set to train on and how to use it; one block of the YAML.

    Attributes:
        root: a local LeRobot v3 folder, or a Hub id (user/name) where there is no such folder.
        weight: share of the training windows, relative to the other sources'.
        embodiment: name of the body; default: the one stored by `unified record`, else LeRobot's robot_type.
        cameras: names without "observation.images."; default: all. What `meta/info.json` declares as depth is no camera
            and is left out.
        rename: {the data set's name of a feature: ours}, where it has no `action` or `observation.state` of its own.
        is_demonstration: False for play, from which no policy is learned; default: as recorded, else True.
        episodes: use only these; default: all.
        frame_stride: env steps between future frames, where the rate differs from the other sources'.
        balance_tasks: every environment that was recorded gets the same share of the windows, and not the more the
            longer its episodes are.
    """

    root: str
    weight: float = 1.0
    embodiment: str | None = None
    cameras: list[str] | None = None
    is_demonstration: bool | None = None
    episodes: list[int] | None = None
    frame_stride: int | None = None
    balance_tasks: bool = False
    rename: dict[str, str] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise UserError(
                f"weight of {self.root} must be a positive number, got {self.weight}; remove the source instead."
            )
        if self.frame_stride is not None and self.frame_stride < 1:
            raise UserError(f"frame_stride of {self.root} must be at least 1, got {self.frame_stride}.")


@dataclass(frozen=True)
class Film:
    """The part of an mp4 that shows one episode, in seconds; the first frame is shown at `start`."""

    path: Path
    start: float
    end: float


@dataclass(frozen=True)
class Episode:
    """Where one episode lies: rows of a parquet file and, for each camera that is a video, a part of an mp4."""

    index: int
    length: int
    table: Path
    films: dict[str, Film]


@dataclass(frozen=True)
class Recording:
    """What a LeRobot v3 folder says about itself and which part of it a `Source` asks for. Nothing is decoded yet.

    Attributes:
        cameras: camera name to feature key, in the order of use.
        columns: our name of every feature to the data set's.
        sizes: numbers a row of every column that is read: `action`, `observation.state`, `expert_action` where it was
            recorded, and whatever else was asked for.
        environments: of each episode of the folder, if the source asks to balance them.
        recorded_as: what the folder itself calls the body; `embodiment` is what the source calls it.
        origins: environment, seed, policy and noise of each episode that `unified record` made, else "".
    """

    source: Source
    root: Path
    info: dict[str, Any]
    fps: float
    cameras: dict[str, str]
    columns: dict[str, str]
    sizes: dict[str, int]
    embodiment: str
    is_demonstration: bool
    recorded_as: str
    environments: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    @property
    def check_command(self) -> str:
        """What to type to see everything that is wrong with the folder."""
        return f"unified check {shlex.quote(str(self.root))}"

    def is_video(self, camera: str) -> bool:
        """Whether a camera's frames lie in mp4 files; otherwise they are pictures inside the table."""
        return self.info["features"][self.cameras[camera]]["dtype"] == "video"

    def source_files(self) -> list[Path]:
        """All files that hold data or say how to read it, sorted by path.

        Raises:
            DataError: if there is no data at all.
        """
        folders = [self.root / name for name in ("data", "meta", "videos")]
        files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
        if not any(path.suffix == ".parquet" and path.is_relative_to(self.root / "data") for path in files):
            raise DataError(
                f"{self.root}/data holds no .parquet file: the data set is incomplete; copy or record it again."
            )
        return files

    def episodes(self) -> list[Episode]:
        """The episodes the source asks for, by rising index.

        Raises:
            DataError: if the metadata contradict themselves or a file is missing.
            UserError: if an asked-for episode does not exist.
        """
        every = self.all_episodes()
        if self.source.episodes is None:
            return every
        known = {episode.index: episode for episode in every}
        missing = sorted(set(self.source.episodes) - set(known))
        if missing:
            raise UserError(
                f"{self.root} has no episodes {missing[:5]}; it has {len(known)}, from {min(known)} to {max(known)}."
            )
        return [known[index] for index in sorted(set(self.source.episodes))]

    def all_episodes(self) -> list[Episode]:
        """Every episode of the folder, by rising index; see `episodes`."""
        files = sorted((self.root / "meta" / "episodes").rglob("*.parquet"))
        rows = [row for file in files for row in read_rows(file, self._episode_columns())]
        # A killed recording may have left an episode beyond the number in info.json; LeRobot ignores it as well.
        rows = [row for row in rows if row["episode_index"] < self.info["total_episodes"]]
        rows.sort(key=lambda row: row["episode_index"])
        if [row["episode_index"] for row in rows] != list(range(self.info["total_episodes"])):
            raise DataError(
                f"{self.root}/meta/episodes lists {len(rows)} episodes, but meta/info.json says "
                f"{self.info['total_episodes']}: the data set is incomplete; copy or record it again."
            )
        total = sum(row["length"] for row in rows)
        if total != self.info["total_frames"]:
            promised = self.info["total_frames"]
            raise DataError(f"{self.root}/meta/episodes adds up to {total} frames, but meta/info.json says {promised}.")
        return [self._episode(row) for row in rows]

    def check_digests(self, files: Iterable[Path]) -> None:
        """Compare files with the SHA-256 that our writer noted, where it did: about a second for 2 GB.

        Raises:
            DataError: naming a file that is not what was written.
        """
        noted: dict[str, str] = {}
        for path in sorted((self.root / "meta" / "episodes").rglob("*.parquet")):
            noted |= layout.read_digests(path)
        for path in files:
            wanted = noted.get(path.relative_to(self.root).as_posix())
            if wanted is not None and layout.file_digest(path) != wanted:
                raise DataError(f"{path} is damaged or was changed since it was written. Copy or record it again.")

    def _episode_columns(self) -> list[str]:
        columns = ["episode_index", "length", "data/chunk_index", "data/file_index"]
        for camera, key in self.cameras.items():
            if self.is_video(camera):
                columns += [
                    f"videos/{key}/{name}" for name in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
                ]
        return columns

    def _episode(self, row: dict[str, Any]) -> Episode:
        index = row["episode_index"]
        table = self._file("data_path", index, chunk_index=row["data/chunk_index"], file_index=row["data/file_index"])
        films = {}
        for camera, key in self.cameras.items():
            if self.is_video(camera):
                place = {name: row[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index")}
                path = self._file("video_path", index, video_key=key, **place)
                films[camera] = Film(path, row[f"videos/{key}/from_timestamp"], row[f"videos/{key}/to_timestamp"])
        return Episode(index, row["length"], table, films)

    def _file(self, template: str, episode: int, **values: Any) -> Path:
        try:
            relative = PurePosixPath(self.info[template].format(**values))
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            said = self.info.get(template)
            raise DataError(f"{self.root}/meta/info.json: {template} is no path of a file: {said!r}.") from error
        if relative.is_absolute() or ".." in relative.parts:
            raise DataError(f"{self.root}/meta/info.json: {template} leads outside the data set ({relative}).")
        path = self.root / relative
        if not path.is_file():
            raise DataError(f"{path} is missing; episode {episode} needs it. Copy or record the data set again.")
        return path


def open_recording(source: Source, columns: Iterable[str] = ()) -> Recording:
    """Read the metadata of a source and check that it can answer what is asked of it.

    Args:
        source: the data set.
        columns: what is read beside actions and states, where the data set has it.

    Raises:
        UserError: for a folder that is not there, another format version, an unknown camera, missing features.
    """
    root = resolve_root(source.root)
    info = _read_info(root)
    stored = stored_names(info["features"], source.rename, root)
    features = {name: info["features"][key] for name, key in stored.items()}
    path = root / layout.PROVENANCE
    provenance = read_json(path, layout.Provenance, DataError) if path.is_file() else {}
    there = [name for name in (EXPERT_ACTION, *columns) if name in features]
    sizes = {name: _vector_size(root, features, name) for name in (ACTION, PROPRIO, *there)}
    if sizes.get(EXPERT_ACTION, sizes[ACTION]) != sizes[ACTION]:
        raise DataError(f"{root}: expert_action and action must have equal sizes; see meta/info.json.")
    recorded = provenance.get("is_demonstration", True)
    body = provenance.get("embodiment") or info.get("robot_type") or "unknown"
    return Recording(
        source=source,
        root=root,
        info=info,
        fps=float(info["fps"]),
        cameras={name: stored[key] for name, key in pick_cameras(features, source.cameras, root).items()},
        columns=stored,
        sizes=sizes,
        embodiment=source.embodiment or body,
        is_demonstration=recorded if source.is_demonstration is None else source.is_demonstration,
        environments=_environments(root, provenance, info["total_episodes"]) if source.balance_tasks else (),
        recorded_as=body,
        origins=_origins(provenance, info["total_episodes"]),
    )


def _environments(root: Path, provenance: dict[str, Any], num_episodes: int) -> tuple[str, ...]:
    # A killed recording may have listed an episode beyond the number in info.json.
    names = tuple(episode.get("env_id", "") for episode in provenance.get("episodes", [])[:num_episodes])
    if len(names) < num_episodes or not all(names):
        raise UserError(
            f"balance_tasks: {root} does not say in which environment its episodes were recorded (unified record "
            "writes it); name a data set a task in data.sources instead, with weights."
        )
    return names


def _origins(provenance: dict[str, Any], num_episodes: int) -> tuple[str, ...]:
    made = [
        json.dumps([provenance.get("policy"), *(episode[name] for name in ("env_id", "seed", "noise"))])
        if {"env_id", "seed", "noise"} <= set(episode)
        else ""
        for episode in provenance.get("episodes", [])[:num_episodes]
    ]
    return (*made, *[""] * (num_episodes - len(made)))


def resolve_root(root: str) -> Path:
    """The local folder of a source; a Hub id is looked up in LeRobot's folder and else downloaded.

    Raises:
        UserError: if there is no such folder and it is no Hub id, or the Hub cannot be reached.
    """
    folder = Path(root).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", root):
        raise UserError(f"There is no data set folder {root}. Give a LeRobot v3 folder or a Hub id like user/name.")
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    recorded = Path(os.environ.get("HF_LEROBOT_HOME", home / "lerobot")).expanduser() / root
    return recorded.resolve() if (recorded / "meta" / "info.json").is_file() else _download(root)


def read_parquet(path: Path, columns: list[str]) -> pyarrow.Table:
    """Some columns of a parquet file.

    Raises:
        DataError: if the file is damaged or lacks one of them.
    """
    try:
        table = pyarrow.parquet.ParquetFile(path, page_checksum_verification=True)
        missing = [name for name in columns if name not in table.schema_arrow.names]
        if missing:
            raise DataError(f"{path} has no column {missing[0]!r}, which meta/info.json promises.")
        return table.read(columns=columns)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(unreadable(path, error)) from error


def read_rows(path: Path, numbers: list[str], others: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Rows of a table of metadata.

    Raises:
        DataError: if one of `numbers` is none somewhere.
    """
    rows = read_parquet(path, [*numbers, *others]).to_pylist()
    for place, row in enumerate(rows):
        if wrong := [name for name in numbers if not isinstance(row[name], int | float)]:
            raise DataError(f"{path}, row {place}: {wrong[0]!r} must be a number, got {row[wrong[0]]!r:.40}.")
    return rows


def _read_info(root: Path) -> dict[str, Any]:
    path = root / "meta" / "info.json"
    if not path.is_file():
        raise UserError(f"{root} is not a LeRobot data set: there is no meta/info.json.")
    info = read_json(path, dict[str, Any], DataError)
    version = str(info.get("codebase_version"))
    if version.startswith("v2"):
        command = f"unified import {shlex.quote(str(root))} --output NEW_FOLDER"
        raise UserError(f"{root} is LeRobot {version}, v3.0 is needed: run `{command}`.")
    missing = [key for key in ("fps", "features", "data_path", "total_episodes", "total_frames") if key not in info]
    if not version.startswith("v3") or missing:
        raise DataError(f"{path}: expected LeRobot v3.0, got {version}" + (f" without {missing}." if missing else "."))
    conform(info, layout.Info, path, DataError)
    return info


def _vector_size(root: Path, features: dict[str, Any], key: str) -> int:
    if key not in features:
        raise missing_feature(root, key, features)
    shape, dtype = features[key]["shape"], str(features[key]["dtype"])
    if len(shape) > 1 or not dtype.startswith(("float", "int", "uint", "bool")):
        raise DataError(f"{root}: {key!r} must be one vector of numbers a frame, got {dtype} of shape {tuple(shape)}.")
    return int(shape[0]) if shape else 1


def _download(repo_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(snapshot_download(repo_id, repo_type="dataset", allow_patterns=["data/*", "meta/*", "videos/*"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise UserError(
            f"There is no folder {repo_id}, and the Hub has or gives no data set of that name ({first_line(error)}). "
            "Check the spelling and the network, or give a local folder."
        ) from error
