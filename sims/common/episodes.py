"""What every environment here shares, whatever simulates it: observations, episodes, checks, state in one vector.

A world subclasses `EpisodeEnv` and fills in `_reset_world`, `_step_world`, `_proprio`, `render_frame`, its state and a
scripted expert. MuJoCo's worlds subclass `sims.common.base.SimEnv`, which does half of that.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.error import InvalidAction, ResetNeeded
from jaxtyping import Float, Float32, Float64, UInt8

from sims.common.arguments import checked_cameras, checked_integer
from sims.common.renderer import MAX_IMAGE_SIZE
from sims.common.versions import package_version

Observation = dict[str, Any]
Policy = Callable[[Observation], np.ndarray]

FILM_SIZE = 256
ROLES = ("main", "second")
_ACTION_TOLERANCE = 1e-5  # float32 rounding of a clipped action must not be an error
_HEADER = 4  # checksum of the task's name, elapsed steps, episode over, success


class EpisodeEnv(gymnasium.Env[Observation, np.ndarray]):
    """A scene with cameras, an instruction and a scripted expert.

    Attributes:
        embodiment: name of the body; environments with the same name share action and proprio spaces.
        task_name: short name of the scene within its family; a state can only be restored into the same one.
        task: the instruction in words; `task_description` is the same (the name LeRobot's evaluation asks for).
        control_dt: seconds per action.
        sim_state_size: length of the state that `get_sim_state` gives; 0: it has none to give.
        main_views: the two views that show a world best; as cameras they are also called `main` and `second`, so that
            one model can be trained on worlds whose cameras have other names.
        noise_size: how many numbers disturb an action (see `perturbed`).
        baselines: names for `make_baseline`.
        render_pixels: set to False to skip drawing in `reset` and `step`, which then repeat the last pictures.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 - Gymnasium declares it so
    embodiment: str
    proprio_size: int
    proprio_bound: ClassVar[float] = 100.0  # in metres or radians it is far outside
    sim_state_size: int
    main_views: ClassVar[tuple[str, ...]] = ()
    baselines: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        views: Mapping[str, Any],
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
        self.views = dict(views) | {role: views[name] for role, name in zip(ROLES, self.main_views, strict=False)}
        self.cameras = checked_cameras(cameras, self.views)
        self.image_size = checked_integer("image_size", image_size, 1, MAX_IMAGE_SIZE)
        self.max_env_steps = checked_integer("max_env_steps", max_env_steps, 1, 10**9)
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be 'rgb_array' or None, got {render_mode!r}.")
        self.render_mode = render_mode
        self.task_name = task_name
        self.task = self.task_description = task
        self._checksum = float(zlib.crc32(f"{self.embodiment}/{task_name}".encode()))
        self.control_dt = control_dt
        self.render_pixels = True
        self.action_space = action_space
        self.observation_space = _observation_space(
            self.cameras, self.image_size, self.proprio_size, self.proprio_bound
        )
        self._pictures: dict[str, np.ndarray] = {}
        self._elapsed = 0
        self._is_over = True
        self._is_success = False

    def _reset_world(self, seed: int) -> None:
        """Put the scene into the initial state that belongs to this seed, whatever happened before."""
        raise NotImplementedError

    def _step_world(self, action: Float32[np.ndarray, " action"]) -> tuple[float, bool, dict[str, Any]]:
        """Advance by `control_dt`; returns reward, success, further info."""
        raise NotImplementedError

    def _proprio(self) -> Float[np.ndarray, " proprio"]:
        """What the body feels of itself."""
        raise NotImplementedError

    def _get_world_state(self) -> Float64[np.ndarray, " world"]:
        """Everything that decides how the episode goes on; shorter than `sim_state_size` by the header at least."""
        raise NotImplementedError

    def _set_world_state(self, state: Float64[np.ndarray, " padded"]) -> None:
        """Take back what `_get_world_state` gave; zeros may follow it."""
        raise NotImplementedError

    def _after_restore(self) -> None:
        """Bring derived values up to date after `set_sim_state`."""

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """The scripted expert for this environment; it reads the full state, not the observation."""
        raise NotImplementedError

    def make_play(self, rng: np.random.Generator) -> Policy:
        """An exploring policy whose actions are not a function of what is seen."""
        raise NotImplementedError

    def make_baseline(self, name: str) -> Policy:
        """One of `baselines`, to stand beside a policy that is judged here."""
        raise NotImplementedError

    def episode_metrics(self) -> dict[str, float]:
        """Scores of the episode so far besides success; asked for when it is over."""
        return {}

    def episode_scores(self) -> dict[str, Any]:
        """What the scores among the metrics are made of, in plain values by name of the score; asked for once."""
        return {}

    def measurements(self) -> dict[str, np.ndarray]:
        """Truth beside the observation that recordings keep, vectors by name."""
        return {}

    def episode_facts(self) -> dict[str, Any]:
        """What else to say of the episode, in plain values: its variant; after a failure its step as `bad_step`."""
        return {}

    def render_frame(self, camera: str, size: int = FILM_SIZE) -> UInt8[np.ndarray, " size size 3"]:
        """A picture from any camera of this environment at any size.

        Raises:
            ValueError: unknown camera, or size out of range.
        """
        raise NotImplementedError

    @property
    def noise_size(self) -> int:
        """Length of the noise that `perturbed` takes."""
        return int(np.prod(self.action_space.shape or ()))

    def perturbed(
        self, action: Float32[np.ndarray, " action"], noise: Float32[np.ndarray, " noise"]
    ) -> Float32[np.ndarray, " action"]:
        """An action that does something a little different; recordings with noise execute it."""
        space: Any = self.action_space
        return np.clip(action + noise, space.low, space.high)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin the episode that belongs to `seed`, or the next one of the current random stream."""
        super().reset(seed=seed)
        self._reset_world(int(self.np_random.integers(2**31)) if seed is None else seed)
        self._elapsed, self._is_over, self._is_success = 0, False, False
        return self._observe(), {"is_success": False}

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Execute one action. Success is in `info["is_success"]` and ends nothing; after `info["is_over"]` it is final.

        Raises:
            ResetNeeded: the episode is over or has not begun.
            InvalidAction: wrong shape, not finite or outside `action_space`; the scene has not moved.
        """
        if self._is_over:
            raise ResetNeeded(f"The episode is over (max_env_steps={self.max_env_steps}); call reset() before step().")
        reward, self._is_success, info = self._step_world(self._checked_action(action))
        self._elapsed += 1
        truncated = self._elapsed >= self.max_env_steps
        self._is_over = truncated
        return self._observe(), reward, False, truncated, {**info, "is_success": self._is_success}

    def render(self) -> UInt8[np.ndarray, " size size 3"] | None:
        """A picture from the first camera at film size, if the render mode asks for pictures."""
        if self.render_mode is None:
            return None
        return self.render_frame(self.cameras[0] if self.cameras else next(iter(self.views)))

    @property
    def versions(self) -> dict[str, str]:
        """What decides the numbers: simulator, task suite and this package."""
        return {"gymnasium": package_version("gymnasium"), "sims": package_version("unified-world-action")}

    @property
    def elapsed_steps(self) -> int:
        """Actions executed in this episode."""
        return self._elapsed

    def observe(self) -> Observation:
        """The observation of the present state, drawn anew whatever `render_pixels` says."""
        self._pictures = {camera: self.render_frame(camera, self.image_size) for camera in self.cameras}
        return self._observe_without_drawing()

    def get_sim_state(self) -> Float64[np.ndarray, " sim_state"]:
        """The complete state; `set_sim_state` continues from it to the bit.

        Raises:
            ResetNeeded: no episode has begun.
        """
        if self._is_over and self._elapsed == 0:
            raise ResetNeeded("There is no state before the first reset(); call reset() before get_sim_state().")
        state = self._get_world_state()
        vector = np.zeros(self.sim_state_size)
        vector[:_HEADER] = self._checksum, self._elapsed, self._is_over, self._is_success
        vector[_HEADER : _HEADER + len(state)] = state
        return vector

    def set_sim_state(self, vector: Float64[np.ndarray, " sim_state"]) -> None:
        """Go to a state saved by `get_sim_state` of this task, in this or another instance.

        Raises:
            ValueError: another shape, values that are not numbers, or a state of another task; nothing has changed.
        """
        vector = np.asarray(vector, np.float64)
        if vector.shape != (self.sim_state_size,):
            raise ValueError(
                f"sim_state of {self.embodiment} must have shape ({self.sim_state_size},), got {vector.shape}."
            )
        if not np.isfinite(vector).all():
            raise ValueError("sim_state holds NaN or infinite values; get_sim_state() did not save it.")
        if vector[0] != self._checksum:
            raise ValueError(f"This sim_state was saved by another task than {self.task_name!r}.")
        self._set_world_state(vector[_HEADER:])
        self._elapsed, self._is_over, self._is_success = int(vector[1]), bool(vector[2]), bool(vector[3])
        self._after_restore()

    def _observe(self) -> Observation:
        if self.render_pixels:
            return self.observe()
        if not self._pictures:
            blank = (self.image_size, self.image_size, 3)
            self._pictures = {camera: np.zeros(blank, np.uint8) for camera in self.cameras}
        return self._observe_without_drawing()

    def _observe_without_drawing(self) -> Observation:
        return {"pixels": dict(self._pictures), "agent_pos": self._proprio().astype(np.float32)}

    def _checked_action(self, action: np.ndarray) -> Float32[np.ndarray, " action"]:
        """The action as float32 inside the bounds."""
        space = self.action_space
        assert isinstance(space, gymnasium.spaces.Box)
        try:
            checked = np.asarray(action, np.float32)
        except (TypeError, ValueError) as error:
            raise InvalidAction(f"action must be an array of {space.shape[0]} numbers, got {action!r}.") from error
        if checked.shape != space.shape:
            raise InvalidAction(f"action must have shape {space.shape}, got {checked.shape}.")
        if not np.isfinite(checked).all():
            raise InvalidAction(f"action must be finite, got {checked.tolist()}.")
        inside = np.clip(checked, space.low, space.high)
        if np.abs(inside - checked).max() > _ACTION_TOLERANCE:
            raise InvalidAction(
                f"action must lie in [{space.low.min():g}, {space.high.max():g}], got {checked.tolist()}; "
                "clip it to env.action_space."
            )
        return inside


def _observation_space(
    cameras: Sequence[str], image_size: int, proprio_size: int, bound: float
) -> gymnasium.spaces.Dict:
    """The space of DESIGN 3.3."""
    shape = (image_size, image_size, 3)
    pixels: dict[str, gymnasium.Space[Any]] = {
        camera: gymnasium.spaces.Box(0, 255, shape, np.uint8) for camera in cameras
    }
    proprio = gymnasium.spaces.Box(-bound, bound, (proprio_size,), np.float32)
    return gymnasium.spaces.Dict({"pixels": gymnasium.spaces.Dict(pixels), "agent_pos": proprio})
