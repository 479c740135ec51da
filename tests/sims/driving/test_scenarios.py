"""The library of scenarios: ids rebuild to the bit, splits don't overlap, what can't be solved isn't."""

import dataclasses

import numpy as np
import pytest

from sims.driving.map.paths import Path
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.library import FAMILIES, build_scenario, scenario_ids, topologies
from sims.driving.scenarios.scenario import Scenario
from sims.driving.traffic.actors import Actor
from sims.driving.world import World
from tests.sims.driving.drives import drive


def numbers(value: object) -> list[object]:
    """Everything a scenario consists of, maps (which are shared) by name."""
    if isinstance(value, RoadMap):
        return [value.topology]
    if isinstance(value, np.ndarray):
        return [value.tobytes()]
    if isinstance(value, (Scenario, Path, Actor)) or dataclasses.is_dataclass(value):
        return [part for field in dataclasses.fields(value) for part in numbers(getattr(value, field.name))]
    if isinstance(value, (tuple, list)):
        return [part for item in value for part in numbers(item)]
    return [repr(value)]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_id_rebuilds_the_same_scenario_to_the_bit_and_another_seed_does_not(family):
    first, second = scenario_ids(family, "train", range(2))
    np.random.default_rng(0).uniform(size=100)
    built = build_scenario(first)
    assert built.id == first
    assert numbers(built) == numbers(build_scenario(first))
    assert numbers(built) != numbers(build_scenario(second))
    assert 0.0 <= built.difficulty <= 1.0


def test_there_are_at_least_fifteen_families():
    assert len(FAMILIES) >= 15


@pytest.mark.parametrize("family", FAMILIES)
def test_every_scenario_can_begin(family):
    for split in ("train", "test"):
        for scenario_id in scenario_ids(family, split, range(6)):
            world = World(build_scenario(scenario_id))
            assert not world.is_over
            assert world.instruction


def test_splits_share_no_topology_and_every_family_has_both():
    for family in FAMILIES:
        train, test = topologies(family, "train"), topologies(family, "test")
        assert train
        assert test
        assert not set(train) & set(test)


@pytest.mark.parametrize(
    ("scenario_id", "message"),
    [
        ("folow/street-left/1", "Unknown scenario family 'folow'. Did you mean 'follow'"),
        ("follow/street-lift/1", "Did you mean 'street-left'"),
        ("follow/cross-small/1", "Unknown topology of family 'follow'"),
        ("follow/street-left", "looks like follow/street-left/7"),
        ("follow/street-left/-1", "looks like"),
        ("follow/street-left/x", "looks like"),
        (7, "got 7"),
    ],
)
def test_an_unknown_id_is_named(scenario_id, message):
    with pytest.raises(ValueError, match=message):
        build_scenario(scenario_id)


def test_an_unknown_family_or_split_is_named():
    with pytest.raises(ValueError, match="Did you mean 'merge'"):
        topologies("merg", "train")
    with pytest.raises(ValueError, match="Unknown split 'tset'. Did you mean 'test'"):
        scenario_ids("merge", "tset", range(2))


def short(scenario_id: str) -> Scenario:
    """The beginning of the scenario."""
    built = build_scenario(scenario_id)
    return dataclasses.replace(built, goal_m=built.start_m + 36.0, duration_s=7.0)


def walled(scenario_id: str) -> Scenario:
    """The same with a wall over the whole road before the goal."""
    built = short(scenario_id)
    wall = [
        Actor("barrier", 0, built.start_m + 30.0, offset_m=side, mode="still", size=(2.0, 2.4, 1.5))
        for side in (-2.5, 0.0, 2.5, 5.0)
    ]
    return dataclasses.replace(built, actors=tuple(wall))


def test_the_planner_solves_an_easy_stretch_but_not_a_wall_over_the_whole_road():
    assert drive(short("follow/street-straight/0"), "privileged").success
    assert not drive(walled("follow/street-straight/0"), "privileged").success


def test_a_drive_that_fails_scores_nothing_and_says_where_and_why():
    result = drive("hard-brake/street-left/1", "constant-velocity", with_scores=True)
    assert not result.success
    assert result.failure in ("collision", "off_road")
    assert result.bad_step is not None
    assert result.pdms == result.epdms == 0.0


def test_the_calm_twin_is_the_same_drive_without_the_hazard():
    for family in ("hard-brake", "cut-in", "pedestrian-dart", "debris"):
        (name,) = scenario_ids(family, "train", [1])
        hazard, calm = build_scenario(name), build_scenario(f"{name}/calm")
        assert (calm.id, calm.is_hazard, hazard.is_hazard) == (f"{name}/calm", False, True)
        assert (calm.start_mps, calm.goal_m, calm.weather) == (hazard.start_mps, hazard.goal_m, hazard.weather)
        assert not any(actor.event for actor in calm.actors)
        assert not any(actor.kind == "debris" for actor in calm.actors)
    assert drive("hard-brake/street-straight/0", "constant-velocity").failure == "collision"
    assert drive("hard-brake/street-straight/0/calm", "constant-velocity").success
    with pytest.raises(ValueError, match="looks like"):
        build_scenario("hard-brake/street-straight/0/quiet")
