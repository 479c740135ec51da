"""What is painted on a road map: asphalt, lane markings, stop lines, zebra stripes, as shapes on the ground.

The same shapes become triangles of the scene and outlines of the condition images, so that both agree to the pixel.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
import shapely.ops
from jaxtyping import Float, Float64

from sims.driving.map.roads import Lane, RoadMap

LINE_WIDTH_M = 0.15
DASH_M, DASH_GAP_M = 3.0, 6.0
STOP_LINE_M = 0.4
STRIPE_M = 0.5
SIDEWALK_M = 2.5
_STRAIGHT_M = 0.01  # a polyline may be so far from the lane's own points


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Shapes on the ground of one road map, metres."""

    road_map: RoadMap

    @cached_property
    def asphalt(self) -> shapely.Geometry:
        """Everything that a car may touch."""
        return shapely.union_all([_polygon(part) for part in self.road_map.drivable]).simplify(_STRAIGHT_M)

    @cached_property
    def carparks(self) -> shapely.Geometry:
        """Parking areas, which are part of the asphalt."""
        return shapely.union_all([_polygon(part) for part in self.road_map.carparks])

    @cached_property
    def sidewalks(self) -> shapely.Geometry:
        """A strip along every road."""
        wide = shapely.buffer(self.asphalt, SIDEWALK_M, join_style="mitre", mitre_limit=1.5)
        return wide.difference(self.asphalt).simplify(_STRAIGHT_M)

    @cached_property
    def white(self) -> list[shapely.Polygon]:
        """White lane markings."""
        return self._lines(is_yellow=False)

    @cached_property
    def yellow(self) -> list[shapely.Polygon]:
        """Yellow lane markings: the left border of a carriageway."""
        return self._lines(is_yellow=True)

    @cached_property
    def stop_lines(self) -> list[shapely.Polygon]:
        """A bar across every lane that ends at a light."""
        lanes = self.road_map.lanes
        waiting = [lane for lane in lanes.values() if any(lanes[name].signal for name in lane.successors)]
        return [_stop_line(lane) for lane in waiting]

    @cached_property
    def zebras(self) -> list[shapely.Polygon]:
        """The stripes of the crosswalks."""
        stripes = [_stripes(_polygon(crosswalk)) for crosswalk in self.road_map.crosswalks]
        return [stripe for crosswalk in stripes for stripe in crosswalk]

    @cached_property
    def paint(self) -> dict[str, list[shapely.Polygon]]:
        """All paint by class, the names used in truth and conditions."""
        return {
            "white_line": self.white,
            "yellow_line": self.yellow,
            "stop_line": self.stop_lines,
            "crosswalk": self.zebras,
        }

    @cached_property
    def _borders(self) -> list[tuple[Float64[np.ndarray, " points 2"], bool, bool]]:
        """Every painted border once, though two lanes share it: the line, is it dashed, is it yellow."""
        found, drawn = [], list[shapely.LineString]()
        for lane in self.road_map.lanes.values():
            sides = (
                (lane.left_edge, lane.left_marking, lane.left is None and not lane.is_connector),
                (lane.right_edge, lane.right_marking, False),
            )
            for edge, marking, is_yellow in sides:
                middle = shapely.Point(edge[len(edge) // 2])
                if marking != "none" and all(middle.distance(line) > LINE_WIDTH_M for line in drawn):
                    drawn.append(shapely.LineString(edge))
                    found.append((edge, marking == "dashed", is_yellow))
        return found

    def _lines(self, is_yellow: bool) -> list[shapely.Polygon]:
        return [
            strip
            for edge, is_dashed, has_colour in self._borders
            if has_colour == is_yellow
            for strip in _strips(edge, is_dashed)
        ]


def _polygon(corners: Float[np.ndarray, " corners 2"]) -> shapely.Polygon:
    return shapely.make_valid(shapely.Polygon(corners))  # pyright: ignore[reportReturnType]


def _strips(edge: Float64[np.ndarray, " points 2"], is_dashed: bool) -> list[shapely.Polygon]:
    """The painted parts of a line."""
    whole = shapely.LineString(edge)
    if is_dashed:
        starts = np.arange(0.0, whole.length - DASH_M / 2, DASH_M + DASH_GAP_M).tolist()
        pieces = [shapely.ops.substring(whole, start, min(start + DASH_M, whole.length)) for start in starts]
    else:
        pieces = [whole]
    wide = [piece.simplify(_STRAIGHT_M).buffer(LINE_WIDTH_M / 2, cap_style="flat") for piece in pieces]
    return [part for shape in wide for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]


def _stop_line(lane: Lane) -> shapely.Polygon:
    x, y, heading = lane.centreline[-1]
    along, across = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])
    half = (lane.width_m / 2 - LINE_WIDTH_M) * across
    front = np.array([x, y]) - 0.1 * along
    back = front - STOP_LINE_M * along
    return shapely.Polygon([front + half, front - half, back - half, back + half])


def _stripes(crosswalk: shapely.Polygon) -> list[shapely.Polygon]:
    """Bars along the driving direction, which is across the longer side of the crosswalk."""
    corners = np.asarray(shapely.minimum_rotated_rectangle(crosswalk).exterior.coords)[:4]  # pyright: ignore
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    first = int(np.argmax(sides))
    start, end = corners[first], corners[(first + 1) % 4]
    along = (end - start) / sides[first]
    across = corners[(first + 2) % 4] - end
    bars = []
    for begin in np.arange(STRIPE_M / 2, sides[first] - STRIPE_M / 2, 2 * STRIPE_M):
        near, far = start + begin * along, start + (begin + STRIPE_M) * along
        bars.append(shapely.Polygon([near, far, far + across, near + across]).intersection(crosswalk))
    return [bar for bar in bars if isinstance(bar, shapely.Polygon) and bar.area > 0.05]
