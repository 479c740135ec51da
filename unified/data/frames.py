"""Pictures of a recording, decoded in order, and the check that there are exactly as many as the table has rows."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from unified.data.lerobot3.mp4 import film_times, probe_mp4, read_mp4
from unified.data.lerobot3.pictures import Picture, refuse_deep_film, stored_picture
from unified.data.source import Episode, Recording, read_parquet
from unified.errors import DataError


def resize(picture: Picture, size: tuple[int, int]) -> UInt8[np.ndarray, " new_height new_width 3"]:
    """Scale to (height, width): every new pixel is the mean over its area when shrinking, bilinear when growing."""
    height, width = size
    if picture.shape[:2] == size:
        return picture
    shrinks = picture.shape[0] >= height and picture.shape[1] >= width
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(picture).resize((width, height), method))


def camera_frames(recording: Recording, camera: str, wanted: list[Episode]) -> Iterator[tuple[int, int, Picture]]:
    """Every frame of the wanted episodes, as (episode index, frame index, picture), file by file.

    Raises:
        DataError: if a file is damaged or does not hold exactly the frames of its episodes; it names the episode.
    """
    chosen = {episode.index for episode in wanted}
    for path, episodes in _files(recording, camera).items():
        if not chosen.isdisjoint(episode.index for episode in episodes):
            if recording.is_video(camera):
                found = _match(recording, camera, path, episodes, _read_film(path))
            else:
                found = _table_frames(recording, camera, path, episodes)
            yield from (frame for frame in found if frame[0] in chosen)


def check_films(recording: Recording) -> None:
    """Whether every row has a film frame of its time; no frame is decoded.

    Raises:
        DataError: as `camera_frames`.
    """
    for camera in filter(recording.is_video, recording.cameras):
        for path, episodes in _files(recording, camera).items():
            for _ in _match(recording, camera, path, episodes, ((seconds, None) for seconds in film_times(path))):
                pass


def _files(recording: Recording, camera: str) -> dict[Path, list[Episode]]:
    files: dict[Path, list[Episode]] = {}
    for episode in recording.all_episodes():
        path = episode.films[camera].path if recording.is_video(camera) else episode.table
        files.setdefault(path, []).append(episode)
    return files


def _read_film(path: Path) -> Iterator[tuple[float, Picture]]:
    refuse_deep_film(path, probe_mp4(path)["video.pix_fmt"])
    yield from read_mp4(path)


def _match[T](
    recording: Recording, camera: str, path: Path, episodes: list[Episode], frames: Iterator[tuple[float, T]]
) -> Iterator[tuple[int, int, T]]:
    """Match film frames to table rows by time stamp: each row needs one frame, each frame of an episode a row."""
    fps, tolerance = recording.fps, 0.25 / recording.fps
    way_out = f"`{recording.check_command}` says more; `unified import` repairs what can be repaired."
    rows: list[tuple[float, int, int]] = []
    for episode in sorted(episodes, key=lambda episode: episode.films[camera].start):
        film = episode.films[camera]
        if round((film.end - film.start) * fps) != episode.length:
            raise DataError(
                f"{path}: episode {episode.index} has {round((film.end - film.start) * fps)} frames of film but "
                f"{episode.length} rows in its table: pictures cannot be matched to actions. {way_out}"
            )
        rows += [(film.start + frame / fps, episode.index, frame) for frame in range(episode.length)]
    matched = 0
    try:
        for seconds, picture in frames:
            if matched == len(rows) or seconds < rows[matched][0] - tolerance:
                if matched < len(rows) and rows[matched][2] > 0:
                    raise DataError(f"{path} has a frame too many at {seconds:.4g} s, rows come at {fps:g} Hz.")
                continue  # before, between or after episodes: nobody's
            if seconds > rows[matched][0] + tolerance:
                raise DataError(f"{path} lacks a frame at {rows[matched][0]:.4g} s; the next comes at {seconds:.4g} s.")
            yield rows[matched][1], rows[matched][2], picture
            matched += 1
        if matched < len(rows):
            raise DataError(f"{path} is truncated: it ends after {matched} of {len(rows)} frames.")
    except DataError as error:
        place = f"episode {rows[matched][1]} frame {rows[matched][2]}" if matched < len(rows) else "its end"
        raise DataError(f"{error} This concerns {place}. {way_out}") from error


def _table_frames(
    recording: Recording, camera: str, path: Path, episodes: list[Episode]
) -> Iterator[tuple[int, int, Picture]]:
    """Pictures stored as PNG or JPEG bytes inside the data table."""
    key = recording.cameras[camera]
    table = read_parquet(path, ["episode_index", "frame_index", key])
    for batch in table.to_batches(max_chunksize=64):
        for row in batch.to_pylist():
            try:
                yield row["episode_index"], row["frame_index"], stored_picture(row[key])
            except DataError as error:
                place = f"{path}, episode {row['episode_index']} frame {row['frame_index']}"
                raise DataError(f"{place}: {key!r}: {error}") from error
