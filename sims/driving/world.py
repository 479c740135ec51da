"""The driving world: the ego among others on a map, stepped at 10 Hz, with its whole state in one vector."""

import zlib
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float64

from sims.driving.ego.vehicle import CONTROL_DT_S, GRAVITY_MPS2, ego_state, step_bicycle
from sims.driving.looks.weather import Weather
from sims.driving.map.roads import RoadMap
from sims.driving.map.visibility import visible
from sims.driving.record import Record
from sims.driving.scenarios.scenario import Scenario
from sims.driving.scores.scene import HEADING, STATE_SIZE, VX, ScoredScene, VehicleParameters, X, Y
from sims.driving.traffic.actors import MAX_ACTORS, NUM_COLUMNS, SEEN, TOUCHED, ActorTable
from sims.driving.traffic.crowd import Crowd
from sims.driving.traffic.verdict import ego_box, is_at_fault, is_off_road, runs_red, touched

# Head of the state vector; the ego's state and the actors' table follow.
_SCENARIO, _STEP, _AT_FAULT, _OFF_ROAD, _RAN_RED, _BAD_STEP, _BAD_ACTOR, _FURTHEST = range(8)
_HEAD = 8
STATE_VECTOR_SIZE = _HEAD + STATE_SIZE + MAX_ACTORS * NUM_COLUMNS
_ROUNDING = 1e-6
_EYE_M = 1.5  # ahead of the rear axle
_SIGHT_M = 150.0


class World:
    """One scenario while it is driven.

    Attributes:
        ego: state at the rear axle, columns of `sims.driving.scores.scene`.
        crowd: everybody else, with what they will do.
        time_step: control steps since the start; `time_s` in seconds.
        record: what happened since the start or the last `set_state`.
    """

    def __init__(self, scenario: Scenario, weather: Weather | None = None):
        """Put everybody at the start.

        Args:
            scenario: what to drive.
            weather: instead of the scenario's.

        Raises:
            ValueError: boxes overlap at the start, or the ego begins off the road.
        """
        self.scenario = scenario if weather is None else replace(scenario, weather=weather)
        self.vehicle = VehicleParameters()
        self._place: tuple[int, np.ndarray | None, float] = (-1, None, 0.0)  # route_m, kept for the present state
        self._checksum = float(zlib.crc32(scenario.id.encode()))
        self.crowd = Crowd(scenario.actors, scenario.paths or (scenario.route,))
        self._crossing_m = self._crossings()
        self.reset()
        self._check_start()

    @property
    def road_map(self) -> RoadMap:
        """Lanes and surfaces."""
        return self.scenario.road_map

    @property
    def instruction(self) -> str:
        """What the ego is told."""
        return self.scenario.instruction

    @property
    def weather(self) -> Weather:
        """Conditions of the whole drive; `friction_here` also knows slippery patches."""
        return self.scenario.weather

    @property
    def time_s(self) -> float:
        """Seconds since the start."""
        return self.time_step * CONTROL_DT_S

    @property
    def lights(self) -> dict[str, str]:
        """Colour of every light group now."""
        return self.scenario.lights.at(self.time_s)

    @property
    def actors(self) -> ActorTable:
        """Everybody else now."""
        return self.crowd.view(self.time_step)

    @property
    def friction_here(self) -> float:
        """Grip where the ego is."""
        return float(self.friction_at(np.array(self.route_m)))

    def friction_at(self, s: Float[np.ndarray, " *batch"]) -> Float64[np.ndarray, " *batch"]:
        """Grip at arc lengths of the route."""
        friction = np.full(s.shape, self.weather.friction)
        for patch in self.scenario.patches:
            inside = (patch.begin_m <= s) & (s <= patch.end_m)
            friction = np.where(inside, np.minimum(friction, patch.friction), friction)
        return friction

    @property
    def route_m(self) -> float:
        """Arc length of the ego's rear axle along the route."""
        if self._place[0] != self.time_step or self._place[1] is not self.ego:
            self._place = (self.time_step, self.ego, float(self.scenario.route.project(self.ego[:2])[0]))
        return self._place[2]

    @property
    def progress(self) -> float:
        """Share of the way to the goal, 0 to 1; what was reached once stays reached."""
        way = self.scenario.goal_m - self.scenario.start_m
        return float(np.clip((self._head[_FURTHEST] - self.scenario.start_m) / way, 0.0, 1.0))

    @property
    def failure(self) -> str | None:
        """`collision`, `off_road` or `red_light`: the first that the ego was to blame for; None so far."""
        for column, name in ((_AT_FAULT, "collision"), (_OFF_ROAD, "off_road"), (_RAN_RED, "red_light")):
            if self._head[column] == 1.0:
                return name
        return None

    @property
    def first_bad(self) -> tuple[int, int | None] | None:
        """Step of the first failure and the actor hit, if any."""
        if self.failure is None:
            return None
        actor = int(self._head[_BAD_ACTOR])
        return int(self._head[_BAD_STEP]), actor if actor >= 0 else None

    @property
    def is_success(self) -> bool:
        """The goal was reached and nothing went wrong."""
        return self.progress >= 1.0 and self.failure is None

    @property
    def is_over(self) -> bool:
        """Success, failure or out of time."""
        return self.failure is not None or self.is_success or self.time_s >= self.scenario.duration_s

    @property
    def seen_s(self) -> Float64[np.ndarray, " actors"]:
        """When the ego could first see each actor, by straight rays and within the range of fog; NaN: not yet."""
        step = self.crowd.table[:, SEEN]
        return np.where(step >= 0, step * CONTROL_DT_S, np.nan)

    def reset(self) -> None:
        """Back to the start."""
        pose = self.scenario.route.at(np.array(self.scenario.start_m))
        self.ego = ego_state(pose[0], pose[1], pose[2], self.scenario.start_mps)
        self.time_step = 0
        self.crowd.start()
        self._head = np.zeros(_HEAD)
        self._head[_BAD_ACTOR], self._head[_FURTHEST] = -1.0, self.scenario.start_m
        self._begin_record()
        self._look(self.actors)

    def step(self, control_or_ego: Float[np.ndarray, " size"]) -> None:
        """Advance by 0.1 s under a control (steer, acceleration), or with the ego's next state given from outside.

        Raises:
            ValueError: not 2 values in [-1, 1] or 11 finite ones; nothing has moved.
        """
        ego = self._next_ego(np.asarray(control_or_ego, np.float64))
        box = np.append(ego_box(self.ego, self.vehicle), self.ego[VX])
        grip = self.weather.friction * GRAVITY_MPS2
        arrivals = self.arrivals(self.route_m, float(self.ego[VX]))
        self.crowd.step(box, arrivals, self.lights, self.time_step, CONTROL_DT_S, grip)
        self.ego = ego
        self.time_step += 1
        self._judge()

    def arrivals(self, route_m: float, speed_mps: float) -> Float64[np.ndarray, " actors"]:
        """Seconds until an ego there, at that speed, reaches the point where each actor's path crosses the route."""
        way = self._crossing_m - route_m - self.vehicle.front_m
        return np.where(way > 0, way / max(speed_mps, 0.1), np.inf)

    def get_state(self) -> Float64[np.ndarray, " state"]:
        """The whole state; `set_state` continues from it to the bit. The size is the same for all scenarios."""
        vector = np.zeros(STATE_VECTOR_SIZE)
        vector[:_HEAD] = self._head
        vector[_SCENARIO], vector[_STEP] = self._checksum, self.time_step
        vector[_HEAD : _HEAD + STATE_SIZE] = self.ego
        table = self.crowd.table.ravel()
        vector[_HEAD + STATE_SIZE :][: len(table)] = table
        return vector

    def set_state(self, vector: Float[np.ndarray, " state"]) -> None:
        """Go to a state that `get_state` gave for the same scenario; the record begins anew.

        Raises:
            ValueError: another size, values that are not numbers, or another scenario; nothing has changed.
        """
        vector = np.asarray(vector, np.float64)
        if vector.shape != (STATE_VECTOR_SIZE,) or not np.isfinite(vector).all():
            raise ValueError(f"A state has {STATE_VECTOR_SIZE} finite values, got shape {vector.shape}.")
        if vector[_SCENARIO] != self._checksum:
            raise ValueError(f"This state belongs to another scenario than {self.scenario.id!r}.")
        self._head = vector[:_HEAD].copy()
        self.time_step = int(vector[_STEP])
        self.ego = vector[_HEAD : _HEAD + STATE_SIZE].copy()
        table = self.crowd.table
        table[:] = vector[_HEAD + STATE_SIZE :][: table.size].reshape(table.shape)
        self._begin_record()

    def scored_scene(self, begin: int = 0, end: int | None = None) -> ScoredScene:
        """What the scores take, from one step of the record to another (all of it by default)."""
        return self.record.scene(self.scenario, begin, end)

    def _begin_record(self) -> None:
        self.record = Record()
        self.record.add(self.ego, self.actors, self.lights)

    def _next_ego(self, given: np.ndarray) -> Float64[np.ndarray, " 11"]:
        if given.shape not in ((2,), (STATE_SIZE,)):
            raise ValueError(f"A control has 2 values and a state of the ego {STATE_SIZE}, got shape {given.shape}.")
        if not np.isfinite(given).all():
            raise ValueError(f"A control or state of the ego must be finite, got {given.tolist()}.")
        if given.shape == (STATE_SIZE,):
            return given.copy()
        if np.abs(given).max() > 1.0 + _ROUNDING:
            raise ValueError(f"A control must lie in [-1, 1], got {given.tolist()}; clip it.")
        return step_bicycle(self.ego, np.clip(given, -1.0, 1.0), self.friction_here, self.vehicle.wheelbase_m)

    def _crossings(self) -> Float64[np.ndarray, " actors"]:
        """Arc length of the route where it comes nearest to each actor's path; -inf: no such trigger."""
        crossing = np.full(len(self.scenario.actors), -np.inf)
        for index, actor in enumerate(self.scenario.actors):
            if actor.event is not None and actor.event.trigger == "arrival":
                line = self.scenario.paths[actor.path].points[:, :2]
                s, across = self.scenario.route.project(line)
                crossing[index] = s[np.argmin(np.abs(across))]
        return crossing

    def _judge(self) -> None:
        """Note what went wrong in this step."""
        view, lights = self.actors, self.lights
        self.record.add(self.ego, view, lights)
        self._look(view)
        box = ego_box(self.ego, self.vehicle)
        self._head[_FURTHEST] = max(self._head[_FURTHEST], self.route_m)
        for index in touched(box, view.boxes):
            row = self.crowd.table[index]
            if view.present[index] and row[TOUCHED] == 0.0:
                row[TOUCHED] = 1.0
                if is_at_fault(self.ego, view.boxes[index], float(view.speed[index])):
                    self._blame(_AT_FAULT, int(index))
        if is_off_road(self.scenario.road_map, box):
            self._blame(_OFF_ROAD)
        if lights and runs_red(self.scenario.road_map, self.scenario.route_lanes, box, lights):
            self._blame(_RAN_RED)

    def _look(self, view: ActorTable) -> None:
        """Note who comes into sight of somebody behind the windscreen."""
        unseen = self.crowd.table[:, SEEN] < 0
        if unseen.any():
            eye = self.ego[[X, Y]] + _EYE_M * np.array([np.cos(self.ego[HEADING]), np.sin(self.ego[HEADING])])
            in_sight = visible(eye, view.boxes, view.height, min(_SIGHT_M, self.weather.fog_range_m))
            self.crowd.table[unseen & in_sight & view.present, SEEN] = self.time_step

    def _blame(self, column: int, actor: int = -1) -> None:
        if self.failure is None:
            self._head[_BAD_STEP], self._head[_BAD_ACTOR] = self.time_step, actor
        self._head[column] = 1.0

    def _check_start(self) -> None:
        view = self.actors
        boxes = np.vstack([view.boxes, ego_box(self.ego, self.vehicle)])
        names = [*(f"actor {k} ({kind})" for k, kind in enumerate(view.kind)), "the ego"]
        for index, box in enumerate(boxes):
            for other in touched(box, boxes[:index]):
                raise ValueError(f"{self.scenario.id}: {names[index]} and {names[other]} overlap at the start.")
        if is_off_road(self.scenario.road_map, boxes[-1]):
            raise ValueError(f"{self.scenario.id}: the ego begins beside the road.")
