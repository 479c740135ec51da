"""Several paths as padded arrays: poses of many actors, and everybody's place along every path, in a few operations."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Int

from sims.driving.map.paths import STEP_M, Path

_FAR = 1e7


class PathSet:
    """Paths of a scenario, looked up together."""

    def __init__(self, paths: Sequence[Path]):
        longest = max((len(path.points) for path in paths), default=2)
        self.count = np.array([len(path.points) for path in paths], np.int64)
        self.points = np.full((len(paths), longest, 3), _FAR)
        self.speed_mps = np.full((len(paths), longest), 0.1)
        for k, path in enumerate(paths):
            self.points[k, : len(path.points)] = path.points
            self.speed_mps[k, : len(path.points)] = path.speed_mps
        self.stop_m = np.array([path.stop_m for path in paths], np.float64)
        self.signal = [path.signal for path in paths]
        self.length_m = (self.count - 1) * STEP_M
        self._squares = (self.points[..., :2] ** 2).sum(-1)

    def at(self, path: Int[np.ndarray, " *batch"], s: Float[np.ndarray, " *batch"]) -> Float64[np.ndarray, " *batch 3"]:
        """Pose at arc length s of each path, straight on beyond its ends."""
        last = self.count[path] - 1
        position = np.clip(s / STEP_M, 0.0, last)
        index = np.minimum(position.astype(np.int64), last - 1)
        fraction = (position - index)[..., None]
        pose = (1 - fraction) * self.points[path, index] + fraction * self.points[path, index + 1]
        beyond = s - position * STEP_M
        pose[..., 0] += beyond * np.cos(pose[..., 2])
        pose[..., 1] += beyond * np.sin(pose[..., 2])
        return pose

    def limit_at(
        self, path: Int[np.ndarray, " *batch"], s: Float[np.ndarray, " *batch"]
    ) -> Float64[np.ndarray, " *batch"]:
        """How fast one drives there."""
        return self.speed_mps[path, np.clip(np.rint(s / STEP_M).astype(np.int64), 0, self.count[path] - 1)]

    def project(
        self, xy: Float[np.ndarray, " entities 2"]
    ) -> tuple[Float64[np.ndarray, " paths entities"], Float64[np.ndarray, " paths entities"], np.ndarray]:
        """For every path and entity: arc length, distance to the left, and the path's heading there."""
        squared = self._squares[:, None, :] - 2 * (xy @ self.points[..., :2].swapaxes(1, 2))
        nearest = np.argmin(squared, axis=-1)
        path = np.arange(len(self.count))[:, None] + np.zeros_like(nearest)
        s = nearest * STEP_M
        pose = self.at(path, s)
        dx, dy = xy[:, 0] - pose[..., 0], xy[:, 1] - pose[..., 1]
        cos, sin = np.cos(pose[..., 2]), np.sin(pose[..., 2])
        return s + dx * cos + dy * sin, dy * cos - dx * sin, pose[..., 2]
