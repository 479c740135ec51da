"""Named road maps; those in `HELD_OUT` are for testing and never for training."""

from collections.abc import Callable
from functools import cache

from sims.common.errors import unknown_name
from sims.driving.map.roads import RoadMap
from sims.driving.map.topologies import changes, junctions, plain, roundabouts

_BUILDERS: dict[str, Callable[[str], RoadMap]] = {
    **plain.BUILDERS,
    **junctions.BUILDERS,
    **roundabouts.BUILDERS,
    **changes.BUILDERS,
}
HELD_OUT = frozenset(
    {"street-snake", "parking-snake", "avenue-snake", "highway-snake", "cross-skew", "roundabout-five", "merge-right"}
    | {"works-right"}
)
NAMES = tuple(_BUILDERS)


@cache
def build_map(topology: str) -> RoadMap:
    """The map of that name; always the same object, so don't change its arrays.

    Raises:
        ValueError: there is no such topology.
    """
    if topology not in _BUILDERS:
        raise unknown_name("topology", topology, NAMES)
    return _BUILDERS[topology](topology)
