"""What the geometry of a rope or a cloth says about success: pure functions of points, in metres."""

import numpy as np
from jaxtyping import Bool, Float, Int


def covered(
    points: Float[np.ndarray, " points 2"],
    vertices: Float[np.ndarray, " vertices 2"],
    triangles: Int[np.ndarray, " triangles 3"],
) -> Bool[np.ndarray, " points"]:
    """Which points lie under the union of triangles, seen from above; triangles of any orientation, none of area 0."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    area = _cross(b - a, c - a)
    solid = np.abs(area) > 1e-12
    a, b, c, area = a[solid], b[solid], c[solid], area[solid]
    offset = points[:, None] - a
    beta, gamma = _cross(offset, c - a) / area, _cross(b - a, offset) / area
    slack = -1e-9  # a point on a shared edge belongs to both
    return np.any((beta >= slack) & (gamma >= slack) & (beta + gamma <= 1 - slack), axis=1)


def covered_area(
    vertices: Float[np.ndarray, " vertices 2"], triangles: Int[np.ndarray, " triangles 3"], cell: float = 0.004
) -> float:
    """Area of the union of triangles seen from above, square metres, by counting cells of this width.

    A cell counts if its centre is covered. Row by row of cells: every triangle covers one stretch of a row.
    """
    points = vertices / cell
    low = np.floor(points.min(axis=0))
    counts = (np.ceil(points.max(axis=0)) - low).astype(int)
    corners = (points - low - 0.5)[triangles]  # the centre of cell (i, j) is at (i, j)
    rows = np.arange(counts[1])
    start, end = corners, np.roll(corners, -1, axis=1)  # edges: triangles, 3, (x, y)
    rise = (end - start)[..., 1]
    share = (rows - start[..., 1, None]) / np.where(rise == 0, 1.0, rise)[..., None]
    is_met = (share >= 0) & (share <= 1) & (rise != 0)[..., None]
    crossing = start[..., 0, None] + share * (end - start)[..., 0, None]
    left = np.ceil(np.where(is_met, crossing, np.inf).min(axis=1) - 1e-6)
    right = np.floor(np.where(is_met, crossing, -np.inf).max(axis=1) + 1e-6)
    triangle, row = np.nonzero(left <= right)
    steps = np.zeros((counts[1], counts[0] + 1), int)
    np.add.at(steps, (row, left[triangle, row].astype(int)), 1)
    np.add.at(steps, (row, right[triangle, row].astype(int) + 1), -1)
    return float((np.cumsum(steps, axis=1) > 0).sum() * cell * cell)


def distance_to_polyline(
    points: Float[np.ndarray, " points dim"], polyline: Float[np.ndarray, " corners dim"]
) -> Float[np.ndarray, " points"]:
    """Distance of every point to the nearest place on a polyline."""
    start, along = polyline[:-1], np.diff(polyline, axis=0)
    offset = points[:, None] - start
    share = (offset * along).sum(-1) / np.maximum((along * along).sum(-1), 1e-18)
    nearest = start + np.clip(share, 0, 1)[..., None] * along
    return np.linalg.norm(points[:, None] - nearest, axis=-1).min(axis=1)


def distance_between_polylines(
    first: Float[np.ndarray, " first dim"], second: Float[np.ndarray, " second dim"]
) -> tuple[float, float]:
    """Mean and largest distance between two lines, counted both ways so that neither may be partly left out."""
    there = distance_to_polyline(resampled(first, 40), second)
    back = distance_to_polyline(resampled(second, 40), first)
    return float((there.mean() + back.mean()) / 2), float(max(there.max(), back.max()))


def resampled(polyline: Float[np.ndarray, " corners dim"], count: int) -> Float[np.ndarray, " count dim"]:
    """Points at equal arc lengths along a polyline, both ends included."""
    arc = arc_lengths(polyline)
    wanted = np.linspace(0, arc[-1], count)
    return np.stack([np.interp(wanted, arc, polyline[:, k]) for k in range(polyline.shape[1])], axis=1)


def arc_lengths(polyline: Float[np.ndarray, " corners dim"]) -> Float[np.ndarray, " corners"]:
    """Length of the line up to each corner."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(polyline, axis=0), axis=1))])


def straightness(polyline: Float[np.ndarray, " corners dim"]) -> tuple[float, float]:
    """Distance of the ends as a share of the length (1 = straight), and the largest distance to their chord."""
    length = arc_lengths(polyline)[-1]
    chord = float(np.linalg.norm(polyline[-1] - polyline[0]))
    return chord / float(length), float(distance_to_polyline(polyline, polyline[[0, -1]]).max())


def fold_error(vertices: Float[np.ndarray, " vertices 3"], pairs: Int[np.ndarray, " pairs 2"]) -> float:
    """Mean horizontal distance of the vertices that a fold should bring together."""
    gaps = vertices[pairs[:, 0], :2] - vertices[pairs[:, 1], :2]
    return float(np.linalg.norm(gaps, axis=1).mean())


def signed_crossings(
    polyline: Float[np.ndarray, " corners 3"],
    centre: Float[np.ndarray, " 3"],
    normal: Float[np.ndarray, " 3"],
    radius: float,
) -> int:
    """How often a line goes through a disc, passages along the normal counted +1 and against it -1."""
    height = (polyline - centre) @ normal
    side = height >= 0
    total = 0
    for k in np.flatnonzero(side[1:] != side[:-1]):
        share = height[k] / (height[k] - height[k + 1])
        hit = polyline[k] + share * (polyline[k + 1] - polyline[k])
        if np.linalg.norm(hit - centre) < radius:
            total += 1 if side[k + 1] else -1
    return total


def length_past_plane(
    polyline: Float[np.ndarray, " corners 3"], centre: Float[np.ndarray, " 3"], normal: Float[np.ndarray, " 3"]
) -> float:
    """Length of the part of a line on the negative side of a plane."""
    dense = resampled(polyline, 200)
    return float(arc_lengths(polyline)[-1] * ((dense - centre) @ normal < 0).mean())


def _cross(u: Float[np.ndarray, " *rows 2"], v: Float[np.ndarray, " *more 2"]) -> Float[np.ndarray, " *both"]:
    """Third component of the cross product of plane vectors."""
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def rigid_fit(
    template: Float[np.ndarray, " points 2"], seen: Float[np.ndarray, " points 2"], counts: Bool[np.ndarray, " points"]
) -> Float[np.ndarray, " points 2"]:
    """The template moved and turned onto those seen points that count, by least squares.

    Source: Umeyama, "Least-squares estimation of transformation parameters" (1991), without scale.
    """
    if counts.sum() < 3:
        counts = np.ones_like(counts)
    middle, goal = template[counts].mean(axis=0), seen[counts].mean(axis=0)
    left, _, right = np.linalg.svd((template[counts] - middle).T @ (seen[counts] - goal))
    left[:, 1] *= np.sign(np.linalg.det(left @ right))  # no mirror image
    return (template - middle) @ (left @ right) + goal
