"""Small scenes with known answers, random scenes, and moving and turning them as a whole."""

from dataclasses import replace
from typing import Any

import numpy as np

from sims.driving.scores.scene import (
    AX,
    AY,
    HEADING,
    STEER,
    TRACK_KINDS,
    VX,
    YAW_ACC,
    YAW_RATE,
    EgoTrajectories,
    ScoredLane,
    ScoredMap,
    ScoredScene,
    Track,
    VehicleParameters,
    X,
    Y,
)

CAR = VehicleParameters()
# A car whose corners and centre are exact binary numbers: centre 1 m ahead of the rear axle, 4 m long, 2 m wide.
EXACT_CAR = VehicleParameters(width_m=2.0, front_m=3.0, rear_m=1.0)
STEPS, DT = 41, 0.1
TRACK_STEPS = 50


def box(x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)


def line(start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    count = int(np.hypot(end[0] - start[0], end[1] - start[1])) + 1
    heading = np.arctan2(end[1] - start[1], end[0] - start[0])
    points = np.linspace(start, end, max(count, 2))
    return np.column_stack([points, np.full(len(points), heading)])


def straight_lane(name: str, y: float, x0: float = -30.0, x1: float = 200.0, **options: Any) -> ScoredLane:
    """A lane 4 m wide along x."""
    return ScoredLane(name, box(x0, x1, y - 2.0, y + 2.0), line((x0, y), (x1, y)), **options)


def two_lane_road(**options: Any) -> ScoredMap:
    """Lane "right" at y = 0 on the route, lane "left" at y = 4 off it, all drivable from y = -2 to 6."""
    lanes = (straight_lane("right", 0.0), straight_lane("left", 4.0, is_on_route=False))
    return ScoredMap(lanes, roadblocks=(box(-30.0, 200.0, -2.0, 6.0),), **options)


def scene(road: ScoredMap | None = None, tracks: tuple[Track, ...] = (), **options: Any) -> ScoredScene:
    road = two_lane_road() if road is None else road
    return ScoredScene(road, tracks, line((-30.0, 0.0), (200.0, 0.0)), **options)


def states_at(x: Any, y: Any = 0.0, heading: Any = 0.0, speed: Any = 0.0, steps: int = STEPS) -> np.ndarray:
    """(time, 11) states whose CENTRE is at x, y; scalars are repeated."""
    states = np.zeros((steps, 11))
    states[:, HEADING] = heading
    states[:, X] = x - CAR.rear_axle_to_centre_m * np.cos(heading)
    states[:, Y] = y - CAR.rear_axle_to_centre_m * np.sin(heading)
    states[:, VX] = speed
    return states


def ego(*drives: np.ndarray) -> EgoTrajectories:
    return EgoTrajectories(np.stack(drives), DT)


def exact_states(x: np.ndarray | float, y: np.ndarray | float, speed: float = 1.0) -> np.ndarray:
    """States of EXACT_CAR whose centre is at x, y, heading along x."""
    states = np.zeros((STEPS, 11))
    states[:, X], states[:, Y], states[:, VX] = np.asarray(x) - 1.0, y, speed
    return states


def cruise(speed: float, x: float = 0.0, y: float = 0.0, steps: int = STEPS) -> np.ndarray:
    """Along x at constant speed."""
    return states_at(x + np.arange(steps) * DT * speed, y, 0.0, speed, steps)


def parked(name: str, x: float, y: float, kind: str = "vehicle", steps: int = TRACK_STEPS, **options: Any) -> Track:
    return moving(name, x, y, 0.0, 0.0, kind, steps, **options)


def moving(
    name: str,
    x: Any,
    y: Any,
    heading: float = 0.0,
    speed: float = 0.0,
    kind: str = "vehicle",
    steps: int = TRACK_STEPS,
    size: tuple[float, float] = (4.0, 2.0),
    present: np.ndarray | None = None,
) -> Track:
    """A track at constant velocity from x, y (or at the x, y given for each step)."""
    way = np.arange(steps) * DT * speed
    boxes = np.empty((steps, 5))
    boxes[:, 0], boxes[:, 1] = x + way * np.cos(heading), y + way * np.sin(heading)
    boxes[:, 2], boxes[:, 3:] = heading, size
    velocity = np.tile([speed * np.cos(heading), speed * np.sin(heading)], (steps, 1))
    return Track(name, kind, boxes, velocity, present)


def crossroads(rng: np.random.Generator, steps: int = TRACK_STEPS) -> ScoredMap:
    """Two lanes through a junction, lights at random, a crossing road, a car park; connectors overlap."""
    red = np.zeros(steps, bool)
    red[rng.integers(0, steps) :] = rng.random() < 0.5
    lanes = [
        ScoredLane(
            "in", box(-60, 30, -2, 2), line((-60, 0), (30, 0)), successors=("ahead", "turn"), speed_limit_mps=11.0
        ),
        ScoredLane(
            "in-left", box(-60, 30, 2, 6), line((-60, 4), (30, 4)), is_on_route=False, successors=("ahead-left",)
        ),
        ScoredLane("ahead", box(30, 54, -2, 2), line((30, 0), (54, 0)), True, red=red, successors=("out",)),
        ScoredLane("ahead-left", box(30, 54, 2, 6), line((30, 4), (54, 4)), True, False, successors=("out-left",)),
        ScoredLane(
            "turn",
            np.array([[30, -2], [48, -2], [48, 12], [44, 12], [44, 2], [30, 2]], float),
            np.vstack([line((30, 0), (46, 0)), line((46, 1), (46, 12))]),
            True,
            bool(rng.random() < 0.5),
            red=~red,
            successors=("up",),
        ),
        ScoredLane("out", box(54, 160, -2, 2), line((54, 0), (160, 0)), speed_limit_mps=8.0),
        ScoredLane("out-left", box(54, 160, 2, 6), line((54, 4), (160, 4)), is_on_route=False),
        ScoredLane("up", box(44, 48, 12, 80), line((46, 12), (46, 80)), is_on_route=bool(rng.random() < 0.5)),
    ]
    return ScoredMap(
        tuple(lanes),
        roadblocks=(box(-60, 30, -2, 6), box(54, 160, -2, 6), box(44, 48, 12, 80)),
        intersections=(np.array([[30, -8], [54, -8], [54, 12], [30, 12]], float),),
        carparks=(box(60, 80, 6, 14),),
    )


def random_drive(rng: np.random.Generator, steps: int = STEPS) -> np.ndarray:
    """A bicycle with wandering pedals and steering, somewhere on or near the road."""
    states = np.zeros((steps, 11))
    states[0, [X, Y, HEADING]] = rng.uniform([-25, -1.5, -0.1], [40, 5.5, 0.1])
    states[0, VX] = rng.choice([0.0, rng.uniform(0, 0.1), rng.uniform(1, 16)])
    steer = rng.choice([0.0, 0.004, 0.02]) * rng.standard_normal(steps).cumsum()
    push = rng.uniform(-3, 2) + rng.choice([0.0, 0.5, 3.0]) * rng.standard_normal(steps)
    for now in range(1, steps):
        last, state = states[now - 1], states[now]
        state[VX] = max(0.0, last[VX] + DT * push[now])
        state[AX], state[STEER] = (state[VX] - last[VX]) / DT, steer[now]
        state[YAW_RATE] = state[VX] * np.tan(steer[now]) / CAR.wheelbase_m
        state[YAW_ACC] = (state[YAW_RATE] - last[YAW_RATE]) / DT
        state[AY] = rng.choice([0.0, state[VX] * state[YAW_RATE]])
        state[HEADING] = last[HEADING] + DT * state[YAW_RATE]
        state[X] = last[X] + DT * state[VX] * np.cos(state[HEADING])
        state[Y] = last[Y] + DT * state[VX] * np.sin(state[HEADING])
    return states


def random_track(rng: np.random.Generator, name: str, steps: int = TRACK_STEPS) -> Track:
    kind = str(rng.choice(TRACK_KINDS))
    x, y = rng.uniform([-40, -4], [110, 8])
    heading = rng.choice([0.0, np.pi, rng.uniform(-np.pi, np.pi)])
    speed = rng.choice([0.0, 0.04, rng.uniform(0.1, 12)]) if kind in ("vehicle", "pedestrian", "bicycle") else 0.0
    size = (4.5, 1.9) if kind == "vehicle" else (0.6, 0.6)
    present = rng.random(steps) < 0.9 if rng.random() < 0.3 else None
    track = moving(name, x, y, float(heading), float(speed), kind, steps, size, present)
    if rng.random() < 0.3:  # its speed at the start is not its speed later
        velocity = track.velocity.copy()
        velocity[: rng.integers(1, steps)] = 0.0
        track = replace(track, velocity=velocity)
    return track


def random_scene(seed: int, steps: int = STEPS, track_steps: int = TRACK_STEPS) -> tuple[ScoredScene, EgoTrajectories]:
    """A scene and two drives in it, somewhere on the map at any angle."""
    rng = np.random.default_rng(seed)
    tracks = tuple(random_track(rng, f"t{i}", track_steps) for i in range(rng.integers(0, 14)))
    way = line((-60, 0), (30, 0)), line((31, 0), (160, 0))
    history = random_drive(rng)[: rng.integers(5, 15)] if rng.random() < 0.7 else None
    world = ScoredScene(crossroads(rng, track_steps), tracks, np.vstack(way), history=history)
    drives = ego(*(random_drive(rng, steps) for _ in range(2)))
    angle, shift = rng.uniform(-np.pi, np.pi), rng.uniform(-1000, 1000, 2)
    return transformed(world, angle, shift), transformed_ego(drives, angle, shift)


def transformed(world: ScoredScene, angle: float, shift: np.ndarray) -> ScoredScene:
    """The whole scene turned about the origin, then moved."""

    def points(xy: np.ndarray) -> np.ndarray:
        return xy @ rotation(angle).T + shift

    def poses(rows: np.ndarray) -> np.ndarray:
        return np.column_stack([points(rows[:, :2]), rows[:, 2:3] + angle, rows[:, 3:]])

    lanes = tuple(
        replace(lane, polygon=points(lane.polygon), centreline=poses(lane.centreline)) for lane in world.map.lanes
    )
    roles: dict[str, Any] = {
        role: tuple(points(ring) for ring in getattr(world.map, role))
        for role in ("roadblocks", "intersections", "drivable", "carparks")
    }
    tracks = tuple(
        replace(track, boxes=poses(track.boxes), velocity=track.velocity @ rotation(angle).T) for track in world.tracks
    )
    history = None if world.history is None else poses(world.history)
    road = ScoredMap(lanes, **roles)
    return replace(world, map=road, tracks=tracks, centreline=poses(world.centreline), history=history)


def transformed_ego(drives: EgoTrajectories, angle: float, shift: np.ndarray) -> EgoTrajectories:
    states = drives.states.copy()
    states[..., :2] = states[..., :2] @ rotation(angle).T + shift
    states[..., HEADING] += angle
    return EgoTrajectories(states, drives.control_dt_s)


def rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
