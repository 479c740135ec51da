"""What went wrong so far: contacts, leaving the road, red lights. Polygons of a map are prepared once."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import shapely
from jaxtyping import Float, Float64

from sims.driving.map.lights import RED
from sims.driving.map.roads import RoadMap
from sims.driving.scores.geometry import box_corners
from sims.driving.scores.scene import HEADING, VX, VehicleParameters, X, Y

_SEAM_M = 1e-3
_STOPPED_MPS = 0.05
_BEHIND_RAD = np.deg2rad(150.0)


@lru_cache(maxsize=64)
def road_surface(road_map: RoadMap) -> shapely.Geometry:
    """Everything that may be driven on, prepared; closed over seams of a millimetre."""
    rings = [*road_map.drivable, *road_map.intersections, *road_map.carparks]
    surface = shapely.union_all([shapely.Polygon(ring) for ring in rings]).buffer(_SEAM_M)
    shapely.prepare(surface)
    return surface


@lru_cache(maxsize=256)
def signal_surfaces(road_map: RoadMap, route_lanes: frozenset[str]) -> tuple[tuple[str, shapely.Polygon], ...]:
    """Light group and prepared polygon of the connectors of a route."""
    surfaces = []
    for lane in road_map.lanes.values():
        if lane.signal is not None and lane.id in route_lanes:
            polygon = shapely.Polygon(lane.polygon)
            shapely.prepare(polygon)
            surfaces.append((lane.signal, polygon))
    return tuple(surfaces)


def ego_box(ego: Float[np.ndarray, " *batch 11"], vehicle: VehicleParameters) -> Float64[np.ndarray, " *batch 5"]:
    """Centre, heading, length and width of the ego, whose state is at the rear axle."""
    ahead = vehicle.rear_axle_to_centre_m
    box = np.empty((*ego.shape[:-1], 5))
    box[..., 0] = ego[..., X] + ahead * np.cos(ego[..., HEADING])
    box[..., 1] = ego[..., Y] + ahead * np.sin(ego[..., HEADING])
    box[..., 2] = ego[..., HEADING]
    box[..., 3], box[..., 4] = vehicle.length_m, vehicle.width_m
    return box


def is_off_road(road_map: RoadMap, box: Float[np.ndarray, " 5"]) -> bool:
    """Whether a corner of the box lies beside the road."""
    return not shapely.contains_xy(road_surface(road_map), box_corners(box)).all()


def runs_red(
    road_map: RoadMap, route_lanes: frozenset[str], box: Float[np.ndarray, " 5"], colours: Mapping[str, str]
) -> bool:
    """Whether the box touches a connector of the route whose light is red, as NAVSIM's TLC judges.

    Connectors off the route don't count: those of crossing traffic lie in the ego's way whenever its own is green.
    """
    red = [surface for name, surface in signal_surfaces(road_map, route_lanes) if colours.get(name) == RED]
    return bool(red) and bool(shapely.intersects(red, shapely.Polygon(box_corners(box))).any())


def touched(box: Float[np.ndarray, " 5"], boxes: Float[np.ndarray, " actors 5"]) -> np.ndarray:
    """Numbers of the actors whose box meets the ego's."""
    reach = 0.5 * (np.hypot(box[3], box[4]) + np.hypot(boxes[:, 3], boxes[:, 4]))
    near = np.flatnonzero(np.hypot(*(boxes[:, :2] - box[:2]).T) < reach)
    if not len(near):
        return near
    polygon = shapely.polygons(box_corners(box))
    return near[shapely.intersects(shapely.polygons(box_corners(boxes[near])), polygon)]


def is_at_fault(ego: Float[np.ndarray, " 11"], other: Float[np.ndarray, " 5"], other_speed: float) -> bool:
    """Whether a contact is the ego's doing: it moves, and was not merely hit from behind."""
    if ego[VX] <= _STOPPED_MPS:
        return False
    if other_speed <= _STOPPED_MPS:
        return True
    bearing = np.arctan2(other[1] - ego[Y], other[0] - ego[X]) - ego[HEADING]
    return bool(abs(np.angle(np.exp(1j * bearing))) <= _BEHIND_RAD)
