"""All other road users together: their table, their decisions, their motion at control rate."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64

from sims.driving.map.path_set import PathSet
from sims.driving.map.paths import Path
from sims.driving.traffic.actors import (
    ACCELERATION,
    DURATION,
    ELAPSED,
    FIRED,
    FROM,
    MODES,
    NUM_COLUMNS,
    PATH,
    SEEN,
    SINCE_CHANGE,
    SPEED,
    TO,
    Actor,
    ActorTable,
    S,
)
from sims.driving.traffic.decisions import DriverTable, mobil_wants_change
from sims.driving.traffic.following import Situation, followed_acceleration

_HARDEST_BRAKING_MPS2 = 8.0
_WALKING_START_MPS2 = 3.0
_CHANGE_S = 3.0
_CHANGE_PAUSE_S = 1.0  # highway-env's LANE_CHANGE_DELAY


class Crowd:
    """The actors of a scenario. What changes is `table`, (actors, columns of `sims.driving.traffic.actors`)."""

    def __init__(self, actors: Sequence[Actor], paths: Sequence[Path]):
        self.actors = tuple(actors)
        self.paths = PathSet(paths)
        self.drivers = DriverTable([actor.driver for actor in actors])
        boxes = np.array([actor.box for actor in actors], np.float64).reshape(-1, 3)
        self.length, self.width, self.height = boxes.T
        self.colour = np.array([actor.colour for actor in actors], np.int64)
        self.kind = tuple(actor.kind for actor in actors)
        self.desired = np.array([actor.desired_mps for actor in actors], np.float64)
        self.is_mode = {name: np.array([actor.mode == name for actor in actors], bool) for name in MODES}
        self.heeds_ego = np.array([actor.heeds_ego for actor in actors], bool)
        self.yields_at = np.array([actor.yields_at_m for actor in actors], np.float64)
        self.table = np.zeros((len(actors), NUM_COLUMNS))
        self.start()

    def start(self) -> None:
        """Put everybody where the scenario says."""
        for row, actor in zip(self.table, self.actors, strict=True):
            row[:] = 0.0
            row[[PATH, S, SPEED]] = actor.path, actor.s, actor.speed_mps
            row[FROM] = row[TO] = actor.offset_m
            row[ELAPSED] = row[DURATION] = 1.0
            row[FIRED] = row[SEEN] = -1.0

    def poses(self, time_step: int) -> Float64[np.ndarray, " actors 3"]:
        """Centre and heading of every actor."""
        table = self.table
        poses = self.paths.at(table[:, PATH].astype(np.int64), table[:, S])
        offset = table[:, TO].copy()
        changing = np.flatnonzero(table[:, ELAPSED] < table[:, DURATION])
        drift = np.zeros(len(changing))
        if len(changing):
            row = table[changing]
            u, span = row[:, ELAPSED] / row[:, DURATION], row[:, TO] - row[:, FROM]
            offset[changing] = row[:, FROM] + span * u**3 * (10 - 15 * u + 6 * u**2)
            drift = np.arctan(span * 30 * u**2 * (1 - u) ** 2 / row[:, DURATION] / np.maximum(row[:, SPEED], 2.0))
        poses[:, 0] -= offset * np.sin(poses[:, 2])
        poses[:, 1] += offset * np.cos(poses[:, 2])
        poses[changing, 2] += drift
        for index in np.flatnonzero(self.is_mode["replay"]):
            log = self.actors[index].poses
            poses[index] = log[min(time_step, len(log) - 1), :3]  # pyright: ignore[reportArgumentType, reportOptionalSubscript]
        return poses

    def view(self, time_step: int, poses: Float64[np.ndarray, " actors 3"] | None = None) -> ActorTable:
        """Everybody as others see them; `poses` saves computing them again."""
        poses, table = self.poses(time_step) if poses is None else poses, self.table
        return ActorTable(
            self.kind,
            poses[:, 0],
            poses[:, 1],
            poses[:, 2],
            self.length,
            self.width,
            self.height,
            table[:, SPEED].copy(),
            self.colour,
            self.present(),
            table[:, ACCELERATION] < -0.5,
        )

    def present(self) -> Bool[np.ndarray, " actors"]:
        """Who is still on the map: whoever came to the end of a path while driving has left it."""
        path = self.table[:, PATH].astype(np.int64)
        return (self.table[:, S] < self.paths.length_m[path] - 1.0) | self.is_mode["still"] | self.is_mode["replay"]

    def step(
        self,
        ego: Float[np.ndarray, " 6"],
        arrival_s: Float[np.ndarray, " actors"],
        colours: Mapping[str, str],
        time_step: int,
        dt_s: float,
        grip_mps2: float,
        poses: Float64[np.ndarray, " actors 3"] | None = None,
    ) -> None:
        """Advance everybody by one control step, all looking at the same instant.

        Args:
            ego: centre x, y, heading, length, width, speed.
            arrival_s: for every actor, when the ego reaches the point where its path crosses the ego's.
            colours: of the lights now.
            time_step: of the instant that everybody looks at.
            dt_s: seconds to advance.
            grip_mps2: friction times gravity: nobody brakes harder.
            poses: of this instant, if they are known.
        """
        if not self.actors:
            return
        situation = Situation(self, self.poses(time_step) if poses is None else poses, ego)
        self._fire_events(situation, arrival_s, time_step * dt_s)
        self._change_lanes(situation)
        acceleration = followed_acceleration(self, situation, colours)
        self._apply_modes(acceleration, time_step * dt_s)
        self._move(np.clip(acceleration, -min(grip_mps2, _HARDEST_BRAKING_MPS2), None), time_step, dt_s)

    def _fire_events(self, situation: Situation, arrival_s: np.ndarray, time_s: float) -> None:
        for index, actor in enumerate(self.actors):
            event = actor.event
            if event is None or self.table[index, FIRED] >= 0:
                continue
            gap = situation.ego_distance(index)
            if event.trigger == "time":
                fires = time_s >= event.value - 1e-9
            else:
                fires = {"gap": gap, "arrival": arrival_s[index]}[event.trigger] <= event.value
            if fires:
                self.table[index, FIRED] = time_s
                if event.action == "change":
                    self._begin_change(situation, index, event.path, event.duration_s)

    def _begin_change(self, situation: Situation, index: int, path: int, duration_s: float) -> None:
        row = self.table[index]
        row[PATH], row[S] = path, situation.s[path, index]
        row[FROM], row[TO] = situation.across[path, index], 0.0
        row[ELAPSED], row[DURATION], row[SINCE_CHANGE] = 0.0, duration_s, 0.0

    def _change_lanes(self, situation: Situation) -> None:
        for index, actor in enumerate(self.actors):
            row = self.table[index]
            if not actor.beside or row[ELAPSED] < row[DURATION] or row[SINCE_CHANGE] < _CHANGE_PAUSE_S:
                continue
            row[SINCE_CHANGE] = 0.0
            for path in actor.beside:
                if path != int(row[PATH]) and abs(situation.across[path, index]) < 5.0:
                    gains = situation.gains_of_change(index, path)
                    if gains is not None and mobil_wants_change(*gains, actor.driver):
                        self._begin_change(situation, index, path, _CHANGE_S)
                        break

    def _apply_modes(self, acceleration: np.ndarray, time_s: float) -> None:
        """What an event or a mode says overrides following, in place."""
        acceleration[~self.is_mode["idm"]] = 0.0
        for index, actor in enumerate(self.actors):
            event, fired = actor.event, self.table[index, FIRED]
            if event is None:
                continue
            if event.action == "brake" and fired >= 0 and time_s - fired < event.duration_s:
                acceleration[index] = -event.amount
            elif event.action == "go" and self.is_mode["constant"][index]:
                wanted = event.amount if fired >= 0 else 0.0
                acceleration[index] = np.clip(10 * (wanted - self.table[index, SPEED]), -8.0, _WALKING_START_MPS2)

    def _move(self, acceleration: np.ndarray, time_step: int, dt_s: float) -> None:
        table = self.table
        table[self.is_mode["still"], SPEED] = 0.0
        acceleration = np.where(self.present() & ~self.is_mode["still"], acceleration, 0.0)
        speed = np.maximum(0.0, table[:, SPEED] + acceleration * dt_s)
        moved = 0.5 * (table[:, SPEED] + speed) * dt_s
        table[:, ACCELERATION] = (speed - table[:, SPEED]) / dt_s
        table[:, S] += np.where(self.present(), moved, 0.0)
        table[:, ELAPSED] += dt_s * np.minimum(1.0, speed / 2.0)  # a car that stands doesn't slide sideways
        table[:, SINCE_CHANGE] += dt_s
        table[:, SPEED] = np.where(self.present(), speed, 0.0)
        for index in np.flatnonzero(self.is_mode["replay"]):
            log = self.actors[index].poses
            table[index, SPEED] = log[min(time_step + 1, len(log) - 1), 3]  # pyright: ignore[reportArgumentType, reportOptionalSubscript]
