# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Meta-World's 50 manipulation tasks behind the interface of `SimEnv`.

Follows LeRobot's evaluation (same initial states for a seed, same `agent_pos`, same `corner2` camera), and mends what
upstream leaves stale: after `reset` the first observation and picture show the scene as it is, not as it was before the
objects were placed.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium
import mujoco
import numpy as np
from jaxtyping import Float, Float32, Float64
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.sawyer_xyz_env import SawyerXYZEnv

from sims.common.base import Policy, SimEnv
from sims.common.camera import CameraView
from sims.common.errors import unknown_name
from sims.common.versions import package_version
from sims.metaworld.expert import ScriptedExpert
from sims.metaworld.play import PlayPolicy
from sims.metaworld.state import PythonState
from sims.metaworld.tasks import TASKS

# corner2 is LeRobot's camera. `left` looks across it at a right angle: together they give depth, and each shows what
# the hand hides from the other. `right` is a nearer corner2, `far` looks back at the robot over the whole table
# (clear positions, but only the backs of cabinets), `gripper` rides on the hand.
VIEWS = {
    "corner2": CameraView(fixed="corner2", flip=True),
    "left": CameraView(lookat=(0.0, 0.72, 0.08), distance=1.1, azimuth=25.0, elevation=-42.0),
    "right": CameraView(lookat=(0.0, 0.68, 0.1), distance=1.05, azimuth=150.0, elevation=-40.0),
    "far": CameraView(lookat=(0.0, 0.65, 0.1), distance=1.0, azimuth=270.0, elevation=-65.0),
    "gripper": CameraView(fixed="gripperPOV"),
}
_CORNER2_POSITION = (0.75, 0.075, 0.7)  # LeRobot's, nearer than upstream's
_NEVER = 10**9
_State = mujoco.mjtState


class MetaWorldEnv(SimEnv):
    """One Meta-World task: a Sawyer arm moved by its hand's position (3) and a gripper (1), 80 actions a second."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 80}  # noqa: RUF012 - Gymnasium declares it so
    embodiment = "metaworld"
    main_views = ("corner2", "left")
    proprio_size = 4
    sim_state_size = 384
    # Everything that integration reads, less the external forces, which no Meta-World task applies.
    sim_state_spec = int(_State.mjSTATE_INTEGRATION) & ~int(_State.mjSTATE_QFRC_APPLIED | _State.mjSTATE_XFRC_APPLIED)

    def __init__(
        self,
        task_name: str,
        cameras: Sequence[str] = ("corner2", "left"),
        image_size: int = 64,
        max_env_steps: int = 500,
        render_mode: str | None = None,
    ):
        """Build the scene of a task.

        Args:
            task_name: upstream's name, e.g. `reach-v3`.
            cameras: names in `VIEWS`; empty for no pictures.
            image_size: height and width of the pictures.
            max_env_steps: the episode is truncated after so many actions.
            render_mode: `rgb_array` makes `render()` give pictures.
        """
        if task_name not in TASKS:
            raise unknown_name("Meta-World task", task_name, TASKS)
        info = TASKS[task_name]
        world = make_world(task_name)
        super().__init__(
            model=world.model,
            data=world.data,
            views=VIEWS,
            action_space=gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32),
            task_name=task_name,
            task=info.instruction,
            control_dt=world.dt,
            cameras=cameras,
            image_size=image_size,
            max_env_steps=max_env_steps,
            render_mode=render_mode,
        )
        self.group = info.group
        self._world = world
        self._python_state = PythonState(world)
        self._full_obs = np.zeros(39)

    @property
    def versions(self) -> dict[str, str]:
        """Physics differs between MuJoCo versions, and initial states between Meta-World's."""
        return {**super().versions, "metaworld": package_version("metaworld")}

    @property
    def full_observation(self) -> Float64[np.ndarray, " 39"]:
        """Upstream's state vector: hand, gripper and objects now (18) and one step ago (18), goal (3)."""
        return self._full_obs

    def _reset_world(self, seed: int) -> None:
        mujoco.mj_resetData(self.model, self.data)
        self._world.seed(seed)
        self._world.reset()
        mujoco.mj_forward(self.model, self.data)
        self._full_obs = self._fresh_observation()
        self._python_state.describe()

    def _fresh_observation(self) -> Float64[np.ndarray, " 39"]:
        """The first observation, read after the objects are where they belong; the past equals the present."""
        world = self._world
        world._prev_obs = world._get_curr_obs_combined_no_goal()
        space = world.sawyer_observation_space
        return np.clip(world._get_obs(), space.low, space.high)

    def _step_world(self, action: Float32[np.ndarray, " 4"]) -> tuple[float, bool, dict[str, Any]]:
        self._full_obs, reward, _, _, info = self._world.step(action)
        return float(reward), bool(info.pop("success")), info

    def _proprio(self) -> Float[np.ndarray, " 4"]:
        return self._full_obs[:4]

    def _get_extra_state(self) -> Float64[np.ndarray, " extra"]:
        return np.concatenate([self._full_obs, self._python_state.get()])

    def _set_extra_state(self, extra: Float64[np.ndarray, " extra"]) -> None:
        if not self._python_state.is_described:
            self._reset_world(0)  # a fresh instance learns from any episode which attributes its task keeps
        self._full_obs = extra[: len(self._full_obs)].copy()
        self._python_state.set(extra[len(self._full_obs) :])

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """Meta-World's scripted policy for this task, on the full state; it may serve many episodes."""
        return ScriptedExpert(self, rng)

    def make_play(self, rng: np.random.Generator) -> Policy:
        """Smooth exploring that reaches the whole workspace, touches things and works the gripper."""
        return PlayPolicy(self, rng)


def make_world(task_name: str) -> SawyerXYZEnv:
    """Upstream's environment with the goal in its state vector and seeded initial states.

    Built directly: `metaworld.MT1` would first draw 50 initial states that are thrown away (0.5 s).
    """
    world = ALL_V3_ENVIRONMENTS[task_name]()
    world._partially_observable = False
    world.__dict__.pop("sawyer_observation_space", None)  # cached for the hidden goal
    world._set_task_called = True
    world._freeze_rand_vec = False
    world.seeded_rand_vec = True
    world.max_path_length = _NEVER
    world.model.cam_pos[world.model.camera("corner2").id] = _CORNER2_POSITION
    return world
