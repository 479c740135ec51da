"""Routes and cross traffic that several families at junctions share."""

from sims.driving.map.lights import LightPlan, two_way_plan
from sims.driving.map.paths import Path, lane_path
from sims.driving.map.roads import RoadMap

TURNS = {"left": "west", "straight": "north", "right": "east"}
WORDS = {"left": "turn left", "straight": "go straight on", "right": "turn right"}


def num_lanes(road_map: RoadMap) -> int:
    """Lanes of each arm in one direction."""
    return sum(name.startswith("south.f") and ">" not in name for name in road_map.lanes)


def through(road_map: RoadMap, first: str, second: str, lane: int = 0, other: int | None = None) -> list[str]:
    """Lanes from one arm to another, from the given lane into its like or into `other`."""
    goal = lane if other is None else other
    inner, outer = f"{first}.f{lane}", f"{second}.b{goal}"
    return [inner, f"{inner}>{outer}", outer]


def turn_path(road_map: RoadMap, turn: str) -> tuple[Path, list[str]]:
    """The ego's way from the south, with its lanes."""
    last = num_lanes(road_map) - 1
    lane = last if turn == "right" else 0
    lanes = through(road_map, "south", TURNS[turn], lane)
    return lane_path(road_map, lanes), lanes


def on_route(road_map: RoadMap, lanes: list[str]) -> frozenset[str]:
    """The lanes, and those beside them."""
    return frozenset(name for lane in lanes for name in road_map.side_by_side(lane))


def plan(green_s: float, offset_s: float, road_map: RoadMap) -> LightPlan:
    """South and north together, east and west together; south's green begins at `-offset_s`."""
    arms = set(road_map.signals)
    first = tuple(sorted(arms & {"south", "north"}))
    return two_way_plan(first, tuple(sorted(arms - set(first))), green_s, 3.0, 1.5, offset_s)
