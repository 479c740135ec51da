"""Triangles with flat shading: the material from which roads, houses and vehicles are made. Metres."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from jaxtyping import Float, Float64, Int

CELL_M = 8.0


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles, each with its own three corners, counter-clockwise seen from outside.

    Attributes:
        corners: x, y, z.
        texture: place of each corner in a texture that repeats once per unit.
    """

    corners: Float64[np.ndarray, " triangles 3 3"]
    texture: Float64[np.ndarray, " triangles 3 2"]

    @property
    def normals(self) -> Float64[np.ndarray, " triangles 3"]:
        """Unit normals."""
        across = np.cross(self.corners[:, 1] - self.corners[:, 0], self.corners[:, 2] - self.corners[:, 0])
        return across / np.linalg.norm(across, axis=1, keepdims=True)

    def moved(self, x: float, y: float, z: float = 0.0, heading: float = 0.0) -> "Mesh":
        """Turned about the vertical, then shifted."""
        cos, sin = np.cos(heading), np.sin(heading)
        turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        return Mesh(self.corners @ turn.T + (x, y, z), self.texture)


def joined(meshes: Sequence[Mesh]) -> Mesh:
    """All triangles in one mesh."""
    return Mesh(
        np.concatenate([np.empty((0, 3, 3)), *(mesh.corners for mesh in meshes)]),
        np.concatenate([np.empty((0, 3, 2)), *(mesh.texture for mesh in meshes)]),
    )


def flat(shape: shapely.Geometry, z: float, texture_m: float = 4.0) -> Mesh:
    """A horizontal area seen from above; the texture repeats every `texture_m` metres.

    It is cut along a grid: graphics libraries compute fog at the corners of triangles, so none may be large.
    """
    triangles = [triangle for part in _cut(shape) for triangle in shapely.constrained_delaunay_triangles(part).geoms]
    corners = np.array([shapely.get_coordinates(item)[:3] for item in triangles])
    corners = corners.reshape(-1, 3, 2)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    turned = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    corners = np.where((turned < 0)[:, None, None], corners[:, ::-1], corners)[np.abs(turned) > 1e-9]
    return Mesh(np.concatenate([corners, np.full((*corners.shape[:2], 1), z)], axis=2), corners / texture_m)


def _cut(shape: shapely.Geometry) -> list[shapely.Polygon]:
    """The parts of an area in the cells of a grid."""
    if shapely.is_empty(shape):
        return []
    low_x, low_y, high_x, high_y = (np.floor(edge / CELL_M) for edge in shapely.bounds(shape))
    columns, rows = np.meshgrid(np.arange(low_x, high_x + 1), np.arange(low_y, high_y + 1))
    x, y = columns.ravel() * CELL_M, rows.ravel() * CELL_M
    cells = shapely.box(x, y, x + CELL_M, y + CELL_M)
    shapely.prepare(shape)
    cells = cells[shapely.intersects(shape, cells)]
    parts = shapely.get_parts(shapely.intersection(cells, shape))
    return [part for part in parts if isinstance(part, shapely.Polygon) and part.area > 1e-4]


def block(
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    top: tuple[float, float, float, float] | None = None,
    texture_m: float = 3.0,
) -> Mesh:
    """A box between two corners whose upper face may be another rectangle (x low, x high, y low, y high): a frustum.

    The texture runs along the sides, `texture_m` metres a repeat, and is stretched to a point on top and below.
    """
    x0, y0, z0 = low
    x1, y1, z1 = high
    a, b, c, d = top if top is not None else (x0, x1, y0, y1)
    bottom = np.array([[x0, y0, z0], [x1, y0, z0], [x1, y1, z0], [x0, y1, z0]])
    upper = np.array([[a, c, z1], [b, c, z1], [b, d, z1], [a, d, z1]])
    faces: list[Sequence[np.ndarray]] = [[bottom[3], bottom[2], bottom[1], bottom[0]], [*upper]]
    uv: list[np.ndarray] = [np.zeros((4, 2)), np.zeros((4, 2))]
    for k in range(4):
        after = (k + 1) % 4
        faces.append([bottom[k], bottom[after], upper[after], upper[k]])
        width = float(np.linalg.norm(bottom[after] - bottom[k])) / texture_m
        height = (z1 - z0) / texture_m
        uv.append(np.array([[0, 0], [width, 0], [width, height], [0, height]]))
    return _quads(np.array(faces), np.array(uv))


def prism(profile: Float[np.ndarray, " corners 2"], axis: int, low: float, high: float, top_scale: float = 1.0) -> Mesh:
    """A convex outline (counter-clockwise) drawn out along an axis (0: x, 1: y, 2: z), shrinking to `top_scale`."""
    count = len(profile)
    others = [(axis + 1) % 3, (axis + 2) % 3]
    ends = []
    for at, scale in ((low, 1.0), (high, top_scale)):
        end = np.zeros((count, 3))
        end[:, others], end[:, axis] = profile * scale, at
        ends.append(end)
    first, last = ends
    index = np.arange(count)
    after = (index + 1) % count
    sides = np.stack([first[index], first[after], last[after], last[index]], axis=1)
    fan = np.arange(1, count - 1)
    caps = [np.stack([first[np.zeros_like(fan)], first[fan + 1], first[fan]], axis=1)]
    if top_scale > 0:
        caps.append(np.stack([last[np.zeros_like(fan)], last[fan], last[fan + 1]], axis=1))
        triangles = np.concatenate([sides[:, [0, 1, 2]], sides[:, [0, 2, 3]], *caps])
    else:
        triangles = np.concatenate([sides[:, [0, 1, 2]], *caps])
    return Mesh(triangles, np.zeros((len(triangles), 3, 2)))


def regular(sides: int, radius: float) -> Float64[np.ndarray, " sides 2"]:
    """The outline of a regular polygon with corners on a circle, one of them straight down the second axis."""
    angles = np.arange(sides) * 2 * np.pi / sides - np.pi / 2
    return radius * np.column_stack([np.cos(angles), np.sin(angles)])


def ball(radii: tuple[float, float, float], z: float) -> Mesh:
    """A round body of 24 flat faces about the vertical axis, its middle at height z."""
    sides, rings = 6, [(-1.0, 0.0), (-0.5, 0.87), (0.5, 0.87), (1.0, 0.0)]
    angles = np.arange(sides) * 2 * np.pi / sides
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    levels = [np.column_stack([circle * wide, np.full(sides, high)]) for high, wide in rings]
    k, after = np.arange(sides), (np.arange(sides) + 1) % sides
    low, one, two, high = levels
    triangles = [
        np.stack([low[k], one[after], one[k]], axis=1),
        np.stack([one[k], one[after], two[after]], axis=1),
        np.stack([one[k], two[after], two[k]], axis=1),
        np.stack([two[k], two[after], high[k]], axis=1),
    ]
    corners = np.concatenate(triangles) * radii + (0, 0, z)
    return Mesh(corners, np.zeros((len(corners), 3, 2)))


def _quads(corners: Float[np.ndarray, " quads 4 3"], texture: Float[np.ndarray, " quads 4 2"]) -> Mesh:
    order: Int[np.ndarray, " 2 3"] = np.array([[0, 1, 2], [0, 2, 3]])
    return Mesh(corners[:, order].reshape(-1, 3, 3), texture[:, order].reshape(-1, 3, 2))
