"""Worlds for LeRobot: `--env.type=unified --env.task=ID`, with the episodes that `unified evaluate` has."""

from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.envs import EnvConfig
from lerobot.utils.constants import ACTION, OBS_STATE

from unified.model.spec import IMAGES
from unified.rollout.environments import make_env
from unified.rollout.episodes import Episode, describe_body
from unified.rollout.rendering import configure_rendering

GYM_ID = "unified/World-v0"


class World(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment that meets our contract, as LeRobot's evaluation wants one: success ends an episode.

    Args:
        env_id: for example "sims:MetaWorld-reach-v3".
        cameras: the views that are shown; empty: those that the environment has by itself.
        image_size: height and width of the pictures.
        max_env_steps: env steps after which an episode is over.
    """

    def __init__(self, env_id: str, cameras: list[str], image_size: int, max_env_steps: int, **_: Any):
        configure_rendering()
        shown = {"cameras": tuple(cameras)} if cameras else {}
        super().__init__(make_env(env_id, {"image_size": image_size, **shown}))
        inner: Any = self.env.unwrapped
        self.env_id, self._max_episode_steps, self._steps = env_id, max_env_steps, 0
        self.task = self.task_description = inner.task
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": round(1 / inner.control_dt)}
        key = gymnasium.spaces.Box(0, 1 << 16, (2,), np.float32)
        own: Any = self.env.observation_space
        self.observation_space = gymnasium.spaces.Dict({**own.spaces, "episode_key": key})
        self._key = np.zeros(2, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin the episode that belongs to the seed."""
        if seed is not None:
            self._key = np.array(divmod(Episode(self.env_id, seed).key, 1 << 16), np.float32)
        observation, info = self.env.reset(seed=seed)
        self._steps = 0
        self.task = self.task_description = self.env.unwrapped.task  # pyright: ignore[reportAttributeAccessIssue]
        return {**observation, "episode_key": self._key}, info

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Execute what of an action the environment can do."""
        space: Any = self.env.action_space
        clipped = np.clip(action, space.low, space.high).astype(space.dtype)
        observation, reward, terminated, truncated, info = self.env.step(clipped)
        self._steps += 1
        is_over = terminated or bool(info["is_success"]) or bool(info.get("is_over"))
        truncated = truncated or self._steps >= self._max_episode_steps
        return {**observation, "episode_key": self._key}, float(reward), is_over, truncated, info

    def render(self) -> Any:
        """A picture from the first camera."""
        inner: Any = self.env.unwrapped
        return inner.render_frame(inner.cameras[0], 256)


gymnasium.register(GYM_ID, entry_point=World)


@EnvConfig.register_subclass("unified")
@dataclass
class UnifiedEnvConfig(EnvConfig):
    """One of our worlds.

    Attributes:
        task: its id, for example "sims:MetaWorld-reach-v3".
        cameras: the views that are shown; empty: those that the environment has by itself.
        image_size: height and width of the pictures.
        max_env_steps: env steps after which an episode is over.
    """

    task: str | None = "sims:MetaWorld-drawer-open-v3"
    cameras: list[str] = field(default_factory=list)
    image_size: int = 64
    max_env_steps: int = 250

    def __post_init__(self) -> None:
        """Ask the world what it measures and takes."""
        world = World(**self.gym_kwargs)
        inner: Any = world.env.unwrapped
        body = describe_body(world.env)
        world.close()
        self.fps, self.cameras = world.metadata["render_fps"], list(inner.cameras)
        picture = PolicyFeature(FeatureType.VISUAL, (self.image_size, self.image_size, 3))
        pictures = {f"{IMAGES}{camera}": picture for camera in self.cameras}
        self.features = {
            ACTION: PolicyFeature(FeatureType.ACTION, (body.action_dim,)),
            "agent_pos": PolicyFeature(FeatureType.STATE, (body.proprio_dim,)),
            **pictures,
        }
        self.features_map = {ACTION: ACTION, "agent_pos": OBS_STATE, **{key: key for key in pictures}}

    @property
    def package_name(self) -> str:
        return "lerobot_policy_unified"

    @property
    def gym_id(self) -> str:
        return GYM_ID

    @property
    def gym_kwargs(self) -> dict[str, Any]:
        return {
            "env_id": self.task,
            "cameras": self.cameras,
            "image_size": self.image_size,
            "max_env_steps": self.max_env_steps,
        }
