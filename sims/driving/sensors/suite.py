# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""What a vehicle in a scene senses: pictures as the weather leaves them, truth per pixel, conditions, LiDAR."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt8

from sims.common.camera import CameraView, Size, height_and_width
from sims.common.renderer import Renderer, make_renderer
from sims.driving.looks.builder import CLEAR_M, OWN, fog_edges_m, sun_direction, surfaces_of
from sims.driving.looks.scene import Scene
from sims.driving.map.roads import RoadMap
from sims.driving.sensors import conditions
from sims.driving.sensors.lens import is_plain, through_the_lens
from sims.driving.sensors.lidar import Lidar, cast
from sims.driving.sensors.projection import View
from sims.driving.sensors.rigs import Camera
from sims.driving.traffic.actors import ActorTable

_SUN_RANGE_M = 500.0


@dataclass(frozen=True, eq=False)
class Truth:
    """What every pixel of a picture shows, at its centre.

    Attributes:
        depth: along the optical axis, metres; inf is the sky.
        classes: numbers in `palette.CLASSES`.
        actors: row in the actors' table, or -1.
    """

    depth: Float32[np.ndarray, " height width"]
    classes: Int32[np.ndarray, " height width"]
    actors: Int32[np.ndarray, " height width"]


class Sensors:
    """Cameras and LiDAR of the ego in a scene; positions must be up to date (`mj_kinematics`, `mj_camlight`)."""

    def __init__(self, scene: Scene, road_map: RoadMap, cameras: Sequence[Camera], supersample: int = 2) -> None:
        self._scene, self._surfaces = scene, surfaces_of(road_map)
        self._cameras = {camera.name: camera for camera in cameras}
        self._supersample = supersample
        self._renderer: Renderer | None = None

    def view(self, camera: str, size: Size) -> View:
        """The camera model of a picture of this size, where the vehicle is now."""
        rotation, position = self._pose()
        return View.of(self._cameras[camera], rotation, position, *height_and_width(size))

    def picture(self, camera: str, size: Size, time_step: int) -> UInt8[np.ndarray, " height width 3"]:
        """What the camera sees."""
        frame = self.renderer.render(self._scene.data, camera_view(self._cameras[camera], size), size)
        return self.through_the_lens(frame, camera, time_step)

    def through_the_lens(
        self, frame: UInt8[np.ndarray, " height width 3"], camera: str, time_step: int
    ) -> UInt8[np.ndarray, " height width 3"]:
        """A picture that was drawn, as weather leaves it."""
        weather = self._scene.weather
        if is_plain(weather):
            return frame
        view = self.view(camera, frame.shape[:2])
        return through_the_lens(frame, self._cameras[camera], view, weather, time_step, self._sees_sun(view))

    def truth(self, camera: str, size: Size) -> Truth:
        """Depth and segmentation."""
        view = camera_view(self._cameras[camera], size)
        depth, geoms = self.renderer.measure(self._scene.data, view, size)
        return Truth(depth, self._scene.geom_class[geoms], self._scene.geom_actor[geoms])

    def conditions(self, camera: str, size: Size, actors: ActorTable) -> UInt8[np.ndarray, " height width 3"]:
        """Lines of the map and boxes of the actors, as this camera sees them."""
        return conditions.condition_image(self.view(camera, size), self._surfaces, actors)

    def scan(self, lidar: Lidar) -> tuple[Float32[np.ndarray, " rows columns"], Int32[np.ndarray, " rows columns"]]:
        """Range image in metres (inf: nothing) and class of what was met."""
        ranges, geoms = lidar.scan(self._scene.model, self._scene.data, *self._pose())
        return ranges, self._scene.geom_class[geoms]

    @property
    def renderer(self) -> Renderer:
        """Opened at the first picture."""
        if self._renderer is None:
            has_fog = fog_edges_m(self._scene.weather)[1] < CLEAR_M
            self._renderer = make_renderer(self._scene.model, self._supersample, simplifies=False, has_fog=has_fog)
        return self._renderer

    def close(self) -> None:
        """Free the graphics buffers; they come back when a picture is asked for."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _pose(self) -> tuple[Float64[np.ndarray, " 3 3"], Float64[np.ndarray, " 3"]]:
        body = self._scene.data.body("ego")
        return body.xmat.reshape(3, 3).copy(), body.xpos.copy()

    def _sees_sun(self, view: View) -> bool:
        """Whether the sun is in front of the camera and no house or truck before it."""
        towards = sun_direction(self._scene.weather)
        if self._scene.weather.sun_elevation > 0.4 or towards @ view.rotation[:, 2] < 0:
            return False
        ranges, _ = cast(self._scene.model, self._scene.data, view.position, towards[None], _SUN_RANGE_M, (1,))
        return bool(np.isinf(ranges[0]))


def camera_view(camera: Camera, size: Size) -> CameraView:
    """The shared renderer's name for a rig camera's picture of this size."""
    return CameraView(fixed=camera.name, fovy=camera.vertical_fov_deg(*height_and_width(size)), hidden_groups=(OWN,))
