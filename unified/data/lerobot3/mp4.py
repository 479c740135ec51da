"""Camera films of a dataset: written without loss, measured, re-timed. No torch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

from unified.errors import DataError, unknown_name

Frame = UInt8[np.ndarray, " height width 3"]


@dataclass(frozen=True)
class Encoding:
    """How pictures become an mp4.

    Attributes:
        codec, pix_fmt, options: as PyAV and x264 name them.
        gop: frames from one picture that can be decoded alone to the next: what random access costs.
    """

    codec: str
    pix_fmt: str
    options: tuple[tuple[str, str], ...]
    gop: int = 10


# Measured on 64-pixel Meta-World frames (one core): halving the colour resolution (yuv420p) caps the PSNR at 31 dB
# whatever the rate; RGB without loss costs 2 kB a frame, 15,000 frames/s to write and 11,000 to read.
ENCODINGS = {
    "lossless": Encoding("libx264rgb", "rgb24", (("qp", "0"), ("preset", "ultrafast"), ("bf", "0"))),
    # Plays in every browser, a fifth of the bytes, about 30 dB on small pictures.
    "compact": Encoding("libx264", "yuv420p", (("crf", "18"), ("preset", "veryfast"), ("bf", "0"))),
}


def find_encoding(name: str) -> Encoding:
    """The encoding of this name.

    Raises:
        UserError: if there is none.
    """
    if name not in ENCODINGS:
        raise unknown_name("video encoding", name, ENCODINGS)
    return ENCODINGS[name]


def write_mp4(path: Path, frames: Iterable[Frame], fps: int, encoding: Encoding) -> None:
    """Encode RGB frames of one size; frame k is shown from k/fps seconds on. Same frames and encoding, same bytes."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(encoding.codec, rate=fps, options=dict(encoding.options))
        frames = iter(frames)
        first = next(frames)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = encoding.pix_fmt
        stream.codec_context.gop_size = encoding.gop
        stream.codec_context.thread_count = 1  # more threads change the bytes
        for frame in chain([first], frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def read_mp4(path: Path) -> Iterator[tuple[float, UInt8[np.ndarray, " height width 3"]]]:
    """Decode every frame, in order, as (seconds, RGB).

    Raises:
        DataError: if the file is missing, is not a film, or cannot be decoded to its end.
    """
    for seconds, frame in decode_mp4(path):
        yield seconds, frame.to_ndarray(format="rgb24")


def film_times(path: Path) -> list[float]:
    """When each frame is shown, in seconds and in order, without decoding any.

    Raises:
        DataError: if the file is missing or is not a film.
    """
    times: list[float] = []
    try:
        with av.open(str(path)) as container:
            stream = _film(container, path)
            shown = (packet.pts for packet in container.demux(stream) if not packet.is_discard)
            times = [float(pts * stream.time_base) for pts in shown if pts is not None]
    except FileNotFoundError as error:
        raise DataError(f"{path}: the film is missing.") from error
    except av.FFmpegError as error:
        raise DataError(f"{path}: is not a film that can be read ({error.strerror}).") from error
    return sorted(times)


def probe_mp4(path: Path) -> dict[str, Any]:
    """The `info` block that LeRobot keeps for a film: size, codec, pixel format, rate.

    Raises:
        DataError: if the file is missing or is not a film.
    """
    info: dict[str, Any] = {}
    try:
        with av.open(str(path)) as container:
            stream = _film(container, path)
            pixels = av.VideoFormat(stream.pix_fmt or "rgb24")
            info = {
                "video.height": stream.height,
                "video.width": stream.width,
                "video.codec": stream.codec.canonical_name,
                "video.pix_fmt": stream.pix_fmt,
                "video.fps": _whole(stream.average_rate),
                "video.channels": len(pixels.components),
                "has_audio": bool(container.streams.audio),
                "is_depth_map": False,
            }
    except FileNotFoundError as error:
        raise DataError(f"{path}: the film is missing.") from error
    except av.FFmpegError as error:
        raise DataError(f"{path}: is not a film that can be read ({error.strerror}).") from error
    return info


def copy_mp4(source: Path, target: Path, start: float, end: float, fps: int) -> float:
    """Copy the frames from `start` to `end` seconds, one every 1/fps; the pictures are not touched.

    Frames that others need come along, before or after. Returns when the frame of `start` is shown in the copy.
    """
    place = 0
    with av.open(str(source)) as read, av.open(str(target), "w") as write:
        stream = _film(read, source)
        copy = write.add_stream_from_template(stream, opaque=True)  # copied, never encoded
        first, last = (round(seconds / stream.time_base) for seconds in (start, end))
        read.seek(first, stream=stream)
        packets: list[av.Packet] = []
        for packet in read.demux(stream):
            if packet.pts is None or packet.dts is None or packet.dts > last:
                break
            if packet.is_keyframe and packet.pts <= first:
                packets.clear()
            packets.append(packet)
        times = [packet.pts or 0 for packet in packets]
        place_of = {pts: place for place, pts in enumerate(sorted(times))}
        place = place_of[first]
        early = max(number - place_of[pts] for number, pts in enumerate(times))
        for number, (pts, packet) in enumerate(zip(times, packets, strict=True)):
            packet.pts, packet.dts = place_of[pts], number - early
            packet.duration, packet.stream, packet.time_base = 1, copy, Fraction(1, fps)
            write.mux(packet)
    return place / fps


def decode_mp4(path: Path) -> Iterator[tuple[float, av.VideoFrame]]:
    """The same before colours are computed."""
    count = 0
    try:
        with av.open(str(path)) as container:
            stream = _film(container, path)
            for frame in container.decode(stream):
                if frame.pts is None:
                    raise DataError(f"{path}: frame {count} has no time.")
                yield float(frame.pts * stream.time_base), frame
                count += 1
    except FileNotFoundError as error:
        raise DataError(f"{path}: the film is missing.") from error
    except av.FFmpegError as error:
        raise DataError(f"{path}: cannot be decoded after {count} frames ({error.strerror}); truncated?") from error


def _film(container: Any, path: Path) -> Any:
    if not container.streams.video:
        raise DataError(f"{path}: holds no film.")
    stream = container.streams.video[0]
    # A file cut inside its header opens without an error, and decoding it kills the process (PyAV 15).
    if stream.codec_context is None:
        raise DataError(f"{path}: its header is damaged or cut off.")
    return stream


def _whole(rate: Fraction | None) -> int | float:
    value = float(rate or 0)
    return int(value) if value.is_integer() else value
