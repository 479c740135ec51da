"""The learned world as an environment: a model imagines what an action brings, its reward and success too."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Float, Float32, UInt8
from PIL import Image
from torch import Tensor

from unified.errors import UserError
from unified.model.model import UnifiedModel
from unified.rollout.dreams.dream import Dream, step_together
from unified.rollout.dreams.starts import RecordedStarts, SimulatedStarts, Start, observation_of, one_moment
from unified.rollout.dreams.watch import DriftWatch
from unified.rollout.policies import load_on_device

REWARD, SUCCESS, END = "next.reward", "next.success", "next.terminated"
FARTHEST = 1e6  # what the body measures stays within

Observation = dict[str, Any]


@dataclass(frozen=True)
class DreamState:
    """Where a dream stands, from `DreamEnv.get_sim_state`; whatever goes on from it leaves it as it is."""

    dream: Dream
    notes: Mapping[str, Any]


class DreamEnv(gymnasium.Env[Observation, np.ndarray]):
    """An environment that exists in a model's imagination alone, with the spaces of the real one.

    A moment is imagined every `frame_stride` actions. `step` returns it then, with the reward of all these actions and
    `info["is_fresh"]` true; in between it returns the moment before again, with reward 0. `info["success_probability"]`
    is what the model thinks of the last moment, and `info["is_success"]` whether that is above `threshold`.

    Args:
        model: a checkpoint's folder, or a model.
        env: the id of an environment; its resets are the dream's.
        data: a recording; its episodes' beginnings are the dream's. One of the two may be given, and any observation
            of the same body can be given to `reset`.
        env_kwargs: other arguments of the environment.
        embodiment: the model's name of the body, where more than one fits.
        max_env_steps: env steps after which an episode is truncated; None: never.
        threshold: of the probability of success.
        needs_judge: refuse models that imagine no reward or no success.
        watch: ends a dream that deserves no belief any more.
        render_mode: None, or "rgb_array".
        options: of `Dream`: window, anchor, num_steps and others.

    Attributes:
        body, embodiment, control_dt, cameras, image_size: of the body that acts.
        task: the instruction of the present episode in words.
        start: of the present episode; an environment's `reality` can go on beside the dream.
        dream: of the present episode.

    Raises:
        UserError: for a model that cannot imagine, or has no judge, or does not fit the environment or recording.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 - Gymnasium declares it so
    baselines: tuple[str, ...] = ()
    sim_state_size = 0  # its states are no vectors
    render_pixels = True

    def __init__(
        self,
        model: UnifiedModel | str | Path,
        env: str | None = None,
        data: str | Path | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        embodiment: str | None = None,
        max_env_steps: int | None = None,
        threshold: float = 0.5,
        needs_judge: bool = True,
        watch: DriftWatch | None = None,
        render_mode: str | None = None,
        **options: Any,
    ):
        self.model = model if isinstance(model, UnifiedModel) else load_on_device(model)
        self.judge = _judge(self.model)
        missing = [column for column in (REWARD, SUCCESS) if column not in self.judge]
        if needs_judge and missing:
            raise UserError(
                f"This checkpoint does not imagine {' or '.join(missing)}, so nobody would judge the dream; train with "
                "data.columns and a decoders.columns.ColumnDecoder for each (configs/demo.yaml), or needs_judge=False."
            )
        if (env is None) == (data is None):
            raise UserError("Say where dreams start: in an environment (env) or in a recording (data), one of them.")
        self.starts = (
            RecordedStarts(self.model, str(data), embodiment)
            if env is None
            else SimulatedStarts(self.model, env, env_kwargs, embodiment)
        )
        self.render_mode, self.max_env_steps, self.threshold = render_mode, max_env_steps, threshold
        self._options, self._watch = options, watch
        body = self.body = self.starts.body
        self.embodiment, self.control_dt, self.cameras = body.name, body.control_dt, body.cameras
        self.frame_stride = self.starts.stride
        height, width = self.model.spec.image_size
        self.image_size = height
        low, high = (np.asarray(bound, np.float32) for bound in (self.starts.low, self.starts.high))
        self.action_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        pictures = {camera: gymnasium.spaces.Box(0, 255, (height, width, 3), np.uint8) for camera in self.cameras}
        measured = gymnasium.spaces.Box(-FARTHEST, FARTHEST, (body.proprio_dim,), np.float32)
        self.observation_space = gymnasium.spaces.Dict(
            {"pixels": gymnasium.spaces.Dict(pictures), "agent_pos": measured}  # pyright: ignore[reportArgumentType]
        )
        self.task = "nothing yet"
        self._is_over = True
        self._elapsed = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin the dream that belongs to `seed`, or the next one of the current random stream.

        Args:
            seed: of the start and of the noise.
            options: {"episode": I, "frame": J} of the recording; or {"observation": O, "task": TEXT}, where O is
                as in `observation_space`.

        Raises:
            UserError: for a start that is not there or does not fit.
        """
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(2**31)) if seed is None else seed
        self.start = self._begin(drawn, options or {})
        self.task = self.start.batch.task[0]
        self.dream = Dream(self.model, self.start.batch, seed=drawn, **self._options)
        self._commands = torch.zeros(1, self.model.spec.frame_stride, self.model.spec.action_dim)
        self._waiting, self._elapsed, self._is_over = 0, 0, False
        self._reward, self._ends = 0.0, False
        self._said: dict[str, Any] = {"is_success": False, "success_probability": 0.0}
        self._notes = None if self._watch is None else self._watch.begin(self.start)
        self._observation = self._observe()
        return copy.deepcopy(self._observation), copy.deepcopy({**self._said, "is_fresh": True})

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Execute one action.

        Raises:
            ResetNeeded: the episode is over or has not begun.
            InvalidAction: wrong shape, not finite or outside `action_space`.
        """
        self.take(action)
        if self.is_due:
            self.arrive(*step_together([self.dream], [self._commands])[0])
        return self.outcome()

    def take(self, action: np.ndarray) -> None:
        """The first half of `step`: remember what shall be done."""
        if self._is_over:
            raise ResetNeeded("The dream is over or has not begun; call reset() before step().")
        checked = torch.from_numpy(self._checked(action))
        if not self._waiting:
            self._commands = torch.zeros_like(self._commands)
        self._commands[0, self._waiting, : len(checked)] = checked
        self._waiting += 1
        self._elapsed += 1

    @property
    def is_due(self) -> bool:
        """Whether enough actions wait for the next moment to be imagined."""
        return self._waiting == self.frame_stride

    @property
    def commands(self) -> Float[Tensor, " 1 frame_stride action_dim"]:
        """The actions that wait, as a model takes them."""
        return self._commands

    def arrive(self, dream: Dream, answer: Mapping[str, Tensor]) -> None:
        """Take the dream that went on, and what it brought."""
        self.dream, self._waiting = dream, 0
        judged = {column: float(answer[name][0, 0]) for column, name in self.judge.items() if name in answer}
        if not np.isfinite([*judged.values()]).all():
            raise UserError("The model imagined a reward that is not finite; its weights or statistics are broken.")
        self._reward = judged.get(REWARD, 0.0)
        probability = judged.get(SUCCESS, 0.0)
        self._said = {"is_success": probability > self.threshold, "success_probability": probability}
        self._ends = judged.get(END, 0.0) > 0.5
        if self._notes is not None:
            self._said["drift"] = self._notes.look(self._commands, dream.present)
            self._said["is_over"] = self._notes.is_over
        self._observation = self._observe()

    def outcome(self) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """The last half of `step`: what is to be said of it."""
        is_fresh = not self._waiting
        terminated = is_fresh and self._ends
        is_late = self.max_env_steps is not None and self._elapsed >= self.max_env_steps
        truncated = is_late or bool(self._said.get("is_over"))
        self._is_over = terminated or truncated
        reward = self._reward if is_fresh else 0.0
        info = {**self._said, "is_fresh": is_fresh}
        return copy.deepcopy(self._observation), reward, terminated, truncated, copy.deepcopy(info)

    def get_sim_state(self) -> DreamState:
        """The complete state; `set_sim_state` continues from it to the bit, in this or another `DreamEnv`."""
        if self._is_over and not self._elapsed:
            raise ResetNeeded("There is no state before the first reset(); call reset() before get_sim_state().")
        notes = {name: getattr(self, name) for name in _STATE}
        return DreamState(self.dream.fork(), {**notes, "_notes": None if self._notes is None else self._notes.fork()})

    def set_sim_state(self, state: DreamState) -> None:
        """Go on from a state, as often as one likes.

        Raises:
            ValueError: if it is another model's.
        """
        if not isinstance(state, DreamState) or state.dream.model is not self.model:
            raise ValueError("This is no state of a dream of the same model; get_sim_state() gives them.")
        self.dream = state.dream.fork()
        for name, value in state.notes.items():
            setattr(self, name, value)
        self._notes = None if self._notes is None else self._notes.fork()

    def render(self) -> UInt8[np.ndarray, " height width 3"] | None:
        """The first camera's picture, if the render mode asks for pictures."""
        return None if self.render_mode is None else self._observation["pixels"][self.cameras[0]]

    def render_frame(self, camera: str, size: int = 256) -> UInt8[np.ndarray, " size size 3"]:
        """What was imagined last, scaled up.

        Raises:
            ValueError: unknown camera.
        """
        if camera not in self.cameras:
            raise ValueError(f"camera must be one of {', '.join(self.cameras)}, got {camera!r}.")
        return np.asarray(Image.fromarray(self._observation["pixels"][camera]).resize((size, size)))

    def close(self) -> None:
        """Give back what is open."""
        self.starts.close()

    @property
    def versions(self) -> dict[str, str]:
        """What decides the numbers."""
        return {"torch": torch.__version__, "gymnasium": gymnasium.__version__}

    @property
    def noise_size(self) -> int:
        """Length of the noise that `perturbed` takes."""
        return self.body.action_dim

    def perturbed(
        self, action: Float32[np.ndarray, " action"], noise: Float32[np.ndarray, " noise"]
    ) -> Float32[np.ndarray, " action"]:
        """An action that does something a little different."""
        space: Any = self.action_space
        return np.clip(action + noise, space.low, space.high)

    def measurements(self) -> dict[str, np.ndarray]:
        """Nothing is known of a dream but what it shows."""
        return {}

    def make_expert(self, rng: np.random.Generator | None = None) -> Any:
        """There is none: experts read the state of a simulator."""
        raise NotImplementedError

    def make_play(self, rng: np.random.Generator) -> Any:
        """There is none."""
        raise NotImplementedError

    def _begin(self, seed: int, options: Mapping[str, Any]) -> Start:
        if unknown := set(options) - {"episode", "frame", "observation", "task"}:
            raise UserError(
                f"reset knows the options episode, frame, observation and task, got {sorted(unknown)[0]!r}."
            )
        if "observation" in options:
            return self._given(options["observation"], options.get("task"))
        if "episode" not in options and "frame" not in options:
            start = self.starts.draw(seed)
        elif isinstance(self.starts, RecordedStarts):
            start = self.starts.begin(int(options.get("episode", 0)), int(options.get("frame", 0)), steps=0)
        else:
            raise UserError("episode and frame are those of a recording; this dream starts in an environment.")
        if options.get("task"):
            self.model.text.check([options["task"]])
            start = replace(start, batch=replace(start.batch, task=(options["task"],)))
        return start

    def _given(self, observation: Observation, task: str | None) -> Start:
        if not isinstance(task, str) or not task.strip():
            raise UserError("An observation says nothing of the task; give it in words: options['task'].")
        if not self.observation_space.contains(observation):
            raise UserError(f"options['observation'] must be in the observation space, {self.observation_space}.")
        self.model.text.check([task])
        batch = one_moment(self.model, self.body, self.frame_stride, observation, task)
        return Start(batch, self.body, self.frame_stride, None, {"observation": "given"})

    def _observe(self) -> Observation:
        seen = observation_of(self.dream.present, self.body, self.model.spec)
        return {**seen, "agent_pos": seen["agent_pos"].clip(-FARTHEST, FARTHEST).astype(np.float32)}

    def _checked(self, action: np.ndarray) -> Float32[np.ndarray, " action"]:
        space: Any = self.action_space
        try:
            checked = np.asarray(action, np.float32)
        except (TypeError, ValueError) as error:
            raise InvalidAction(f"action must be an array of {space.shape[0]} numbers, got {action!r}.") from error
        if checked.shape != space.shape or not np.isfinite(checked).all():
            raise InvalidAction(f"action must be {space.shape[0]} finite numbers, got {checked.tolist()}.")
        inside = np.clip(checked, space.low, space.high)
        if np.abs(inside - checked).max() > _ROUNDING:
            raise InvalidAction(f"action must lie within env.action_space, {space}, got {checked.tolist()}; clip it.")
        return inside


_ROUNDING = 1e-5  # of a clipped action, which must not be an error
_STATE = ("start", "task", "_commands", "_waiting", "_elapsed", "_is_over", "_said", "_observation", "_reward", "_ends")


class DreamVectorEnv(VectorEnv[Observation, np.ndarray, np.ndarray]):
    """Dreams side by side, imagined in one batch wherever they stand alike; each as `DreamEnv` has it.

    After an episode ends, the next `step` resets it (`AutoresetMode.NEXT_STEP`).

    Args:
        envs: the dreams, of the same model.

    Raises:
        UserError: if there are none, or their models differ.
    """

    metadata = {**DreamEnv.metadata, "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, envs: Sequence[DreamEnv]):
        if not envs or len({id(env.model) for env in envs}) > 1:
            raise UserError("DreamVectorEnv takes one or more dreams of the same model.")
        self.envs, self.num_envs = list(envs), len(envs)
        self.single_observation_space, self.single_action_space = envs[0].observation_space, envs[0].action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._ended = np.zeros(self.num_envs, bool)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin all; a single seed counts up from row to row."""
        seeds = [None] * self.num_envs if seed is None else seed
        seeds = [seed + row for row in range(self.num_envs)] if isinstance(seed, int) else seeds
        began = [env.reset(seed=one, options=options) for env, one in zip(self.envs, seeds, strict=True)]  # pyright: ignore[reportArgumentType]
        self._ended[:] = False
        return self._together([observation for observation, _ in began]), self._infos([info for _, info in began])

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Execute an action in each; the moments that are due are imagined together."""
        acting = [env for env, ended in zip(self.envs, self._ended, strict=True) if not ended]
        for env, action in zip(acting, np.asarray(actions)[~self._ended], strict=True):
            env.take(action)
        due = [env for env in acting if env.is_due]
        for env, went in zip(due, step_together([e.dream for e in due], [e.commands for e in due]), strict=True):
            env.arrive(*went)
        rows = [
            (*env.reset()[:1], 0.0, False, False, {"is_success": False, "is_fresh": True}) if ended else env.outcome()
            for env, ended in zip(self.envs, self._ended, strict=True)
        ]
        observations, rewards, terminated, truncated, infos = zip(*rows, strict=True)
        ends = np.array(terminated), np.array(truncated)
        self._ended = ends[0] | ends[1]
        return self._together(observations), np.array(rewards, np.float64), *ends, self._infos(infos)

    def close_extras(self, **kwargs: Any) -> None:
        """Give back what is open."""
        for env in self.envs:
            env.close()

    def _together(self, observations: Sequence[Observation]) -> Observation:
        pixels = {camera: np.stack([one["pixels"][camera] for one in observations]) for camera in self.envs[0].cameras}
        return {"pixels": pixels, "agent_pos": np.stack([one["agent_pos"] for one in observations])}

    def _infos(self, infos: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        together: dict[str, Any] = {}
        for row, info in enumerate(infos):
            together = self._add_info(together, dict(info), row)
        return together


class Dreams:
    """Makes `DreamEnv`s in the place of environments, for policies to be run in (`unified.rollout.rollout.perform`).

    Args:
        model, options: of every `DreamEnv`.
    """

    def __init__(self, model: UnifiedModel, **options: Any):
        self.model, self._options = model, options

    def __call__(self, env_id: str, kwargs: Mapping[str, Any]) -> DreamEnv:
        """Dreams that start where this environment is reset to.

        Raises:
            UserError: if a policy needs cameras or pictures of a size that the model does not imagine.
        """
        own = {name: value for name, value in kwargs.items() if name not in ("cameras", "image_size")}
        env = DreamEnv(self.model, env=env_id, env_kwargs=own, **self._options)
        missing = set(kwargs.get("cameras", ())) - set(env.cameras)
        if missing or kwargs.get("image_size", env.image_size) != env.image_size:
            raise UserError(
                f"The dream shows {', '.join(env.cameras)} at {env.image_size} pixels; the policy needs "
                f"{', '.join(kwargs.get('cameras', ()))} at {kwargs.get('image_size')}."
            )
        return env

    def check(self, policy: Any, embodiment: str) -> None:
        """Refuse a policy that would look at the dream between its moments.

        Raises:
            UserError: with what to do.
        """
        stride, needs = self.model.history.frame_stride(self.model.spec, embodiment), policy.needs
        if needs.n_action_steps % stride or (needs.history and needs.stride % stride):
            raise UserError(
                f"The dream's moments are {stride} env steps apart, and the policy looks every {needs.n_action_steps}; "
                f"let it act for a multiple: --n-action-steps {stride}."
            )


def _judge(model: UnifiedModel) -> dict[str, str]:
    """The stream that imagines reward, success and end, by the column that it learned from."""
    columns = {name: getattr(model.decoder(name), "column", None) for name in model.following}
    return {column: name for name, column in columns.items() if column in (REWARD, SUCCESS, END)}
