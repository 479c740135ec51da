"""Ways the ego could drive on: the intelligent driver model along the route, at several speeds and sideways offsets.

All proposals are simulated together with the ego's own bicycle, against a forecast of the others.

Source: PDM-Closed, Dauner et al. 2023 (Parting with Misconceptions about Learning-based Vehicle Motion Planning).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from sims.driving.ego.forecast import Forecast
from sims.driving.ego.vehicle import CONTROL_DT_S, control_for, step_bicycle
from sims.driving.map.lights import GREEN
from sims.driving.map.paths import STEP_M
from sims.driving.scores.scene import AX, HEADING, STATE_SIZE, VX, X, Y
from sims.driving.traffic.actors import Driver
from sims.driving.traffic.decisions import FREE_M, idm_acceleration
from sims.driving.world import World

EGO_DRIVER = Driver(acceleration_mps2=2.0, braking_mps2=3.0, time_gap_s=1.2, standstill_m=2.0)
_JERK_MPS3 = 4.0
_EMERGENCY_MPS2 = -4.0  # harder braking than this comes at once
_FREE_BRAKING_MPS2 = -3.0  # for a lower speed limit
_LATERAL_MPS2 = 4.0
_SIDE_MARGIN_M = 0.25
_PREVIEW_S = 0.2
_ROUND_DEBRIS_M = 6.0  # more than behind others, to get round from a standstill
_SWERVE_M = 8.0  # over which the ego is thought to move to its offset


@dataclass(frozen=True, eq=False)
class Choices:
    """What the proposals differ in, one entry each.

    Attributes:
        offset_m: wanted distance to the left of the route.
        fraction: of the route's speed.
        floor_mps2: braking that is applied at least; 0 for none.
        holds: whether it stops at the route's stop line though nobody makes it.
    """

    offset_m: Float64[np.ndarray, " proposals"]
    fraction: Float64[np.ndarray, " proposals"]
    floor_mps2: Float64[np.ndarray, " proposals"]
    holds: np.ndarray

    def __len__(self) -> int:
        return len(self.offset_m)


def choices(rows: list[tuple[float, float, float, bool]]) -> Choices:
    """Choices from rows of offset, fraction, braking, holding."""
    columns = np.array(rows, np.float64).reshape(-1, 4).T
    return Choices(columns[0], columns[1], columns[2], columns[3] > 0)


class Course:
    """The route as the ego drives it: its own speeds, lower where the grip is less."""

    def __init__(self, world: World):
        self.world = world
        self.path = world.scenario.route
        s = np.arange(len(self.path.points)) * STEP_M
        curvature = np.maximum(np.abs(self.path.curvature), 1e-4)
        grip = np.minimum.reduce([world.friction_at(s + ahead) for ahead in (-3.0, 0.0, 3.0, 6.0)]) * 9.81
        speed = np.minimum(self.path.speed_mps, np.sqrt(np.minimum(2.0, 0.5 * grip) / curvature))
        for k in range(len(speed) - 2, -1, -1):
            braking = min(1.5, 0.4 * float(grip[k]))
            speed[k] = min(speed[k], float(np.sqrt(speed[k + 1] ** 2 + 2 * braking * STEP_M)))
        self.speed_mps = speed

    def look_up(self, values: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Values of the route at arc lengths, to the nearest metre."""
        return values[np.clip(np.rint(s / STEP_M).astype(np.int64), 0, len(values) - 1)]


def simulate(
    course: Course, start: Float[np.ndarray, " 11"], options: Choices, others: Forecast, num_steps: int
) -> Float64[np.ndarray, " proposals time 11"]:
    """Drive every proposal for `num_steps`; the first state is the start."""
    world, path = course.world, course.path
    traffic = _Traffic(course, others)
    states = np.empty((len(options), num_steps + 1, STATE_SIZE))
    states[:, 0] = start
    s, across = path.project(start[None, [X, Y]])
    s, across = np.repeat(s, len(options)), np.repeat(across, len(options))
    acceleration = np.full(len(options), start[AX])
    for step in range(num_steps):
        now = states[:, step]
        speed = now[:, VX]
        wanted = _wanted_acceleration(course, traffic, options, s, across, speed, step)
        change = _JERK_MPS3 * CONTROL_DT_S
        smooth = np.clip(wanted, acceleration - change, acceleration + change)
        acceleration = np.where(wanted < _EMERGENCY_MPS2, wanted, smooth)
        pose = path.at(s)
        steer = _steering(course, now, s, across, options.offset_m, pose[:, 2])
        control = control_for(steer, acceleration)
        friction = world.friction_at(s)
        states[:, step + 1] = step_bicycle(now, control, friction, world.vehicle.wheelbase_m, num_substeps=1)
        s, across = _follow(course, states[:, step + 1], s)
    return states


def _follow(course: Course, states: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arc length and distance to the left, found from where the car was a step before."""
    s = s + states[:, VX] * CONTROL_DT_S
    across = s
    for _ in range(2):
        pose = course.path.at(s)
        dx, dy = states[:, X] - pose[:, 0], states[:, Y] - pose[:, 1]
        cos, sin = np.cos(pose[:, 2]), np.sin(pose[:, 2])
        s, across = s + dx * cos + dy * sin, dy * cos - dx * sin
    return s, across


def _steering(
    course: Course, now: np.ndarray, s: np.ndarray, across: np.ndarray, offset_m: np.ndarray, direction: np.ndarray
) -> np.ndarray:
    """Wheel angle: the route's curvature a little ahead, and a critically damped return to the offset."""
    speed = now[:, VX]
    reach = np.maximum(3.5, 0.7 * speed)
    ahead = course.look_up(course.path.curvature, s + np.maximum(1.0, speed * _PREVIEW_S))
    error = np.clip(across - offset_m, -0.8 * reach, 0.8 * reach)
    heading = np.angle(np.exp(1j * (now[:, HEADING] - direction)))
    curvature = ahead / np.maximum(0.3, 1 - ahead * across) - error / reach**2 - 2 * np.tan(heading * 0.9) / reach
    limit = _LATERAL_MPS2 / np.maximum(speed, 1.0) ** 2
    return np.arctan(np.clip(curvature, -limit, limit) * course.world.vehicle.wheelbase_m)


def _wanted_acceleration(
    course: Course,
    traffic: "_Traffic",
    options: Choices,
    s: np.ndarray,
    across: np.ndarray,
    speed: np.ndarray,
    step: int,
) -> np.ndarray:
    desired = course.look_up(course.speed_mps, s + speed * 0.3) * options.fraction
    free = EGO_DRIVER.acceleration_mps2 * (1 - (speed / np.maximum(desired, 0.1)) ** 4)
    wanted = np.maximum(free, _FREE_BRAKING_MPS2)
    gap, leader_speed = traffic.leader(step, s, across, options.offset_m)
    followed = idm_acceleration(speed, np.maximum(desired, 1.0), gap, leader_speed, EGO_DRIVER)
    wanted = np.minimum(wanted, np.where(gap < FREE_M, followed, np.inf))
    line = traffic.line_ahead(step, s, speed, options.holds)
    waiting = idm_acceleration(speed, np.maximum(desired, 1.0), line + 1.5, np.zeros_like(speed), EGO_DRIVER)
    wanted = np.minimum(wanted, np.where(line < FREE_M, waiting, np.inf))
    wanted = np.where(options.floor_mps2 < 0, np.minimum(wanted, options.floor_mps2), wanted)
    return np.clip(wanted, -9.5, EGO_DRIVER.acceleration_mps2)


def _projected(course: Course, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arc length and distance to the left of boxes (time, actors, 5); what stands still is looked up once."""
    s, across = np.empty(boxes.shape[:2]), np.empty(boxes.shape[:2])
    moves = (boxes != boxes[0]).any(axis=(0, 2))
    s[:, moves], across[:, moves] = course.path.project(boxes[:, moves, :2])
    s[:, ~moves], across[:, ~moves] = course.path.project(boxes[0, ~moves, :2])
    return s, across


class _Traffic:
    """The forecast seen along the route."""

    def __init__(self, course: Course, others: Forecast):
        self._course, self._others = course, others
        boxes = others.boxes
        self._s, self._across = _projected(course, boxes)
        angle = boxes[..., 2] - course.path.at(self._s)[..., 2]
        cos, sin = np.cos(angle), np.sin(angle)
        self._half_length = 0.5 * (np.abs(cos) * boxes[..., 3] + np.abs(sin) * boxes[..., 4])
        self._half_width = 0.5 * (np.abs(sin) * boxes[..., 3] + np.abs(cos) * boxes[..., 4])
        self._along = others.speed * cos
        vehicle = course.world.vehicle
        self._front, self._half = vehicle.front_m, vehicle.width_m / 2
        self._stop = course.path.stop_m
        kinds = [actor.kind for actor in course.world.scenario.actors]
        self._room = np.where(np.array(kinds[: boxes.shape[1]], dtype=str) == "debris", _ROUND_DEBRIS_M, 0.0)
        self._closed = [
            others.colours[step].get(course.path.signal or "", GREEN) != GREEN for step in range(len(others))
        ]

    def leader(
        self, step: int, s: np.ndarray, across: np.ndarray, offset_m: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gap and speed of whoever is in front within the strip between where the ego is and where it wants to be."""
        if self._s.shape[1] == 0:
            return np.full_like(s, FREE_M), np.zeros_like(s)
        half = self._half + _SIDE_MARGIN_M
        low, high = np.minimum(offset_m, across)[:, None] - half, np.maximum(offset_m, across)[:, None] + half
        near, far = self._across[step] - self._half_width[step], self._across[step] + self._half_width[step]
        inside = (far > low) & (near < high) & self._others.present[step] & (self._s[step] > s[:, None])
        gap = self._s[step] - self._half_length[step] - (s + self._front)[:, None]
        # What the ego can pass on its way to its offset is no leader: it only has to be out of the way by then.
        moved = np.clip((gap + 2.0) / _SWERVE_M, 0.0, 1.0)
        there = across[:, None] + (offset_m - across)[:, None] * moved
        inside &= (far > there - half) & (near < there + half)
        gap = np.where(inside, gap - self._room, FREE_M)
        first = np.argmin(gap, axis=1)
        rows = np.arange(len(s))
        return gap[rows, first], self._along[step][first]

    def line_ahead(self, step: int, s: np.ndarray, speed: np.ndarray, holds: np.ndarray) -> np.ndarray:
        """Metres to the stop line for those who must stop there, by a light or by choice."""
        line = self._stop - (s + self._front)
        reachable = line > np.maximum(-0.3, speed**2 / (2 * 4.5) - 1.0)
        return np.where((holds | self._closed[step]) & reachable & (line > -0.3), line, FREE_M)
