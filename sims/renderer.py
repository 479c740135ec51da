"""Pictures of a MuJoCo scene: OpenGL where it works, ray casting where it does not, one interface.

Shadows, multisampling and reflections are off: on a CPU they cost a factor of 18 (4096-pixel shadow maps and four
samples against a 64-pixel picture). Smoothing comes from drawing at a multiple of the size and averaging.
"""

import copy
import logging
import os
from typing import Protocol

import mujoco
import numpy as np
from jaxtyping import UInt8

from sims.camera import CameraView
from sims.gl import GLUnavailableError, backend, shared_context
from sims.raycast import RayRenderer

MAX_IMAGE_SIZE = 2048
_logger = logging.getLogger("sims")
_announced: set[str] = set()


class Renderer(Protocol):
    """What an environment needs of a renderer."""

    name: str

    def render(self, data: mujoco.MjData, view: CameraView, size: int) -> UInt8[np.ndarray, " size size 3"]: ...

    def close(self) -> None: ...


def make_renderer(model: mujoco.MjModel, supersample: int = 2) -> Renderer:
    """A renderer for this model: OpenGL, or ray casting if UNIFIED_RENDERER=raycast or OpenGL does not work.

    Raises:
        ValueError: UNIFIED_RENDERER is neither `auto`, `gl` nor `raycast`.
        GLUnavailableError: UNIFIED_RENDERER=gl and OpenGL does not work.
    """
    choice = os.environ.get("UNIFIED_RENDERER", "auto").lower().strip() or "auto"
    if choice not in ("auto", "gl", "raycast"):
        raise ValueError(f"UNIFIED_RENDERER must be auto, gl or raycast, got {choice!r}.")
    if choice == "raycast":
        _announce(logging.INFO, "Pictures by ray casting (UNIFIED_RENDERER=raycast): no textures, no flexes.")
        return RayRenderer(model, supersample)
    try:
        renderer = GLRenderer(model, supersample)
    except GLUnavailableError as error:
        if choice == "gl":
            raise
        _announce(logging.WARNING, f"Pictures by ray casting, without textures ({error}).")
        return RayRenderer(model, supersample)
    _announce(logging.INFO, f"Pictures by OpenGL ({backend()}).")
    return renderer


def _announce(level: int, message: str) -> None:
    """Log a line once per process."""
    if message not in _announced:
        _announced.add(message)
        _logger.log(level, message)


class GLRenderer:
    """Draws one model with the context of the process; any number of cameras and sizes."""

    name = "gl"

    def __init__(self, model: mujoco.MjModel, supersample: int = 2):
        shared_context()
        self.model = model
        self.supersample = supersample
        self._option = mujoco.MjvOption()
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + model.nsite + model.ntendon + 100)
        self._context: mujoco.MjrContext | None = mujoco.MjrContext(
            _lean_copy(model), mujoco.mjtFontScale.mjFONTSCALE_50
        )
        self._cameras: dict[CameraView, mujoco.MjvCamera] = {}

    def render(self, data: mujoco.MjData, view: CameraView, size: int) -> UInt8[np.ndarray, " size size 3"]:
        """The picture of the scene as it is, uint8 RGB, row 0 at the top.

        Raises:
            RuntimeError: the renderer is closed.
        """
        if self._context is None:
            raise RuntimeError("This renderer is closed; make a new environment.")
        shared_context()  # another library may have activated its own context since
        drawn = size * self.supersample
        if (self._context.offWidth, self._context.offHeight) != (drawn, drawn):
            mujoco.mjr_resizeOffscreen(drawn, drawn, self._context)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        if view not in self._cameras:
            self._cameras[view] = view.to_mujoco(self.model)
        scene = self._scene
        every = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self.model, data, self._option, None, self._cameras[view], every, scene)
        scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        rect = mujoco.MjrRect(0, 0, drawn, drawn)
        mujoco.mjr_render(rect, scene, self._context)
        pixels = np.empty((drawn, drawn, 3), np.uint8)
        mujoco.mjr_readPixels(pixels, None, rect, self._context)
        # OpenGL's first row is the bottom one, so an upside-down camera needs only its columns turned.
        upright = pixels[:, ::-1] if view.flip else pixels[::-1]
        return box_average(upright, self.supersample)

    def close(self) -> None:
        """Free the buffers of this model; the process keeps its context."""
        if self._context is not None:
            shared_context()
            self._context.free()
            self._context = None


def _lean_copy(model: mujoco.MjModel) -> mujoco.MjModel:
    """The model as the graphics card should see it; the one that is simulated stays as it is."""
    lean = copy.copy(model)
    lean.vis.quality.offsamples = 0
    lean.vis.quality.shadowsize = 0
    lean.vis.global_.offwidth = lean.vis.global_.offheight = 1
    return lean


def box_average(pixels: UInt8[np.ndarray, " height width 3"], factor: int) -> UInt8[np.ndarray, " h w 3"]:
    """Shrink a picture by an integer factor, each pixel the rounded mean of its block."""
    if factor == 1:
        return np.ascontiguousarray(pixels)
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    rows = pixels.reshape(height, factor, width * factor, 3).sum(axis=1, dtype=np.uint16)
    total = rows.reshape(height, width, factor, 3).sum(axis=2, dtype=np.uint16)
    return ((total + factor * factor // 2) // (factor * factor)).astype(np.uint8)
