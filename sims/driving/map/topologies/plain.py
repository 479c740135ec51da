"""Roads without junctions: straight and curved streets (one lane each way) and highways (three lanes one way)."""

import functools
from collections.abc import Callable, Sequence

from sims.driving.map.network import SHOULDER_M, Network, strip
from sims.driving.map.road_shapes import bend, line
from sims.driving.map.roads import RoadMap, shifted

Pieces = Sequence[tuple[float, float, float]]
STREET_LIMIT_MPS = 13.9
HIGHWAY_LIMIT_MPS = 25.0
LANE_M = 3.5
PARKING_M = 2.6  # depth of the strip for parked cars
CROSSWALK_INDEX = 120  # metres from the start of the street


def _street(pieces: Pieces, topology: str) -> RoadMap:
    """One lane each way."""
    network = Network()
    network.add_road("road", line((0.0, 0.0, 0.0), pieces), 1, 1, speed_limit_mps=STREET_LIMIT_MPS)
    return network.finish(topology)


def _parking(pieces: Pieces, topology: str) -> RoadMap:
    """One lane each way with parked cars on both sides, and a crosswalk."""
    network = Network()
    middle = line((0.0, 0.0, 0.0), pieces)
    network.add_road("road", middle, 1, 1, speed_limit_mps=STREET_LIMIT_MPS)
    for side in (1.0, -1.0):
        curb = shifted(middle, side * (LANE_M + SHOULDER_M + PARKING_M / 2))
        network.carparks.append(strip(curb, PARKING_M / 2, PARKING_M / 2))
    network.add_crosswalk(middle[CROSSWALK_INDEX], LANE_M, LANE_M)
    return network.finish(topology)


def _avenue(pieces: Pieces, topology: str) -> RoadMap:
    """Two lanes one way, one the other."""
    network = Network()
    network.add_road("road", line((0.0, 0.0, 0.0), pieces), 2, 1, speed_limit_mps=STREET_LIMIT_MPS)
    return network.finish(topology)


def _highway(pieces: Pieces, topology: str) -> RoadMap:
    """Three lanes one way."""
    network = Network()
    limit = HIGHWAY_LIMIT_MPS
    network.add_road("road", line((0.0, 0.0, 0.0), pieces), 3, 0, 3.75, limit, shoulder_m=2.0)
    return network.finish(topology)


_STREETS: dict[str, Pieces] = {
    "straight": [(340.0, 0.0, 0.0)],
    "left": [(50.0, 0.0, 0.0), *bend(60.0, 1 / 60), (180.0, 0.0, 0.0)],
    "right": [(50.0, 0.0, 0.0), *bend(50.0, -1 / 50), (180.0, 0.0, 0.0)],
    "snake": [(40.0, 0.0, 0.0), *bend(30.0, 1 / 45), (10.0, 0.0, 0.0), *bend(40.0, -1 / 40), (160.0, 0.0, 0.0)],
}
_HIGHWAYS: dict[str, Pieces] = {
    "straight": [(600.0, 0.0, 0.0)],
    "left": [(60.0, 0.0, 0.0), *bend(250.0, 1 / 400, 60.0), (200.0, 0.0, 0.0)],
    "right": [(60.0, 0.0, 0.0), *bend(250.0, -1 / 300, 60.0), (200.0, 0.0, 0.0)],
    "snake": [(60.0, 0.0, 0.0), *bend(100.0, 1 / 350, 60.0), *bend(100.0, -1 / 350, 60.0), (150.0, 0.0, 0.0)],
}

BUILDERS: dict[str, Callable[[str], RoadMap]] = {
    **{f"street-{name}": functools.partial(_street, pieces) for name, pieces in _STREETS.items()},
    **{f"parking-{name}": functools.partial(_parking, pieces) for name, pieces in _STREETS.items()},
    **{f"avenue-{name}": functools.partial(_avenue, pieces) for name, pieces in _STREETS.items()},
    **{f"highway-{name}": functools.partial(_highway, pieces) for name, pieces in _HIGHWAYS.items()},
}
