"""What a family of scenarios is, and parts that several families need."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sims.driving.ego.vehicle import CONTROL_DT_S
from sims.driving.map.paths import Path
from sims.driving.map.roads import RoadMap
from sims.driving.map.topologies import build_map
from sims.driving.scenarios.scenario import Scenario
from sims.driving.traffic.actors import AGGRESSIVE, NUM_COLOURS, TIMID, Actor, Driver

Builder = Callable[[RoadMap, np.random.Generator, float], Scenario]


@dataclass(frozen=True)
class Family:
    """Scenarios that test one thing.

    Attributes:
        name: how ids spell it.
        topologies: where it can be driven.
        builder: makes a scenario from a map, random numbers and a difficulty in [0, 1]; its topology, seed and
            difficulty are filled in afterwards.
    """

    name: str
    topologies: Sequence[str]
    builder: Builder

    def build(self, topology: str, seed: int) -> Scenario:
        """The scenario of a seed; every number in it comes from the id."""
        rng = np.random.default_rng([zlib.crc32(self.name.encode()), zlib.crc32(topology.encode()), seed])
        difficulty = float(rng.uniform())
        scenario = self.builder(build_map(topology), rng, difficulty)
        return replace(scenario, family=self.name, topology=topology, seed=seed, difficulty=difficulty)


def scenario(**fields: object) -> Scenario:
    """A scenario whose id `Family.build` will fill in."""
    return Scenario(family="", topology="", seed=0, difficulty=0.0, **fields)  # pyright: ignore[reportArgumentType]


def mixed(easy: float, hard: float, difficulty: float) -> float:
    """From the easy value to the hard one."""
    return easy + (hard - easy) * difficulty


def colour(rng: np.random.Generator) -> int:
    """One of the paint colours."""
    return int(rng.integers(NUM_COLOURS))


def vehicle_kind(rng: np.random.Generator) -> str:
    """Mostly cars, some vans and trucks."""
    return str(rng.choice(["car", "van", "truck"], p=[0.7, 0.2, 0.1]))


def driver(rng: np.random.Generator) -> Driver:
    """A mix of drivers: most as published, some timid, some aggressive."""
    return (Driver(), TIMID, AGGRESSIVE)[int(rng.choice(3, p=[0.6, 0.2, 0.2]))]


def column(
    rng: np.random.Generator, path: int, first_m: float, last_m: float, gap_m: tuple[float, float], speed_mps: float
) -> list[Actor]:
    """Cars one behind the other on a path, from `last_m` back to `first_m`, with gaps drawn between two bounds."""
    cars, place = [], last_m
    while place > first_m:
        cars.append(Actor(vehicle_kind(rng), path, place, speed_mps, driver=driver(rng), colour=colour(rng)))
        place -= 10.0 + float(rng.uniform(*gap_m))
    return cars


def oncoming(rng: np.random.Generator, path: int, length_m: float, most: int = 3) -> list[Actor]:
    """A few cars that come the other way, far from each other."""
    count = int(rng.integers(0, most + 1))
    places = np.linspace(20.0, length_m - 40.0, most + 1)[:count] + rng.uniform(0.0, 15.0, count)
    return [Actor(vehicle_kind(rng), path, float(s), 10.0, driver=driver(rng), colour=colour(rng)) for s in places]


def along(first: Path, first_m: float, second: Path) -> float:
    """Arc length on a second path beside the place at `first_m` on the first."""
    return float(second.project(first.at(np.array(first_m))[:2])[0])


def time_for(route: Path, start_m: float, goal_m: float, spare_s: float) -> float:
    """Seconds to drive the route at its own speeds, and some to spare; in whole control steps."""
    s = np.arange(start_m, goal_m, 1.0)
    needed = float(np.sum(1.0 / np.maximum(route.limit_at(s), 1.0)))
    return round((needed + spare_s) / CONTROL_DT_S) * CONTROL_DT_S
