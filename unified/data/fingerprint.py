"""What files and episodes are known by: hashes of what they hold."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int

from unified.atomic import write_text
from unified.errors import UserError


def content_hash(root: Path, files: Iterable[Path], memo: Path | None = None) -> str:
    """SHA-256 over names and bytes of the files.

    The result is kept in `memo` with each file's size, times and inode; while none of those changes it is believed.
    """
    files = list(files)
    stats = {path.relative_to(root).as_posix(): _stat(path) for path in files}
    with suppress(OSError, ValueError, KeyError, TypeError):
        remembered = json.loads(memo.read_text(encoding="utf-8")) if memo else {}
        if remembered["stats"] == stats:
            return str(remembered["hash"])
    digest = hashlib.sha256()
    for path, name in zip(files, stats, strict=True):
        with path.open("rb") as file:
            digest.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    with suppress(OSError, UserError):  # without it, the next call reads everything again; no harm otherwise
        if memo:
            write_text(memo, json.dumps({"stats": stats, "hash": digest.hexdigest()}))
    return digest.hexdigest()


def _stat(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def episode_fingerprints(
    action: Float32[np.ndarray, " row action_dim"],
    proprio: Float32[np.ndarray, " row proprio_dim"],
    bounds: Int[np.ndarray, " episode_plus_1"],
    origins: Sequence[str],
) -> list[tuple[str, ...]]:
    """What each episode is known by, wherever its data set lies and whatever else is in it.

    The first is made of its numbers. A recorded one has a second, made of where it came from: recorded again on another
    machine it differs in the last bits.

    Args:
        origins: of each episode (see `unified.data.source.Recording`), "" where nobody knows.
    """
    found: list[tuple[str, ...]] = []
    for start, end, origin in zip(bounds[:-1], bounds[1:], origins, strict=True):
        numbers = hashlib.sha256(action[start:end].tobytes() + b"/" + proprio[start:end].tobytes())
        known = [numbers, hashlib.sha256(origin.encode())] if origin else [numbers]
        found.append(tuple(one.hexdigest()[:16] for one in known))
    return found
