"""Traffic: the closed-form gap, string stability, MOBIL, lights, giving way, events, replay."""

import dataclasses

import numpy as np
import pytest

from sims.driving.map.lights import LightPlan, two_way_plan
from sims.driving.map.paths import Path, lane_path, make_path
from sims.driving.map.topologies import build_map
from sims.driving.traffic.actors import AGGRESSIVE, FIRED, PATH, SPEED, TIMID, Actor, Driver, Event, S
from sims.driving.traffic.crowd import Crowd
from sims.driving.traffic.decisions import idm_acceleration, mobil_wants_change

LONG = make_path(np.array([[0.0, 0.0], [6000.0, 0.0]]), 30.0)
LEFT = make_path(np.array([[0.0, 3.5], [6000.0, 3.5]]), 30.0)
FAR_EGO = np.array([0.0, -500.0, 0.0, 5.0, 2.0, 0.0])
DRIVERS = [Driver(), TIMID, AGGRESSIVE]


def run(crowd: Crowd, steps: int, ego: np.ndarray = FAR_EGO, colours: dict[str, str] | None = None) -> np.ndarray:
    """Speeds and places of everybody, (steps, actors, 2)."""
    history = []
    for step in range(steps):
        crowd.step(ego, np.full(len(crowd.actors), np.inf), colours or {}, step, 0.1, 9.0)
        history.append(crowd.table[:, [SPEED, S]].copy())
    return np.array(history)


def equilibrium_gap(speed_mps: float, desired_mps: float, driver: Driver) -> float:
    """The gap at which a column drives at constant speed: (s0 + v T) / sqrt(1 - (v / v0)^delta)."""
    wanted = driver.standstill_m + speed_mps * driver.time_gap_s
    return wanted / float(np.sqrt(1 - (speed_mps / desired_mps) ** driver.exponent))


def column(driver: Driver, count: int, speed: float, gap: float) -> list[Actor]:
    """A leader that keeps its speed and followers behind it; the leader comes first."""
    places = 500.0 - (gap + 4.6) * np.arange(count)
    followers = [Actor("car", 0, float(s), speed, desired_mps=25.0, driver=driver) for s in places[1:]]
    return [Actor("car", 0, 500.0, speed, mode="constant"), *followers]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("speed", [5.0, 12.0, 20.0])
def test_followers_settle_at_the_gap_of_the_closed_form(driver, speed):
    expected = equilibrium_gap(speed, 25.0, driver)
    crowd = Crowd(column(driver, 3, speed, expected + 6.0), [LONG])
    places = run(crowd, 900)[-1, :, 1]
    assert -np.diff(places) - 4.6 == pytest.approx(expected, abs=0.01)


def test_the_published_gap_is_what_the_formula_says():
    assert equilibrium_gap(20.0, 25.0, Driver()) == pytest.approx((5.0 + 30.0) / np.sqrt(1 - 0.8**4))
    driver = Driver()
    at_rest = idm_acceleration(np.zeros(1), np.array([25.0]), np.array([5.0]), np.zeros(1), driver)
    assert at_rest == pytest.approx(0.0)
    assert idm_acceleration(np.zeros(1), np.array([25.0]), np.array([1e9]), np.zeros(1), driver) == pytest.approx(3.0)


def speed_drops(driver: Driver) -> np.ndarray:
    """By how much each of ten cars slows when the first is 3 m/s slower for some seconds."""
    speed = 15.0
    cars = column(driver, 10, speed, equilibrium_gap(speed, 25.0, driver))
    falls, rises = np.linspace(speed, speed - 3, 20), np.linspace(speed - 3, speed, 20)
    speeds = np.concatenate([np.full(10, speed), falls, np.full(30, speed - 3), rises, np.full(250, speed)])
    s = 500.0 + np.concatenate([[0.0], np.cumsum(speeds[:-1])]) * 0.1
    log = np.column_stack([s, np.zeros_like(s), np.zeros_like(s), speeds])
    cars[0] = cars[0].moved(mode="replay", poses=log)
    return speed - run(Crowd(cars, [LONG]), len(speeds) - 1)[:, :, 0].min(axis=0)


def test_ten_cars_damp_a_disturbance_from_each_to_the_next():
    drops = speed_drops(Driver())
    assert drops[0] == pytest.approx(3.0)
    assert (np.diff(drops) < 0).all()
    assert drops[-1] < 0.7 * drops[1]


def test_sluggish_drivers_amplify_it_so_the_measure_can_tell():
    drops = speed_drops(Driver(acceleration_mps2=0.4, braking_mps2=5.0, time_gap_s=0.8))
    assert drops[-1] > drops[1] * 1.2


def test_a_leader_from_the_side_and_the_ego_are_seen():
    crossing = make_path(np.array([[60.0, -40.0], [60.0, 40.0]]), 10.0)
    blocker = Actor("truck", 1, 40.0, mode="still")
    crowd = Crowd([Actor("car", 0, 10.0, 12.0), blocker], [LONG, crossing])
    last = run(crowd, 200)[-1, 0]
    assert last[0] < 0.05
    assert 60.0 - 1.25 - (last[1] + 2.3) == pytest.approx(5.0, abs=0.5)  # stands at s0 before the truck's side
    ego = np.array([60.0, 0.0, 0.0, 5.0, 2.0, 0.0])
    assert run(Crowd([Actor("car", 0, 10.0, 12.0)], [LONG]), 200, ego)[-1, 0, 0] < 0.05
    heedless = Crowd([Actor("car", 0, 10.0, 12.0, heeds_ego=False)], [LONG])
    assert run(heedless, 100, ego)[-1, 0, 1] > 100.0


def test_mobil_passes_a_slow_car_and_not_when_somebody_behind_would_have_to_brake():
    slow = Actor("car", 0, 80.0, 6.0, mode="constant")
    quick = Actor("car", 0, 40.0, 15.0, desired_mps=15.0, beside=(0, 1))
    crowd = Crowd([slow, quick], [LONG, LEFT])
    history = run(crowd, 150)
    assert crowd.table[1, PATH] == 1
    assert history[-1, 1, 1] > history[-1, 0, 1]
    racing = [Actor("car", 1, s, 25.0, desired_mps=25.0) for s in (0.0, 20.0)]
    kept = Crowd([slow, quick, *racing], [LONG, LEFT])
    run(kept, 15)
    assert kept.table[1, PATH] == 0


def test_mobil_weighs_what_others_lose_by_politeness():
    gain, loss, follower = np.array([0.5]), np.array([0.6]), np.array([-1.0])
    selfish, polite = Driver(), dataclasses.replace(Driver(), politeness=1.0)
    assert mobil_wants_change(gain, follower, loss, np.zeros(1), selfish)
    assert not mobil_wants_change(gain, follower, loss, np.zeros(1), polite)
    assert not mobil_wants_change(gain, np.array([-2.5]), loss, np.zeros(1), selfish)


def junction(first: str, second: str) -> Path:
    inner, outer = f"{first}.f0", f"{second}.b0"
    return lane_path(build_map("cross-small"), [inner, f"{inner}>{outer}", outer])


def test_red_stops_a_car_before_the_line_and_green_lets_it_go():
    path = junction("east", "west")
    crowd = Crowd([Actor("car", 0, 40.0, 10.0)], [path])
    waiting = run(crowd, 150, colours={"east": "red"})[-1, 0]
    assert waiting[0] < 0.05
    assert 0.3 < path.stop_m - (waiting[1] + 2.3) < 3.0
    assert run(crowd, 100, colours={"east": "green"})[-1, 0, 1] > path.stop_m + 10.0


def test_yellow_stops_whom_it_can_and_lets_the_late_pass():
    path = junction("east", "west")
    late, early = (Crowd([Actor("car", 0, path.stop_m - away, 12.0)], [path]) for away in (9.0, 40.0))
    assert run(late, 60, colours={"east": "yellow"})[-1, 0, 1] > path.stop_m + 5.0
    assert run(early, 100, colours={"east": "yellow"})[-1, 0, 0] < 0.05


def test_who_must_give_way_waits_until_the_other_has_passed():
    path, cross = junction("east", "west"), junction("south", "north")
    yields = path.stop_m - 1.0
    waits = Actor("car", 0, path.stop_m - 25.0, 8.0, yields_at_m=yields)
    other = Actor("car", 1, cross.stop_m - 30.0, 8.0)
    history = run(Crowd([waits, other], [path, cross]), 150)
    passed = int(np.argmax(history[:, 1, 1] > cross.stop_m + 20.0))
    entered = int(np.argmax(history[:, 0, 1] + 2.3 > path.stop_m + 1.0))
    assert 0 < passed < entered
    alone = run(Crowd([waits], [path]), 150)
    assert int(np.argmax(alone[:, 0, 1] + 2.3 > path.stop_m + 1.0)) < entered


def test_an_event_fires_once_at_its_time_and_brakes_for_its_duration():
    brake = Event("time", 1.0, "brake", 4.0, 2.0)
    crowd = Crowd([Actor("car", 0, 10.0, 15.0, desired_mps=15.0, event=brake)], [LONG])
    speeds = run(crowd, 60)[:, 0, 0]
    assert crowd.table[0, FIRED] == pytest.approx(1.0)
    assert speeds[9] == pytest.approx(15.0, abs=0.05)
    assert speeds[29] == pytest.approx(15.0 - 8.0, abs=0.1)
    assert speeds[-1] > 9.0


def test_replay_follows_its_log_and_constant_keeps_its_speed():
    log = np.column_stack([np.linspace(0, 30, 31), np.full(31, 2.0), np.full(31, 0.1), np.full(31, 10.0)])
    crowd = Crowd([Actor("car", 0, 0.0, mode="replay", poses=log), Actor("car", 0, 50.0, 7.0, mode="constant")], [LONG])
    run(crowd, 20)
    assert crowd.poses(20)[0] == pytest.approx(log[20, :3])
    assert crowd.table[1, SPEED] == 7.0
    assert crowd.table[1, S] == pytest.approx(64.0)


def test_nobody_brakes_harder_than_the_road_holds():
    wall = Actor("truck", 0, 60.0, mode="still")
    crowd = Crowd([Actor("car", 0, 10.0, 15.0), wall], [LONG])
    speeds = []
    for step in range(60):
        crowd.step(FAR_EGO, np.full(2, np.inf), {}, step, 0.1, 2.0)
        speeds.append(crowd.table[0, SPEED])
    assert np.diff(speeds).min() >= -0.2 - 1e-9


def test_lights_take_turns_and_are_never_green_for_both():
    plan = two_way_plan(("south",), ("east",), 8.0, 3.0, 1.5, 0.0)
    seen = [tuple(plan.at(float(t)).values()) for t in np.arange(0.0, 50.0, 0.1)]
    assert plan.at(0.0) == {"south": "green", "east": "red"}
    assert plan.at(8.1)["south"] == "yellow"
    assert plan.at(12.6) == {"south": "red", "east": "green"}
    assert plan.at(25.0) == plan.at(0.0)
    assert all("red" in pair for pair in seen)
    assert LightPlan().at(3.0) == {}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"durations_s": (1.0, 0.0), "colours": {}}, "must be positive"),
        ({"durations_s": (1.0,), "colours": {"a": ("green", "red")}}, "one colour for each of 1 phases"),
        ({"durations_s": (1.0,), "colours": {"a": ("blue",)}}, "Light 'a'"),
    ],
)
def test_a_light_plan_that_does_not_add_up_is_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        LightPlan(**kwargs)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"kind": "cra"}, "Unknown kind of actor 'cra'. Did you mean 'car'"),
        ({"mode": "still "}, "Did you mean 'still'"),
        ({"mode": "replay"}, "has poses if and only if"),
        ({"poses": np.zeros((3, 4))}, "has poses if and only if"),
    ],
)
def test_an_actor_that_is_no_road_user_is_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Actor(**{"kind": "car", "path": 0, "s": 0.0, **kwargs})


def test_an_event_of_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="trigger of"):
        Event("whenever", 1.0, "go")
