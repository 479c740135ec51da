"""One OpenGL context per process, shared by every renderer in it.

An own context per environment costs 150 ms and 30 MB (shaders are compiled again); a new `MjrContext` inside a shared
one costs 5 ms. The context is opened at the first picture, never at import, so a process that renders nothing needs no
graphics library.
"""

import atexit
import ctypes.util
import os
import sys
from typing import Protocol

INSTALL_HINT = "install the system packages libegl1 and libgl1 (Debian/Ubuntu) for OpenGL pictures"
_OFF = ("disable", "disabled", "off", "false", "0")


class GLUnavailableError(RuntimeError):
    """No OpenGL context can be opened in this process; the message says which one was tried and what to install."""


class GLContext(Protocol):
    """What MuJoCo's platform modules offer."""

    def make_current(self) -> None: ...

    def free(self) -> None: ...


_contexts: dict[int, GLContext] = {}
_failures: dict[int, str] = {}


def backend() -> str:
    """The platform to use: what MUJOCO_GL says, else egl, or osmesa where only that library is present."""
    asked = os.environ.get("MUJOCO_GL", "").lower().strip()
    if asked in ("egl", "osmesa", "glfw", "cgl") or asked in _OFF:
        return asked
    if sys.platform != "linux":
        return "cgl" if sys.platform == "darwin" else "glfw"
    if ctypes.util.find_library("EGL") is None and ctypes.util.find_library("OSMesa") is not None:
        return "osmesa"
    return "egl"


def shared_context() -> GLContext:
    """The context of this process, made current in the calling thread; opened on first use.

    Keyed by process id: a context inherited through fork must not be used.

    Raises:
        GLUnavailableError: no context can be opened (also on every later call, without trying again).
    """
    pid = os.getpid()
    if pid in _failures:
        raise GLUnavailableError(_failures[pid])
    if pid not in _contexts:
        try:
            _contexts[pid] = _open(backend())
        except Exception as error:  # PyOpenGL fails with AttributeError, ImportError, OSError or its own classes
            _failures[pid] = f"no {backend()} context: {error!r}; {INSTALL_HINT}"
            raise GLUnavailableError(_failures[pid]) from error
        atexit.register(_free, pid)
    context = _contexts[pid]
    context.make_current()
    return context


def _open(name: str) -> GLContext:
    """Open and activate a context of the named platform; it draws into its own buffers, so the size is moot."""
    if name in _OFF:
        raise RuntimeError("MUJOCO_GL switches OpenGL off")
    if name == "egl":
        from mujoco.egl import GLContext as Context
    elif name == "osmesa":
        from mujoco.osmesa import GLContext as Context
    elif name == "cgl":
        from mujoco.cgl import GLContext as Context
    else:
        from mujoco.glfw import GLContext as Context
    context = Context(1, 1)
    context.make_current()
    return context


def _free(pid: int) -> None:
    """Free the context while PyOpenGL still works; left to the interpreter's end it prints errors."""
    if pid == os.getpid() and pid in _contexts:
        _contexts.pop(pid).free()
