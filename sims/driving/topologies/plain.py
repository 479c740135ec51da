"""Roads without junctions: straight and curved streets (one lane each way) and highways (three lanes one way)."""

import functools
from collections.abc import Callable, Sequence

from sims.driving.network import Network
from sims.driving.road_shapes import bend, line
from sims.driving.roads import RoadMap

Pieces = Sequence[tuple[float, float, float]]
STREET_LIMIT_MPS = 13.9
HIGHWAY_LIMIT_MPS = 25.0


def _street(pieces: Pieces, topology: str) -> RoadMap:
    """One lane each way."""
    network = Network()
    network.add_road("road", line((0.0, 0.0, 0.0), pieces), 1, 1, speed_limit_mps=STREET_LIMIT_MPS)
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
}

BUILDERS: dict[str, Callable[[str], RoadMap]] = {
    **{f"street-{name}": functools.partial(_street, pieces) for name, pieces in _STREETS.items()},
    **{f"avenue-{name}": functools.partial(_avenue, pieces) for name, pieces in _STREETS.items()},
    **{f"highway-{name}": functools.partial(_highway, pieces) for name, pieces in _HIGHWAYS.items()},
}
