"""Who takes part besides the ego, and where: what stays the same of everybody, and the table of what changes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

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
    SPEED,
    TO,
    Actor,
    ActorTable,
    S,
)
from sims.driving.traffic.decisions import DriverTable


class Cast:
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
