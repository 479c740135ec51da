"""Films for people: mp4 that browsers play, animated WebP, captions, and films side by side."""

import io
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from unified.atomic import atomic_path

Frame = UInt8[np.ndarray, " _ _ 3"]  # (height, width, RGB)
Film = UInt8[np.ndarray, " _ _ _ 3"]  # (frame, height, width, RGB); what a function makes may differ in size


def encode_mp4(film: Film, fps: float, quality: int = 23) -> bytes:
    """H.264 in the pixel format that every browser plays, index first so that it starts at once.

    Args:
        film: RGB; an odd height or width grows by one repeated row or column, which the format asks for.
        fps: pictures per second.
        quality: x264's constant rate factor; 18 looks lossless, 28 is small.

    Raises:
        ValueError: if the film is empty or not uint8 (frame, height, width, 3).
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        _encode_mp4(path, _even(_checked(film)), fps, quality)
        return path.read_bytes()


def write_mp4(path: Path | str, film: Film | Iterable[Film], fps: float, quality: int = 23) -> None:
    """Write `encode_mp4` to a file, whole or not at all; of a film in parts no more than one is held in memory."""
    parts = [film] if isinstance(film, np.ndarray) else film
    with atomic_path(path) as temporary:
        _encode_mp4(temporary, (picture for part in parts for picture in _even(_checked(part))), fps, quality)


def _encode_mp4(path: Path, film: Iterable[Frame], fps: float, quality: int) -> None:
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=round(fps))
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(quality), "preset": "veryfast", "threads": "1"}
        for number, picture in enumerate(film):
            if not number:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def encode_webp(film: Film, fps: float, quality: int = 80) -> bytes:
    """Animated WebP, endless: plays in an <img>, in TensorBoard and in a README; small for short films.

    Raises:
        ValueError: if the film is empty or not uint8 (frame, height, width, 3).
    """
    first, *rest = [Image.fromarray(picture) for picture in _checked(film)]
    buffer = io.BytesIO()
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=rest,
        duration=max(1, round(1000 / fps)),
        loop=0,
        quality=quality,
        method=0,
    )
    return buffer.getvalue()


def encode_png(picture: Frame) -> bytes:
    """One picture without loss."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "PNG")
    return buffer.getvalue()


def write_png(path: Path, picture: Frame) -> None:
    """Save one picture, whole or not at all.

    Raises:
        UserError: if the disk is full.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(encode_png(picture))


def file_name(env_id: str) -> str:
    """An environment's id as part of a file's name."""
    return env_id.replace(":", "-").replace("/", "-")


def read_video(path: Path | str) -> Film:
    """Decode a whole film, for checks and tests."""
    frames: list[Frame] = []
    with av.open(str(path)) as container:
        frames += [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames)


def read_fps(path: Path | str) -> float:
    """Pictures per second of a film."""
    rates: list[float] = []
    with av.open(str(path)) as container:
        rates.append(float(container.streams.video[0].average_rate or 1))
    return rates[0]


def first_difference(one: Film, other: Film, levels: float = 4.0) -> int | None:
    """The first picture in which two films look different; None if the shorter one is the other's beginning.

    Each eighth of height and width is averaged to one grey value, and `levels` of 255 is what they may differ by.
    Compression alone makes up to 3 of it, as measured on films that were encoded with other continuations.
    """
    one_coarse, other_coarse = (np.stack([_coarse(picture) for picture in film]) for film in (one, other))
    length = min(len(one), len(other))
    differs = np.abs(one_coarse[:length] - other_coarse[:length]).max(axis=(1, 2)) > levels
    return int(differs.argmax()) if differs.any() else None


def _coarse(picture: Frame) -> Float[np.ndarray, " 8 8"]:
    grey = Image.fromarray(picture).convert("F")
    return np.asarray(grey.resize((8, 8), Image.Resampling.BOX))


def enlarge(film: Film, size: int) -> Film:
    """Whole-numbered enlargement (pixels stay visible as they are) to at least about `size` pixels a side."""
    factor = max(1, round(size / max(film.shape[1:3])))
    return film.repeat(factor, axis=1).repeat(factor, axis=2)


def error_map(truth: Film, other: Film, gain: float = 3.0) -> Film:
    """Absolute difference, largest over the colours, black (none) to white (255 / gain levels or more)."""
    difference = np.abs(truth.astype(np.int16) - other.astype(np.int16)).max(axis=-1, keepdims=True)
    return np.clip(difference * gain, 0, 255).astype(np.uint8).repeat(3, axis=-1)


def side_by_side(films: Sequence[Film], labels: Sequence[str], gap: int = 4) -> Film:
    """Films of equal height next to each other, each under its label; shorter ones hold their last picture.

    Raises:
        ValueError: if the heights differ or the numbers of films and labels do.
    """
    heights = {film.shape[1] for film in films}
    if len(heights) != 1 or len(films) != len(labels):
        raise ValueError(f"Need films of one height and a label each, got heights {heights} and {len(labels)} labels.")
    length = max(len(film) for film in films)
    parts: list[Film] = []
    for film, label in zip(films, labels, strict=True):
        held = np.concatenate([_checked(film), film[-1:].repeat(length - len(film), axis=0)])
        titled = caption(held, label)
        parts += [titled, np.full((length, titled.shape[1], gap, 3), 255, np.uint8)]
    return np.concatenate(parts[:-1], axis=2)


def stack(films: Sequence[Film], gap: int = 4) -> Film:
    """Films of equal width and length under each other.

    Raises:
        ValueError: if widths or lengths differ.
    """
    if len({(len(film), film.shape[2]) for film in films}) != 1:
        raise ValueError(f"Need films of one length and width, got {[film.shape for film in films]}.")
    line = np.full((len(films[0]), gap, films[0].shape[2], 3), 255, np.uint8)
    return np.concatenate([part for film in films for part in (film, line)][:-1], axis=1)


def caption(film: Film, label: str) -> Film:
    """Put a strip with a label above a film; the letters shrink until they fit."""
    width = film.shape[2]
    height = max(14, min(24, width // 8))
    strip = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(strip)
    size = height - 4
    while size > 6 and draw.textlength(label, font=_font(size)) > width - 4:
        size -= 1
    draw.text((width / 2, height / 2), label, fill=(30, 34, 40), anchor="mm", font=_font(size))
    return np.concatenate([np.asarray(strip)[None].repeat(len(film), axis=0), film], axis=1)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _checked(film: Film) -> Film:
    if film.ndim != 4 or film.shape[-1] != 3 or film.dtype != np.uint8 or not film.size:
        raise ValueError(f"A film is uint8 (frame, height, width, 3), got {film.dtype} {film.shape}.")
    return np.ascontiguousarray(film)


def _even(film: Film) -> Film:
    height, width = film.shape[1:3]
    return np.pad(film, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
