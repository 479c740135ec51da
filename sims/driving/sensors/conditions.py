"""Condition images: the map's lines and the road users' boxes as a camera sees them, drawn by its camera model.

They are what generators of driving video are steered with: what lies where, without how it looks. Nothing hides
anything: lines behind a car are drawn too.
"""

import numpy as np
import shapely
from jaxtyping import Float, Float64, UInt8
from PIL import Image, ImageDraw

from sims.driving.looks.builder import PAINT_Z, ROAD_Z
from sims.driving.looks.surfaces import Surfaces
from sims.driving.sensors.projection import View, clip_polygon, clip_segments
from sims.driving.traffic.actors import ActorTable

REACH_M = 120.0  # from the camera; what is further is not drawn
COLOURS: dict[str, tuple[int, int, int]] = {
    "road_edge": (120, 120, 255),
    "white_line": (255, 255, 255),
    "yellow_line": (255, 210, 0),
    "stop_line": (255, 0, 80),
    "crosswalk": (0, 160, 160),
    "car": (0, 255, 0),
    "van": (0, 200, 80),
    "truck": (0, 140, 0),
    "pedestrian": (255, 0, 255),
    "cyclist": (180, 0, 255),
    "cone": (255, 120, 0),
    "barrier": (255, 80, 40),
    "debris": (170, 110, 40),
}
# Corners of a box as signs of x, y and share of the height, and the pairs of corners that edges join.
_CORNERS = np.array([[sx, sy, z] for z in (0, 1) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))], np.float64)
_EDGES = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]])


def map_image(view: View, surfaces: Surfaces) -> UInt8[np.ndarray, " height width 3"]:
    """Paint and edges of the road on black."""
    picture = Image.new("RGB", (view.width, view.height))
    draw = ImageDraw.Draw(picture)
    near = shapely.Point(view.position[:2]).buffer(REACH_M)
    for edge in shapely.get_parts(shapely.boundary(surfaces.asphalt)):
        for part in shapely.get_parts(edge.intersection(near)):
            _draw_line(draw, view, _raised(part, ROAD_Z), COLOURS["road_edge"])
    for name, shapes in surfaces.paint.items():
        for shape in shapes:
            if shape.distance(shapely.Point(view.position[:2])) < REACH_M:
                outline = project_polygon(view, _raised(shape.exterior, PAINT_Z)[:-1])
                if len(outline):
                    corners = [tuple(point) for point in outline - 0.5]
                    draw.polygon(corners, COLOURS[name])
                    draw.line([*corners, corners[0]], COLOURS[name])  # lines thinner than a pixel are seen too
    return np.asarray(picture).copy()


def box_image(view: View, actors: ActorTable) -> UInt8[np.ndarray, " height width 3"]:
    """Wireframes of everybody's boxes on black, the nearest on top."""
    picture = Image.new("RGB", (view.width, view.height))
    draw = ImageDraw.Draw(picture)
    corners = box_corners_3d(actors)
    distance = np.hypot(actors.x - view.position[0], actors.y - view.position[1])
    for row in np.argsort(-distance):
        if actors.present[row] and distance[row] < REACH_M:
            for start, end in wireframe(view, corners[row]):
                draw.line([tuple(start - 0.5), tuple(end - 0.5)], COLOURS[actors.kind[row]])
    return np.asarray(picture).copy()


def condition_image(view: View, surfaces: Surfaces, actors: ActorTable) -> UInt8[np.ndarray, " height width 3"]:
    """Boxes over the map."""
    boxes, ground = box_image(view, actors), map_image(view, surfaces)
    return np.where(boxes.any(axis=2, keepdims=True), boxes, ground)


def box_corners_3d(actors: ActorTable) -> Float64[np.ndarray, " actors 8 3"]:
    """World corners of all boxes: four below, four above."""
    half = np.stack([actors.length / 2, actors.width / 2, actors.height], axis=-1)
    local = _CORNERS * half[:, None]
    cos, sin = np.cos(actors.heading)[:, None], np.sin(actors.heading)[:, None]
    x = actors.x[:, None] + cos * local[..., 0] - sin * local[..., 1]
    y = actors.y[:, None] + sin * local[..., 0] + cos * local[..., 1]
    return np.stack([x, y, local[..., 2]], axis=-1)


def wireframe(view: View, corners: Float64[np.ndarray, " 8 3"]) -> Float64[np.ndarray, " edges 2 2"]:
    """The edges of a box in the picture, each from column and row to column and row; those behind it are gone."""
    seen = view.to_camera(corners)
    starts, ends = clip_segments(view, seen[_EDGES[:, 0]], seen[_EDGES[:, 1]])
    return np.stack([view.to_pixels(starts), view.to_pixels(ends)], axis=1)


def project_polygon(view: View, corners: Float[np.ndarray, " n 3"]) -> Float64[np.ndarray, " m 2"]:
    """Outline of a flat shape in the picture; empty if it lies behind the camera."""
    return view.to_pixels(clip_polygon(view, view.to_camera(corners)))


def _draw_line(
    draw: ImageDraw.ImageDraw, view: View, points: Float[np.ndarray, " n 3"], colour: tuple[int, int, int]
) -> None:
    seen = view.to_camera(points)
    starts, ends = clip_segments(view, seen[:-1], seen[1:])
    for start, end in zip(view.to_pixels(starts), view.to_pixels(ends), strict=True):
        draw.line([tuple(start - 0.5), tuple(end - 0.5)], colour)


def _raised(line: shapely.Geometry, z: float) -> Float64[np.ndarray, " n 3"]:
    points = shapely.get_coordinates(line)
    return np.column_stack([points, np.full(len(points), z)])
