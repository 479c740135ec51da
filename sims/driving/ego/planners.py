"""Who can drive: the privileged planner, and the baselines that any honest comparison shows beside it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
from jaxtyping import Float64

from sims.common.errors import unknown_name
from sims.driving.ego.forecast import Forecast, extrapolation, forecast
from sims.driving.ego.proposals import Choices, Course, choices, simulate
from sims.driving.ego.vehicle import control_for, roll
from sims.driving.record import scored_map
from sims.driving.scores import navsim_terms
from sims.driving.scores.areas import ego_areas, footprint
from sims.driving.scores.contacts import collisions, touching
from sims.driving.scores.pdms import pdms_proposals
from sims.driving.scores.scene import AX, STEER, VX, EgoTrajectories, ScoredScene, Track
from sims.driving.traffic.actors import KINDS
from sims.driving.world import World

HORIZON = 60  # steps that a proposal is simulated
LOOK_AHEAD = 10  # steps that the forecast is longer
REPLAN = 5
PLAN_STEPS = 40  # of the plans that are handed out
_SPEEDS = (1.0, 0.8, 0.6, 0.4, 0.2)
_OFFSETS_M = (0.6, 1.2, 2.0, 3.5)
_STAY_BONUS = 0.02
_RANGE_M = 120.0  # who never comes nearer within the forecast can't be met
_GET_ON, _GET_ON_M = 0.15, 10.0  # for getting on where something lies in the way, at so many metres or more
_BLOCKED_M = 20.0
_OFFSET_COST = 0.02  # a metre beside the route
_LATE_FAILURE = 0.3  # what is left of a score when a collision comes after the scored four seconds
_FRIGHT = 0.7  # and of one that passes close by somebody on foot
_ROOM_M, _SLOW_MPS = 0.7, 2.0


class Planner(Protocol):
    """Somebody who drives; ask for one of the two at a step."""

    def __call__(self, world: World) -> Float64[np.ndarray, " 2"]:
        """The control (steer, pedal) for the next step."""
        ...

    def states_ahead(self, world: World) -> Float64[np.ndarray, " time 11"]:
        """What the ego is to pass through from the next step on, 40 states at 10 Hz."""
        ...


class PrivilegedPlanner:
    """Chooses, twice a second, the proposal that our PDMS likes best; it knows what everybody will do.

    In the manner of PDM-Closed; unlike it, it runs the world itself ahead instead of assuming constant velocity.
    """

    def __init__(self) -> None:
        self._course: Course | None = None
        self._plan = np.empty((0, 11))
        self._begin = -1
        self._chosen: tuple[float, float, float, bool] | None = None

    @property
    def plan(self) -> Float64[np.ndarray, " time 11"]:
        """States that the chosen proposal would pass through, from when it was chosen."""
        return self._plan

    def __call__(self, world: World) -> Float64[np.ndarray, " 2"]:
        """The control for the next step."""
        following = self._rest(world)[0]
        return control_for(following[STEER], following[AX])

    def states_ahead(self, world: World) -> Float64[np.ndarray, " time 11"]:
        """The rest of the chosen proposal, which began at most half a second ago."""
        return self._rest(world)[:PLAN_STEPS]

    def _rest(self, world: World) -> Float64[np.ndarray, " time 11"]:
        """States from the next step on; chosen anew where it is time for that."""
        if self._course is None or self._course.world is not world or world.time_step < self._begin:
            self._course, self._begin, self._chosen = Course(world), -1, None
            self._plan = np.empty((0, 11))
        age = world.time_step - self._begin
        if self._begin < 0 or age >= REPLAN or age + 1 >= len(self._plan):
            self.replan(world)
            age = 0
        return self._plan[age + 1 :]

    def replan(self, world: World) -> EgoTrajectories:
        """Score all proposals from the present state and take the best; returns it as NAVSIM's 41 states."""
        if self._course is None or self._course.world is not world:
            self._course = Course(world)
        options = self._options(world)
        others = forecast(world, self._expected(world))
        states = simulate(self._course, world.ego, options, others, HORIZON)
        scores = self._scores(world, states, others, options)
        best = int(np.argmax(scores))
        self._plan, self._begin = states[best], world.time_step
        self._chosen = _row(options, best)
        return EgoTrajectories(states[best : best + 1, :41])

    def _options(self, world: World) -> Choices:
        rows = [(0.0, speed, 0.0, False) for speed in _SPEEDS]
        rows += [(0.0, 1.0, -2.5, False), (0.0, 1.0, -4.0, False), (0.0, 1.0, -8.0, False)]
        if np.isfinite(world.scenario.route.stop_m):
            rows.append((0.0, 1.0, 0.0, True))
        rows += [
            (sign * offset, speed, 0.0, False) for offset in _OFFSETS_M for sign in (1, -1) for speed in (1.0, 0.5)
        ]
        return choices(rows)

    def _expected(self, world: World) -> Float64[np.ndarray, " time 11"]:
        """What the ego is expected to do: the rest of its plan, then on at the last speed; at first, keep its lane."""
        needed = HORIZON + LOOK_AHEAD
        if self._begin < 0 or world.time_step - self._begin >= len(self._plan):
            empty = forecast_of_nobody(world, needed)
            assert self._course is not None
            return simulate(self._course, world.ego, choices([(0.0, 1.0, 0.0, False)]), empty, needed - 1)[0]
        rest = self._plan[world.time_step - self._begin :]
        tail = np.repeat(rest[-1:], needed - len(rest), axis=0)
        along = np.arange(1, len(tail) + 1) * 0.1 * rest[-1, VX]
        tail[:, 0] += along * np.cos(rest[-1, 2])
        tail[:, 1] += along * np.sin(rest[-1, 2])
        return np.concatenate([rest, tail])

    def _scores(
        self, world: World, states: np.ndarray, others: Forecast, options: Choices
    ) -> Float64[np.ndarray, " proposals"]:
        scene = _scene(world, others)
        ego = EgoTrajectories(states[:, : navsim_terms.NUM_STEPS])
        results = pdms_proposals(scene, ego)
        drive = navsim_terms.Drive(scene, ego)
        lights = navsim_terms.traffic_lights(drive)[0]
        scores = np.array([result.score * result.details["DDC"] for result in results]) * lights
        scores *= np.where(fails_later(scene, states), _LATE_FAILURE, 1.0)
        scores *= np.where(frightens(scene, states), _FRIGHT, 1.0)
        if self._chosen is not None:
            same = [_row(options, k)[0] == self._chosen[0] for k in range(len(options))]
            scores += _STAY_BONUS * np.array(same) * (scores > 0)
        if _is_blocked(world):
            # PDMS gives everybody full progress where nobody gets 5 m on, so waiting for ever would be as good.
            ahead = np.hypot(*(states[:, -1, :2] - states[:, 0, :2]).T)
            scores += _GET_ON * np.minimum(1.0, ahead / _GET_ON_M) * (scores > 0)
        scores -= _OFFSET_COST * np.abs(options.offset_m)
        return scores - 1e-3 * (options.floor_mps2 < 0)


def _is_blocked(world: World) -> bool:
    """Whether something that will not move lies on the route, near ahead."""
    return any(
        actor.mode == "still"
        and actor.path == 0
        and 0 < actor.s - world.route_m < _BLOCKED_M
        and abs(actor.offset_m) < 0.5 * (actor.box[1] + world.vehicle.width_m)
        for actor in world.scenario.actors
    )


def fails_later(scene: ScoredScene, states: np.ndarray) -> np.ndarray:
    """Whether a proposal leaves the road or meets anybody, at fault or not, within the whole simulated time."""
    steps = states.shape[1]
    place = footprint(states, scene.vehicle)
    areas = ego_areas(states, place, scene.map)
    bad = np.asarray(areas.non_drivable.any(axis=1))
    for contact in collisions(states, place, areas, scene.tracks, scene.track_polygons[:, :steps]):
        bad[contact.proposal] |= contact.kind not in ("rear", "stopped_ego")
    return bad


def frightens(scene: ScoredScene, states: np.ndarray) -> np.ndarray:
    """Whether a moving ego comes within `_ROOM_M` of a pedestrian or cyclist ahead of or beside it."""
    people = [k for k, track in enumerate(scene.tracks) if track.kind in ("pedestrian", "bicycle")]
    frightened = np.zeros(len(states), bool)
    if not people:
        return frightened
    usual = scene.vehicle
    wide = replace(usual, width_m=usual.width_m + 2 * _ROOM_M, front_m=usual.front_m + _ROOM_M)
    place = footprint(states, wide)
    moving = states[..., VX] > _SLOW_MPS
    for index in people:
        boxes = scene.track_polygons[index, : states.shape[1]]
        frightened |= (touching(place.polygons, boxes[None]) & moving).any(axis=1)
    return frightened


def forecast_of_nobody(world: World, num_steps: int) -> Forecast:
    """A forecast of an empty road with its lights."""
    times = (world.time_step + np.arange(num_steps)) * 0.1
    colours = tuple(world.scenario.lights.at(float(time)) for time in times)
    none = np.empty((num_steps, 0))
    return Forecast(np.empty((num_steps, 0, 5)), none, none.astype(bool), colours)


def _row(options: Choices, index: int) -> tuple[float, float, float, bool]:
    return (
        float(options.offset_m[index]),
        float(options.fraction[index]),
        float(options.floor_mps2[index]),
        bool(options.holds[index]),
    )


def _scene(world: World, others: Forecast) -> ScoredScene:
    """The forecast as the scores take it."""
    direction = np.stack([np.cos(others.boxes[..., 2]), np.sin(others.boxes[..., 2])], axis=-1)
    velocity = others.speed[..., None] * direction
    near = np.hypot(*(others.boxes[..., :2] - world.ego[:2]).transpose(2, 0, 1)).min(axis=0) < _RANGE_M
    tracks = tuple(
        Track(str(k), KINDS[world.scenario.actors[k].kind][1], others.boxes[:, k], velocity[:, k], others.present[:, k])
        for k in np.flatnonzero(near)
    )
    return ScoredScene(scored_map(world.scenario, list(others.colours)), tracks, world.scenario.route.points)


class KeepLane:
    """The intelligent driver model on the route's own line: no dodging, no look ahead, no lights but red ones."""

    def __init__(self) -> None:
        self._course: Course | None = None

    def __call__(self, world: World) -> Float64[np.ndarray, " 2"]:
        """The control for the next step, from what is there now."""
        following = self._simulated(world, 1)[0]
        return control_for(following[STEER], following[AX])

    def states_ahead(self, world: World) -> Float64[np.ndarray, " time 11"]:
        """The same, going on as if nobody changed speed or direction and no light its colour."""
        return self._simulated(world, PLAN_STEPS)

    def _simulated(self, world: World, num_steps: int) -> Float64[np.ndarray, " time 11"]:
        if self._course is None or self._course.world is not world:
            self._course = Course(world)
        others = extrapolation(world, num_steps)
        return simulate(self._course, world.ego, choices([(0.0, 1.0, 0.0, False)]), others, num_steps)[0, 1:]


class Steady:
    """Wheel and pedal that follow from the ego's own state alone.

    Args:
        control: (steer, pedal) for a state of the ego.
    """

    def __init__(self, control: Callable[[Float64[np.ndarray, " 11"]], tuple[float, float]]) -> None:
        self._control = control

    def __call__(self, world: World) -> Float64[np.ndarray, " 2"]:
        """The control for the next step."""
        return np.array(self._control(world.ego))

    def states_ahead(self, world: World) -> Float64[np.ndarray, " time 11"]:
        """Where that leads with the grip that there is here."""
        return roll(world.ego, self._control, PLAN_STEPS, world.friction_here, world.vehicle.wheelbase_m)


def constant_velocity() -> Planner:
    """On at the same speed with straight wheels."""
    return Steady(lambda ego: (0.0, 0.0))


def always_brake() -> Planner:
    """Full braking from the first step on."""
    return Steady(lambda ego: (0.0, -1.0))


def do_nothing() -> Planner:
    """Let the car roll to rest gently and stay there."""
    return Steady(lambda ego: (0.0, -0.15 if ego[VX] > 0 else 0.0))


PLANNERS: dict[str, Callable[[], Planner]] = {
    "privileged": PrivilegedPlanner,
    "constant-velocity": constant_velocity,
    "idm-keep-lane": KeepLane,
    "always-brake": always_brake,
    "do-nothing": do_nothing,
}


def make_planner(name: str) -> Planner:
    """A fresh driver of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in PLANNERS:
        raise unknown_name("planner", name, PLANNERS)
    return PLANNERS[name]()
