"""Content hashes of many files, remembered beside them so that unchanged files are read once."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from unified.atomic import write_text
from unified.errors import UserError


def content_hash(root: Path, files: Iterable[Path], memo: Path) -> str:
    """SHA-256 over names and bytes of the files.

    The result is kept in `memo` with each file's size, times and inode; while none of those changes it is believed.
    """
    files = list(files)
    stats = {path.relative_to(root).as_posix(): _stat(path) for path in files}
    with suppress(OSError, ValueError, KeyError, TypeError):
        remembered = json.loads(memo.read_text(encoding="utf-8"))
        if remembered["stats"] == stats:
            return str(remembered["hash"])
    digest = hashlib.sha256()
    for path, name in zip(files, stats, strict=True):
        with path.open("rb") as file:
            digest.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    with suppress(OSError, UserError):  # without it, the next call reads everything again; no harm otherwise
        write_text(memo, json.dumps({"stats": stats, "hash": digest.hexdigest()}))
    return digest.hexdigest()


def _stat(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
