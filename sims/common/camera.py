# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Where a picture is taken from."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import mujoco

Size = int | tuple[int, int]  # of a picture in pixels: square, or height and width


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
        fovy: vertical field of view of a `fixed` camera in degrees, if not the model's.
        hidden_groups: geom groups that this camera does not show, besides those that nobody sees (3 and up).
    """

    fixed: str | None = None
    lookat: tuple[float, float, float] = (0.0, 0.0, 0.0)
    distance: float = 1.0
    azimuth: float = 90.0
    elevation: float = -45.0
    flip: bool = False
    fovy: float | None = None
    hidden_groups: tuple[int, ...] = ()

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

    @contextmanager
    def applied(self, model: mujoco.MjModel, option: mujoco.MjvOption) -> Generator[None, None, None]:
        """Inside, MuJoCo updates its scene with this view's field of view and without its hidden groups."""
        camera = None if self.fixed is None or self.fovy is None else model.camera(self.fixed).id
        fovy, groups = None if camera is None else float(model.cam_fovy[camera]), option.geomgroup.copy()
        option.geomgroup[list(self.hidden_groups)] = 0
        if camera is not None:
            model.cam_fovy[camera] = self.fovy
        try:
            yield
        finally:
            option.geomgroup[:] = groups
            if camera is not None:
                model.cam_fovy[camera] = fovy


def height_and_width(size: Size) -> tuple[int, int]:
    """Both numbers, whichever way the size was given."""
    return (size, size) if isinstance(size, int) else size
