"""What must hold for every scene: all ones give one, more progress never costs, moving the world changes nothing."""

import json

import numpy as np
import pytest

from sims.driving.scores.comfort import ExtendedComfort, extended_comfort, navsim_history
from sims.driving.scores.epdms import (
    StageGroup,
    epdms_one_stage,
    epdms_proposals,
    epdms_two_stage,
    forgive,
    human_score,
)
from sims.driving.scores.pdms import pdms, pdms_proposals
from sims.driving.scores.result import Event, ScoreResult
from sims.driving.scores.scene import AX, STEER_RATE, YAW_ACC, YAW_RATE, EgoTrajectories
from tests.sims.driving.scores.scenes import (
    cruise,
    ego,
    moving,
    parked,
    random_drive,
    random_scene,
    scene,
    transformed,
    transformed_ego,
)

CALM = ExtendedComfort({"acceleration": 0.0, "jerk": 0.0, "yaw_rate": 0.0, "yaw_acceleration": 0.0}, True, ("jerk", 0))


def scores(seed: int) -> list[ScoreResult]:
    world, drives = random_scene(seed)
    return [*pdms_proposals(world, drives), *pdms_proposals(world, drives, "v1.0"), *epdms_proposals(world, drives)]


def test_all_sub_scores_one_give_exactly_one_in_every_version() -> None:
    plan, world = ego(cruise(10.0)), scene(tracks=(moving("lead", 40.0, 0.0, speed=10.0),), history=cruise(10.0)[:14])
    results = [
        pdms(world, plan, plan),
        pdms(world, plan, plan, "v1.0"),
        epdms_one_stage(world, plan, plan),
        epdms_one_stage(world, plan, plan, comfort=CALM),
        epdms_one_stage(world, plan, plan, human=human_score(world, plan), comfort=CALM),
    ]
    for result in results:
        assert set(result.terms.values()) == {1.0}
        assert result.score == 1.0
        assert not result.events
        assert result.first_bad_step() is None


def test_the_score_is_the_product_of_what_stands_beside_it_and_every_lost_point_has_its_event() -> None:
    for seed in range(30):
        for result in scores(seed):
            table = result.to_dict()
            product = np.prod([table["terms"][term] for term in table["multipliers"]])
            mean = sum(w * table["terms"][term] for term, w in table["weights"].items()) / sum(
                table["weights"].values()
            )
            assert table["score"] == pytest.approx(product * mean, abs=1e-12)
            assert 0.0 <= table["score"] <= 1.0
            assert (table["score"] == 1.0) == (set(table["terms"].values()) == {1.0})
            lost = {term for term, value in result.terms.items() if value < 1.0 and term != "EP"}
            assert {event.term for event in result.events} == lost
            for event in result.events:
                assert event.time_s == pytest.approx(0.1 * event.step)
                assert (event.actor is not None) == (event.term in ("NC", "TTC", "TLC"))


def test_scores_do_not_change_when_the_whole_scene_is_moved_and_turned() -> None:
    for seed in range(12):
        world, drives = random_scene(seed)
        rng = np.random.default_rng(seed)
        angle, shift = rng.uniform(-np.pi, np.pi), rng.uniform(-300, 300, 2)
        elsewhere, there = transformed(world, angle, shift), transformed_ego(drives, angle, shift)
        for here, moved in zip(
            [*pdms_proposals(world, drives), *epdms_proposals(world, drives)],
            [*pdms_proposals(elsewhere, there), *epdms_proposals(elsewhere, there)],
            strict=True,
        ):
            assert moved.terms == pytest.approx(here.terms, abs=1e-6)
            assert [(e.term, e.step, e.actor) for e in moved.events] == [(e.term, e.step, e.actor) for e in here.events]


def test_more_progress_never_lowers_the_score() -> None:
    reference = ego(cruise(15.0))
    speeds = np.linspace(0.0, 15.0, 31)
    for score in (pdms, epdms_one_stage):
        row = [score(scene(), ego(cruise(speed)), reference).score for speed in speeds]
        assert row == sorted(row)
        assert row[0] < 0.65 < 0.99 < row[-1]


def test_doing_nothing_costs_progress_only() -> None:
    result = epdms_one_stage(scene(), ego(cruise(0.0)), ego(cruise(10.0)), comfort=CALM)
    assert result.terms["EP"] == 0.0
    assert result.score == pytest.approx(11.0 / 16.0)


def test_extended_comfort_enters_the_mean_with_weight_two_of_sixteen() -> None:
    plan = ego(cruise(10.0))
    rough = ExtendedComfort({**CALM.rms, "jerk": 0.6}, False, ("jerk", 7))
    result = epdms_one_stage(scene(), plan, plan, comfort=rough)
    assert result.terms["EC"] == 0.0
    assert result.score == pytest.approx(14.0 / 16.0)
    assert [(event.term, event.step) for event in result.events] == [("EC", 7)]
    assert result.details["EC_jerk_rms"] == 0.6
    assert "EC" not in epdms_one_stage(scene(), plan, plan).terms


@pytest.mark.parametrize(("difference", "comfortable"), [(0.7, True), (0.7001, False)])
def test_plans_may_differ_by_their_limits_inclusive(difference: float, comfortable: bool) -> None:
    calm, pushed = cruise(10.0), cruise(10.0)
    pushed[:, AX] = difference
    result = extended_comfort(pushed, calm, 0.5)
    assert result.comfortable is comfortable
    assert result.rms["acceleration"] == pytest.approx(difference)
    assert result.worst[0] == "acceleration"


def test_only_the_overlap_of_two_plans_is_compared() -> None:
    """The earlier plan's first 0.5 s and the later plan's last 0.5 s have no counterpart."""
    whole = cruise(10.0, steps=46)
    whole[:, AX] = np.sin(np.arange(46) / 3.0)
    earlier, later = whole[:41].copy(), whole[5:].copy()
    assert extended_comfort(later, earlier, 0.5).rms["acceleration"] == 0.0
    earlier[:5, AX], later[-5:, AX] = 9.0, -9.0
    assert extended_comfort(later, earlier, 0.5).comfortable
    assert not extended_comfort(later, earlier, 0.4).comfortable


def test_the_human_filter_forgives_zeros_in_every_term_but_not_halves() -> None:
    wall, cone = parked("wall", 25.0, 0.0), parked("cone", 25.0, 0.0, "cone")
    plan = ego(cruise(10.0))
    for obstacle, forgiven in ((wall, True), (cone, False)):
        world = scene(tracks=(obstacle,))
        human = human_score(world, plan)
        raw, kind = epdms_one_stage(world, plan, plan), epdms_one_stage(world, plan, plan, human=human)
        assert raw.terms["NC"] == (0.0 if forgiven else 0.5)
        assert kind.terms["NC"] == (1.0 if forgiven else 0.5)
        assert kind.terms["TTC"] == 1.0  # the human's time to collision is 0 in both
        assert kind.score == pytest.approx(1.0 if forgiven else 0.5)
        assert {event.term for event in kind.events} == (set() if forgiven else {"NC"})
        assert kind.details["forgiven_TTC"] == 0.0


def test_a_human_is_never_uncomfortable_because_no_history_is_looked_at() -> None:
    rough = cruise(10.0)
    rough[:, AX] = np.where(np.arange(41) % 2, 9.0, -9.0)
    world = scene(history=cruise(10.0)[:14])
    human = human_score(world, ego(rough))
    assert human.terms["HC"] == 1.0
    result = epdms_one_stage(world, ego(rough), ego(rough), human=human)
    assert result.terms["HC"] == 0.0
    assert forgive(result, human).score == result.score


def test_the_past_that_navsim_pads_leaves_out_the_state_just_before_the_plan_and_how_fast_the_car_turned() -> None:
    past = random_drive(np.random.default_rng(3), 15)
    past[:, [STEER_RATE, YAW_RATE, YAW_ACC]] = 0.5
    kept = navsim_history(past)
    assert (kept[:, [STEER_RATE, YAW_RATE, YAW_ACC]] == 0.0).all()
    rest = [column for column in range(11) if column not in (STEER_RATE, YAW_RATE, YAW_ACC)]
    assert np.array_equal(kept[:, rest], past[:14, rest])
    assert (past[:, YAW_RATE] == 0.5).all()


def graded(value: float) -> ScoreResult:
    return ScoreResult("x", {"NC": 1.0}, {"EP": value}, {"EP": 1.0})


def test_two_stages_weigh_starts_by_a_gaussian_of_their_distance_to_the_planned_end() -> None:
    starts = ((10.0, 0.0), (10.5, 0.0), (11.0, 0.0))
    group = StageGroup(graded(0.8), (10.0, 0.0), (graded(1.0), graded(0.5), graded(0.0)), starts)
    weights = np.exp(-np.array([0.0, 0.25, 1.0]) / 0.2)
    assert group.weights == pytest.approx(weights / weights.sum())
    assert group.score == pytest.approx(0.8 * (weights @ [1.0, 0.5, 0.0]) / weights.sum())
    far = StageGroup(graded(0.5), (1e3, 0.0), group.second, starts)
    assert far.weights == pytest.approx([1 / 3] * 3)
    result = epdms_two_stage([(group, far), (far, far)])
    assert result.score == pytest.approx(np.mean([(group.score + far.score) / 2, far.score]))
    assert result.name.startswith("EPDMS two-stage")
    assert json.loads(json.dumps(result.to_dict()))["scenes"][0][0]["weights"] == pytest.approx(list(group.weights))


def test_one_and_two_stages_have_different_names() -> None:
    plan = ego(cruise(5.0))
    assert epdms_one_stage(scene(), plan, plan).name == "EPDMS one-stage (NAVSIM v2.2)"
    assert epdms_proposals(scene(), plan)[0].name != epdms_one_stage(scene(), plan, plan).name


def test_results_survive_json() -> None:
    world, drives = random_scene(3)
    plan, reference = EgoTrajectories(drives.states[:1]), EgoTrajectories(drives.states[1:])
    table = epdms_one_stage(world, plan, reference, human_score(world, reference), CALM).to_dict()
    assert json.loads(json.dumps(table)) == table


def test_a_result_cannot_be_given_terms_it_does_not_have() -> None:
    with pytest.raises(ValueError, match="no term"):
        graded(1.0).replaced({"TTC": 1.0})
    with pytest.raises(ValueError, match="needs a weight"):
        ScoreResult("x", {}, {"EP": 1.0}, {})
    changed = graded(1.0).replaced({"EP": 0.5}, [Event("EP", 3, 0.3, None, "half way")])
    assert (changed.score, changed.first_bad_step()) == (0.5, 3)
