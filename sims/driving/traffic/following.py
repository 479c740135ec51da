"""Who follows whom: leaders found by geometry along each actor's path, stop lines, giving way.

Anything whose box reaches into the strip that an actor will sweep is its leader, wherever it came from: a car that
merges, a pedestrian on the road, the ego across a junction.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Float64

from sims.driving.traffic.actors import PATH, SPEED, TO, Driver, S
from sims.driving.traffic.cast import Cast
from sims.driving.traffic.decisions import FREE_M, idm_acceleration

_SIDE_MARGIN_M = 0.3
_STOP_BEFORE_LINE_M = 1.0
_LATE_BRAKING_MPS2 = 6.0  # who would have to brake harder for a light drives on
_CONFLICT_M = 5.5
_CONFLICT_S = np.arange(0.0, 5.0, 0.5)
_CLEAR_M = 9.0  # from the yield line to the middle of the conflict


class Situation:
    """Everybody's place along every path at one instant; the ego is the last entity.

    Attributes:
        s, across: (paths, entities) arc length and distance to the left.
        half_length, half_width: (paths, entities) extent of each box along and across the path.
        along: (paths, entities) speed along the path.
    """

    def __init__(self, cast: Cast, poses: Float[np.ndarray, " actors 3"], ego: Float[np.ndarray, " 6"]):
        self.cast = cast
        self.poses = np.vstack([poses, ego[:3]])
        self.speed = np.append(cast.table[:, SPEED], ego[5])
        length, width = np.append(cast.length, ego[3]), np.append(cast.width, ego[4])
        self.s, self.across, heading = cast.paths.project(self.poses[:, :2])
        cos, sin = np.cos(self.poses[:, 2] - heading), np.sin(self.poses[:, 2] - heading)
        self.half_length = 0.5 * (np.abs(cos) * length + np.abs(sin) * width)
        self.half_width = 0.5 * (np.abs(sin) * length + np.abs(cos) * width)
        self.along = self.speed * cos
        self.present = np.append(cast.present(), True)

    def ego_distance(self, index: int) -> float:
        """Metres between the centres of an actor and the ego."""
        return float(np.hypot(*(self.poses[index, :2] - self.poses[-1, :2])))

    def ahead(
        self, index: "np.ndarray", path: "np.ndarray", low: "np.ndarray", high: "np.ndarray"
    ) -> Bool[np.ndarray, " n e"]:
        """Which entities reach into the strip [low, high] (m to the left) of a path in front of the actors `index`."""
        across, half = self.across[path], self.half_width[path] + _SIDE_MARGIN_M
        mine = self.s[path, index][:, None]
        inside = (across + half > low[:, None]) & (across - half < high[:, None]) & (self.s[path] > mine)
        inside &= self.present
        inside[np.arange(len(index)), index] = False
        inside[~self.cast.heeds_ego[index], -1] = False
        return inside

    def leader(self, index: np.ndarray, path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gap from bumper to bumper and speed of the leader of each actor, were it on that path."""
        is_own = path == self.cast.table[index, PATH]
        mine = np.where(is_own, self.across[path, index], 0.0)
        target = np.where(is_own, self.cast.table[index, TO], 0.0)
        half = self.cast.width[index] / 2
        inside = self.ahead(index, path, np.minimum(mine, target) - half, np.maximum(mine, target) + half)
        rear = self.s[path] - self.half_length[path]
        gap = np.where(inside, rear - (self.s[path, index] + self.cast.length[index] / 2)[:, None], FREE_M)
        first = np.argmin(gap, axis=1)
        rows = np.arange(len(index))
        return gap[rows, first], self.along[path, first]

    def gains_of_change(self, index: int, path: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
        """What MOBIL weighs for a change to `path`; None where the place is taken."""
        cast = self.cast
        here = int(cast.table[index, PATH])
        others = self.present.copy()
        others[index] = False
        near = np.abs(self.across[path]) < self.half_width[path] + cast.width[index] / 2
        reach = self.half_length[path] + cast.length[index] / 2 + 2.0
        if (others & near & (np.abs(self.s[path] - self.s[path, index]) < reach)).any():
            return None
        single = np.array([index])
        old, new = (self._free_following(single, np.array([k])) for k in (here, path))
        behind_new, before_new = self._follower(index, path, others)
        behind_old, after_old = self._follower(index, here, others)
        return new - old, behind_new, before_new - behind_new, after_old - behind_old

    def _free_following(self, index: np.ndarray, path: np.ndarray) -> np.ndarray:
        gap, speed = self.leader(index, path)
        driver = self.cast.actors[index[0]].driver
        return idm_acceleration(self.speed[index], self.desired(index, path), gap, speed, driver)

    def desired(self, index: np.ndarray, path: np.ndarray) -> Float64[np.ndarray, " n"]:
        """Speed on a free road: the path's, or the driver's own if less."""
        return np.minimum(self.cast.desired[index], self.cast.paths.limit_at(path, self.s[path, index]))

    def _follower(self, index: int, path: int, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Acceleration of whoever drives behind on that path: with the actor in front, and without."""
        on_path = others & (np.abs(self.across[path]) < 1.5) & (self.s[path] < self.s[path, index])
        if not on_path.any():
            return np.zeros(1), np.zeros(1)
        who = int(np.argmax(np.where(on_path, self.s[path], -np.inf)))
        driver = self.cast.actors[who].driver if who < len(self.cast.actors) else Driver()
        wanted = np.array([float(self.cast.paths.limit_at(np.array(path), self.s[path, who]))])
        speed = self.speed[[who]]
        nose = self.s[path, who] + self.half_length[path, who]
        gap = self.s[path, index] - self.cast.length[index] / 2 - nose
        with_me = idm_acceleration(speed, wanted, np.array([gap]), self.speed[[index]], driver)
        further = others & (np.abs(self.across[path]) < 1.5) & (self.s[path] > self.s[path, index])
        if not further.any():
            return with_me, idm_acceleration(speed, wanted, np.array([FREE_M]), speed, driver)
        lead = int(np.argmin(np.where(further, self.s[path], np.inf)))
        gap = self.s[path, lead] - self.half_length[path, lead] - nose
        return with_me, idm_acceleration(speed, wanted, np.array([gap]), self.speed[[lead]], driver)


def followed_acceleration(
    cast: Cast, situation: Situation, colours: Mapping[str, str]
) -> Float64[np.ndarray, " actors"]:
    """What the intelligent driver model says to each: least of leader, light and giving way."""
    index = np.arange(len(cast.actors))
    path = cast.table[:, PATH].astype(np.int64)
    speed = cast.table[:, SPEED]
    desired = situation.desired(index, path)
    gap, leader_speed = situation.leader(index, path)
    acceleration = idm_acceleration(speed, desired, gap, leader_speed, cast.drivers)
    to_line = _distance_to_line(cast, situation, path, speed, colours)
    pretended = to_line + cast.drivers.standstill_m - _STOP_BEFORE_LINE_M
    waiting = idm_acceleration(speed, desired, pretended, np.zeros_like(speed), cast.drivers)
    return np.minimum(acceleration, np.where(to_line < FREE_M, waiting, np.inf))


def _distance_to_line(
    cast: Cast, situation: Situation, path: np.ndarray, speed: np.ndarray, colours: Mapping[str, str]
) -> np.ndarray:
    """Metres to the line where each must stop now: a light that isn't green, or others who cross."""
    front = cast.table[:, S] + cast.length / 2
    shut = np.array([signal is not None and colours.get(signal, "green") != "green" for signal in cast.paths.signal])
    to_light = np.where(shut[path], cast.paths.stop_m[path] - front, FREE_M)
    to_light = np.where(to_light < np.maximum(-0.5, speed**2 / (2 * _LATE_BRAKING_MPS2) - 1.0), FREE_M, to_light)
    to_yield = cast.yields_at - front
    for index in np.flatnonzero((to_yield > -1.0) & (to_yield < 40.0)):
        if not _is_crossed(cast, situation, int(index), int(path[index])):
            to_yield[index] = FREE_M
    return np.minimum(to_light, np.where(to_yield > -1.0, to_yield, FREE_M))


def _is_crossed(cast: Cast, situation: Situation, index: int, path: int) -> bool:
    """Whether anybody else passes the conflict behind the yield line within the next seconds."""
    where = cast.paths.at(np.array(path), np.array(cast.yields_at[index] + _CLEAR_M))[:2]
    velocity = situation.speed[:, None] * np.column_stack(
        [np.cos(situation.poses[:, 2]), np.sin(situation.poses[:, 2])]
    )
    future = situation.poses[:, None, :2] + velocity[:, None] * _CONFLICT_S[:, None]
    close = (np.hypot(*np.moveaxis(future - where, -1, 0)) < _CONFLICT_M).any(axis=1)
    close &= situation.present & (situation.speed > 0.5)
    close[index] = False
    return bool(close.any())
