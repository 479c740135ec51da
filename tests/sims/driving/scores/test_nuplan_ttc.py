"""nuPlan's time to collision against the same rule written the long way, over random runs."""

import numpy as np
import shapely

from sims.driving.scores.nuplan import Run
from sims.driving.scores.nuplan_ttc import time_to_collision
from sims.driving.scores.scene import EgoTrajectories, ScoredScene
from tests.sims.driving.scores.plain_navsim import PlainScorer
from tests.sims.driving.scores.scenes import random_scene


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
            moves = np.hypot(*track.velocity[t]) if track.is_agent else 0.0
            ego, other = scorer.centre(0, t), np.array([x, y])
            for seconds in np.arange(0.1, 3.0, 0.1):
                ego = ego + np.array([np.cos(heading) * speed * 0.1, np.sin(heading) * speed * 0.1])
                step = np.array([np.cos(other_heading) * moves * 0.1, np.sin(other_heading) * moves * 0.1])
                other = other + step
                car = world.vehicle
                mine = PlainScorer._corners(ego, heading, (car.front_m + car.rear_m) / 2.0, car.width_m / 2.0)
                theirs = PlainScorer._corners(other, other_heading, length / 2.0, width / 2.0)
                if shapely.Polygon(mine).intersects(shapely.Polygon(theirs)):
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
