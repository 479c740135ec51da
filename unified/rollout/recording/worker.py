"""What a recording process does: act, keep every step, encode the films. The parent alone writes to the dataset."""

import signal
import traceback
from collections import OrderedDict
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gymnasium

from unified.data.lerobot3.writer import PreparedEpisode, prepare_episode
from unified.errors import UserError
from unified.rollout.recording.episode import Description, describe, run_episode
from unified.rollout.recording.plan import Job, Rules

_KEPT_ENVS = 8  # MT50's environments would take gigabytes if all were kept


@dataclass(frozen=True)
class Recorded:
    """The answer to a job; `episode` is what is to be saved."""

    job: Job
    episode: PreparedEpisode
    task: str
    success: bool
    length: int
    facts: dict[str, Any]


def serve(connection: Connection, rules: Rules) -> None:
    """Answer names of environments with `Description`, jobs with `Recorded` too, and trouble with text."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    studio = _Studio(rules)
    try:
        while True:
            request = connection.recv()
            try:
                answer: Any = studio.describe(request) if isinstance(request, str) else studio.record(*request)
            except UserError as error:
                answer = str(error)
            except Exception as error:
                lines = traceback.format_exc().strip().splitlines()
                answer = f"{type(error).__name__}: {' '.join(str(error).split())} ({lines[-3].strip()})"
            connection.send(answer)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is done, or gone
    finally:
        studio.close()


class _Studio:
    """The environments of one process, the latest few kept."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._envs: OrderedDict[str, gymnasium.Env[Any, Any]] = OrderedDict()
        self._descriptions: dict[str, Description] = {}

    def describe(self, env_id: str) -> Description:
        env = self._env(env_id)
        if env_id not in self._descriptions:
            env.reset(seed=0)
            self._descriptions[env_id] = describe(env, env_id)
        return self._descriptions[env_id]

    def record(self, job: Job, folder: Path) -> tuple[Recorded, Description]:
        description = self.describe(job.env_id)
        env = self._env(job.env_id)
        frames, success = run_episode(env, job, self._rules)
        episode = prepare_episode(frames, description.features, description.fps, folder, self._rules.encoding)
        task = str(env.unwrapped.task)  # pyright: ignore[reportAttributeAccessIssue]
        facts = dict(env.unwrapped.episode_facts())  # pyright: ignore[reportAttributeAccessIssue]
        return Recorded(job, episode, task, success, len(frames["action"]), facts), description

    def close(self) -> None:
        for env in self._envs.values():
            env.close()

    def _env(self, env_id: str) -> gymnasium.Env[Any, Any]:
        if env_id not in self._envs:
            if len(self._envs) >= _KEPT_ENVS:
                self._envs.popitem(last=False)[1].close()
            try:
                self._envs[env_id] = gymnasium.make(env_id, disable_env_checker=True, **self._rules.env_kwargs)
            except (ValueError, TypeError, gymnasium.error.Error) as error:
                raise UserError(f"{env_id}: {' '.join(str(error).split())}") from error
        self._envs.move_to_end(env_id)
        return self._envs[env_id]
