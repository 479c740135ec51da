# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""A driving scenario as a MuJoCo model: roads, scenery, lights, a body for every actor, the ego with its cameras.

A model is built for one scenario (30 to 60 ms): every road user has its own size, and nothing is left over from before.
Actors are mocap bodies that the world moves; the ego is one too (`bicycle`), or a car on four wheels (`wheels`).
"""

from collections.abc import Mapping, Sequence

import mujoco
import numpy as np
import shapely
from jaxtyping import Int32

from sims.driving.ego import wheels
from sims.driving.looks.builder import OWN, add_materials, add_mesh, add_static, set_light, surfaces_of
from sims.driving.looks.meshes import block
from sims.driving.looks.palette import (
    CLASSES,
    EGO_PAINT,
    HEAD_LIT,
    HEAD_OFF,
    MATERIALS,
    PAINTS,
    SIGNAL_LIT,
    SIGNAL_OFF,
    TAIL_BRAKING,
    TAIL_LIT,
    TAIL_OFF,
)
from sims.driving.looks.shapes import actor_parts, box_part
from sims.driving.looks.weather import Weather
from sims.driving.map.roads import RoadMap
from sims.driving.scenarios.scenario import Scenario
from sims.driving.scores.scene import VehicleParameters
from sims.driving.sensors.rigs import Camera
from sims.driving.traffic.actors import ActorTable

EGO_HEIGHT_M = 1.6
EGOS = ("bicycle", "wheels")
CHASE, ABOVE = "chase", "above"  # cameras for films; they show the own car
_AWAY_Z = -50.0  # where absent actors wait
_LAMPS = ("red", "yellow", "green")
_HANGS_AT_M = 12.0  # of a traffic light beyond the stop line


class Scene:
    """The model of one scenario.

    Attributes:
        model, data: MuJoCo's.
        geom_class: number in `palette.CLASSES` of every geom; the last entry answers geom -1, the sky.
        geom_actor: row in the actors' table of every geom, or -1; the last entry answers geom -1.
    """

    def __init__(
        self,
        scenario: Scenario,
        vehicle: VehicleParameters,
        cameras: Sequence[Camera],
        ego: str = "bicycle",
        weather: Weather | None = None,
        as_boxes: bool = False,
    ) -> None:
        """Build and compile.

        Args:
            scenario: what is there.
            vehicle: size of the ego.
            cameras: of the ego.
            ego: one of `EGOS`.
            weather: instead of the scenario's.
            as_boxes: draw road users as their plain bounding boxes (for checks of the camera model).
        """
        self.weather = weather or scenario.weather
        self.actors, self._as_boxes = scenario.actors, as_boxes
        spec = mujoco.MjSpec()
        spec.compiler.degree = False
        add_materials(spec)
        set_light(spec, self.weather)
        classes = add_static(spec, scenario.road_map, slippery_shapes(scenario))
        self._signals = _add_signals(spec, scenario.road_map, set(scenario.lights.at(0.0)))
        self._add_actors(spec)
        _add_ego(spec, vehicle, cameras, ego)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self._note_geoms(classes)
        self._is_night = self.weather.darkness > 0.3 or self.weather.fog_range_m < 150

    def place_actors(self, table: ActorTable) -> None:
        """Put every actor where it is and light its lamps."""
        count = len(self.actors)
        self.data.mocap_pos[:count, 0], self.data.mocap_pos[:count, 1] = table.x, table.y
        self.data.mocap_pos[:count, 2] = np.where(table.present, 0.0, _AWAY_Z)
        self.data.mocap_quat[:count, 0] = np.cos(table.heading / 2)
        self.data.mocap_quat[:count, 3] = np.sin(table.heading / 2)
        tails = np.array(TAIL_LIT if self._is_night else TAIL_OFF)
        braking = table.braking[self._tail_actors, None]
        self.model.geom_rgba[self._tails, :3] = np.where(braking, TAIL_BRAKING, tails)

    def place_ego(self, x: float, y: float, heading: float) -> None:
        """Put the mocap ego's rear axle there."""
        self.data.mocap_pos[-1] = x, y, 0.0
        self.data.mocap_quat[-1] = np.cos(heading / 2), 0.0, 0.0, np.sin(heading / 2)

    def show_signals(self, colours: Mapping[str, str]) -> None:
        """Switch every traffic light to the colour of its group."""
        for group, lamps in self._signals.items():
            for lamp, geoms in lamps.items():
                colour = SIGNAL_LIT[lamp] if colours[group] == lamp else SIGNAL_OFF[lamp]
                for geom in geoms:
                    self.model.geom_rgba[self.model.geom(geom).id, :3] = colour

    def _add_actors(self, spec: mujoco.MjSpec) -> None:
        night = self.weather.darkness > 0.3
        colours = {**MATERIALS, "tail": TAIL_OFF, "head": HEAD_LIT if night else HEAD_OFF}
        for row, actor in enumerate(self.actors):
            body = spec.worldbody.add_body(name=f"actor{row}", mocap=True)
            parts = box_part(*actor.box) if self._as_boxes else actor_parts(actor.kind, *actor.box)
            for name, mesh in parts.items():
                colour = PAINTS[actor.colour % len(PAINTS)] if name == "paint" else colours[name]
                material = {"paint": "paint", "tail": "lamp", "head": "lamp"}.get(name, "plain")
                add_mesh(spec, body, f"actor{row}.{name}", mesh, colour, material)

    def _note_geoms(self, classes: Mapping[str, str]) -> None:
        """Which class and actor every geom belongs to, and where the tail lamps are."""
        self.geom_class: Int32[np.ndarray, " geoms"] = np.zeros(self.model.ngeom + 1, np.int32)
        self.geom_actor: Int32[np.ndarray, " geoms"] = np.full(self.model.ngeom + 1, -1, np.int32)
        tails = []
        for geom in range(self.model.ngeom):
            name = self.model.geom(geom).name
            owner, _, part = name.partition(".")
            if owner.startswith("actor"):
                self.geom_actor[geom] = row = int(owner[len("actor") :])
                self.geom_class[geom] = CLASSES.index(self.actors[row].kind)
                tails += [(geom, row)] if part == "tail" else []
            else:
                self.geom_class[geom] = CLASSES.index(classes.get(name, "light" if owner == "signal" else "ego"))
        self._tails, self._tail_actors = np.array(tails, np.int64).reshape(-1, 2).T


def slippery_shapes(scenario: Scenario) -> list[shapely.Polygon]:
    """The road where the grip is another, to be seen as another colour."""
    asphalt = surfaces_of(scenario.road_map).asphalt
    shapes = []
    for patch in scenario.patches:
        stretch = scenario.route.at(np.append(np.arange(patch.begin_m, patch.end_m, 1.0), patch.end_m))
        area = shapely.LineString(stretch[:, :2]).buffer(12.0, cap_style="flat").intersection(asphalt)
        shapes += [part for part in shapely.get_parts(area) if part.geom_type == "Polygon"]
    return shapes


def _add_signals(spec: mujoco.MjSpec, road_map: RoadMap, working: set[str]) -> dict[str, dict[str, list[str]]]:
    """A head over the road for every connector whose light works; returns the lamps by group and colour.

    It hangs over the middle of the intersection, as on span wires: there it is seen from far and from the stop line.
    """
    found: dict[str, dict[str, list[str]]] = {}
    taken: set[tuple[str, int, int]] = set()
    for lane in road_map.lanes.values():
        if lane.signal is None or lane.signal not in working:
            continue
        x, y, heading = lane.centreline[0]
        place = (lane.signal, round(x), round(y))
        if place in taken:  # the connectors of one lane share a head
            continue
        beside = 1.2 * sum(other[1:] == place[1:] for other in taken)
        taken.add(place)
        body = spec.worldbody.add_body(name=f"signal{len(taken)}")
        body.pos = [
            x + _HANGS_AT_M * np.cos(heading) + beside * np.sin(heading),
            y + _HANGS_AT_M * np.sin(heading) - beside * np.cos(heading),
            0.0,
        ]
        body.quat = [np.cos(heading / 2), 0.0, 0.0, np.sin(heading / 2)]
        name = f"signal.{len(taken)}"
        add_mesh(spec, body, f"{name}.case", block((0.0, -0.55, 4.6), (0.3, 0.55, 7.8)), MATERIALS["pole"])
        lamps = found.setdefault(lane.signal, {lamp: [] for lamp in _LAMPS})
        for k, lamp in enumerate(_LAMPS):
            low = 6.8 - 1.05 * k
            glass = block((-0.02, -0.45, low), (0.0, 0.45, low + 0.9))
            add_mesh(spec, body, f"{name}.{lamp}", glass, SIGNAL_OFF[lamp], "lamp")
            lamps[lamp].append(f"{name}.{lamp}")
    return found


def _add_ego(spec: mujoco.MjSpec, vehicle: VehicleParameters, cameras: Sequence[Camera], ego: str) -> None:
    """The own car, its cameras, and two that film it; the body's frame is the vehicle frame of `rigs`."""
    body = wheels.add_car(spec, vehicle) if ego == "wheels" else spec.worldbody.add_body(name="ego", mocap=True)
    for name, mesh in actor_parts("car", vehicle.length_m, vehicle.width_m, EGO_HEIGHT_M).items():
        colour = {"paint": EGO_PAINT, "tail": TAIL_OFF, "head": HEAD_LIT}.get(name) or MATERIALS[name]
        middle = mesh.moved(vehicle.front_m - vehicle.length_m / 2, 0.0)
        add_mesh(spec, body, f"ego.{name}", middle, colour, "paint" if name == "paint" else "plain", OWN)
    for camera in cameras:
        mount = body.add_camera(name=camera.name, pos=camera.position, fovy=camera.fov_deg)
        right, down, forward = camera.rotation.T
        mount.quat = _quaternion(np.stack([right, -down, -forward], axis=1))  # MuJoCo looks along -z, y up
    chase = body.add_camera(name=CHASE, pos=[-9.0, 0.0, 4.5], fovy=60.0)
    chase.quat = _quaternion(_looking(pitch=-0.28))
    above = body.add_camera(name=ABOVE, pos=[10.0, 0.0, 60.0], fovy=50.0)
    above.quat = _quaternion(_looking(pitch=-np.pi / 2))


def _looking(pitch: float) -> np.ndarray:
    """Axes of a MuJoCo camera that looks forward and up by `pitch`."""
    forward, up = np.array([np.cos(pitch), 0, np.sin(pitch)]), np.array([-np.sin(pitch), 0, np.cos(pitch)])
    return np.stack([np.cross(forward, up), up, -forward], axis=1)


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(rotation).ravel())
    return quaternion
