"""An environment that others wrote, behind the interface of all environments here, as options describe it."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import load_env_creator
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from sims.adapted.actions import translate
from sims.adapted.options import Adapter, read_adapter
from sims.adapted.places import RENDER, as_picture, as_vector, find
from sims.adapted.success import Success
from sims.common.arguments import checked_cameras, checked_integer
from sims.common.episodes import FILM_SIZE, ROLES, EpisodeEnv, Observation, Policy
from sims.common.renderer import MAX_IMAGE_SIZE
from sims.common.versions import package_version

_MEAN_HOLD = 8  # steps of play beyond two with one action


class AdaptedEnv(EpisodeEnv):
    """Rewards, ends of episodes and pictures are the stranger's own; see `options.Adapter` for what is said of them.

    Discrete choices are one number each, of which the greatest is taken. Pictures are scaled to squares. An episode
    that ends there ends here, so recordings of play may be shorter than asked for. Its state cannot be stored.
    """

    sim_state_size = 0
    proprio_bound = np.inf

    def __init__(
        self,
        env_id: str,
        adapter: Mapping[str, Any],
        cameras: Sequence[str] | None = None,
        image_size: int = 64,
        max_env_steps: int | None = None,
        render_mode: str | None = None,
        **others: Any,
    ):
        """Make the environment, and try it for one step.

        Args:
            env_id: as `gymnasium.make` knows it.
            adapter: the options of `options.Adapter` as plain values.
            cameras: among those that `adapter.pictures` names; default: all of them.
            image_size: height and width of the pictures.
            max_env_steps: the episode is truncated after so many actions, or after its own end.
            render_mode: `rgb_array` makes `render()` give pictures.
            others: refused, for they say nothing here.

        Raises:
            ValueError: an option is wrong, or the environment does not give what the options say.
        """
        if others:
            raise ValueError(
                f"env_kwargs: {', '.join(others)} means nothing here; its own arguments go to adapter.make."
            )
        options = self._options = read_adapter(adapter)
        self._succeeds = Success(options.success)
        self._expert = None if options.expert is None else _function(options.expert)
        self.embodiment = options.embodiment
        with _its_failures():
            self.inner = _make(env_id, options)
            self._actions = translate(self.inner.action_space, options.action_bounds)
            self._reset_world(seed=0)
        self.proprio_size = len(self._measured())
        own_limit = self.inner.spec.max_episode_steps if self.inner.spec is not None else None
        longest = own_limit if max_env_steps is None else max_env_steps
        if longest is None:
            raise ValueError("it has no limit of steps; give max_env_steps.")
        super().__init__(
            views={**dict(zip(ROLES, options.pictures.values(), strict=False)), **options.pictures},
            action_space=self._actions.space,
            task_name=env_id,
            task=options.task,
            control_dt=1 / _rate(self.inner, options.control_hz),
            cameras=tuple(options.pictures) if cameras is None else cameras,
            image_size=image_size,
            max_env_steps=longest,
            render_mode=render_mode,
        )
        with _its_failures():
            self._try_a_step()

    @property
    def versions(self) -> dict[str, str]:
        """Also that of the package whose environment it is."""
        package = type(self.inner.unwrapped).__module__.split(".")[0].replace("_", "-")
        return {**super().versions, package: package_version(package)}

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """As everywhere here, but it may also be terminated."""
        observation, reward, _, truncated, info = super().step(action)
        self._is_over = self._is_over or self._terminated or self._truncated
        return observation, reward, self._terminated, truncated or self._truncated, info

    def close(self) -> None:
        """Give back what it holds."""
        self.inner.close()

    def render_frame(self, camera: str, size: int = FILM_SIZE) -> UInt8[np.ndarray, " size size 3"]:
        """Its picture, scaled to a square.

        Raises:
            ValueError: unknown camera, size out of range, or it gives something else than a picture.
        """
        checked_cameras([camera], self.views)
        size = checked_integer("size", size, 1, MAX_IMAGE_SIZE)
        place = self.views[camera]
        if place not in self._drawn:
            value = self.inner.render() if place == RENDER else find(self._moment, place, f"adapter.pictures.{camera}")
            self._drawn[place] = as_picture(value, camera, place).copy()
        picture = self._drawn[place]
        shrinks = min(picture.shape[:2]) >= size
        method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        return np.array(Image.fromarray(picture).resize((size, size), method))

    def perturbed(
        self, action: Float32[np.ndarray, " action"], noise: Float32[np.ndarray, " noise"]
    ) -> Float32[np.ndarray, " action"]:
        """The noise is in shares of the greatest action."""
        space: Any = self._actions.space
        return super().perturbed(action, (noise * (space.high - space.low) / 2).astype(np.float32))

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """The function that the options name."""
        expert = self._expert
        if expert is None:
            raise NotImplementedError
        return lambda _observation: self._actions.action_of(expert(self.inner.unwrapped, self._moment["observation"]))

    def make_play(self, rng: np.random.Generator) -> Policy:
        """Holds an action for a while, then another one."""
        space: Any = self._actions.space
        steps_left, action = 0, self._actions.none

        def play(_observation: Observation) -> np.ndarray:
            nonlocal steps_left, action
            if steps_left == 0:
                steps_left = 2 + int(rng.exponential(_MEAN_HOLD))
                action = rng.uniform(space.low, space.high).astype(np.float32)
            steps_left -= 1
            return action.copy()

        return play

    def _reset_world(self, seed: int) -> None:
        observation, info = self.inner.reset(seed=seed)
        self._return, self._terminated, self._truncated = 0.0, False, False
        self._note({"observation": observation, "info": info, "action": self._actions.none})

    def _note(self, moment: dict[str, Any]) -> None:
        self._moment: dict[str, Any] = moment
        self._drawn: dict[str, np.ndarray] = {}

    def _step_world(self, action: Float32[np.ndarray, " action"]) -> tuple[float, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.inner.step(self._actions.command(action))
        self._return += float(reward)
        self._terminated, self._truncated = bool(terminated), bool(truncated)
        is_last = self._truncated or self._elapsed + 1 >= self.max_env_steps
        moment = {"observation": observation, "info": info, "action": action, "reward": float(reward)}
        moment |= {"return": self._return, "terminated": self._terminated}
        self._note(moment | {"survived": is_last and not self._terminated})
        return float(reward), self._succeeds(self._moment), {}

    def _proprio(self) -> Float[np.ndarray, " proprio"]:
        measured = self._measured()
        if len(measured) != self.proprio_size:
            raise ValueError(f"adapter.proprio: {self.proprio_size} numbers at first, now {len(measured)}.")
        return measured

    def _measured(self) -> Float[np.ndarray, " proprio"]:
        places = self._options.proprio
        vectors = [as_vector(find(self._moment, place, "adapter.proprio"), place) for place in places]
        return np.concatenate(vectors)

    def _try_a_step(self) -> None:
        """Everything that the options name must be there in the first step and the second."""
        self.reset(seed=0)
        self.step(self._actions.none)
        self._is_over = True


@contextmanager
def _its_failures() -> Generator[None, None, None]:
    """Inside, whatever a stranger's code raises is its answer to our options."""
    try:
        yield
    except (ValueError, gymnasium.error.Error):
        raise
    except Exception as error:
        raise ValueError(f"it failed with {type(error).__name__} {error}".rstrip()) from error


def _make(env_id: str, options: Adapter) -> gymnasium.Env[Any, Any]:
    draws = RENDER in options.pictures.values()
    kwargs = {**options.make, **({"render_mode": "rgb_array"} if draws else {})}
    inner = gymnasium.make(env_id, disable_env_checker=True, **kwargs)
    modes: list[str] = list(inner.metadata.get("render_modes", ()))
    if draws and "rgb_array" not in modes:
        raise ValueError(f"adapter.pictures: its render() knows no 'rgb_array', only {modes}; it cannot say 'render'.")
    return inner


def _rate(inner: gymnasium.Env[Any, Any], control_hz: int | None) -> float:
    rate: Any = inner.metadata.get("render_fps") if control_hz is None else control_hz
    if not isinstance(rate, int | float) or rate < 1 or rate != round(rate):
        raise ValueError(f"its render_fps is {rate}; give adapter.control_hz, a whole number of actions a second.")
    return float(rate)


def _function(name: str) -> Any:
    try:
        return load_env_creator(name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"adapter.expert: {name!r} cannot be imported ({error}).") from error
