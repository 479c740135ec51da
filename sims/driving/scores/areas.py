"""Where the ego is at each step: in several lanes, off the road, off the route, in an intersection.

Source: NAVSIM, `PDMScorer._calculate_ego_area`. A point exactly on a border lies in neither polygon, so a corner on
the line between two roadblocks is off the road unless a third polygon covers it.
"""

from dataclasses import dataclass

import numpy as np
import shapely
from jaxtyping import Bool, Float64

from sims.driving.scores.geometry import shifted
from sims.driving.scores.scene import HEADING, ScoredMap, VehicleParameters


@dataclass(frozen=True, eq=False)
class Footprint:
    """The ego's box over time.

    Attributes:
        corners: front left, rear left, rear right, front right.
        polygons: (proposals, time) shapely polygons of these corners, in this order.
    """

    centre: Float64[np.ndarray, " proposals time 2"]
    corners: Float64[np.ndarray, " proposals time 4 2"]
    polygons: np.ndarray


@dataclass(frozen=True, eq=False)
class EgoAreas:
    """Flags per proposal and step.

    Attributes:
        multiple_lanes: more than one lane or connector holds a corner, and none holds all four.
        non_drivable: a corner is in no drivable polygon.
        off_route: the centre is in no lane or connector of the route.
        centre_in_intersection, rear_in_intersection: the centre, or the middle of the rear axle, is in an intersection.
    """

    multiple_lanes: Bool[np.ndarray, " proposals time"]
    non_drivable: Bool[np.ndarray, " proposals time"]
    off_route: Bool[np.ndarray, " proposals time"]
    centre_in_intersection: Bool[np.ndarray, " proposals time"]
    rear_in_intersection: Bool[np.ndarray, " proposals time"]


def footprint(states: Float64[np.ndarray, " proposals time 11"], vehicle: VehicleParameters) -> Footprint:
    """The ego's box from states at the rear axle."""
    heading = states[..., HEADING]
    ahead = vehicle.rear_axle_to_centre_m
    centre = states[..., :2] + np.stack([ahead * np.cos(heading), ahead * np.sin(heading)], axis=-1)
    half_length, half_width = vehicle.length_m / 2.0, vehicle.width_m / 2.0
    corners = np.stack(
        [
            shifted(centre, heading, half_length, half_width),
            shifted(centre, heading, -half_length, half_width),
            shifted(centre, heading, -half_length, -half_width),
            shifted(centre, heading, half_length, -half_width),
        ],
        axis=-2,
    )
    return Footprint(centre, corners, np.asarray(shapely.polygons(corners)))


def ego_areas(states: Float64[np.ndarray, " proposals time 11"], place: Footprint, road: ScoredMap) -> EgoAreas:
    """Judge every step of every proposal at once."""
    points = np.concatenate([place.corners, place.centre[..., None, :]], axis=-2)
    in_lanes = inside(road.lane_polygons, points)  # (lanes, proposals, time, 5)
    corners_in_lane = in_lanes[..., :4].sum(axis=-1)
    in_drivable = np.asarray(inside(road.drivable_polygons, place.corners).any(axis=0))
    return EgoAreas(
        multiple_lanes=((corners_in_lane > 0).sum(axis=0) > 1) & np.asarray((corners_in_lane != 4).all(axis=0)),
        non_drivable=np.asarray(~in_drivable.all(axis=-1)),
        off_route=np.asarray(~in_lanes[road.on_route, ..., 4].any(axis=0)),
        centre_in_intersection=np.asarray(inside(road.intersection_polygons, place.centre).any(axis=0)),
        rear_in_intersection=np.asarray(inside(road.intersection_polygons, states[..., :2]).any(axis=0)),
    )


def inside(polygons: np.ndarray, points: Float64[np.ndarray, " *batch 2"]) -> np.ndarray:
    """(polygons, *batch) flags: the point is strictly inside. Only points within a polygon's bounds are asked."""
    flags = np.zeros((len(polygons), *points.shape[:-1]), bool)
    if not len(polygons):
        return flags
    x, y = points[..., 0].ravel(), points[..., 1].ravel()
    left, bottom, right, top = (bound[:, None] for bound in shapely.bounds(polygons).T)
    polygon, point = np.nonzero((left <= x) & (x <= right) & (bottom <= y) & (y <= top))
    flags.reshape(len(polygons), -1)[polygon, point] = shapely.contains_xy(polygons[polygon], x[point], y[point])
    return flags
