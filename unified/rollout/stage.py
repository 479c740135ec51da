"""Where episodes run: environments, several side by side, with everything that is needed from outside asked for.

Runs in worker processes (`workers` starts them): torch is not imported here.
"""

import math
import traceback
from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from unified.errors import UserError
from unified.judging.results import EpisodeResult
from unified.rollout.builtin import make_builtin
from unified.rollout.environments import Env, MakeEnv, make_env
from unified.rollout.episodes import (
    Action,
    ActionChunk,
    Decision,
    Episode,
    Finished,
    Free,
    Observations,
    PolicyNeeds,
)
from unified.rollout.recording.recorder import Recorder, acting_rng

Group = Generator[Free | list[Decision] | Finished, Any]
_KEPT_ENVS = 8  # in a process; MT50's environments would take gigabytes if all were kept


def run_group(needs: PolicyNeeds, max_env_steps: int | None, num_envs: int, make_env: MakeEnv = make_env) -> Group:
    """Run episodes in `num_envs` environments, as long as there are any.

    `Free` is answered (`send`) with an index and its `Episode`, or None if there are no more; a list of decisions with
    one action chunk for each; `Finished` with anything. Which decisions stand together depends only on the arguments
    and the answers, not on time.
    """
    num_envs = 1 if needs.builtin else num_envs
    stages = [Stage(needs, max_env_steps, make_env, max(1, _KEPT_ENVS // num_envs)) for _ in range(num_envs)]
    running: list[Stage] = []
    has_more = True
    try:
        while True:
            for stage in stages:
                if has_more and stage not in running:
                    given: tuple[int, Episode] | None = yield Free(stage.env_id)
                    has_more = given is not None
                    if given is not None:
                        stage.begin(*given)
                        running.append(stage)
            if not running:
                return
            chunks = [stage.act() for stage in running] if needs.builtin else (yield [s.decision() for s in running])
            for stage, chunk in zip(running, chunks, strict=True):
                stage.advance(chunk)
            for stage in [stage for stage in running if stage.is_over]:
                running.remove(stage)
                yield stage.finish()
    finally:
        for stage in stages:
            stage.close()


@dataclass(frozen=True)
class Failure:
    """What went wrong with a group of environments; exceptions themselves cannot always be sent."""

    message: str
    trace: str = ""


def next_event(group: Group, answer: Any) -> Any:
    """What a group asks or tells next, None at its end, a `Failure` if it broke."""
    try:
        return group.send(answer)
    except StopIteration:
        return None
    except Exception as error:
        message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        return Failure(message, "".join(traceback.format_exception(error)))


class Stage:
    """Runs one episode after another and draws only the pictures that somebody will see.

    Args:
        needs: of the policy.
        max_env_steps: env steps after which an episode is over; None: the environment says when.
        make_env: makes environments.
        kept_envs: how many of them are kept for episodes to come.
    """

    def __init__(self, needs: PolicyNeeds, max_env_steps: int | None, make_env: MakeEnv, kept_envs: int) -> None:
        self.env_id: str | None = None
        self.is_over = False
        self._needs, self._make_env, self._kept_envs = needs, make_env, kept_envs
        self._max_env_steps = math.inf if max_env_steps is None else max_env_steps
        self._envs: list[tuple[tuple[str, dict[str, Any]], Env]] = []  # how they were made; the latest used is last

    @property
    def env(self) -> Any:
        """The present environment without wrappers."""
        return self._envs[-1][1].unwrapped

    def begin(self, index: int, episode: Episode) -> None:
        """Reset to the start of an episode, in the same environment if it fits."""
        self._use_env(episode)
        self._index, self._episode, self.is_over = index, episode, False
        self._length, self._decisions, self._return, self._success = 0, 0, 0.0, False
        self._last_step = self._max_env_steps
        self._info: Mapping[str, Any] = {}
        self._ended_by: str | None = None
        self.env.render_pixels = True
        observation, _ = self._envs[-1][1].reset(seed=episode.seed)
        keep = self._needs.history * self._needs.stride
        self._history: deque[Observations] = deque([observation], maxlen=1 + keep)
        self._executed: deque[Action] = deque(maxlen=keep)
        is_recorded, builtin = episode.recording is not None, self._needs.builtin
        rng = acting_rng(episode) if is_recorded else np.random.default_rng([episode.seed, episode.key])
        self._acting = make_builtin(builtin, self.env, rng, demonstrates=is_recorded) if builtin else None
        self._recorder = Recorder(self.env, episode, self._acting, rng) if is_recorded else None
        self._film: list[UInt8[np.ndarray, " height width 3"]] = []
        self._add_picture()

    def decision(self) -> Decision:
        """What the policy is asked next."""
        stride, action_dim = self._needs.stride, self.env.action_space.shape[0]
        steps = len(self._executed) // stride
        moments = [self._history[-1 - back * stride] for back in range(steps, -1, -1)]
        pixels = {camera: np.stack([moment["pixels"][camera] for moment in moments]) for camera in self._needs.cameras}
        observation = {"pixels": pixels, "agent_pos": np.stack([moment["agent_pos"] for moment in moments])}
        actions = list(self._executed)[len(self._executed) - steps * stride :]
        executed = np.array(actions, np.float32).reshape(steps, stride, action_dim)
        asked = self.env.task, self.env.embodiment, action_dim
        return Decision(self._index, self._decisions, observation, executed, *asked)

    def act(self) -> ActionChunk:
        """What the policy beside the environment does next."""
        assert self._acting is not None
        return np.asarray(self._acting(self._history[-1]))[None]

    def advance(self, chunk: ActionChunk) -> None:
        """Execute actions one after another until the episode is over or they are used up."""
        space = self.env.action_space
        self._decisions += 1
        for position, action in enumerate(chunk):
            self.env.render_pixels = self._will_be_seen(position + 1, len(chunk))
            self._step(np.clip(action, space.low, space.high).astype(space.dtype))
            self._add_picture()
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
        recorded = self._recorder.result() if self._recorder is not None else None
        if self._episode.film is None:
            return Finished(self._index, result, recorded=recorded)
        stride = self._episode.film.stride(self.env.control_dt)
        return Finished(self._index, result, np.stack(self._film), 1 / (self.env.control_dt * stride), stride, recorded)

    def close(self) -> None:
        """Give the memory and graphics contexts of all environments back."""
        while self._envs:
            self._envs.pop()[1].close()

    def _use_env(self, episode: Episode) -> None:
        kwargs, needs = dict(episode.env_kwargs), self._needs
        if episode.recording is None:
            kwargs |= {"cameras": needs.cameras} | (
                {} if needs.image_size is None else {"image_size": needs.image_size}
            )
        made = [entry for entry in self._envs if entry[0] == (episode.env_id, kwargs)]
        if made:
            self._envs.remove(made[0])
        elif len(self._envs) >= self._kept_envs:
            self._envs.pop(0)[1].close()
        self._envs += made or [((episode.env_id, kwargs), self._make_env(episode.env_id, kwargs))]
        self.env_id = episode.env_id

    def _step(self, action: np.ndarray) -> None:
        if self._recorder is not None:
            action = self._recorder.before(self._history[-1], action)
        observation, reward, terminated, truncated, self._info = self._envs[-1][1].step(action)
        if "is_success" not in self._info:
            raise UserError(f"{self._episode.env_id} does not report info['is_success'] at every step.")
        success = bool(self._info["is_success"])
        if self._recorder is not None:
            self._recorder.after(reward, success)
        self._history.append(observation)
        self._executed.append(action)
        self._length += 1
        self._return += float(reward)
        self._note_end(success, terminated, truncated)

    def _note_end(self, success: bool, terminated: bool, truncated: bool) -> None:
        """Whether the episode is over, and why: some steps after its first success, or when success is out of reach."""
        recording = self._episode.recording
        explores = recording is not None and recording.rules.explores
        if success and not self._success and not explores:
            self._last_step = self._length + (recording.rules.hold_steps if recording is not None else 0)
        self._success |= success
        is_lost = terminated or (bool(self._info.get("is_over")) and not self._success and not explores)
        self.is_over = is_lost or truncated or self._length >= self._last_step
        self._ended_by = None if self._success else "terminated" if is_lost else "time_limit"

    def _said(self, method: str) -> dict[str, Any]:
        """What the environment has to say about its episode, if it has such a method."""
        return dict(getattr(self.env, method, dict)())

    def _will_be_seen(self, step: int, chunk_length: int) -> bool:
        """Whether a decision at the end of this chunk, or a later one, or a recording looks at the frame at a step."""
        stride = self._needs.stride
        looks = any((step + back * stride) % chunk_length == 0 for back in range(self._needs.history + 1))
        return looks or self._recorder is not None

    def _add_picture(self) -> None:
        film = self._episode.film
        if film is not None and (self.is_over or self._length % film.stride(self.env.control_dt) == 0):
            self._film.append(self.env.render_frame(film.camera, film.size))
