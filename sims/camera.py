# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Where a picture is taken from."""

from dataclasses import dataclass

import mujoco


@dataclass(frozen=True)
class CameraView:
    """A camera: one of the model's by name (`fixed`), or a free one looking at a point.

    Attributes:
        fixed: name of a camera in the MJCF; the other geometry fields are then unused.
        lookat: world point in the middle of the picture, metres.
        distance: metres from `lookat`.
        azimuth: degrees about the vertical; 90 looks along +y.
        elevation: degrees; negative looks down.
        flip: turn the picture by 180 degrees (both axes), for cameras mounted upside down.
    """

    fixed: str | None = None
    lookat: tuple[float, float, float] = (0.0, 0.0, 0.0)
    distance: float = 1.0
    azimuth: float = 90.0
    elevation: float = -45.0
    flip: bool = False

    def to_mujoco(self, model: mujoco.MjModel) -> mujoco.MjvCamera:
        """The view as MuJoCo's abstract camera for this model."""
        camera = mujoco.MjvCamera()
        if self.fixed is not None:
            camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
            camera.fixedcamid = model.camera(self.fixed).id
            return camera
        camera.type = mujoco.mjtCamera.mjCAMERA_FREE
        camera.lookat[:] = self.lookat
        camera.distance, camera.azimuth, camera.elevation = self.distance, self.azimuth, self.elevation
        return camera
