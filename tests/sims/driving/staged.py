# pyright: reportAttributeAccessIssue=false
"""A staged scene for checks of sensors: an ego on a road with boxes all round it."""

import mujoco
import numpy as np

from sims.driving.looks.scene import Scene
from sims.driving.looks.weather import Weather
from sims.driving.map.paths import Path
from sims.driving.map.topologies import build_map
from sims.driving.scenarios.scenario import Scenario
from sims.driving.scores.scene import VehicleParameters
from sims.driving.sensors.rigs import RIGS, Camera
from sims.driving.sensors.suite import Sensors
from sims.driving.traffic.actors import KINDS, Actor, ActorTable

EGO = (150.0, -5.0, 0.3)  # x, y, heading: askew, so that no axis is special
ALL_CAMERAS = [(name, camera.name) for name, rig in RIGS.items() for camera in rig]
KIND_NAMES = tuple(KINDS)


def ring(count: int = 8, radius: float = 11.0, heading: float = 0.4) -> tuple[list[Actor], ActorTable]:
    """Actors of all kinds in a circle round the ego, each turned another way."""
    kinds = [KIND_NAMES[k % len(KIND_NAMES)] for k in range(count)]
    actors = [Actor(kind, 0, 0.0, mode="still", colour=k) for k, kind in enumerate(kinds)]
    bearing = EGO[2] + np.arange(count) * 2 * np.pi / count
    size = np.array([actor.box for actor in actors]).reshape(-1, 3)
    table = ActorTable(
        kind=tuple(kinds),
        x=EGO[0] + 1.4 * np.cos(EGO[2]) + radius * np.cos(bearing),
        y=EGO[1] + 1.4 * np.sin(EGO[2]) + radius * np.sin(bearing),
        heading=heading * np.arange(count),
        length=size[:, 0],
        width=size[:, 1],
        height=size[:, 2],
        speed=np.zeros(count),
        colour=np.arange(count),
        present=np.ones(count, bool),
        braking=np.zeros(count, bool),
    )
    return actors, table


def staged(
    rig: tuple[Camera, ...],
    actors: list[Actor],
    table: ActorTable,
    topology: str = "highway-straight",
    weather: Weather | None = None,
    as_boxes: bool = False,
    ego: tuple[float, float, float] = EGO,
) -> tuple[Scene, Sensors]:
    """A scene with the ego in place, and its sensors."""
    road_map = build_map(topology)
    line = np.column_stack([np.arange(0.0, 300.0), np.zeros(300), np.zeros(300)])
    route = Path(line, np.full(300, 10.0))
    scenario = Scenario(
        "staged", topology, 0, 0.0, "look", road_map, route, frozenset(), 0.0, 0.0, 200.0, 60.0, (route,), tuple(actors)
    )
    scene = Scene(scenario, VehicleParameters(), rig, weather=weather, as_boxes=as_boxes)
    scene.place_actors(table)
    scene.place_ego(*ego)
    mujoco.mj_kinematics(scene.model, scene.data)
    mujoco.mj_camlight(scene.model, scene.data)
    return scene, Sensors(scene, road_map, rig)
