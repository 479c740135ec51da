"""Camera rigs of a vehicle as data: where each camera sits, where it looks and how wide it sees.

Vehicle frame: origin on the ground under the rear axle, x forward, y left, z up. Camera frame: x right, y down, z along
the optical axis (OpenCV). Cameras are ideal pinholes with square pixels and the principal point in the middle of the
picture; a picture of another shape keeps the horizontal field of view and changes the vertical one. The own vehicle is
not drawn in its cameras.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from sims.common.errors import unknown_name


@dataclass(frozen=True)
class Camera:
    """One pinhole camera of a vehicle.

    Attributes:
        name: its key in the observation.
        position: metres in the vehicle frame.
        yaw_deg: where it looks, counter-clockwise from straight ahead.
        pitch_deg: positive looks up.
        fov_deg: horizontal field of view.
        resolution: native height and width in pixels, the default of depth, segmentation and condition images.
    """

    name: str
    position: tuple[float, float, float]
    yaw_deg: float
    pitch_deg: float
    fov_deg: float
    resolution: tuple[int, int] = (128, 256)

    @cached_property
    def rotation(self) -> Float64[np.ndarray, " 3 3"]:
        """Columns: the camera's x, y and z axes in the vehicle frame."""
        yaw, pitch = np.radians((self.yaw_deg, self.pitch_deg))
        forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
        right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
        return np.stack([right, np.cross(forward, right), forward], axis=1)

    @property
    def extrinsics(self) -> Float64[np.ndarray, " 4 4"]:
        """Homogeneous transform from camera to vehicle coordinates."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.rotation, self.position
        return matrix

    def focal_px(self, width: int) -> float:
        """Focal length in pixels of a picture so wide."""
        return width / 2 / float(np.tan(np.radians(self.fov_deg) / 2))

    def intrinsics(self, height: int, width: int) -> Float64[np.ndarray, " 3 3"]:
        """Camera matrix; pixel (row r, column c) covers [c, c + 1) x [r, r + 1), so centres lie at halves."""
        focal = self.focal_px(width)
        return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])

    def vertical_fov_deg(self, height: int, width: int) -> float:
        """The vertical field of view of a picture of this shape, degrees."""
        return float(np.degrees(2 * np.arctan(height / 2 / self.focal_px(width))))


_WIDE, _TELE = (176, 256), (96, 256)

_FRONT = Camera("front", (1.7, 0.0, 1.55), 0.0, -4.0, 70.0)

# Yaw angles and fields of view of nuScenes' six cameras.
_SURROUND6 = (
    _FRONT,
    Camera("front_left", (1.5, 0.5, 1.55), 55.0, -4.0, 70.0),
    Camera("front_right", (1.5, -0.5, 1.55), -55.0, -4.0, 70.0),
    Camera("back_left", (1.0, 0.5, 1.55), 110.0, -4.0, 70.0),
    Camera("back_right", (1.0, -0.5, 1.55), -110.0, -4.0, 70.0),
    Camera("back", (0.0, 0.0, 1.55), 180.0, -4.0, 110.0, _WIDE),
)

# The names and fields of view of NVIDIA's Physical AI data set: 120 degrees in front and to the sides, 70 obliquely
# behind, two telephoto cameras.
_SURROUND7 = (
    Camera("front_wide", (1.7, 0.0, 1.55), 0.0, -4.0, 120.0, _WIDE),
    Camera("front_tele", (1.7, 0.0, 1.55), 0.0, -1.0, 30.0, _TELE),
    Camera("cross_left", (2.2, 1.1, 1.1), 85.0, -6.0, 120.0, _WIDE),
    Camera("cross_right", (2.2, -1.1, 1.1), -85.0, -6.0, 120.0, _WIDE),
    Camera("rear_left", (1.8, 1.1, 1.1), 152.0, -4.0, 75.0),
    Camera("rear_right", (1.8, -1.1, 1.1), -152.0, -4.0, 75.0),
    Camera("rear_tele", (-1.0, 0.0, 1.2), 180.0, -1.0, 30.0, _TELE),
)

# Four cameras that look down at the surroundings of the vehicle; 110 degrees because a pinhole cannot show a fisheye's.
_NEAR = (
    Camera("near_front", (4.0, 0.0, 0.8), 0.0, -30.0, 110.0, _WIDE),
    Camera("near_left", (1.9, 1.15, 1.05), 90.0, -30.0, 110.0, _WIDE),
    Camera("near_right", (1.9, -1.15, 1.05), -90.0, -30.0, 110.0, _WIDE),
    Camera("near_rear", (-1.1, 0.0, 0.95), 180.0, -30.0, 110.0, _WIDE),
)

RIGS: dict[str, tuple[Camera, ...]] = {
    "front1": (_FRONT,),
    "front3": (
        _FRONT,
        Camera("front_left", (1.5, 0.5, 1.55), 50.0, -4.0, 70.0),
        Camera("front_right", (1.5, -0.5, 1.55), -50.0, -4.0, 70.0),
    ),
    "surround6": _SURROUND6,
    "surround7": _SURROUND7,
    "surround11": (*_SURROUND7, *_NEAR),
}


def rig(name: str) -> tuple[Camera, ...]:
    """The cameras of a rig.

    Raises:
        ValueError: there is no such rig.
    """
    if name not in RIGS:
        raise unknown_name("camera rig", name, RIGS)
    return RIGS[name]
