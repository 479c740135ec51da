# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""What every MuJoCo environment here shares: a model with cameras, and its state beside the world's own in one vector.

A world subclasses `SimEnv`, hands it a model and its cameras, and fills in `_reset_world`, `_step_world`, `_proprio`
and a scripted expert.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import gymnasium
import mujoco
import numpy as np
from jaxtyping import Float64, UInt8

from sims.common.arguments import checked_cameras, checked_integer
from sims.common.camera import CameraView
from sims.common.episodes import FILM_SIZE, EpisodeEnv, Observation, Policy
from sims.common.renderer import MAX_IMAGE_SIZE, Renderer, make_renderer
from sims.common.versions import package_version

__all__ = ["FILM_SIZE", "Observation", "Policy", "SimEnv"]


class SimEnv(EpisodeEnv):
    """A MuJoCo scene with cameras, an instruction and a scripted expert; see `EpisodeEnv` for most attributes.

    Attributes:
        live_textures: names of textures that the world repaints (see `make_renderer`).
    """

    sim_state_spec: ClassVar[int] = int(mujoco.mjtState.mjSTATE_INTEGRATION)
    supersample: ClassVar[int] = 2
    live_textures: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        views: Mapping[str, CameraView],
        action_space: gymnasium.spaces.Box,
        task_name: str,
        task: str,
        control_dt: float,
        cameras: Sequence[str],
        image_size: int,
        max_env_steps: int,
        render_mode: str | None = None,
    ):
        """Check the arguments and describe the spaces; nothing is drawn before the first `reset`.

        Raises:
            ValueError: unknown or repeated camera, image size out of range, no steps, unknown render mode.
        """
        self.model, self.data = model, data
        self._renderer: Renderer | None = None
        super().__init__(
            views=views,
            action_space=action_space,
            task_name=task_name,
            task=task,
            control_dt=control_dt,
            cameras=cameras,
            image_size=image_size,
            max_env_steps=max_env_steps,
            render_mode=render_mode,
        )

    def _get_extra_state(self) -> Float64[np.ndarray, " extra"]:
        """State that MuJoCo does not know (goals, phases, counters); empty by default."""
        return np.empty(0)

    def _set_extra_state(self, extra: Float64[np.ndarray, " extra"]) -> None:
        """Take back what `_get_extra_state` gave; called before the kinematics are computed again."""

    def close(self) -> None:
        """Free the graphics buffers; pictures can still be had, by a new renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    @property
    def versions(self) -> dict[str, str]:
        """What decides the numbers: simulator, task suite and this package."""
        return {"mujoco": package_version("mujoco"), **super().versions}

    def render_frame(self, camera: str, size: int = FILM_SIZE) -> UInt8[np.ndarray, " size size 3"]:
        """A picture from any camera of this environment at any size.

        Raises:
            ValueError: unknown camera, or size out of range.
        """
        checked_cameras([camera], self.views)
        size = checked_integer("size", size, 1, MAX_IMAGE_SIZE)
        if self._renderer is None:
            self._renderer = self._new_renderer()
        return self._renderer.render(self.data, self.views[camera], size)

    def _new_renderer(self) -> Renderer:
        """The renderer of the present model; asked for at the first picture and after `close`."""
        return make_renderer(self.model, self.supersample, live_textures=self.live_textures)

    def _get_world_state(self) -> Float64[np.ndarray, " world"]:
        physics = np.empty(mujoco.mj_stateSize(self.model, self.sim_state_spec))
        mujoco.mj_getState(self.model, self.data, physics, self.sim_state_spec)
        return np.concatenate([physics, self._get_extra_state()])

    def _set_world_state(self, state: Float64[np.ndarray, " padded"]) -> None:
        """The extra state first: from it a world may learn which model belongs to the state."""
        physics, extra = np.split(state, [mujoco.mj_stateSize(self.model, self.sim_state_spec)])
        self._set_extra_state(extra)
        mujoco.mj_setState(self.model, self.data, physics, self.sim_state_spec)
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_setState(self.model, self.data, physics, self.sim_state_spec)  # the solver's warm start as it was
