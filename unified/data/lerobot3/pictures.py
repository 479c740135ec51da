"""Single pictures in files or tables: decoded to RGB of 8 bits a channel, and nothing else taken for it."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from unified.errors import DataError

Picture = UInt8[np.ndarray, " height width 3"]

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # of these only PNG can hold more than 8 bits a channel
_DEEPEST = 8
_PNG_BIT_DEPTH = 24  # byte of the header
WAY_OUT = (
    "Brought down to 8 bits it would be wrong everywhere (depth in mm would be white). If it is depth, say so in "
    'meta/info.json ("info": {"is_depth_map": true}) or leave the camera out with `cameras:` (--cameras); if it is '
    "colour, convert it to 8 bits."
)


def read_picture(file: Path | bytes) -> Picture:
    """Decode a picture.

    Raises:
        DataError: if it is damaged, too large, or has more than 8 bits a channel.
    """
    try:
        content = file if isinstance(file, bytes) else file.read_bytes()
        with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
            # Pillow turns colours of 16 bits into 8 without a word, so its own description is not enough.
            if picture.format == "PNG" and content[_PNG_BIT_DEPTH] > _DEEPEST:
                raise DataError(f"the picture has {content[_PNG_BIT_DEPTH]} bits a channel. {WAY_OUT}")
            return np.asarray(picture.convert("RGB"))
    except UnidentifiedImageError as error:
        raise DataError(f"the picture cannot be read: it is none of {', '.join(_FORMATS)}") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:80]
        raise DataError(f"the picture cannot be read ({reason})") from error


def is_depth(feature: Mapping[str, Any]) -> bool:
    """Whether the metadata of a feature declare its pictures to be distances; as LeRobot reads them."""
    blocks = (feature.get("info") or {}, feature.get("video_info") or {})
    return any(block.get(name) for block in blocks for name in ("is_depth_map", "video.is_depth_map"))


def stored_picture(value: Any) -> Picture:
    """Decode what a table holds: {"bytes": ..., "path": ...}, or bytes.

    Raises:
        DataError: as `read_picture`, and if there is nothing.
    """
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise DataError("the picture is missing")
    return read_picture(content)


def refuse_deep_film(path: Path, pix_fmt: str | None) -> None:
    """The same for the pixel format of a film.

    Raises:
        DataError: if it has more than 8 bits a channel; it names the file.
    """
    if pix_fmt is None:
        raise DataError(f"{path}: its pictures are of no format that is known; nothing can decode them.")
    deepest = max(component.bits for component in av.VideoFormat(pix_fmt).components)
    if deepest > _DEEPEST:
        raise DataError(f"{path}: its pictures have {deepest} bits a channel ({pix_fmt}). {WAY_OUT}")
