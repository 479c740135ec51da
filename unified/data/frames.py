"""Pictures of a recording, decoded in order, and the check that there are exactly as many as the table has rows."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from unified.data.lerobot3.mp4 import probe_mp4, read_mp4
from unified.data.source import Episode, Recording, read_parquet
from unified.errors import DataError

Picture = UInt8[np.ndarray, " height width 3"]


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
    files: dict[Path, list[Episode]] = {}
    for episode in recording.all_episodes():
        path = episode.films[camera].path if recording.is_video(camera) else episode.table
        files.setdefault(path, []).append(episode)
    for path, episodes in files.items():
        if not chosen.isdisjoint(episode.index for episode in episodes):
            read = _video_frames if recording.is_video(camera) else _table_frames
            for index, frame, picture in read(recording, camera, path, episodes):
                if index in chosen:
                    yield index, frame, picture


def _video_frames(
    recording: Recording, camera: str, path: Path, episodes: list[Episode]
) -> Iterator[tuple[int, int, Picture]]:
    """Match decoded frames to table rows by time stamp: each row needs one frame, each frame of an episode a row."""
    fps, tolerance = recording.fps, 0.25 / recording.fps
    rows: list[tuple[float, int, int]] = []
    for episode in sorted(episodes, key=lambda episode: episode.films[camera].start):
        film = episode.films[camera]
        if round((film.end - film.start) * fps) != episode.length:
            raise DataError(
                f"{path}: episode {episode.index} has {round((film.end - film.start) * fps)} frames of film but "
                f"{episode.length} rows in its table: pictures cannot be matched to actions. Record or import it again."
            )
        rows += [(film.start + frame / fps, episode.index, frame) for frame in range(episode.length)]
    matched = 0
    try:
        rate = probe_mp4(path)["video.fps"]
        if len(rows) > 1 and abs(rate - fps) > 0.01 * fps:
            raise DataError(f"{path} runs at {rate:g} frames a second, but meta/info.json says {fps:g}.")
        for seconds, picture in read_mp4(path):
            if matched == len(rows) or seconds < rows[matched][0] - tolerance:
                if matched < len(rows) and rows[matched][2] > 0:
                    raise DataError(f"{path} has a frame too many.")
                continue  # before, between or after episodes: nobody's
            if seconds > rows[matched][0] + tolerance:
                raise DataError(f"{path} lacks a frame.")
            yield rows[matched][1], rows[matched][2], picture
            matched += 1
        if matched < len(rows):
            raise DataError(f"{path} is truncated: it ends after {matched} of {len(rows)} frames.")
    except DataError as error:
        place = f"episode {rows[matched][1]} frame {rows[matched][2]}" if matched < len(rows) else "its end"
        raise DataError(f"{error} This concerns {place}; copy or record the data set again.") from error


def _table_frames(
    recording: Recording, camera: str, path: Path, episodes: list[Episode]
) -> Iterator[tuple[int, int, Picture]]:
    """Pictures stored as PNG or JPEG bytes inside the data table."""
    key = recording.cameras[camera]
    table = read_parquet(path, ["episode_index", "frame_index", key])
    for batch in table.to_batches(max_chunksize=64):
        for row in batch.to_pylist():
            place = f"{path}, episode {row['episode_index']} frame {row['frame_index']}"
            try:
                picture = np.asarray(Image.open(io.BytesIO(row[key]["bytes"])).convert("RGB"))
            except (OSError, TypeError, KeyError) as error:
                raise DataError(f"{place}: the picture {key!r} is damaged or missing.") from error
            yield row["episode_index"], row["frame_index"], picture
