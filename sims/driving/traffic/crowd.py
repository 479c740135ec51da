"""What all other road users do, together: their decisions, and their motion at control rate."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Float64

from sims.driving.traffic.actors import (
    ACCELERATION,
    DURATION,
    ELAPSED,
    FIRED,
    FROM,
    PATH,
    SINCE_CHANGE,
    SPEED,
    TO,
    S,
)
from sims.driving.traffic.cast import Cast
from sims.driving.traffic.decisions import mobil_wants_change
from sims.driving.traffic.following import Situation, followed_acceleration

_HARDEST_BRAKING_MPS2 = 8.0
_WALKING_START_MPS2 = 3.0
_CHANGE_S = 3.0
_CHANGE_PAUSE_S = 1.0  # highway-env's LANE_CHANGE_DELAY


class Crowd(Cast):
    """The cast, and how it acts: `step` changes the table."""

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
