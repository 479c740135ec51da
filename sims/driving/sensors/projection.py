"""From points in the world to pixels and back: the camera model by which pictures, truth and conditions agree."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from sims.driving.sensors.rigs import Camera

NEAR_M = 0.1  # nothing nearer is drawn
_MARGIN_PX = 4.0


@dataclass(frozen=True)
class View:
    """A pinhole camera at a place in the world, with a picture size.

    Attributes:
        rotation: columns are the camera's axes (right, down, forward) in the world.
        position: metres in the world.
        intrinsics: camera matrix in pixels.
        height, width: of the picture, pixels.
    """

    rotation: Float64[np.ndarray, " 3 3"]
    position: Float64[np.ndarray, " 3"]
    intrinsics: Float64[np.ndarray, " 3 3"]
    height: int
    width: int

    @classmethod
    def of(
        cls,
        camera: Camera,
        vehicle_rotation: Float64[np.ndarray, " 3 3"],
        vehicle_position: Float64[np.ndarray, " 3"],
        height: int,
        width: int,
    ) -> "View":
        """The view through a vehicle's camera when the vehicle frame stands so in the world."""
        return cls(
            rotation=vehicle_rotation @ camera.rotation,
            position=vehicle_position + vehicle_rotation @ np.array(camera.position),
            intrinsics=camera.intrinsics(height, width),
            height=height,
            width=width,
        )

    def to_camera(self, points: Float[np.ndarray, " n 3"]) -> Float64[np.ndarray, " n 3"]:
        """World points in camera coordinates; the third is the depth along the optical axis."""
        return (np.asarray(points, np.float64) - self.position) @ self.rotation

    def to_pixels(self, in_camera: Float64[np.ndarray, " n 3"]) -> Float64[np.ndarray, " n 2"]:
        """Column and row (continuous) of camera points with positive depth."""
        focal, centre = np.diag(self.intrinsics)[:2], self.intrinsics[:2, 2]
        return in_camera[:, :2] / in_camera[:, 2:] * focal + centre

    def project(self, points: Float[np.ndarray, " n 3"]) -> tuple[Float64[np.ndarray, " n 2"], np.ndarray]:
        """Pixels of world points, and which lie in front of the camera and inside the picture; others are NaN."""
        in_camera = self.to_camera(points)
        pixels = np.full((len(in_camera), 2), np.nan)
        is_ahead = in_camera[:, 2] > NEAR_M
        pixels[is_ahead] = self.to_pixels(in_camera[is_ahead])
        is_inside = is_ahead.copy()
        is_inside[is_ahead] = ((pixels[is_ahead] >= 0) & (pixels[is_ahead] < (self.width, self.height))).all(axis=1)
        return pixels, is_inside

    def rays(self) -> Float64[np.ndarray, " height width 3"]:
        """World directions through the pixel centres, scaled so that one is one metre of depth."""
        columns, rows = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        focal, centre = np.diag(self.intrinsics)[:2], self.intrinsics[:2, 2]
        in_camera = np.stack([(columns - centre[0]) / focal[0], (rows - centre[1]) / focal[1], np.ones_like(rows)], -1)
        return in_camera @ self.rotation.T


def clip_polygon(view: View, in_camera: Float64[np.ndarray, " n 3"]) -> Float64[np.ndarray, " m 3"]:
    """The part of a closed flat polygon in camera coordinates that lies in front of the picture; may be empty.

    A margin of a few pixels keeps the cuts out of sight.

    Source: Sutherland and Hodgman, Reentrant polygon clipping (1974).
    """
    for normal, offset in _frustum(view):
        if not len(in_camera):
            break
        inside = in_camera @ normal - offset
        following = np.roll(inside, -1)
        span = np.where(inside == following, 1.0, inside - following)
        cuts = in_camera + (inside / span)[:, None] * (np.roll(in_camera, -1, axis=0) - in_camera)
        corners = np.stack([in_camera, cuts], axis=1)
        in_camera = corners[np.stack([inside > 0, (inside > 0) != (following > 0)], axis=1)]
    return in_camera


def clip_segments(
    view: View, starts: Float64[np.ndarray, " n 3"], ends: Float64[np.ndarray, " n 3"]
) -> tuple[Float64[np.ndarray, " m 3"], Float64[np.ndarray, " m 3"]]:
    """The parts of segments in camera coordinates that lie in front of the picture; the others are gone.

    Source: Cyrus and Beck, Generalized two- and three-dimensional clipping (1978).
    """
    for normal, offset in _frustum(view):
        first, last = starts @ normal - offset, ends @ normal - offset
        is_seen = (first > 0) | (last > 0)
        starts, ends, first, last = starts[is_seen], ends[is_seen], first[is_seen], last[is_seen]
        share = (first / np.where(first == last, 1.0, first - last))[:, None]
        cut = starts + share * (ends - starts)
        starts, ends = np.where((first <= 0)[:, None], cut, starts), np.where((last <= 0)[:, None], cut, ends)
    return starts, ends


def _frustum(view: View) -> list[tuple[Float64[np.ndarray, " 3"], float]]:
    """Inward normals and offsets of the near plane and the four sides, `_MARGIN_PX` outside the picture."""
    focal = view.intrinsics[0, 0]
    x, y = (view.width / 2 + _MARGIN_PX) / focal, (view.height / 2 + _MARGIN_PX) / focal
    sides = [(1.0, 0.0, x), (-1.0, 0.0, x), (0.0, 1.0, y), (0.0, -1.0, y)]
    return [(np.array([0.0, 0.0, 1.0]), NEAR_M), *((np.array(side), 0.0) for side in sides)]
