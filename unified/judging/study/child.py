"""A `unified` command in a process of its own, which ends with the one that started it."""

import ctypes
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def run(arguments: Sequence[str], **options: Any) -> int:
    """Run it to its end, with options of `subprocess.Popen`, and return its exit status.

    Whatever stops this process meanwhile stops the command too, which first saves what it has.
    """
    command = [sys.executable, "-m", "unified", *arguments]
    child = subprocess.Popen(command, preexec_fn=_end_with_parent, **options)
    try:
        status = child.wait()
    except BaseException:
        child.terminate()  # training saves itself first
        child.wait()
        raise
    return status if status >= 0 else 128 - status


def _end_with_parent() -> None:
    """Ask the system to end this process when its parent is killed; where it cannot, it runs on."""
    control = getattr(ctypes.CDLL(None), "prctl", None)
    if control is not None:
        control(1, signal.SIGTERM)  # PR_SET_PDEATHSIG of Linux
