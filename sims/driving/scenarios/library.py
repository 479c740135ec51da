"""The scenario library: families of drives, each in a file of its own, and the ids that rebuild them.

An id is `<family>/<topology>/<seed>`; the same id gives the same scenario to the bit. With `/calm` behind it, it is
that scenario's twin without the hazard.
"""

from collections.abc import Sequence

from sims.common.errors import unknown_name
from sims.driving.map.topologies import HELD_OUT
from sims.driving.scenarios import (
    construction,
    cut_in,
    cut_out,
    cyclist,
    debris,
    fog,
    follow,
    hard_brake,
    jam,
    keep_lane,
    lane_change,
    left_turn,
    low_sun,
    merge,
    pedestrian_crossing,
    pedestrian_dart,
    red_light,
    right_of_way,
    roundabout,
    slippery,
)
from sims.driving.scenarios.family import Family
from sims.driving.scenarios.scenario import Scenario, calmed

_MODULES = (
    keep_lane,
    follow,
    hard_brake,
    jam,
    cut_in,
    cut_out,
    lane_change,
    merge,
    left_turn,
    right_of_way,
    roundabout,
    red_light,
    pedestrian_crossing,
    pedestrian_dart,
    cyclist,
    debris,
    construction,
    slippery,
    low_sun,
    fog,
)
FAMILIES: dict[str, Family] = {module.FAMILY.name: module.FAMILY for module in _MODULES}
SPLITS = ("train", "test")


def build_scenario(scenario_id: str) -> Scenario:
    """The scenario of an id.

    Raises:
        ValueError: the id is not `<family>/<topology>/<seed>`, or names something unknown.
    """
    parts = scenario_id.split("/") if isinstance(scenario_id, str) else []
    is_calm = len(parts) == 4 and parts[3] == "calm"
    if (len(parts) != 3 and not is_calm) or not parts[2].isdecimal():
        raise ValueError(f"A scenario id looks like follow/street-left/7, got {scenario_id!r}.")
    family, topology, seed = parts[0], parts[1], int(parts[2])
    if family not in FAMILIES:
        raise unknown_name("scenario family", family, FAMILIES)
    if topology not in FAMILIES[family].topologies:
        raise unknown_name(f"topology of family {family!r}", topology, FAMILIES[family].topologies)
    scenario = FAMILIES[family].build(topology, seed)
    return calmed(scenario) if is_calm else scenario


def topologies(family: str, split: str) -> tuple[str, ...]:
    """Where a family may be driven in a split: held-out topologies belong to `test`, all others to `train`.

    Raises:
        ValueError: unknown family or split.
    """
    if family not in FAMILIES:
        raise unknown_name("scenario family", family, FAMILIES)
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    return tuple(name for name in FAMILIES[family].topologies if (name in HELD_OUT) == (split == "test"))


def scenario_ids(family: str, split: str, seeds: Sequence[int]) -> list[str]:
    """One id a seed, going round the topologies of the split."""
    places = topologies(family, split)
    return [f"{family}/{places[seed % len(places)]}/{seed}" for seed in seeds]
