"""Which renderer draws the simulators' pictures on this machine: EGL on a GPU, EGL in software, or ray casting.

MuJoCo reads `MUJOCO_GL` when it is imported, so a command or a worker calls `configure_rendering` first.
Nothing happens at import. `sims` reads `UNIFIED_RENDERER=raycast` and then draws without any graphics library.
"""

import ctypes
import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RENDERER_VARIABLE = "UNIFIED_RENDERER"
MUJOCO_VARIABLE = "MUJOCO_GL"
GL_OFF = "disable"
_OFF_VALUES = ("disable", "disabled", "off", "false", "0")
_PROBE_SECONDS = 20.0
_DRAW = """
import mujoco
mujoco.GLContext(8, 8).make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), 150)
"""

INSTALL_EGL = (
    "`apt-get install libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri` (Debian, Ubuntu) or "
    "`dnf install mesa-libEGL mesa-libGL mesa-dri-drivers` (Fedora)"
)
NVIDIA_EGL = "the NVIDIA driver's EGL library; in a container set NVIDIA_DRIVER_CAPABILITIES=all"


@dataclass(frozen=True)
class Rendering:
    """A choice of renderer.

    Attributes:
        backend: "egl" (a GPU draws), "egl-software" (Mesa on the CPU), "raycast" (no graphics library), or what the
            user asked for in `MUJOCO_GL` ("osmesa", "glfw").
        detail: the name of the device that draws, or why nothing better could be used.
        advice: what to install or set for the better renderer; None where this is the best one.
    """

    backend: str
    detail: str
    advice: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make MuJoCo, and `sims`, draw this way."""
        if self.backend == "raycast":
            return {MUJOCO_VARIABLE: GL_OFF, RENDERER_VARIABLE: "raycast"}
        gl = "egl" if self.backend.startswith("egl") else self.backend
        return {MUJOCO_VARIABLE: gl, RENDERER_VARIABLE: self.backend}

    def __str__(self) -> str:
        names = {
            "egl": "EGL on a GPU",
            "egl-software": "EGL in software",
            "raycast": "ray casting without a graphics library (flat colours, no shadows)",
        }
        advice = f" Better: {self.advice}." if self.advice else ""
        return f"rendering with {names.get(self.backend, self.backend)}: {self.detail}.{advice}"


def choose_rendering(environment: Mapping[str, str] | None = None) -> Rendering:
    """Find the best renderer that works here; what the user asked for comes first, if it works."""
    environment = os.environ if environment is None else environment
    asked_gl = environment.get(MUJOCO_VARIABLE, "").strip().lower()
    if environment.get(RENDERER_VARIABLE) == "raycast" or asked_gl in _OFF_VALUES:
        return Rendering("raycast", f"asked for by {RENDERER_VARIABLE} or {MUJOCO_VARIABLE}")
    note = "" if asked_gl in ("", "egl") else f" ({MUJOCO_VARIABLE}={asked_gl} means nothing to MuJoCo and is ignored)"
    if asked_gl in ("osmesa", "glfw"):
        reason = probe_context(asked_gl, environment)
        if reason is None:
            return Rendering(asked_gl, f"asked for by {MUJOCO_VARIABLE}")
        note = f" ({MUJOCO_VARIABLE}={asked_gl} does not work here and is ignored: {reason})"
    found = probe_egl()
    if "error" in found:
        return Rendering("raycast", f"EGL does not work here, {found['error']}{note}", INSTALL_EGL)
    device = str(found["device"])
    if not is_software(device):
        return Rendering("egl", device + note)
    advice = NVIDIA_EGL if Path("/dev/nvidiactl").exists() else None
    return Rendering("egl-software", device + note, advice)


def configure_rendering(announce: bool = True) -> Rendering:
    """Choose a renderer and set the environment for this process and its children; call it before MuJoCo is imported.

    A choice that a parent process made is taken over without probing again. The choice is said once, on stderr.
    """
    decided, gl = os.environ.get(RENDERER_VARIABLE, ""), os.environ.get(MUJOCO_VARIABLE, "")
    if decided and Rendering(decided, "").environment == {MUJOCO_VARIABLE: gl, RENDERER_VARIABLE: decided}:
        return Rendering(decided, "chosen before")
    rendering = choose_rendering()
    os.environ.update(rendering.environment)
    if announce:
        sys.stderr.write(f"unified: {rendering}\n")
    return rendering


def is_software(device: str) -> bool:
    """Whether a GL renderer string names one of Mesa's software rasterisers."""
    return any(name in device.lower() for name in ("llvmpipe", "softpipe", "swrast", "software"))


@functools.cache
def probe_egl() -> dict[str, Any]:
    """Open an EGL context as MuJoCo does, in a process of its own (a broken driver may crash it).

    Returns:
        `{"device": name}` of what would draw, or `{"error": reason}`.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-S", "-E", "-P", __file__],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"its driver did not answer in {_PROBE_SECONDS:.0f} s"}
    if done.returncode != 0 or not done.stdout.strip():
        return {"error": f"its driver crashed (status {done.returncode})"}
    return json.loads(done.stdout.splitlines()[-1])


def probe_context(gl: str, environment: Mapping[str, str]) -> str | None:
    """Why MuJoCo cannot draw with "osmesa" or "glfw" here; None if it can. In a process of its own, like EGL."""
    if gl == "glfw" and not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        return "it needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is set"
    command = [sys.executable, "-c", _DRAW]
    values = {**os.environ, **environment, MUJOCO_VARIABLE: gl}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=values, timeout=_PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"it did not answer in {_PROBE_SECONDS:.0f} s"
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]


def _open_context() -> str:
    """Make an EGL context current the way `mujoco.egl` does and return the name of the GL renderer.

    Source: EGL 1.5, EGL_EXT_device_enumeration and EGL_EXT_platform_device; attributes as in `mujoco/egl`.
    """
    egl, gl = _load("libEGL.so.1"), _load("libOpenGL.so.0", "libGL.so.1")
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    egl.eglGetProcAddress.restype = pointer
    egl.eglCreateContext.restype = pointer
    gl.glGetString.restype = ctypes.c_char_p

    def extension(name: str, result: Any, *arguments: Any) -> Any:
        address = egl.eglGetProcAddress(name.encode())
        if not address:
            raise OSError(f"{name} is missing from libEGL")
        return ctypes.CFUNCTYPE(result, *arguments)(address)

    query = extension("eglQueryDevicesEXT", ctypes.c_uint, integer, pointer, pointer)
    get_display = extension("eglGetPlatformDisplayEXT", pointer, ctypes.c_uint, pointer, pointer)
    devices, count = (pointer * 16)(), integer(0)
    if not query(16, devices, ctypes.byref(count)) or not count.value:
        raise OSError("no EGL device")
    displays = [pointer(get_display(0x313F, device, None)) for device in devices[: count.value]]
    display = next((item for item in displays if item and egl.eglInitialize(item, None, None)), None)
    if display is None:
        raise OSError("no EGL device could be initialised")
    wanted = [0x3024, 8, 0x3023, 8, 0x3022, 8, 0x3021, 8, 0x3025, 24, 0x3026, 8]  # RGBA 8, depth 24, stencil 8
    wanted += [0x3033, 0x0001, 0x3040, 0x0008, 0x3038]  # off-screen surface, desktop OpenGL, end
    attributes, config = (integer * len(wanted))(*wanted), pointer()
    egl.eglChooseConfig(display, attributes, ctypes.byref(config), 1, ctypes.byref(count))
    if not count.value or not egl.eglBindAPI(0x30A2):
        raise OSError("no frame buffer for desktop OpenGL")
    context = pointer(egl.eglCreateContext(display, config, None, None))
    if not context or not egl.eglMakeCurrent(display, None, None, context):
        raise OSError("no OpenGL context could be made")
    return gl.glGetString(0x1F01).decode()


def _load(*names: str) -> ctypes.CDLL:
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise OSError(f"{' or '.join(names)} is missing")


def _main() -> None:
    try:
        answer = {"device": _open_context()}
    except (OSError, AttributeError) as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    _main()
