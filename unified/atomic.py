"""Files and folders that appear whole or not at all."""

import errno
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from unified.errors import UserError


@contextmanager
def atomic_path(path: Path | str) -> Generator[Path]:
    """Give a temporary name beside `path` to write to; on success it replaces `path`, on any error it is removed.

    Raises:
        UserError: if the disk is full, naming the path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    candidate = temporary / path.name
    try:
        yield candidate
        if candidate.is_file():
            flush(candidate)
        os.replace(candidate, path)
        flush(path.parent)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            free = shutil.disk_usage(path.parent).free
            raise UserError(
                f"Disk full while writing {path}: {free / 1e6:.0f} MB free. Nothing was left half-written; free some "
                "space and run again."
            ) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path | str, text: str) -> None:
    """Write a text file atomically (UTF-8)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def flush(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk and not only in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
