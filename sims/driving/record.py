"""What happened since a drive began, as the scores take it."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float64

from sims.driving.map.lights import RED
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.scenario import Scenario
from sims.driving.scores.scene import ScoredLane, ScoredMap, ScoredScene, Track
from sims.driving.traffic.actors import KINDS, ActorTable


@dataclass
class Record:
    """States of the ego, boxes of the actors and colours of the lights, one entry a control step."""

    ego: list[Float64[np.ndarray, " 11"]] = field(default_factory=list[np.ndarray])
    boxes: list[Float64[np.ndarray, " actors 5"]] = field(default_factory=list[np.ndarray])
    speed: list[Float64[np.ndarray, " actors"]] = field(default_factory=list[np.ndarray])
    present: list[np.ndarray] = field(default_factory=list[np.ndarray])
    colours: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    def add(self, ego: Float[np.ndarray, " 11"], actors: ActorTable, colours: dict[str, str]) -> None:
        """Note one instant."""
        self.ego.append(ego.copy())
        self.boxes.append(actors.boxes)
        self.speed.append(actors.speed)
        self.present.append(actors.present)
        self.colours.append(colours)

    def scene(self, scenario: Scenario, begin: int = 0, end: int | None = None) -> ScoredScene:
        """Map, tracks and lights from step `begin` to before `end` (all, if None).

        Raises:
            ValueError: nothing lies between them.
        """
        steps = slice(begin, end)
        colours = self.colours[steps]
        if not colours:
            raise ValueError(f"There are no steps from {begin} to {end} in a record of {len(self.ego)} steps.")
        tracks = []
        if scenario.actors:
            boxes, speed = np.stack(self.boxes[steps], axis=1), np.stack(self.speed[steps], axis=1)
            present = np.stack(self.present[steps], axis=1)
            direction = np.stack([np.cos(boxes[..., 2]), np.sin(boxes[..., 2])], axis=-1)
            velocity = speed[..., None] * direction
            for index, actor in enumerate(scenario.actors):
                kind = KINDS[actor.kind][1]
                tracks.append(Track(str(index), kind, boxes[index], velocity[index], present[index]))
        centreline = scenario.route.points
        return ScoredScene(scored_map(scenario, colours), tuple(tracks), centreline)

    def ego_states(self, begin: int = 0, end: int | None = None) -> Float64[np.ndarray, " time 11"]:
        """States of the ego over the same steps."""
        return np.stack(self.ego[begin:end])


def scored_map(scenario: Scenario, colours: list[dict[str, str]]) -> ScoredMap:
    """The map as the scores take it, with the lights of every step."""
    plain = _map_without_lights(scenario.road_map, scenario.route_lanes)
    if not scenario.road_map.signals:
        return plain
    signals = {name: lane.signal for name, lane in scenario.road_map.lanes.items() if lane.signal is not None}
    return plain.with_lights(
        {name: np.array([colour.get(signal) == RED for colour in colours]) for name, signal in signals.items()}
    )


@lru_cache(maxsize=64)
def _map_without_lights(road_map: RoadMap, route_lanes: frozenset[str]) -> ScoredMap:
    lanes = tuple(_scored_lane(road_map, name, name in route_lanes) for name in road_map.lanes)
    result = ScoredMap(lanes, (), tuple(road_map.intersections), tuple(road_map.drivable), tuple(road_map.carparks))
    _ = result.lane_polygons, result.intersection_polygons, result.drivable_polygons, result.on_route
    return result


def _scored_lane(road_map: RoadMap, name: str, is_on_route: bool) -> ScoredLane:
    lane = road_map.lanes[name]
    return ScoredLane(
        name,
        lane.polygon,
        lane.centreline,
        lane.is_connector,
        is_on_route,
        lane.speed_limit_mps,
        None,  # the lights come with `with_lights`
        lane.successors,
        road_map.side_by_side(name)[0],
    )
