"""Roads whose number of lanes changes: a ramp that merges, a lane closed for works."""

import functools
from collections.abc import Callable, Sequence

from sims.driving.map.network import Network, chain, strip
from sims.driving.map.road_shapes import line
from sims.driving.map.roads import RoadMap, shifted

Pieces = Sequence[tuple[float, float, float]]
BEFORE_M, ALONG_M, AFTER_M = 150.0, 180.0, 250.0
OPEN_M, CLOSED_M = 150.0, 60.0


def _merge(curvature: float, topology: str) -> RoadMap:
    """Two lanes of a highway; a ramp comes in from the right and runs beside them before it ends."""
    width, limit = 3.75, 22.0
    network = Network()
    whole = line((0.0, 0.0, 0.0), [(BEFORE_M, curvature, curvature), (ALONG_M + AFTER_M, curvature, curvature)])
    before, along = whole[: int(BEFORE_M) + 1], whole[int(BEFORE_M) : int(BEFORE_M + ALONG_M) + 1]
    after = whole[int(BEFORE_M + ALONG_M) :]
    network.add_road("before", before, 2, 0, width, limit, shoulder_m=1.0)
    network.add_road("along", along, 3, 0, width, limit, shoulder_m=1.0)
    network.add_road("after", after, 2, 0, width, limit, shoulder_m=1.0)
    chain(network, ["before", "along", "after"], 2)
    # The ramp, built backwards from where it meets the lane that it becomes.
    meets = shifted(along[:1], -2 * width)[0]
    back = line((meets[0], meets[1], meets[2] + 3.141592653589793), [(30.0, 0.0, 0.0), (60.0, 1 / 250, 1 / 250)])
    ramp = back[::-1].copy()
    ramp[:, 2] -= 3.141592653589793
    network.add_road("ramp", ramp, 1, 0, width, 16.7, shoulder_m=1.0)
    network.join("ramp.f0", "along.f2")
    return network.finish(topology)


def _works(pieces: Pieces, topology: str) -> RoadMap:
    """Two lanes one way and one the other; works close the right lane for a stretch."""
    width, limit = 3.5, 13.9
    network = Network()
    whole = line((0.0, 0.0, 0.0), pieces)
    cut = (int(OPEN_M), int(OPEN_M + CLOSED_M))
    parts = {"open": whole[: cut[0] + 1], "narrow": whole[cut[0] : cut[1] + 1], "again": whole[cut[1] :]}
    for name, part in parts.items():
        network.add_road(name, part, 1 if name == "narrow" else 2, 1, width, limit)
    chain(network, ["open", "narrow", "again"], 1, 1)
    network.drivable.append(strip(parts["narrow"], 0.0, 2 * width + 0.5))  # the closed lane is still asphalt
    return network.finish(topology)


BUILDERS: dict[str, Callable[[str], RoadMap]] = {
    "merge-straight": functools.partial(_merge, 0.0),
    "merge-left": functools.partial(_merge, 1 / 600),
    "merge-right": functools.partial(_merge, -1 / 900),
    "works-straight": functools.partial(_works, [(380.0, 0.0, 0.0)]),
    "works-left": functools.partial(_works, [(380.0, 1 / 200, 1 / 200)]),
    "works-right": functools.partial(_works, [(380.0, -1 / 250, -1 / 250)]),
}
