"""nuPlan's closed-loop score: each rule from both sides, the lane logic on small graphs."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sims.driving.scores.epdms import epdms_proposals
from sims.driving.scores.nuplan import nuplan_score
from sims.driving.scores.nuplan_route import LaneGraph, driven_route, expert_blocks, in_one_lane, progress_along
from sims.driving.scores.result import ScoreResult
from sims.driving.scores.scene import AX, VX, EgoTrajectories, ScoredLane, ScoredMap, Track
from tests.sims.driving.scores.scenes import (
    EXACT_CAR,
    box,
    cruise,
    ego,
    exact_states,
    line,
    moving,
    parked,
    random_scene,
    scene,
    straight_lane,
    transformed,
    transformed_ego,
    two_lane_road,
)

NC, DAC, DDC = "no_ego_at_fault_collisions", "drivable_area_compliance", "driving_direction_compliance"
PROGRESS, TTC = "ego_progress_along_expert_route", "time_to_collision_within_bound"
ADVANCING, SPEED, COMFORT = "ego_is_making_progress", "speed_limit_compliance", "ego_is_comfortable"
LONG = 101  # steps: 10 s


def judge(
    drive: np.ndarray, *tracks: Track, road: ScoredMap | None = None, expert: np.ndarray | None = None
) -> ScoreResult:
    expert = drive if expert is None else expert
    return nuplan_score(scene(road, tracks), ego(drive), ego(expert))


def chain(*lengths: float, limits: tuple[float | None, ...] = (), connectors: tuple[int, ...] = ()) -> ScoredMap:
    """Lanes "0", "1", ... one after another along x, each its own roadblock."""
    edges = np.concatenate([[0.0], np.cumsum(lengths)])
    lanes = []
    for i, (x0, x1) in enumerate(zip(edges, edges[1:], strict=False)):
        follower = (str(i + 1),) if i + 1 < len(lengths) else ()
        limit = limits[i] if limits else None
        is_connector = i in connectors
        lanes.append(
            ScoredLane(
                str(i),
                box(x0, x1, -2.0, 2.0),
                line((x0, 0.0), (x1, 0.0)),
                is_connector,
                speed_limit_mps=None if is_connector else limit,
                successors=follower,
            )
        )
    return ScoredMap(tuple(lanes), roadblocks=(box(0.0, edges[-1], -6.0, 6.0),))


def test_a_flawless_run_scores_one() -> None:
    result = judge(cruise(10.0, steps=LONG), moving("lead", 40.0, 0.0, speed=10.0, steps=LONG))
    assert set(result.terms.values()) == {1.0}
    assert result.score == 1.0
    assert not result.events


def test_weights_are_five_five_four_and_two_of_sixteen() -> None:
    rough = cruise(10.0)
    rough[:, AX] = 3.0
    assert judge(rough).score == pytest.approx(14.0 / 16.0)
    half = judge(cruise(5.0), expert=cruise(10.0))
    assert half.terms[PROGRESS] == pytest.approx(0.5)
    assert half.score == pytest.approx((5 * 0.5 + 11) / 16.0)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (("vehicle",), 0.0),
        (("pedestrian",), 0.0),
        (("bicycle",), 0.0),
        (("cone",), 0.5),
        (("cone", "barrier"), 0.0),
        (("cone", "cone", "cone"), 0.0),
    ],
)
def test_one_object_costs_half_two_objects_or_one_road_user_all(kinds: tuple[str, ...], expected: float) -> None:
    tracks = [parked(f"{kind}{i}", 15.0 + 5.0 * i, 0.0, kind) for i, kind in enumerate(kinds)]
    result = judge(cruise(10.0), *tracks)
    assert result.terms[NC] == expected
    assert [event.actor for event in result.events if event.term == NC] == [track.id for track in tracks]
    assert result.terms[TTC] == 0.0


def test_whether_a_track_is_stopped_is_read_at_the_moment_of_contact() -> None:
    """Touching from the side: at fault only if the other stands, which NAVSIM would read at the first step."""
    beside = moving("beside", -1.0, 2.4, speed=0.0)
    velocity = beside.velocity.copy()
    velocity[0] = 5.0, 0.0
    boxes = beside.boxes.copy()
    boxes[:5, 1] = 7.4  # arrives at step 5, standing
    assert judge(cruise(0.3, y=0.4), replace(beside, boxes=boxes, velocity=velocity)).terms[NC] == 0.0
    velocity[:] = 5.0, 0.0
    assert judge(cruise(0.3, y=0.4), replace(beside, boxes=boxes, velocity=velocity)).terms[NC] == 1.0


def test_a_touch_from_the_side_is_at_fault_unless_all_corners_are_in_one_or_connected_lanes() -> None:
    road = replace(chain(20.0, 60.0), lanes=(*chain(20.0, 60.0).lanes, straight_lane("other", 4.0, x0=0.0, x1=80.0)))
    side = moving("side", 20.0, -2.4, speed=5.0)
    assert judge(cruise(5.0, x=20.0, y=-0.4), side, road=road).terms[NC] == 1.0  # across two connected lanes
    apart = replace(road, lanes=(replace(road.lanes[0], successors=()), *road.lanes[1:]))
    assert judge(cruise(5.0, x=20.0, y=-0.4), side, road=apart).terms[NC] == 0.0
    between = moving("side", 40.0, -0.2, speed=5.0)
    assert judge(cruise(5.0, x=40.0, y=1.8), between, road=road).terms[NC] == 0.0  # between neighbours


@pytest.mark.parametrize(
    ("shift", "nuplan", "navsim"), [(0.0, 1.0, 0.0), (2.0**-30, 0.0, 0.0), (-(2.0**-30), 1.0, 1.0)]
)
def test_corner_against_corner_is_contact_for_navsim_and_none_for_nuplan(
    shift: float, nuplan: float, navsim: float
) -> None:
    """Two boxes of 4 by 2 m whose corners meet: nuPlan asks circles around them first, which then only touch."""
    other = parked("corner", 12.0 - shift, 2.0 - shift)
    world, drive = scene(tracks=(other,), vehicle=EXACT_CAR), ego(exact_states(8.0, 0.0))
    assert nuplan_score(world, drive, drive).terms[NC] == nuplan
    assert epdms_proposals(world, drive)[0].terms["NC"] == navsim


@pytest.mark.parametrize(("outside", "expected"), [(0.29, 1.0), (0.31, 0.0)])
def test_a_corner_may_be_up_to_thirty_centimetres_outside(outside: float, expected: float) -> None:
    """Right side of the car at y = -2 - outside, where lane and road end at -2."""
    result = judge(exact_states(8.0, -1.0 - outside), road=two_lane_road())
    with_exact_car = nuplan_score(
        scene(vehicle=EXACT_CAR), ego(exact_states(8.0, -1.0 - outside)), ego(exact_states(8.0, -1.0 - outside))
    )
    assert with_exact_car.terms[DAC] == expected
    assert [event.step for event in with_exact_car.events if event.term == DAC] == ([] if expected else [0])
    assert result.terms[DAC] == 0.0  # the Pacifica is wider


def test_a_lane_outside_all_drivable_polygons_is_drivable_for_nuplan() -> None:
    road = ScoredMap((straight_lane("right", 0.0),))
    assert judge(cruise(5.0), road=road).terms[DAC] == 1.0


@pytest.mark.parametrize(("speed", "expected"), [(-1.9, 1.0), (-2.1, 0.5), (-5.9, 0.5), (-6.1, 0.0), (6.1, 1.0)])
def test_going_back_along_the_lane_costs_from_two_and_six_metres_a_second_on(speed: float, expected: float) -> None:
    """Eleven moves lie in the window of ten steps and the present one."""
    drive = cruise(speed / 1.1, x=60.0, steps=LONG)
    result = judge(drive, expert=cruise(10.0, x=60.0))
    assert result.terms[DDC] == expected
    assert result.details["max_backwards_m"] == pytest.approx(max(0.0, -speed), abs=1e-9)


@pytest.mark.parametrize("steps", [83, 84, 162, 167])
def test_a_second_has_ten_steps_in_drives_of_any_length(steps: int) -> None:
    """With time in float seconds the mean step of some lengths comes out above 0.1 s, and a second has nine."""
    result = judge(cruise(-2.1 / 1.1, x=60.0, steps=steps), expert=cruise(10.0, x=60.0))
    assert result.details["max_backwards_m"] == pytest.approx(2.1, abs=1e-9)
    assert result.terms[DDC] == 0.5


def test_driving_against_traffic_is_going_back_along_the_oncoming_lane() -> None:
    oncoming = ScoredLane("oncoming", box(-30, 200, 2, 6), line((200.0, 4.0), (-30.0, 4.0)), is_on_route=False)
    road = ScoredMap((straight_lane("right", 0.0), oncoming), roadblocks=(box(-30.0, 200.0, -2.0, 6.0),))
    result = judge(cruise(8.0, y=4.0), road=road, expert=cruise(8.0))
    assert result.terms[DDC] == 0.0
    assert {event.actor for event in result.events if event.term == DDC} == {"oncoming"}
    assert judge(cruise(-8.0, x=60.0, y=4.0), road=road, expert=cruise(-8.0, x=60.0, y=4.0)).terms[DDC] == 1.0


def test_progress_is_compared_above_two_metres_and_saturates() -> None:
    def ratio(ego_m: float, expert_m: float) -> float:
        return judge(cruise(ego_m / 4.0), expert=cruise(expert_m / 4.0)).terms[PROGRESS]

    assert ratio(1.0, 1.5) == 1.0  # nobody moves
    assert ratio(0.0, 4.0) == pytest.approx(0.5)  # counts as two metres
    assert ratio(20.0, 10.0) == 1.0
    assert ratio(-1.9, 10.0) == pytest.approx(0.2)
    assert ratio(-2.1, 10.0) == 0.0


@pytest.mark.parametrize(("metres", "expected"), [(7.99, 0.0), (8.01, 1.0)])
def test_a_fifth_of_the_experts_progress_is_progress(metres: float, expected: float) -> None:
    result = judge(cruise(metres / 4.0), expert=cruise(10.0))
    assert result.terms[ADVANCING] == expected
    assert (result.score > 0.0) == bool(expected)
    assert [event.step for event in result.events] == ([] if expected else [40])


@pytest.mark.parametrize(("gap", "expected"), [(8.9, 0.0), (9.1, 1.0), (9.9, 1.0)])
def test_time_to_collision_must_exceed_ninety_five_hundredths(gap: float, expected: float) -> None:
    """Closing at 10 m/s for one step: touched after 0.9 s, or after 1.0 s, which is enough."""
    drive = cruise(10.0)
    drive[1:] = drive[0]
    drive[1:, VX] = 0.0  # stands from step 1 on: only step 0 looks ahead
    wall = parked("wall", 2.588 + gap + 2.0, 0.0)
    result = judge(drive, wall)
    assert result.terms[TTC] == expected
    assert [(event.step, event.actor) for event in result.events if event.term == TTC] == (
        [] if expected else [(0, "wall")]
    )
    assert result.details["min_time_to_collision_s"] == pytest.approx(np.ceil(gap) / 10.0)


def test_others_are_extrapolated_along_their_heading_even_when_they_are_about_to_stop() -> None:
    """NAVSIM looks up where the other will be; nuPlan keeps it going."""
    x = 14.0 + np.minimum(np.arange(50) * 1.0, 3.0)
    brakes = moving("brakes", x, 0.0)
    velocity = np.tile([10.0, 0.0], (50, 1))
    stays = replace(brakes, velocity=velocity)
    drive = cruise(10.0)
    drive[1:] = drive[0]
    drive[1:, VX] = 0.0
    assert judge(drive, stays).terms[TTC] == 1.0


def test_a_track_beside_counts_for_time_to_collision_only_where_the_ego_is_exposed() -> None:
    other = moving("other", 2.0, 5.0, -np.pi / 2, speed=5.0, size=(2.0, 2.0))
    drive = cruise(1.0)
    assert judge(drive, other).terms[TTC] == 1.0
    junction = two_lane_road(intersections=(box(-30.0, 60.0, -2.0, 6.0),))
    assert judge(drive, other, road=junction).terms[TTC] == 0.0


def test_speeding_costs_its_integral_over_what_two_and_a_quarter_metres_a_second_would_cost() -> None:
    limits = chain(200.0, limits=(10.0,))
    result = judge(cruise(11.0, x=5.0), road=limits)
    # 41 samples of 0.1 s count over a duration of 4.0 s, as in nuPlan.
    assert result.terms[SPEED] == pytest.approx(1.0 - 1.0 * 4.1 / (2.23 * 4.0))
    assert [event.actor for event in result.events] == ["0", "0"]
    assert judge(cruise(10.0), road=limits).terms[SPEED] == 1.0
    assert judge(cruise(13.0), road=limits).terms[SPEED] == 0.0
    assert judge(cruise(30.0), road=chain(200.0)).terms[SPEED] == 1.0  # no limit known


def test_on_a_connector_the_higher_limit_of_before_and_after_holds_if_both_are_known() -> None:
    def speed_term(limits: tuple[float | None, ...]) -> float:
        drive = cruise(9.0, x=22.0)  # on the connector from 20 to 100 all the time
        return judge(drive, road=chain(20.0, 80.0, 60.0, limits=limits, connectors=(1,))).terms[SPEED]

    assert speed_term((8.0, None, 10.0)) == 1.0
    assert speed_term((8.0, None, 8.5)) < 1.0
    assert speed_term((8.0, None, None)) == 1.0


def overlapping_fork() -> ScoredMap:
    """From "in" two connectors share their first 20 m; one goes on to "ahead", one turns up to "up"."""
    turn = np.array([[20, -2], [44, -2], [44, 20], [40, 20], [40, 2], [20, 2]], float)
    lanes = (
        ScoredLane("in", box(0, 20, -2, 2), line((0, 0), (20, 0)), successors=("turn", "straight")),
        ScoredLane(
            "turn", turn, np.vstack([line((20, 0), (42, 0)), line((42, 1), (42, 20))]), True, successors=("up",)
        ),
        ScoredLane("straight", box(20, 60, -2, 2), line((20, 0), (60, 0)), True, successors=("ahead",)),
        ScoredLane("ahead", box(60, 90, -2, 2), line((60, 0), (90, 0))),
        ScoredLane("up", box(40, 44, 20, 60), line((42, 20), (42, 60))),
    )
    return ScoredMap(lanes, intersections=(box(20, 60, -2, 20),))


def names(graph: LaneGraph, route: list[list[int]]) -> list[str]:
    return ["+".join(graph.lanes[i].id for i in objects) for objects in route]


def test_connectors_that_overlap_are_settled_by_the_lane_the_way_ends_in() -> None:
    graph = LaneGraph(overlapping_fork())
    points = np.column_stack([np.arange(1.0, 80.0, 3.0), np.zeros(27)])
    route = names(graph, driven_route(graph, points))
    assert route == ["in"] * 7 + ["straight"] * 13 + ["ahead"] * 7
    turning = np.vstack([points[:14], np.column_stack([np.full(13, 42.0), np.arange(1.0, 40.0, 3.0)])])
    assert names(graph, driven_route(graph, turning))[7:20] == ["turn"] * 13


def test_connectors_that_overlap_to_their_end_are_settled_by_which_leads_into_the_next_lane() -> None:
    whole = box(20, 60, -2, 2)
    lanes = (
        ScoredLane("in", box(0, 20, -2, 2), line((0, 0), (20, 0)), successors=("elsewhere", "onwards")),
        ScoredLane("elsewhere", whole, line((20, 0), (60, 0)), True),
        ScoredLane("onwards", whole, line((20, 0), (60, 0)), True, successors=("ahead",)),
        ScoredLane("ahead", box(60, 90, -2, 2), line((60, 0), (90, 0))),
    )
    graph = LaneGraph(ScoredMap(lanes))
    points = np.column_stack([np.arange(1.0, 80.0, 3.0), np.zeros(27)])
    assert names(graph, driven_route(graph, points)) == ["in"] * 7 + ["onwards"] * 13 + ["ahead"] * 7


def test_without_a_lane_at_the_end_overlapping_connectors_both_remain() -> None:
    graph = LaneGraph(overlapping_fork())
    points = np.column_stack([np.arange(1.0, 38.0, 3.0), np.zeros(13)])
    assert names(graph, driven_route(graph, points))[7:] == ["turn+straight"] * 6


def test_leaving_a_connector_a_little_inside_the_intersection_keeps_it() -> None:
    graph = LaneGraph(overlapping_fork())
    points = np.column_stack([np.arange(1.0, 60.0, 3.0), np.zeros(20)])
    points[15:17, 1] = 4.0  # beside the straight connector, past the turn: in no lane, but in the intersection
    points[15:17, 0] = 50.0, 52.0
    assert names(graph, driven_route(graph, points))[14:18] == ["straight"] * 4
    points[15:17, 1] = 12.0  # too far from it
    assert names(graph, driven_route(graph, points))[14:18] != ["straight"] * 4


def test_corners_in_connected_lanes_are_in_one_lane_and_in_neighbours_are_not() -> None:
    graph = LaneGraph(chain(20.0, 20.0, 20.0))

    def flags(x: float, y: float = 0.0) -> bool:
        corners = np.array([[x + 2, y + 1], [x - 2, y + 1], [x - 2, y - 1], [x + 2, y - 1]])
        return bool(in_one_lane(graph, np.tile(corners, (3, 1, 1)))[-1])

    assert flags(10.0)
    assert flags(20.5)
    assert not flags(10.0, 1.5)
    assert not flags(10.0, 30.0)


def test_progress_goes_on_over_groups_of_lanes_that_the_ego_skipped() -> None:
    graph = LaneGraph(chain(20.0, 20.0, 20.0, 20.0))
    expert = np.column_stack([np.arange(1.0, 80.0, 2.0), np.zeros(40)])
    blocks = expert_blocks(graph, driven_route(graph, expert))
    assert [graph.lanes[block.lane].id for block in blocks] == ["0", "1", "2", "3"]
    assert progress_along(graph, blocks, expert).sum() == pytest.approx(78.0)
    jump = np.array([[5.0, 0.0], [15.0, 0.0], [65.0, 0.0], [70.0, 0.0]])
    assert progress_along(graph, blocks, jump) == pytest.approx([0.0, 10.0, 50.0, 5.0])
    astray = np.array([[5.0, 0.0], [15.0, 9.0], [25.0, 9.0], [30.0, 0.0]])
    assert progress_along(graph, blocks, astray) == pytest.approx([0.0, 0.0, 0.0, 25.0])


def test_groups_of_parallel_lanes_count_as_one_with_or_without_an_outline() -> None:
    lanes = tuple(
        replace(straight_lane(name, y, x0=x0, x1=x0 + 40.0, successors=after), roadblock=block)
        for name, y, x0, block, after in (
            ("a", 0.0, 0.0, "first", ("b",)),
            ("a2", 4.0, 0.0, "first", ()),
            ("b", 0.0, 40.0, "second", ()),
        )
    )
    change = np.column_stack([np.arange(1.0, 79.0, 2.0), np.where(np.arange(39) < 8, 4.0, 0.0)])
    for outlines in ({}, {"first": box(0.0, 40.0, -2.0, 6.0)}):
        graph = LaneGraph(ScoredMap(lanes, blocks=outlines))
        blocks = expert_blocks(graph, driven_route(graph, change))
        assert [graph.lanes[block.lane].id for block in blocks] == ["a2", "b"]
        assert progress_along(graph, blocks, change).sum() == pytest.approx(76.0)


def test_an_expert_in_no_lane_gives_everyone_full_progress() -> None:
    result = judge(cruise(0.0), expert=cruise(5.0, y=40.0))
    assert result.terms[PROGRESS] == result.terms[ADVANCING] == 1.0


def test_random_runs_stay_consistent_move_with_the_world_and_survive_json() -> None:
    for seed in range(12):
        world, drives = random_scene(seed, steps=60, track_steps=60)
        run, expert = EgoTrajectories(drives.states[:1]), EgoTrajectories(drives.states[1:])
        here = nuplan_score(world, run, expert)
        assert json.loads(json.dumps(here.to_dict())) == here.to_dict()
        assert 0.0 <= here.score <= 1.0
        lost = {term for term, value in here.terms.items() if value < 1.0 and term != PROGRESS}
        assert {event.term for event in here.events} == lost, seed
        angle, shift = 0.3 * seed, np.array([50.0, -seed])
        there = nuplan_score(
            transformed(world, angle, shift), transformed_ego(run, angle, shift), transformed_ego(expert, angle, shift)
        )
        assert there.terms == pytest.approx(here.terms, abs=1e-6), seed


def test_bad_runs_are_named() -> None:
    plan = ego(cruise(5.0))
    with pytest.raises(ValueError, match="one ego and one expert drive, got 2, 1"):
        nuplan_score(scene(), ego(cruise(5.0), cruise(6.0)), plan)
    with pytest.raises(ValueError, match="must have one rate"):
        nuplan_score(scene(), EgoTrajectories(cruise(5.0)[None], 0.2), plan)
    with pytest.raises(ValueError, match="drives 60 steps; the scene's tracks have 50"):
        nuplan_score(scene(tracks=(parked("x", 99.0, 0.0),)), ego(cruise(5.0, steps=60)), plan)
    with pytest.raises(ValueError, match="at least 5 steps"):
        nuplan_score(scene(), ego(cruise(5.0)[:4]), plan)
