"""Run something in a fork of this process: torch is loaded once, and a case takes a fraction of a second."""

import contextlib
import os
import re
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

SECONDS, MEMORY = 120.0, 16 << 30
_NOT_FOR_USERS = re.compile(r"Traceback|Union subtypes|<class '|object at 0x|<locals>")


@dataclass(frozen=True)
class Outcome:
    """How it ended; status None if it had to be killed for taking too long."""

    status: int | None
    output: str
    errors: str
    seconds: float

    @property
    def fault(self) -> str:
        """What is wrong with how a command spoke, "" if it did its work or refused in one clear line."""
        if self.status is None:
            return "hangs"
        if self.status not in (0, 1, 2):
            return f"status {self.status}: {self.errors.strip().splitlines()[-1:]}"
        if found := _NOT_FOR_USERS.search(self.errors):
            return f"speaks of {found[0]!r}"
        said = [line for line in self.errors.splitlines() if line.startswith("unified: error:")]
        return f"{len(said)} lines of error" if self.status and len(said) != 1 else ""


def run_command(argv: Sequence[str], folder: Path, seconds: float = SECONDS) -> Outcome:
    """Run `unified *argv` in a folder."""
    from unified.cli import main

    return run_in_fork(lambda: main(list(argv)), folder, seconds)


def run_in_fork(work: Callable[[], int], folder: Path, seconds: float = SECONDS) -> Outcome:
    """Call `work` in a folder, in a process group of its own that ends with it; what it returns is the status."""
    return finish(start(work, folder), folder, seconds)


def start(work: Callable[[], int], folder: Path) -> int:
    """Begin; returns the process's id, which is its group's too."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _work_and_exit(work, folder, _streams(folder))
    return child


def finish(child: int, folder: Path, seconds: float = SECONDS) -> Outcome:
    """Wait for the end, or make one."""
    started = time.perf_counter()
    watch = os.pidfd_open(child)
    ended, _, _ = select.select([watch], [], [], seconds)
    os.close(watch)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status) if ended else None
    output, errors = (path.read_text(errors="replace") if path.exists() else "" for path in _streams(folder))
    return Outcome(code, output, errors, time.perf_counter() - started)


def _streams(folder: Path) -> list[Path]:
    return [folder.with_name(f"{folder.name}.{name}") for name in ("out", "err")]


def _work_and_exit(work: Callable[[], int], folder: Path, streams: Sequence[Path]) -> NoReturn:
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, path in enumerate(streams, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
        code = work()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
