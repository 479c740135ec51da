# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Fewer triangles for small pictures.

A Meta-World scene has 67,000 faces, most of them smaller than a pixel at 64x64, and on a CPU vertices are what a
picture costs. Only triangles are dropped and vertex indices merged, in a copy that the simulation never sees.
"""

import functools

import mujoco
import numpy as np
from jaxtyping import Int

_MIN_FACES = 500
_CELLS_PER_RADIUS = 14


def decimate(model: mujoco.MjModel, cells_per_radius: int = _CELLS_PER_RADIUS) -> None:
    """Simplify every detailed mesh of the model in place, by merging the vertices that share a grid cell.

    Source: Rossignac and Borrel, Multi-resolution 3D approximations for rendering complex scenes (1993).
    """
    for mesh in range(model.nmesh):
        count = model.mesh_facenum[mesh]
        if count < _MIN_FACES:
            continue
        rows = slice(model.mesh_faceadr[mesh], model.mesh_faceadr[mesh] + count)
        first = model.mesh_vertadr[mesh]
        vertices = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
        keep, merged = _merge(vertices.tobytes(), model.mesh_face[rows].tobytes(), cells_per_radius)
        kept = slice(rows.start, rows.start + len(keep))
        corners = model.mesh_facenormal[rows][keep]
        texture = model.mesh_facetexcoord[rows][keep]
        model.mesh_face[kept], model.mesh_facenormal[kept], model.mesh_facetexcoord[kept] = merged, corners, texture
        model.mesh_facenum[mesh] = len(keep)


@functools.lru_cache(maxsize=64)  # environments of a family share their robot
def _merge(
    vertex_bytes: bytes, face_bytes: bytes, cells_per_radius: int
) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " kept 3"]]:
    """Which faces of a mesh (float32 xyz, int32 triples) stay, and their corners after merging.

    Faces that collapse or that another one repeats go.
    """
    vertices = np.frombuffer(vertex_bytes, np.float32).reshape(-1, 3)
    faces = np.frombuffer(face_bytes, np.int32).reshape(-1, 3)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    cell = max(float(np.linalg.norm(high - low)) / 2 / cells_per_radius, 1e-9)
    grid = np.floor((vertices - low) / cell).astype(np.int64)
    width = grid.max() + 1
    _, cell_of = np.unique((grid[:, 0] * width + grid[:, 1]) * width + grid[:, 2], return_inverse=True)
    merged = _central_vertices(vertices, cell_of)[cell_of][faces]
    is_face = (merged[:, 0] != merged[:, 1]) & (merged[:, 1] != merged[:, 2]) & (merged[:, 0] != merged[:, 2])
    candidates = np.flatnonzero(is_face)
    _, first = np.unique(np.sort(merged[candidates], axis=1), axis=0, return_index=True)
    keep = candidates[np.sort(first)]
    return keep, merged[keep]


def _central_vertices(vertices: np.ndarray, cell_of: Int[np.ndarray, " vertices"]) -> Int[np.ndarray, " cells"]:
    """For each cell the vertex nearest to the mean of those in it."""
    sizes = np.bincount(cell_of)
    means = np.stack([np.bincount(cell_of, weights=vertices[:, axis]) for axis in range(3)], axis=1) / sizes[:, None]
    distance = np.linalg.norm(vertices - means[cell_of], axis=1)
    order = np.lexsort((distance, cell_of))
    _, first = np.unique(cell_of[order], return_index=True)
    return order[first]
