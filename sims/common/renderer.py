# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Pictures of a MuJoCo scene: OpenGL where it works, ray casting where it does not, one interface.

Shadows, multisampling and reflections are off: on a CPU they cost a factor of 18 (4096-pixel shadow maps and four
samples against a 64-pixel picture). Smoothing comes from drawing at a multiple of the size and averaging.
"""

import copy
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Protocol

import mujoco
import numpy as np
from jaxtyping import Float32, Int32, UInt8

from sims.common.camera import CameraView, Size, height_and_width
from sims.common.decimate import decimate
from sims.common.gl import GLUnavailableError, backend, shared_context
from sims.common.raycast import RayRenderer, texture_pixels

MAX_IMAGE_SIZE = 2048
MAX_COARSE_SIZE = 128  # up to here a pixel is wider than the merged triangles
_logger = logging.getLogger("sims")
_announced: set[str] = set()
_Flag = mujoco.mjtRndFlag


class Renderer(Protocol):
    """What an environment needs of a renderer."""

    name: str

    def render(self, data: mujoco.MjData, view: CameraView, size: Size) -> UInt8[np.ndarray, " height width 3"]: ...

    def measure(
        self, data: mujoco.MjData, view: CameraView, size: Size
    ) -> tuple[Float32[np.ndarray, " height width"], Int32[np.ndarray, " height width"]]: ...

    def close(self) -> None: ...


def make_renderer(
    model: mujoco.MjModel,
    supersample: int = 2,
    simplifies: bool = True,
    has_fog: bool = False,
    live_textures: Sequence[str] = (),
) -> Renderer:
    """A renderer for this model: OpenGL, or ray casting if UNIFIED_RENDERER=raycast or OpenGL does not work.

    Which one it is is logged once per process, with what to install where it is the lesser one.

    Args:
        model: what is drawn.
        supersample: pictures are drawn so many times larger and averaged; not by ray casting.
        simplifies: draw detailed meshes with fewer triangles in small pictures.
        has_fog: draw the model's fog (`vis.map.fogstart`, `fogend`, `vis.rgba.fog`); not by ray casting.
        live_textures: names of textures whose pixels (`model.tex_data`) change while the renderer lives, such as a
            monitor's picture. Every picture shows them as they are; all others are read once.
    """
    if os.environ.get("UNIFIED_RENDERER", "").lower().strip() == "raycast":
        _announce(
            logging.INFO, "Pictures by ray casting (UNIFIED_RENDERER=raycast): no textures but live ones, no flexes."
        )
        return RayRenderer(model, live_textures)
    try:
        renderer = GLRenderer(model, supersample, simplifies, has_fog, live_textures)
    except GLUnavailableError as error:
        _announce(logging.WARNING, f"Pictures by ray casting, without textures and flexes: {error}.")
        return RayRenderer(model, live_textures)
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

    def __init__(
        self,
        model: mujoco.MjModel,
        supersample: int = 2,
        simplifies: bool = True,
        has_fog: bool = False,
        live_textures: Sequence[str] = (),
    ) -> None:
        shared_context()
        self.model = model
        self.supersample = supersample
        self.simplifies = simplifies
        self.has_fog = has_fog
        self._option = mujoco.MjvOption()
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + model.nsite + model.ntendon + 100)
        self._contexts: dict[bool, mujoco.MjrContext] = {}
        self._live = {model.texture(name).id: texture_pixels(model, name) for name in live_textures}
        self._uploaded: dict[tuple[bool, int], UInt8[np.ndarray, " bytes"]] = {}
        self._cameras: dict[CameraView, mujoco.MjvCamera] = {}

    def render(self, data: mujoco.MjData, view: CameraView, size: Size) -> UInt8[np.ndarray, " height width 3"]:
        """The picture of the scene as it is, uint8 RGB, row 0 at the top."""
        height, width = height_and_width(size)
        drawn = (height * self.supersample, width * self.supersample)
        pixels = np.empty((*drawn, 3), np.uint8)
        self._draw(data, view, drawn, max(height, width) > MAX_COARSE_SIZE, {}, pixels, None)
        return box_average(_upright(pixels, view), self.supersample)

    def measure(
        self, data: mujoco.MjData, view: CameraView, size: Size
    ) -> tuple[Float32[np.ndarray, " height width"], Int32[np.ndarray, " height width"]]:
        """What each pixel's centre shows: depth along the optical axis in metres (inf: nothing), geom id (or -1)."""
        shape = height_and_width(size)
        colours, nearness = np.empty((*shape, 3), np.uint8), np.empty(shape, np.float32)
        flags = {_Flag.mjRND_SEGMENT: 1, _Flag.mjRND_IDCOLOR: 1, _Flag.mjRND_FOG: 0}
        self._draw(data, view, shape, True, flags, colours, nearness)
        number = colours.astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)  # 0 is the background
        geoms = np.full(len(self._scene.geoms) + 1, -1, np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                geoms[geom.segid + 1] = geom.objid
        shown = geoms[number]
        near, far = (
            float(edge) * self.model.stat.extent for edge in (self.model.vis.map.znear, self.model.vis.map.zfar)
        )
        depth = (far * near / (nearness.astype(np.float64) * (far - near) + near)).astype(np.float32)
        depth[shown < 0] = np.inf
        return _upright(depth, view).copy(), _upright(shown, view).copy()

    def _draw(
        self,
        data: mujoco.MjData,
        view: CameraView,
        size: tuple[int, int],
        is_detailed: bool,
        flags: Mapping[mujoco.mjtRndFlag, int],
        pixels: UInt8[np.ndarray, " height width 3"],
        nearness: Float32[np.ndarray, " height width"] | None,
    ) -> None:
        """Draw with further flags and read colours and depth (1 near, 0 far), the bottom row first."""
        shared_context()  # another library may have activated its own context since
        context = self._activated(is_detailed or not self.simplifies, size)
        if view not in self._cameras:
            self._cameras[view] = view.to_mujoco(self.model)
        scene, every = self._scene, mujoco.mjtCatBit.mjCAT_ALL
        with view.applied(self.model, self._option):
            mujoco.mjv_updateScene(self.model, data, self._option, None, self._cameras[view], every, scene)
        off = {_Flag.mjRND_SHADOW: 0, _Flag.mjRND_REFLECTION: 0, _Flag.mjRND_SEGMENT: 0, _Flag.mjRND_IDCOLOR: 0}
        for flag, value in {**off, _Flag.mjRND_FOG: int(self.has_fog), **flags}.items():
            scene.flags[flag] = value
        rect = mujoco.MjrRect(0, 0, size[1], size[0])
        mujoco.mjr_render(rect, scene, context)
        mujoco.mjr_readPixels(pixels, nearness, rect, context)

    def close(self) -> None:
        """Free the buffers of this model; the process keeps its context, and drawing again makes new ones."""
        if self._contexts:
            shared_context()
        self._uploaded.clear()
        while self._contexts:
            self._contexts.popitem()[1].free()

    def _activated(self, is_detailed: bool, size: tuple[int, int]) -> mujoco.MjrContext:
        """The uploaded model with all or few triangles, made on first use, with its buffer at this size."""
        if is_detailed not in self._contexts:
            lean = _lean_copy(self.model)
            if not is_detailed:
                decimate(lean)
            self._contexts[is_detailed] = mujoco.MjrContext(lean, mujoco.mjtFontScale.mjFONTSCALE_50)
            self._contexts[is_detailed].readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        context = self._contexts[is_detailed]
        if (context.offHeight, context.offWidth) != size:
            mujoco.mjr_resizeOffscreen(size[1], size[0], context)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
        self._refresh_textures(is_detailed, context)
        return context

    def _refresh_textures(self, is_detailed: bool, context: mujoco.MjrContext) -> None:
        """Upload the live textures that have changed since this context saw them."""
        for texture, pixels in self._live.items():
            known = self._uploaded.get((is_detailed, texture))
            if known is None or not np.array_equal(known, pixels):
                mujoco.mjr_uploadTexture(self.model, context, texture)
                self._uploaded[is_detailed, texture] = pixels.copy()


def _lean_copy(model: mujoco.MjModel) -> mujoco.MjModel:
    """The model as the graphics card should see it; the one that is simulated stays as it is."""
    lean = copy.copy(model)
    lean.vis.quality.offsamples = 0
    lean.vis.quality.shadowsize = 0
    lean.vis.global_.offwidth = lean.vis.global_.offheight = 1
    return lean


def _upright(rows: np.ndarray, view: CameraView) -> np.ndarray:
    """OpenGL's first row is the bottom one, so an upside-down camera needs only its columns turned."""
    return rows[:, ::-1] if view.flip else rows[::-1]


def box_average(pixels: UInt8[np.ndarray, " height width 3"], factor: int) -> UInt8[np.ndarray, " h w 3"]:
    """Shrink a picture by an integer factor, each pixel the rounded mean of its block."""
    if factor == 1:
        return np.ascontiguousarray(pixels)
    import cv2  # not at start-up: it takes time and marks the environment

    shape = pixels.shape[1] // factor, pixels.shape[0] // factor
    return np.asarray(cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA), np.uint8)
