"""A policy in many environments at once: workers step the environments, this process asks the policy.

Every worker is a spawned process without torch that holds several environments, so that a model answers a batch. The
batches depend on the arguments alone (each worker's decisions are answered together, as soon as they are there): the
same call gives the same results, and while one worker steps, the model answers another.
"""

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Protocol, runtime_checkable

import numpy as np

from unified.errors import UserError
from unified.judging.results import EpisodeResult
from unified.rollout.builtin import check_builtin
from unified.rollout.episodes import (
    ActionChunk,
    Decision,
    Episode,
    Finished,
    PolicyNeeds,
    Started,
    run_group,
)

OnResult = Callable[[int, Finished], None]


@runtime_checkable
class Policy(Protocol):
    """Chooses action chunks from observations. `unified.rollout.policies.ModelPolicy` is one."""

    needs: PolicyNeeds

    def act(self, decisions: Sequence[Decision], keys: Sequence[tuple[int, int]]) -> list[ActionChunk]:
        """Answer a batch of decisions.

        Args:
            decisions: what is seen, asked and controlled (see `Decision`).
            keys: (episode key, number of the decision) of each; randomness must depend on nothing else.

        Returns:
            For each decision `needs.n_action_steps` actions in the environment's own units.
        """
        ...


def run_episodes(
    episodes: Sequence[Episode],
    policy: Policy | str,
    num_workers: int = 2,
    envs_per_worker: int = 10,
    max_env_steps: int = 250,
    on_result: OnResult | None = None,
) -> list[EpisodeResult]:
    """Run every episode until its first success, its end or `max_env_steps`.

    Args:
        episodes: what to run.
        policy: a model's policy, or "expert", "random", "play", "hold" or a baseline that the environments offer, which
            are decided inside the workers.
        num_workers: processes that step environments; 0 steps them in this process.
        envs_per_worker: environments that wait for the model together.
        max_env_steps: env steps after which an episode has failed.
        on_result: called with the index of an episode as soon as it is over, in this process.

    Returns:
        One result for each episode, in their order; "decision_ms" among the metrics is the model's time a decision.

    Raises:
        UserError: if an environment cannot be made or breaks, the policy gives actions that are not finite or of a
            wrong shape, or a worker dies; the message names the episode. No process is left behind.
    """
    if isinstance(policy, str):
        check_builtin(policy, (episode.env_id for episode in episodes))
    needs = PolicyNeeds(builtin=policy) if isinstance(policy, str) else policy.needs
    session = _Session(episodes, None if isinstance(policy, str) else policy, on_result)
    indexed = list(enumerate(episodes))
    if num_workers == 0:
        session.drive(run_group(indexed, needs, max_env_steps, envs_per_worker))
    else:
        shares = [indexed[worker::num_workers] for worker in range(num_workers)]
        jobs = [(share, needs, max_env_steps, envs_per_worker) for share in shares if share]
        with _workers(jobs) as connections:
            session.serve(connections)
    return [session.results[index] for index in range(len(episodes))]


class _Session:
    """This process's side: answers decisions and collects results."""

    def __init__(self, episodes: Sequence[Episode], policy: Policy | None, on_result: OnResult | None) -> None:
        self.results: dict[int, EpisodeResult] = {}
        self._episodes = episodes
        self._policy = policy
        self._on_result = on_result
        self._model_ms: dict[int, float] = {}

    def drive(self, group: Generator[Any, Any]) -> None:
        """Run a group of environments in this process."""
        answer: list[ActionChunk] | None = None
        while True:
            try:
                event = group.send(answer)
            except StopIteration:
                return
            answer = self.handle(event)

    def serve(self, connections: dict[Connection, SpawnProcess]) -> None:
        """Answer the workers until all have said that they are done."""
        running: dict[Connection, set[int]] = {connection: set() for connection in connections}
        while running:
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                try:
                    event = ready.recv()
                except (EOFError, ConnectionError):
                    raise self._death(connections[ready], running[ready]) from None
                if event is None:
                    del running[ready]
                    continue
                if isinstance(event, _Failure):
                    raise self._failure(event, running[ready])
                if isinstance(event, Started):
                    running[ready].add(event.index)
                answer = self.handle(event)
                if answer is not None:
                    ready.send(answer)
                if isinstance(event, Finished):
                    running[ready].discard(event.index)

    def handle(self, event: Started | Finished | list[Decision]) -> list[ActionChunk] | None:
        """Take note of a result, or answer decisions."""
        if isinstance(event, list):
            return self._decide(event)
        if isinstance(event, Finished):
            metrics = event.result.metrics
            if event.index in self._model_ms:
                metrics["decision_ms"] = self._model_ms.pop(event.index) / metrics["decisions"]
            self.results[event.index] = event.result
            if self._on_result is not None:
                self._on_result(event.index, event)
        return None

    def _decide(self, decisions: list[Decision]) -> list[ActionChunk]:
        assert self._policy is not None
        started = time.perf_counter()
        keys = [(self._episodes[decision.index].key, decision.number) for decision in decisions]
        chunks = self._policy.act(decisions, keys)
        share_ms = 1000 * (time.perf_counter() - started) / len(decisions)
        if len(chunks) != len(decisions):
            raise UserError(f"The policy was asked {len(decisions)} decisions and answered {len(chunks)}.")
        for decision, chunk in zip(decisions, chunks, strict=True):
            self._check(decision, chunk)
            self._model_ms[decision.index] = self._model_ms.get(decision.index, 0.0) + share_ms
        return chunks

    def _check(self, decision: Decision, chunk: np.ndarray) -> None:
        assert self._policy is not None
        where = f"in episode {self._episodes[decision.index]}, decision {decision.number}"
        expected = (self._policy.needs.n_action_steps, decision.action_dim)
        if np.shape(chunk) != expected:
            raise UserError(
                f"The policy gave actions of shape {np.shape(chunk)} {where}; the environment takes {expected} "
                "(n_action_steps, action size). Was this checkpoint trained for this embodiment?"
            )
        if not np.isfinite(chunk).all():
            raise UserError(
                f"The policy gave an action that is not finite {where}: {np.asarray(chunk)[0]}. "
                "The checkpoint's weights or statistics are broken; judge an earlier one."
            )

    def _failure(self, failure: "_Failure", running: set[int]) -> UserError:
        error = UserError(f"{self._names(running)} failed: {failure.message}")
        error.__cause__ = RuntimeError(failure.trace)
        return error

    def _death(self, process: SpawnProcess, running: set[int]) -> UserError:
        process.join(timeout=5)
        code = process.exitcode
        how = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit status {code}"
        hint = " (out of memory? try fewer --workers)" if code == -signal.SIGKILL else ""
        return UserError(f"A worker process died ({how}){hint} while it ran {self._names(running)}.")

    def _names(self, running: set[int]) -> str:
        names = [str(self._episodes[index]) for index in sorted(running)]
        if not names:
            return "a worker, before its first episode,"
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return ", ".join(names[:3]) + more


class _Failure:
    """What went wrong inside a worker; exceptions themselves cannot always be sent."""

    def __init__(self, error: Exception) -> None:
        self.message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        self.trace = "".join(traceback.format_exception(error))


@contextmanager
def _workers(jobs: Sequence[tuple[Any, ...]]) -> Generator[dict[Connection, SpawnProcess]]:
    """Start one process a job; on leaving, whatever the reason, none of them is left."""
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, SpawnProcess] = {}
    try:
        with _interrupts_held_back():
            for job in jobs:
                mine, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, *job), daemon=True)
                process.start()
                theirs.close()
                workers[mine] = process
        yield workers
    finally:
        for connection in workers:
            connection.close()
        for process in workers.values():
            process.terminate()
        for process in workers.values():
            process.join(timeout=5)
            if process.is_alive():
                process.kill()
                process.join()


@contextmanager
def _interrupts_held_back() -> Generator[None]:
    """Ctrl-C reaches this process alone, later: processes started inside inherit that it is blocked for them."""
    resource_tracker.ensure_running()  # the first start would do it, and it unblocks Ctrl-C when it has
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(
    connection: Connection, share: Sequence[tuple[int, Episode]], needs: PolicyNeeds, max_env_steps: int, num_envs: int
) -> None:
    """A worker process: run its share and send what happens; ends when the other side has gone."""
    answer: list[ActionChunk] | None = None
    group = run_group(share, needs, max_env_steps, num_envs)
    try:
        while True:
            try:
                event = group.send(answer)
            except StopIteration:
                connection.send(None)
                return
            connection.send(event)
            answer = connection.recv() if isinstance(event, list) else None
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(1)  # nobody listens any more: no clean-up can matter, and none may hang
    except Exception as error:
        connection.send(_Failure(error))
