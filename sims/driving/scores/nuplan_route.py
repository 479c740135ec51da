"""Which lanes and connectors the ego is in, and how far along a route it got, as nuPlan's metrics see it.

Source: nuPlan-devkit v1.2, `metrics/utils/route_extractor.py`, `ego_progress_along_expert_route.py`. Oddities of that
code are kept and named where they are. Where several lanes hold one point nuPlan raises; here the first one counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from jaxtyping import Bool, Float64

from sims.driving.scores.areas import inside
from sims.driving.scores.scene import ScoredLane, ScoredMap

NEAR_CONNECTOR_M = 5.0
Objects = list[int]  # lanes or connectors by their index in the map


@dataclass(frozen=True, eq=False)
class LaneGraph:
    """The map's lanes and connectors with who follows whom, by index."""

    road: ScoredMap

    @property
    def lanes(self) -> tuple[ScoredLane, ...]:
        return self.road.lanes

    @cached_property
    def following(self) -> list[Objects]:
        index = {lane.id: i for i, lane in enumerate(self.lanes)}
        return [[index[name] for name in lane.successors] for lane in self.lanes]

    @cached_property
    def preceding(self) -> list[Objects]:
        found: list[Objects] = [[] for _ in self.lanes]
        for i, following in enumerate(self.following):
            for j in following:
                found[j].append(i)
        return found

    @cached_property
    def baselines(self) -> list[shapely.LineString]:
        return [shapely.LineString(lane.centreline[:, :2]) for lane in self.lanes]

    def is_connector(self, index: int) -> bool:
        return self.lanes[index].is_connector

    def block(self, index: int) -> str:
        """Id of the group that a lane belongs to; a lane without one is a group of its own."""
        return self.lanes[index].roadblock or self.lanes[index].id

    def block_polygon(self, name: str) -> shapely.Polygon | shapely.MultiPolygon:
        if name in self.road.blocks:
            return shapely.Polygon(self.road.blocks[name])
        members = [self.road.lane_polygons[i] for i in range(len(self.lanes)) if self.block(i) == name]
        union = shapely.union_all(members)
        assert isinstance(union, shapely.Polygon | shapely.MultiPolygon)
        return union

    def along(self, index: int, point: np.ndarray) -> float:
        """Distance from the start of the lane's centreline to its point nearest to `point`, m."""
        return float(self.baselines[index].project(shapely.Point(point)))

    def at(self, holds: Bool[np.ndarray, " lanes"]) -> Objects:
        """Of the lanes and connectors that hold a point: the first lane, else all connectors."""
        held = np.flatnonzero(holds)
        lane = next((int(i) for i in held if not self.is_connector(int(i))), None)
        return [int(i) for i in held] if lane is None else [lane]

    def among(self, holds: Bool[np.ndarray, " lanes"], candidates: Objects) -> Objects:
        """The candidates that hold the point, else, of a single candidate, the followers that do."""
        found = [i for i in candidates if holds[i]]
        if not found and len(candidates) == 1:
            found = [i for i in self.following[candidates[0]] if holds[i]]
        return found


def driven_route(graph: LaneGraph, points: Float64[np.ndarray, " time 2"]) -> list[Objects]:
    """Lanes or connectors of each point; a place where connectors overlap is settled by where the way leads.

    Source: `get_route`. Kept as found: a step in several connectors that is followed by one in none loses them all.
    """
    holds = inside(graph.road.lane_polygons, points)
    in_junction = np.asarray(inside(graph.road.intersection_polygons, points).any(axis=0))
    route: list[Objects] = []
    current: Objects = []
    for step, point in enumerate(points):
        if current:
            current = graph.among(holds[:, step], current)
        if not current:
            current = graph.at(holds[:, step])
            lost = not current and bool(in_junction[step])
            elsewhere = bool(current) and graph.is_connector(current[0])
            if step > 1 and route[-1] and graph.is_connector(route[-1][0]) and (elsewhere or lost):
                distance = shapely.distance(graph.road.lane_polygons[route[-1]], shapely.Point(point))
                near = [i for i, metres in zip(route[-1], distance, strict=True) if metres < NEAR_CONNECTOR_M]
                current = near or current
        route.append(current)
    return _without_connectors_not_taken(graph, route)


def _without_connectors_not_taken(graph: LaneGraph, route: list[Objects]) -> list[Objects]:
    route = list(route)
    for step in range(len(route) - 2, -1, -1):
        here, after = route[step], route[step + 1]
        if len(here) <= 1:
            continue
        if len(here) > len(after) and all(i in here for i in after):
            route[step] = after
        if after and not graph.is_connector(after[0]):
            leading = [i for i in here if i in graph.preceding[after[0]]]
            route[step] = leading or route[step]
    return route


def in_one_lane(graph: LaneGraph, corners: Float64[np.ndarray, " time 4 2"]) -> Bool[np.ndarray, " time"]:
    """Whether all corners (front left, rear left, rear right, front right) are in one lane or in connected ones.

    Source: `extract_corners_route`, `get_common_or_connected_route_objs_of_corners`. Kept as found: the first step's
    candidates reach the second step's corners one after another.
    """
    holds = inside(graph.road.lane_polygons, corners)  # (lanes, time, 4)
    flags = np.zeros(len(corners), bool)
    candidates: Objects = []
    for step in range(len(corners)):
        following: Objects = []
        found: list[Objects] = []
        for corner in range(4):
            held = holds[:, step, corner]
            objects = graph.among(held, candidates) if candidates else []
            if not objects:
                objects = graph.at(held)
                if step == 1:
                    candidates = candidates + [i for i in objects if i not in candidates]
            following += [i for i in objects if i not in following]
            found.append(objects)
        flags[step] = _connected(graph, found)
        candidates = following
    return flags


def _connected(graph: LaneGraph, corners: Sequence[Objects]) -> bool:
    if not all(corners):
        return False
    front_left, rear_left, rear_right, front_right = (set(objects) for objects in corners)
    if front_left & rear_left & rear_right & front_right:
        return True
    left_onwards = rear_left | {j for i in rear_left for j in graph.following[i]}
    right_onwards = rear_right | {j for i in rear_right for j in graph.following[i]}
    if not (rear_left & right_onwards) | (rear_right & left_onwards):
        return False
    left_back = front_left | {j for i in front_left for j in graph.preceding[i]}
    right_back = front_right | {j for i in front_right for j in graph.preceding[i]}
    return bool((left_back & right_onwards) & (right_back & left_onwards))


@dataclass(frozen=True)
class RouteBlock:
    """A group of lanes that the expert went through, and the lane along which progress in it is measured."""

    lane: int
    polygon: shapely.Polygon | shapely.MultiPolygon


def expert_blocks(graph: LaneGraph, route: Sequence[Objects]) -> list[RouteBlock]:
    """The groups of lanes that a drive went through, in order, one after a change of group.

    Source: `get_route_simplified`, `get_route_baseline_roadblock_linkedlist`.
    """
    simplified: list[Objects] = []
    for objects in route:
        if objects and not (simplified and set(simplified[-1]) & set(objects)):
            simplified.append(objects)
    blocks: list[RouteBlock] = []
    last = None
    for objects in simplified:
        name = graph.block(objects[0])
        if name != last:
            blocks.append(RouteBlock(objects[0], graph.block_polygon(name)))
            last = name
    return blocks


def progress_along(
    graph: LaneGraph, blocks: Sequence[RouteBlock], points: Float64[np.ndarray, " time 2"]
) -> Float64[np.ndarray, " time"]:
    """Metres made at each step along the centrelines of the groups; outside them, and beyond the last, none.

    Source: `PerFrameProgressAlongRouteComputer`.
    """
    made = np.zeros(len(points))
    now = 0
    before = graph.along(blocks[0].lane, points[0])
    for step, point in enumerate(points[1:], start=1):
        place = shapely.Point(point)
        if blocks[now].polygon.contains(place):
            here = graph.along(blocks[now].lane, point)
            made[step] = here - before
            before = here
            continue
        entered = next((i for i in range(now + 1, len(blocks)) if blocks[i].polygon.contains(place)), None)
        if entered is None:
            continue
        skipped = _skipped_metres(graph, blocks[now : entered + 1])
        rest = graph.baselines[blocks[now].lane].length - before
        here = graph.along(blocks[entered].lane, point)
        end_of_last = np.array(graph.baselines[blocks[now].lane].coords[-1])
        made[step] = rest + (here - graph.along(blocks[entered].lane, end_of_last)) + skipped
        before, now = here, entered
    return made


def _skipped_metres(graph: LaneGraph, blocks: Sequence[RouteBlock]) -> float:
    """Length of the groups between the first and the last of `blocks`, each from where the one before it ended."""
    metres = 0.0
    for before, skipped, after in zip(blocks, blocks[1:], blocks[2:], strict=False):
        last_point = np.array(graph.baselines[before.lane].coords[-1])
        first_point = np.array(graph.baselines[after.lane].coords[0])
        metres += graph.along(skipped.lane, first_point) - graph.along(skipped.lane, last_point)
    return metres
