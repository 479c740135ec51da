import copy
import json

import pytest

from unified.errors import UserError
from unified.judging.comparison import Margin, compare, judge
from unified.judging.evaluation import collect_results
from unified.judging.results import EpisodeResult
from unified.rollout.suites import Suite, SuiteTask

TASKS = (SuiteTask("sims:Driving-follow-v0", "traffic"), SuiteTask("sims:Driving-fog-v0", "weather"))
SUITE = Suite("drives", TASKS, env_kwargs={"cameras": ["front"], "latency_ms": 0}, max_env_steps=480)
BROKEN = {("sims:Driving-follow-v0", 3), ("sims:Driving-follow-v0", 11), ("sims:Driving-fog-v0", 0)}
MENDED = ("sims:Driving-fog-v0", 7)


def drive(env_id: str, seed: int, success: bool, epdms: float = 0.5) -> EpisodeResult:
    facts = {"scenario": f"{env_id}/{seed}"}
    facts |= {} if success else {"failure": "collision", "bad_step": 40 + seed, "bad_actor": 2}
    metrics = {"epdms": epdms, "decision_ms": 9.0} | ({} if seed else {"rare": 1.0})
    how = None if success else "terminated"
    return EpisodeResult(env_id, "Follow.", seed, success, 1.0, 100 - seed, metrics, how, facts=facts)


def drives(old: bool, suite: Suite = SUITE, seeds: range = range(20)) -> dict:
    """Forty drives; MENDED fails in the old results, BROKEN in the new ones, seed 5 in both."""
    rows = []
    for key in [(task.env_id, seed) for task in suite.tasks for seed in seeds]:
        is_failure = key[1] == 5 or (key == MENDED if old else key in BROKEN)
        rows.append(drive(*key, not is_failure, 0.5 if old else 0.4 + 0.01 * key[1]))
    return json.loads(json.dumps(collect_results(suite, "old" if old else "new", rows)))


def test_exactly_the_planted_episodes_are_found_with_who_was_hit_where():
    made = compare(drives(True), drives(False))
    found = {
        change: {(e["env_id"], e["seed"]) for e in made["changed"] if e["change"] == change}
        for change in ("broken", "mended")
    }
    assert found == {"broken": BROKEN, "mended": {MENDED}}
    assert len(made["changed"]) == 4
    first = next(episode for episode in made["changed"] if episode["seed"] == 11)
    assert (first["new"]["facts"]["bad_step"], first["new"]["facts"]["bad_actor"]) == (51, 2)
    assert "bad_step" not in first["old"]["facts"]
    row = made["summary"]
    assert {name: row[name] for name in ("episodes", "both", "neither", "broken", "mended")} == {
        "episodes": 40,
        "both": 34,
        "neither": 2,
        "broken": 3,
        "mended": 1,
    }
    assert row["p_value"] == pytest.approx(0.625), "three of four coins or more, either way"
    assert row["difference"] == pytest.approx(-0.05)
    assert row["difference_ci95"][0] < -0.05 < 0 < row["difference_ci95"][1]
    assert made["power"]["background"] == 1 / 40
    assert 0.15 < made["power"]["detectable_loss"] < 0.25


def test_tasks_and_groups_have_their_own_rows():
    made = compare(drives(True), drives(False))
    assert [(row["broken"], row["mended"]) for row in made["per_task"].values()] == [(2, 0), (1, 1)]
    assert {name: row["episodes"] for name, row in made["per_group"].items()} == {"traffic": 20, "weather": 20}
    assert made["per_task"]["sims:Driving-fog-v0"]["group"] == "weather"


def test_means_are_compared_pair_by_pair():
    metrics = compare(drives(True), drives(False))["summary"]["metrics"]
    assert set(metrics) == {"epdms", "rare", "return", "length"}, "what the policy costs is not compared"
    row = metrics["epdms"]
    assert (row["old"], row["new"]) == (pytest.approx(0.5), pytest.approx(0.495))
    low, high = row["difference_ci95"]
    # By hand: differences -0.1, -0.09, ..., 0.09, twice each; t(0.975, 39) = 2.0227, standard deviation 0.0584.
    assert (low, high) == (pytest.approx(-0.005 - 0.01868, abs=1e-4), pytest.approx(-0.005 + 0.01868, abs=1e-4))
    assert metrics["rare"]["episodes"] == 2
    assert metrics["length"]["difference_ci95"] is None, "all differ by the same"


def test_an_evaluation_against_itself_differs_nowhere():
    made = compare(drives(True), drives(True))
    assert made["changed"] == []
    assert made["summary"]["p_value"] == 1.0
    assert made["notes"] == []


OTHER_KWARGS = Suite("drives", TASKS, env_kwargs={"cameras": ["front"], "latency_ms": 100}, max_env_steps=480)
OTHER_HORIZON = Suite("drives", TASKS, env_kwargs=SUITE.env_kwargs, max_env_steps=300)
OTHER_NAME = Suite("rides", TASKS, env_kwargs=SUITE.env_kwargs, max_env_steps=480)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (drives(False, OTHER_NAME), "suite is 'drives' in the old and 'rides' in the new. --common"),
        (drives(False, OTHER_KWARGS), r"env_kwargs.latency_ms of sims:Driving-follow-v0 is 0 in the old and 100"),
        (drives(False, OTHER_HORIZON), "max_env_steps of sims:Driving-follow-v0 is 480 in the old and 300"),
        (drives(False, seeds=range(10, 30)), r"20 episodes are only in the old \(such as sims:Driving-fog-v0 seed 0\)"),
        (drives(False, seeds=range(100, 120)), "40 episodes are only in the new"),
        ({**drives(False), "split": "train"}, "split is 'test' in the old and 'train'"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_what_differs(new, message):
    with pytest.raises(UserError, match=message):
        compare(drives(True), new)


def test_another_instruction_or_scenario_is_another_episode():
    changed = drives(False)
    changed["episodes"][3]["task"] = "Overtake."
    changed["episodes"][4]["facts"]["scenario"] = "elsewhere"
    with pytest.raises(UserError, match="seed 3 is 'Follow.' in the old and 'Overtake.' in the new; .* seed 4 is"):
        compare(drives(True), changed, only_common=True)


def test_episodes_in_common_are_compared_if_asked_but_not_under_other_conditions():
    made = compare(drives(True), drives(False, OTHER_NAME, range(10, 30)), only_common=True)
    assert made["summary"]["episodes"] == 20
    assert made["left_out"] == {"old": 20, "new": 20}
    assert [(e["env_id"], e["seed"]) for e in made["changed"]] == [("sims:Driving-follow-v0", 11)]
    with pytest.raises(UserError, match="latency_ms"):
        compare(drives(True), drives(False, OTHER_KWARGS), only_common=True)
    with pytest.raises(UserError, match="no episode in common"):
        compare(drives(True), drives(False, seeds=range(100, 120)), only_common=True)


def test_results_that_cannot_be_paired_are_refused():
    twice = drives(False)
    twice["episodes"].append(copy.deepcopy(twice["episodes"][0]))
    with pytest.raises(UserError, match="hold sims:Driving-follow-v0 seed 0 twice"):
        compare(drives(True), twice)
    silent = drives(False)
    del silent["environments"]
    with pytest.raises(UserError, match="new results do not say how their environments were made"):
        compare(drives(True), silent)


@pytest.mark.parametrize(
    ("margin", "is_passed"),
    [
        (Margin("success", 0.04), True),
        (Margin("success", 0.05), False),
        (Margin("epdms", 0.004), True),
        (Margin("epdms", 0.006), False),
        (Margin("epdms", 0.0, is_rise=True), False),
    ],
)
def test_the_gate_closes_if_the_new_one_is_worse_by_more_than_the_margin(margin, is_passed):
    gate = judge(compare(drives(True), drives(False)), [margin])
    assert bool(gate["passed"]) == is_passed
    assert (gate["power"] is not None) == (margin.name == "success")


def test_the_gate_says_how_rarely_a_loss_of_its_margin_is_proved():
    small, large = (judge(compare(drives(True), drives(False)), [Margin("success", x)])["power"] for x in (0.05, 0.3))
    assert small < 0.2 < 0.9 < large
    with pytest.raises(UserError, match="Did you mean 'epdms'"):
        judge(compare(drives(True), drives(False)), [Margin("epmds", 0.1)])


def test_other_versions_are_noted():
    new = drives(False)
    new["versions"]["mujoco"] = "9.9"
    new["seed"] = 7
    notes = compare(drives(True), new)["notes"]
    assert notes[0] == "seed of the policy's own noise: 0 and 7"
    assert "mujoco" in notes[1]
