"""From points in the world to pixels and back: the camera model by which pictures, truth and conditions agree."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from sims.driving.rigs import Camera

NEAR_M = 0.1  # nothing nearer is drawn


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


def clip_polygon(in_camera: Float64[np.ndarray, " n 3"]) -> Float64[np.ndarray, " m 3"]:
    """The part of a closed polygon in camera coordinates that lies beyond the near plane; may be empty.

    Source: Sutherland and Hodgman, Reentrant polygon clipping (1974), one plane.
    """
    kept: list[np.ndarray] = []
    for first, second in zip(in_camera, np.roll(in_camera, -1, axis=0), strict=True):
        is_first, is_second = first[2] > NEAR_M, second[2] > NEAR_M
        if is_first:
            kept.append(first)
        if is_first != is_second:
            kept.append(first + (NEAR_M - first[2]) / (second[2] - first[2]) * (second - first))
    return np.array(kept).reshape(-1, 3)


def clip_segments(
    starts: Float64[np.ndarray, " n 3"], ends: Float64[np.ndarray, " n 3"]
) -> tuple[Float64[np.ndarray, " m 3"], Float64[np.ndarray, " m 3"]]:
    """Segments in camera coordinates cut at the near plane; those behind it are gone."""
    is_seen = (starts[:, 2] > NEAR_M) | (ends[:, 2] > NEAR_M)
    starts, ends = starts[is_seen], ends[is_seen]
    span = ends[:, 2] - starts[:, 2]
    share = (NEAR_M - starts[:, 2]) / np.where(span == 0, 1.0, span)
    cut = starts + share[:, None] * (ends - starts)
    return (
        np.where((starts[:, 2] <= NEAR_M)[:, None], cut, starts),
        np.where((ends[:, 2] <= NEAR_M)[:, None], cut, ends),
    )
