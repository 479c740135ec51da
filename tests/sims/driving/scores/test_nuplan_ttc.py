"""nuPlan's time to collision against the same rule written the long way, over random runs."""

import numpy as np
import shapely

from sims.driving.scores.nuplan import Run
from sims.driving.scores.nuplan_ttc import time_to_collision
from sims.driving.scores.scene import HEADING, VX, EgoTrajectories, ScoredScene
from tests.sims.driving.scores.plain_navsim import PlainScorer
from tests.sims.driving.scores.scenes import EXACT_CAR, moving, random_scene, scene


def plain_meet(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    """Whether two boxes (x, y, heading, length, width) are in collision in nuPlan: circles first, then outlines."""
    reach = (np.hypot(first[4], first[3]) + np.hypot(second[4], second[3])) / 2.0
    if not np.hypot(first[0] - second[0], first[1] - second[1]) < reach:
        return False
    outlines = [
        shapely.Polygon(PlainScorer._corners(np.array([x, y]), heading, length / 2.0, width / 2.0))
        for x, y, heading, length, width in (first, second)
    ]
    return bool(outlines[0].intersects(outlines[1]))


def plain_stretched(box: tuple[float, ...], speed: float) -> tuple[float, ...]:
    """The box over all places that it takes within three seconds, by 30 steps of 0.1 s."""
    x, y, heading, length, width = box
    dx, dy = np.cos(heading) * speed * 0.1, np.sin(heading) * speed * 0.1
    longer = float(length + np.hypot(dx * 3.0 / 0.1, dy * 3.0 / 0.1))
    return ((3.0 / 0.1) / 2 * dx + x, (3.0 / 0.1) / 2 * dy + y, heading, longer, width)


def plain_seconds(world: ScoredScene, states: np.ndarray, exposed: np.ndarray, gone: dict[str, int]) -> np.ndarray:
    """Every track moved step by step; tracks that have collided are left out, at-fault collisions are not looked at."""
    scorer = PlainScorer(world, states[None])
    found = np.full(len(states), np.inf)
    for t in range(len(states)):
        speed, heading = scorer.speed(0, t), states[t, 2]
        if speed <= 0.005:
            continue
        for track in world.tracks:
            if not np.asarray(track.present)[t] or gone.get(track.id, 10**9) <= t:
                continue
            x, y, other_heading, length, width = track.boxes[t]
            angle = scorer.angle(0, t, shapely.Point(x, y))
            if not (angle < np.deg2rad(30) or (exposed[t] and not angle > np.deg2rad(150))):
                continue
            moves = float(np.hypot(*track.velocity[t])) if track.is_agent else 0.0
            ego, other = scorer.centre(0, t), np.array([x, y])
            size = world.vehicle.length_m, world.vehicle.width_m
            mine = plain_stretched((*ego, heading, *size), speed)
            if not plain_meet(mine, plain_stretched((x, y, other_heading, length, width), moves)):
                continue
            for seconds in np.arange(0.1, 3.0, 0.1):
                ego = ego + np.array([np.cos(heading) * speed * 0.1, np.sin(heading) * speed * 0.1])
                step = np.array([np.cos(other_heading) * moves * 0.1, np.sin(other_heading) * moves * 0.1])
                other = other + step
                if plain_meet((*ego, heading, *size), (*other, other_heading, length, width)):
                    found[t] = min(found[t], seconds)
                    break
    return found


def test_time_to_collision_agrees_with_the_long_way_at_every_step() -> None:
    finite = 0
    for seed in range(6):
        world, drives = random_scene(seed, steps=30, track_steps=30)
        run = Run(world, EgoTrajectories(drives.states[:1]), EgoTrajectories(drives.states[1:]))
        exposed = np.random.default_rng(seed).random(30) < 0.5
        seconds, names = time_to_collision(world, run.states, run.place.centre[0], exposed, run.collisions)
        guilty = [contact.step for contact in run.collisions if contact.at_fault]
        plain = plain_seconds(world, run.states, exposed, {c.track.id: c.step for c in run.collisions})
        plain[guilty] = 0.0
        assert np.array_equal(seconds, plain), seed
        assert [name is not None for name in names] == list(np.isfinite(seconds))
        finite += int(np.isfinite(seconds).sum())
    assert finite > 10


def grazing(seed: int) -> tuple[ScoredScene, np.ndarray]:
    """Somebody a car's width to the side, parallel and slower: their sides touch or not, as rounding has it."""
    rng = np.random.default_rng(seed)
    heading = float(np.round(rng.uniform(-3.0, 3.0), 2))
    forwards, left = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])
    states = np.zeros((2, 11))
    states[:, :2] = np.round(rng.uniform(-50.0, 50.0, 2), 1)
    states[:, HEADING], states[:, VX] = heading, rng.integers(4, 15)
    x, y = states[0, :2] + rng.uniform(4.5, 8.0) * forwards + EXACT_CAR.width_m * left
    other = moving("other", x, y, heading, speed=float(rng.integers(0, 4)), steps=2)
    return scene(tracks=(other,), vehicle=EXACT_CAR), states


def test_whoever_the_stretched_boxes_just_miss_is_not_looked_at_even_where_the_boxes_themselves_touch() -> None:
    seen = 0
    for seed in range(40):
        world, states = grazing(seed)
        run = Run(world, EgoTrajectories(states[None]), EgoTrajectories(states[None]))
        seconds, _ = time_to_collision(world, states, run.place.centre[0], np.ones(2, bool), ())
        assert np.array_equal(seconds, plain_seconds(world, states, np.ones(2, bool), {})), seed
        seen += int(np.isfinite(seconds).sum())
    assert 10 < seen < 70
