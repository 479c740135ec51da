# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Pictures without a graphics library: one ray per pixel through MuJoCo's own collision geometry.

Shapes, colours, lambert shading and the markers (sites) are there; textures are replaced by their mean colour, except
live ones on planes (a monitor), and flexes are not seen (`mj_multiRay` does not know them).
"""

from collections.abc import Sequence

import mujoco
import numpy as np
from jaxtyping import Float, Float32, Int, Int32, UInt8

from sims.common.camera import CameraView, Size, height_and_width

_AMBIENT = 0.6
_UNSET_RGBA = (0.5, 0.5, 0.5, 1.0)  # MJCF's default, which gives way to the material's colour


class RayRenderer:
    """Same interface as the OpenGL renderer; about 5 ms for a 64-pixel picture of a Meta-World scene."""

    name = "raycast"

    def __init__(self, model: mujoco.MjModel, live_textures: Sequence[str] = ()):
        self.model = model
        self._option = mujoco.MjvOption()
        self._scene = mujoco.MjvScene(model, maxgeom=0)
        self._paint = np.empty(0)
        self._colours = np.empty((0, 3))
        self._live_geoms = _live_planes(model, live_textures)
        visible = (model.site_rgba[:, 3] > 0) & (self._option.sitegroup[model.site_group] > 0)
        self._sites = np.flatnonzero(visible)
        self._cameras: dict[CameraView, mujoco.MjvCamera] = {}

    def render(self, data: mujoco.MjData, view: CameraView, size: Size) -> UInt8[np.ndarray, " height width 3"]:
        """The picture of the scene as it is, uint8 RGB, row 0 at the top."""
        height, width = height_and_width(size)
        origin, rays, _ = self._rays(data, view, height, width)
        geom, depth, normal = self._cast(data, view, origin, rays)
        self._refresh_colours()
        colour = self._colours[geom]
        self._texture_planes(data, origin, rays, geom, depth, colour)
        towards_eye = -np.einsum("ij,ij->i", normal, rays)
        lambert = _AMBIENT + (1 - _AMBIENT) * np.clip(0.5 * towards_eye + 0.5 * normal[:, 2], 0, 1)
        colour = colour * np.where(geom >= 0, lambert, 1.0)[:, None]
        self._draw_sites(data, origin, rays, depth, colour)
        picture = (np.clip(colour, 0, 1) * 255).astype(np.uint8).reshape(height, width, 3)
        return np.ascontiguousarray(picture[::-1, ::-1]) if view.flip else picture

    def measure(
        self, data: mujoco.MjData, view: CameraView, size: Size
    ) -> tuple[Float32[np.ndarray, " height width"], Int32[np.ndarray, " height width"]]:
        """What each pixel's centre shows: depth along the optical axis in metres (inf: nothing), geom id (or -1)."""
        shape = height_and_width(size)
        origin, rays, forward = self._rays(data, view, *shape)
        geom, distance, _ = self._cast(data, view, origin, rays)
        depth = (distance * (rays @ forward)).astype(np.float32).reshape(shape)
        geom = geom.reshape(shape)
        return (depth[::-1, ::-1].copy(), geom[::-1, ::-1].copy()) if view.flip else (depth, geom)

    def close(self) -> None:
        """Nothing to free."""

    def _refresh_colours(self) -> None:
        """Read the colours again if an episode has painted the scene anew."""
        paint = np.concatenate([self.model.geom_rgba.ravel(), self.model.mat_rgba.ravel()])
        if not np.array_equal(paint, self._paint):
            self._paint = paint
            self._colours = np.vstack([_geom_colours(self.model), _sky_colour(self.model)])  # the last answers geom -1

    def _texture_planes(
        self,
        data: mujoco.MjData,
        origin: Float[np.ndarray, " 3"],
        rays: Float[np.ndarray, " rays 3"],
        geom: Int[np.ndarray, " rays"],
        depth: Float[np.ndarray, " rays"],
        colour: Float[np.ndarray, " rays 3"],
    ) -> None:
        """Give rays that meet a plane with a live texture the pixel that is there."""
        for plane, pixels in self._live_geoms.items():
            hit = np.flatnonzero(geom == plane)
            local = origin + rays[hit] * depth[hit, None] - data.geom_xpos[plane]
            across, up = (local @ data.geom_xmat[plane].reshape(3, 3)[:, :2] / self.model.geom_size[plane, :2]).T
            height, width = pixels.shape[:2]
            column = np.clip((across + 1) / 2 * width, 0, width - 1).astype(int)
            row = np.clip((1 - up) / 2 * height, 0, height - 1).astype(int)
            colour[hit] = pixels[row, column] / 255

    def _rays(
        self, data: mujoco.MjData, view: CameraView, height: int, width: int
    ) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " rays 3"], Float[np.ndarray, " 3"]]:
        """Eye point, unit directions of all pixels (rows from the top), optical axis; for every type of camera."""
        if view not in self._cameras:
            self._cameras[view] = view.to_mujoco(self.model)
        with view.applied(self.model, self._option):
            mujoco.mjv_updateScene(self.model, data, self._option, None, self._cameras[view], 0, self._scene)
        eye = self._scene.camera[0]
        forward, up = np.array(eye.forward, np.float64), np.array(eye.up, np.float64)
        right = np.cross(forward, up)
        top = float(eye.frustum_top) / float(eye.frustum_near)
        columns, rows = (np.arange(width) + 0.5) * 2 - width, (np.arange(height) + 0.5) * 2 - height
        x, y = np.meshgrid(columns / height * top, -rows / height * top)
        rays = forward + x.reshape(-1, 1) * right + y.reshape(-1, 1) * up
        middle = (np.array(eye.pos, np.float64) + np.array(self._scene.camera[1].pos, np.float64)) / 2
        return middle, rays / np.linalg.norm(rays, axis=1, keepdims=True), forward

    def _cast(
        self, data: mujoco.MjData, view: CameraView, origin: Float[np.ndarray, " 3"], rays: Float[np.ndarray, " rays 3"]
    ) -> tuple[Int[np.ndarray, " rays"], Float[np.ndarray, " rays"], Float[np.ndarray, " rays 3"]]:
        """Geom id (-1: none), distance in metres (inf: none) and surface normal each ray meets first."""
        count = len(rays)
        geom, depth = np.full(count, -1, np.int32), np.full(count, -1.0)
        normal = np.zeros(count * 3)
        groups = np.array(self._option.geomgroup, np.uint8)
        groups[list(view.hidden_groups)] = 0
        mujoco.mj_multiRay(
            self.model, data, origin, rays.reshape(-1), groups, 1, -1, geom, depth, normal, count, mujoco.mjMAXVAL
        )
        return geom, np.where(geom >= 0, depth, np.inf), normal.reshape(-1, 3)

    def _draw_sites(
        self,
        data: mujoco.MjData,
        origin: Float[np.ndarray, " 3"],
        rays: Float[np.ndarray, " rays 3"],
        depth: Float[np.ndarray, " rays"],
        colour: Float[np.ndarray, " rays 3"],
    ) -> None:
        """Blend each visible site over `colour` as a ball of its size; rays do not meet sites, and goals are sites."""
        for site in self._sites:
            centre = data.site_xpos[site] - origin
            along = rays @ centre
            miss = np.sum(centre**2) - along**2
            radius = float(self.model.site_size[site, 0])
            entry = along - np.sqrt(np.maximum(radius**2 - miss, 0))
            seen = (miss < radius**2) & (entry > 0) & (entry < depth)
            red, green, blue, alpha = self.model.site_rgba[site]
            colour[seen] = (1 - alpha) * colour[seen] + alpha * np.array([red, green, blue])


def _geom_colours(model: mujoco.MjModel) -> Float[np.ndarray, " geoms 3"]:
    """Each geom's own colour, or its material's if it has none, times the mean of its texture."""
    colours = np.array(model.geom_rgba[:, :3], np.float64)
    for geom in np.flatnonzero(model.geom_matid >= 0):
        material = model.geom_matid[geom]
        if np.allclose(model.geom_rgba[geom], _UNSET_RGBA):
            colours[geom] = model.mat_rgba[material, :3]
        texture = model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB]
        if texture >= 0:
            colours[geom] *= _mean_texture(model, texture)
    return colours


def _sky_colour(model: mujoco.MjModel) -> Float[np.ndarray, " 3"]:
    """Mean colour of the sky box; black without one, as OpenGL leaves it."""
    skies = np.flatnonzero(model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX)
    return _mean_texture(model, int(skies[0])) if len(skies) else np.zeros(3)


def _live_planes(model: mujoco.MjModel, live_textures: Sequence[str]) -> dict[int, UInt8[np.ndarray, " h w 3"]]:
    """The planes that show live textures, with views of the pixels.

    Raises:
        ValueError: a live texture is on something else than a plane, which rays cannot map.
    """
    found = {}
    for name in live_textures:
        texture = model.texture(name).id
        materials = np.flatnonzero(model.mat_texid[:, mujoco.mjtTextureRole.mjTEXROLE_RGB] == texture)
        for geom in np.flatnonzero(np.isin(model.geom_matid, materials)):
            if model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_PLANE:
                raise ValueError(f"Ray casting shows live textures on planes only; {name!r} is on geom {geom}.")
            shape = (model.tex_height[texture], model.tex_width[texture], 3)
            found[int(geom)] = texture_pixels(model, name).reshape(shape)
    return found


def texture_pixels(model: mujoco.MjModel, name: str) -> UInt8[np.ndarray, " bytes"]:
    """The pixels of a texture as a view into the model: writing here changes what is drawn."""
    texture = model.texture(name).id
    start = model.tex_adr[texture]
    count = model.tex_height[texture] * model.tex_width[texture] * model.tex_nchannel[texture]
    return model.tex_data[start : start + count]


def _mean_texture(model: mujoco.MjModel, texture: int) -> Float[np.ndarray, " 3"]:
    """Mean colour of a texture in [0, 1]."""
    start, channels = model.tex_adr[texture], model.tex_nchannel[texture]
    count = model.tex_height[texture] * model.tex_width[texture]
    pixels = model.tex_data[start : start + count * channels].reshape(count, channels)
    return pixels[:, :3].mean(axis=0) / 255 if channels >= 3 else np.full(3, pixels.mean() / 255)
