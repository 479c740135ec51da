"""Files and folders that appear whole or not at all."""

import ctypes
import errno
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from unified.errors import UserError

_PROBE = ".mode"  # a file that tells what others may do with new files
_PREVIOUS = "previous"  # a folder that is about to be replaced


@contextmanager
def atomic_path(path: Path | str, replaces_folder: bool = False) -> Generator[Path]:
    """Give a temporary name beside `path` to write to; on success it replaces `path`, on any error it is removed.

    What a process that was killed left of an earlier try is removed first.

    Args:
        replaces_folder: a folder takes the place of an older one as a whole, and at no moment is there none; otherwise
            one that holds something is left alone.

    Raises:
        UserError: if the disk is full, or there is a folder that is not to be replaced; naming the path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    temporary, lock = _claim(path)
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
        os.close(lock)


def _claim(path: Path) -> tuple[Path, int]:
    """A folder beside `path` that is held while this process lives: nobody takes it for a leftover."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        with suppress(FileNotFoundError):  # somebody did, before it was held
            lock = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks, where leftovers stay
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _exchange(new: Path, old: Path) -> None:
    """Let two folders change places in one step; where the system cannot, in two renames."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # Linux; Python does not offer it
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if rename is not None and rename(here, os.fsencode(new), here, os.fsencode(old), exchange) == 0:
        return
    previous = new.with_name(_PREVIOUS)
    os.rename(old, previous)
    try:
        os.rename(new, old)
    except BaseException:
        os.rename(previous, old)
        raise


def remove_leftovers(path: Path) -> None:
    """Remove what an `atomic_path(path)` that was killed left beside it, and nothing else of a similar name."""
    for folder in path.parent.glob(f".{glob.escape(path.name)}.????????"):
        with suppress(OSError):  # a link, one that is in use, or one that holds something else, too
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove_leftover(folder, path)
            finally:
                os.close(lock)


def _remove_leftover(folder: Path, path: Path) -> None:
    previous = folder / _PREVIOUS
    if previous.exists() and not path.exists():  # killed between two renames
        os.rename(previous, path)
    if {entry.name for entry in folder.iterdir()} <= {path.name, _PROBE, _PREVIOUS}:
        shutil.rmtree(folder)


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
