"""Episodes of a policy in environments, several side by side, with the policy's decisions asked for from outside.

Runs in worker processes (`unified.rollout.rollout` starts them): torch is not imported here.
"""

import zlib
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float, UInt8

from unified.errors import UserError
from unified.judging.results import EpisodeResult
from unified.rollout.builtin import make_builtin

Action = Float[np.ndarray, " action_dim"]
ActionChunk = Float[np.ndarray, " n_action_steps action_dim"]
Observations = dict[str, Any]


@dataclass(frozen=True)
class FilmRequest:
    """Record this episode: pictures of `size` x `size` pixels from `camera`, about `fps` for a second of its time."""

    camera: str
    size: int = 192
    fps: float = 20.0

    def stride(self, control_dt: float) -> int:
        """Env steps from one picture to the next."""
        return max(1, round(1 / (self.fps * control_dt)))


@dataclass(frozen=True)
class Episode:
    """One thing to run: an environment and the seed of its reset."""

    env_id: str
    seed: int
    env_kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    film: FilmRequest | None = None

    @property
    def key(self) -> int:
        """A number that stands for this episode and no other, the same in every process and run."""
        return zlib.crc32(f"{self.env_id}:{self.seed}".encode())

    def __str__(self) -> str:
        return f"{self.env_id} seed {self.seed}"


@dataclass(frozen=True)
class PolicyNeeds:
    """What an environment has to provide for a policy, and how often; plain data that crosses to the workers.

    Attributes:
        builtin: name of a policy in `unified.rollout.builtin`, decided beside the environment: no picture is drawn.
            Otherwise None, and `cameras`, `image_size`, `n_action_steps` and `observation_offsets` are the policy's.
        observation_offsets: env steps relative to now of every observed frame, oldest first, the last is 0.
    """

    builtin: str | None = None
    cameras: tuple[str, ...] = ()
    image_size: int | None = None
    n_action_steps: int = 1
    observation_offsets: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Started:
    """Episode `index` begins."""

    index: int


@dataclass(frozen=True)
class Finished:
    """Episode `index` is over; `film` holds its pictures if they were asked for, `fps` plays them in real time."""

    index: int
    result: EpisodeResult
    film: UInt8[np.ndarray, " frame height width 3"] | None = None
    fps: float = 0.0


@dataclass(frozen=True)
class Decision:
    """Episode `index` waits for its next actions; `number` counts its decisions from 0.

    Attributes:
        observation: {"pixels": {camera: uint8 (obs_step, H, W, 3)}, "agent_pos": float32 (obs_step, P)}.
        task: the instruction in words.
        embodiment: name of the body.
        action_dim: length of the action vector.
    """

    index: int
    number: int
    observation: Observations
    task: str
    embodiment: str
    action_dim: int


def run_group(
    episodes: Sequence[tuple[int, Episode]], needs: PolicyNeeds, max_env_steps: int, num_envs: int
) -> Generator[Started | Finished | list[Decision], list[ActionChunk] | None]:
    """Run episodes in `num_envs` environments in turn.

    Every list of decisions that is yielded must be answered (`send`) with one action chunk for each; other events
    need no answer. Which decisions stand together depends only on the arguments and the answers, not on time.
    """
    if needs.builtin is not None:
        yield from _run_builtin(episodes, needs, max_env_steps)
        return
    waiting = deque(episodes)
    slots = [EnvSlot(needs, max_env_steps) for _ in range(min(num_envs, len(episodes)))]
    running: list[EnvSlot] = []
    try:
        while True:
            for slot in slots:
                if slot not in running and waiting:
                    index, episode = _take(waiting, slot.env_id)
                    yield Started(index)
                    slot.begin(index, episode)
                    running.append(slot)
            if not running:
                return
            chunks = yield [slot.decision() for slot in running]
            assert chunks is not None
            for slot, chunk in zip(running, chunks, strict=True):
                slot.advance(chunk)
            for slot in [slot for slot in running if slot.is_over]:
                running.remove(slot)
                yield slot.finish()
    finally:
        for slot in slots:
            slot.close()


def _take(waiting: deque[tuple[int, Episode]], env_id: str | None) -> tuple[int, Episode]:
    """The next episode; rather one of the same environment, which need not be built again."""
    for position, (_, episode) in enumerate(waiting):
        if episode.env_id == env_id:
            taken = waiting[position]
            del waiting[position]
            return taken
    return waiting.popleft()


def _run_builtin(
    episodes: Sequence[tuple[int, Episode]], needs: PolicyNeeds, max_env_steps: int
) -> Generator[Started | Finished, list[ActionChunk] | None]:
    slot = EnvSlot(needs, max_env_steps)
    try:
        for index, episode in sorted(episodes, key=lambda item: item[1].env_id):
            yield Started(index)
            slot.begin(index, episode)
            rng = np.random.default_rng([episode.seed, episode.key])
            policy = make_builtin(needs.builtin or "", slot.env, rng)
            while not slot.is_over:
                slot.advance(np.asarray(policy(slot.last))[None])
            yield slot.finish()
    finally:
        slot.close()


class EnvSlot:
    """One environment that runs one episode after another and draws only the pictures that somebody will see."""

    def __init__(self, needs: PolicyNeeds, max_env_steps: int) -> None:
        self.env_id: str | None = None
        self.is_over = False
        self._needs = needs
        self._max_env_steps = max_env_steps
        self._made: tuple[str, dict[str, Any]] | None = None
        self._env: gymnasium.Env[Any, Any] | None = None

    @property
    def env(self) -> Any:
        """The environment without wrappers."""
        assert self._env is not None
        return self._env.unwrapped

    @property
    def last(self) -> Observations:
        """The newest observation."""
        return self._history[-1]

    def begin(self, index: int, episode: Episode) -> None:
        """Reset to the start of an episode, in the same environment if it fits."""
        needs = self._needs
        wanted = (episode.env_id, {**episode.env_kwargs, "cameras": needs.cameras})
        if needs.image_size is not None:
            wanted[1]["image_size"] = needs.image_size
        if wanted != self._made:
            self.close()
            self._env = gymnasium.make(episode.env_id, disable_env_checker=True, **wanted[1])
            self._made, self.env_id = wanted, episode.env_id
        assert self._env is not None
        self._index, self._episode, self.is_over = index, episode, False
        self._length, self._decisions, self._return, self._success = 0, 0, 0.0, False
        self._info: Mapping[str, Any] = {}
        self._ended_by: str | None = None
        self.env.render_pixels = True
        observation, _ = self._env.reset(seed=episode.seed)
        keep = 1 - min(needs.observation_offsets)
        self._history: deque[Observations] = deque([observation] * keep, maxlen=keep)
        self._film: list[UInt8[np.ndarray, " height width 3"]] = []
        self._record()

    def decision(self) -> Decision:
        """What the policy is asked next."""
        frames = [self._history[offset - 1] for offset in self._needs.observation_offsets]
        pixels = {camera: np.stack([frame["pixels"][camera] for frame in frames]) for camera in self._needs.cameras}
        observation = {"pixels": pixels, "agent_pos": np.stack([frame["agent_pos"] for frame in frames])}
        embodiment, action_dim = self.env.embodiment, self.env.action_space.shape[0]
        return Decision(self._index, self._decisions, observation, self.env.task, embodiment, action_dim)

    def advance(self, chunk: ActionChunk) -> None:
        """Execute actions one after another until the episode is over or they are used up."""
        assert self._env is not None
        space = self.env.action_space
        self._decisions += 1
        for position, action in enumerate(chunk):
            self.env.render_pixels = self._will_be_seen(position + 1, len(chunk))
            action = np.clip(action, space.low, space.high).astype(space.dtype)
            observation, reward, terminated, truncated, self._info = self._env.step(action)
            self._history.append(observation)
            self._length += 1
            self._return += float(reward)
            if "is_success" not in self._info:
                raise UserError(f"{self._episode.env_id} does not report info['is_success'] at every step.")
            self._success = bool(self._info["is_success"])
            out_of_time = truncated or self._length >= self._max_env_steps
            is_lost = terminated or bool(self._info.get("is_over"))  # success is out of reach: no need to go on
            self.is_over = self._success or is_lost or out_of_time
            self._ended_by = None if self._success else "terminated" if is_lost else "time_limit"
            self._record()
            if self.is_over:
                return

    def finish(self) -> Finished:
        """What is to be said of the episode that is over."""
        metrics = {"decisions": float(self._decisions)}
        reported = {**self._info.get("metrics", {}), **self._said("episode_metrics")}
        metrics |= {name: float(value) for name, value in reported.items()}
        result = EpisodeResult(
            env_id=self._episode.env_id,
            task=self.env.task,
            seed=self._episode.seed,
            success=self._success,
            env_return=self._return,
            length=self._length,
            metrics=metrics,
            failure=self._ended_by,
            facts=self._said("episode_facts"),
            scores=self._said("episode_scores"),
        )
        if self._episode.film is None:
            return Finished(self._index, result)
        fps = 1 / (self.env.control_dt * self._episode.film.stride(self.env.control_dt))
        return Finished(self._index, result, np.stack(self._film), fps)

    def close(self) -> None:
        """Give the environment's memory and graphics context back."""
        if self._env is not None:
            self._env.close()
        self._env, self._made = None, None

    def _said(self, method: str) -> dict[str, Any]:
        """What the environment has to say about its episode, if it has such a method."""
        return dict(getattr(self.env, method, dict)())

    def _will_be_seen(self, step: int, chunk_length: int) -> bool:
        """Whether a decision at the end of this chunk, or of a later one, looks at the frame `step` steps into it."""
        return any((step - offset) % chunk_length == 0 for offset in self._needs.observation_offsets)

    def _record(self) -> None:
        film = self._episode.film
        if film is not None and (self.is_over or self._length % film.stride(self.env.control_dt) == 0):
            self._film.append(self.env.render_frame(film.camera, film.size))
