"""Houses and trees beside the roads, the same ones at every visit to a place."""

import zlib
from collections.abc import Iterator

import numpy as np
import shapely

from sims.driving.looks.meshes import Mesh, ball, block, joined, prism, regular
from sims.driving.looks.surfaces import Surfaces

HOUSE_COLOURS = 4
_CLEARANCE_M = {"house": 12.0, "tree": 4.5}  # from the asphalt to the middle
_REACH_M = {"house": 45.0, "tree": 22.0}
_SPACING_M = {"house": 11.0, "tree": 5.0}  # mean distance along the roads


def scenery(surfaces: Surfaces) -> dict[str, Mesh]:
    """Meshes by name: `house0` to `house3` by colour, `trunk`, `crown`; seeded by the topology's name."""
    rng = np.random.default_rng(zlib.crc32(surfaces.road_map.topology.encode()))
    houses: list[list[Mesh]] = [[] for _ in range(HOUSE_COLOURS)]
    taken: list[shapely.Polygon] = []
    for x, y, heading in _places(surfaces, "house", rng):
        length, width, height = rng.uniform((8, 7, 4), (18, 12, 16))
        ground = shapely.Point(x, y).buffer(float(np.hypot(length, width)) / 2 + 1)
        if any(ground.intersects(other) for other in taken) or ground.distance(surfaces.asphalt) < 3:
            continue
        taken.append(ground)
        house = block((-length / 2, -width / 2, -0.1), (length / 2, width / 2, height))
        houses[int(rng.integers(HOUSE_COLOURS))].append(house.moved(x, y, 0.0, heading))
    trunks, crowns = [], []
    for x, y, _ in _places(surfaces, "tree", rng):
        if any(shapely.Point(x, y).within(ground) for ground in taken):
            continue
        height, radius = rng.uniform(3.5, 7.0), rng.uniform(1.0, 1.9)
        trunks.append(prism(regular(3, 0.18), 2, -0.1, 0.5 * height).moved(x, y))
        crowns.append(ball((radius, radius, 0.32 * height), 0.68 * height).moved(x, y))
    named = {f"house{k}": joined(houses[k]) for k in range(HOUSE_COLOURS)}
    named |= {"trunk": joined(trunks), "crown": joined(crowns)}
    return {name: mesh for name, mesh in named.items() if len(mesh.corners)}


def _places(surfaces: Surfaces, what: str, rng: np.random.Generator) -> Iterator[tuple[float, float, float]]:
    """Places beside the asphalt with the direction of the nearest lane, in random order of distance."""
    asphalt = surfaces.asphalt
    shapely.prepare(asphalt)
    for lane in surfaces.road_map.lanes.values():
        if lane.is_connector or lane.right is not None:
            continue
        count = max(1, round(lane.length_m / _SPACING_M[what]))
        for row in rng.choice(len(lane.centreline), count):
            x, y, heading = lane.centreline[row]
            side = rng.uniform(_CLEARANCE_M[what], _REACH_M[what]) * rng.choice([-1.0, 1.0])
            place = (x - side * np.sin(heading), y + side * np.cos(heading))
            if shapely.distance(asphalt, shapely.Point(place)) > _CLEARANCE_M[what] - 2:
                yield (*place, heading)
