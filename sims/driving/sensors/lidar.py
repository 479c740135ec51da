# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""A rotating LiDAR as a range image, by ray casting; the own car does not reflect."""

from dataclasses import dataclass
from functools import cached_property

import mujoco
import numpy as np
from jaxtyping import Float32, Float64, Int32

from sims.driving.looks.builder import SEEN


@dataclass(frozen=True)
class Lidar:
    """Where it is mounted and which way its beams go.

    Attributes:
        position: metres in the vehicle frame.
        rows: beams from the highest to the lowest elevation.
        columns: directions round the vehicle; the middle of the picture is straight ahead, left is left.
        elevation_deg: of the highest and the lowest beam.
        max_range_m: beyond it nothing comes back.
    """

    position: tuple[float, float, float] = (1.4, 0.0, 1.8)
    rows: int = 16
    columns: int = 360
    elevation_deg: tuple[float, float] = (8.0, -22.0)
    max_range_m: float = 100.0

    def __post_init__(self) -> None:
        """Refuse what is no scanner.

        Raises:
            ValueError: no beams, or no range.
        """
        if self.rows < 1 or self.columns < 1 or not self.max_range_m > 0:
            raise ValueError(f"A LiDAR needs rows, columns and a range, got {self}.")

    @cached_property
    def directions(self) -> Float64[np.ndarray, " rows columns 3"]:
        """Unit vectors in the vehicle frame."""
        elevation = np.radians(np.linspace(*self.elevation_deg, self.rows))[:, None]
        azimuth = np.pi - (np.arange(self.columns) + 0.5) / self.columns * 2 * np.pi
        flat = np.cos(elevation)
        return np.stack(
            [flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation) * np.ones_like(azimuth)], axis=-1
        )

    def scan(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        vehicle_rotation: Float64[np.ndarray, " 3 3"],
        vehicle_position: Float64[np.ndarray, " 3"],
    ) -> tuple[Float32[np.ndarray, " rows columns"], Int32[np.ndarray, " rows columns"]]:
        """Range in metres (inf: nothing came back) and the geom that each beam met (-1: none)."""
        origin = vehicle_position + vehicle_rotation @ np.array(self.position)
        rays = self.directions.reshape(-1, 3) @ vehicle_rotation.T
        return cast(model, data, origin, rays, self.max_range_m, (self.rows, self.columns))


def cast(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    origin: Float64[np.ndarray, " 3"],
    rays: Float64[np.ndarray, " rays 3"],
    max_range_m: float,
    shape: tuple[int, ...],
) -> tuple[Float32[np.ndarray, " *shape"], Int32[np.ndarray, " *shape"]]:
    """Distance along unit rays and the geom met, among those that everybody sees."""
    count = len(rays)
    groups = np.zeros(mujoco.mjNGROUP, np.uint8)
    groups[SEEN] = 1
    geoms, ranges, normals = np.full(count, -1, np.int32), np.full(count, -1.0), np.zeros(3 * count)
    mujoco.mj_multiRay(
        model, data, origin, rays.ravel(), groups, 1, -1, geoms, ranges, normals, count, float(max_range_m)
    )
    is_hit = (geoms >= 0) & (ranges >= 0) & (ranges <= max_range_m)
    return (
        np.where(is_hit, ranges, np.inf).astype(np.float32).reshape(shape),
        np.where(is_hit, geoms, -1).astype(np.int32).reshape(shape),
    )
