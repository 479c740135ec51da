"""Files and folders that appear whole or not at all."""

import ctypes
import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from unified.errors import UserError

_PROBE = ".mode"  # a file that tells what others may do with new files


@contextmanager
def atomic_path(path: Path | str, replaces_folder: bool = False) -> Generator[Path]:
    """Give a temporary name beside `path` to write to; on success it replaces `path`, on any error it is removed.

    Args:
        replaces_folder: a folder takes the place of an older one as a whole, and at no moment is there none; otherwise
            one that holds something is left alone.

    Raises:
        UserError: if the disk is full, or there is a folder that is not to be replaced; naming the path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    candidate = temporary / path.name
    try:
        yield candidate
        probe = temporary / _PROBE
        probe.touch()
        mode = probe.stat().st_mode
        probe.unlink()
        for written in [candidate, *candidate.rglob("*")]:
            if not written.is_symlink():
                if written.is_file():
                    written.chmod(mode)  # safetensors writes files that nobody else may read
                flush(written)
        if replaces_folder and candidate.is_dir() and path.is_dir() and not path.is_symlink():
            _exchange(candidate, path)
        else:
            os.replace(candidate, path)
        flush(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise UserError(f"{path} has come to hold something meanwhile; it is left as it is.") from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            free = shutil.disk_usage(path.parent).free
            raise UserError(
                f"Disk full while writing {path} ({error.strerror}): {free / 1e6:.0f} MB free. Nothing was left "
                "half-written; free some space and run again."
            ) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exchange(new: Path, old: Path) -> None:
    """Let two folders change places in one step; where the system cannot, in two renames."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # Linux; Python does not offer it
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if rename is not None and rename(here, os.fsencode(new), here, os.fsencode(old), exchange) == 0:
        return
    previous = new.with_name("previous")
    os.rename(old, previous)
    try:
        os.rename(new, old)
    except BaseException:
        os.rename(previous, old)
        raise


def remove_leftovers(path: Path) -> None:
    """Remove what an `atomic_path(path)` that was killed left beside a file, and nothing else of a similar name."""
    for folder in path.parent.glob(f".{glob.escape(path.name)}.????????"):
        if folder.is_dir() and not folder.is_symlink():
            with suppress(OSError):  # it holds something else, too
                (folder / path.name).unlink(missing_ok=True)
                (folder / _PROBE).unlink(missing_ok=True)
                folder.rmdir()


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
