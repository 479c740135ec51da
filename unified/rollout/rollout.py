"""A policy in many environments at once: workers step the environments, this process asks the policy.

The one machine that acts, for recording and for judging. Every worker holds several environments, so that a model
answers a batch. The batches depend on the arguments alone (each worker's decisions are answered together, as soon as
they are there): the same call gives the same results, and while one worker steps, the model answers another.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from multiprocessing.connection import wait
from typing import Any, Protocol, runtime_checkable

import numpy as np

from unified.errors import UserError
from unified.judging.results import EpisodeResult
from unified.rollout.builtin import check_builtin
from unified.rollout.environments import MakeEnv, make_env
from unified.rollout.episodes import ActionChunk, Decision, Episode, Finished, Free, PolicyNeeds
from unified.rollout.stage import Failure, Group, next_event, run_group
from unified.rollout.workers import Worker, start_workers

LATER = "later"  # there may be an episode when another one is over
Take = Callable[[int, str | None], tuple[int, Episode] | str | None]
OnResult = Callable[[int, Finished], None]


@runtime_checkable
class Policy(Protocol):
    """Chooses action chunks from observations. `policies.ModelPolicy` is one."""

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
    max_env_steps: int | None = 250,
    on_result: OnResult | None = None,
    make_env: MakeEnv = make_env,
) -> list[EpisodeResult]:
    """Run every episode until its first success, its end or `max_env_steps`.

    The arguments are those of `perform`; `on_result` is given the episode's index.

    Returns:
        One result for each episode, in their order; "decision_ms" among the metrics is the model's time a decision.

    Raises:
        UserError: see `perform`; a policy's name that the environments do not know.
    """
    if isinstance(policy, str):
        check_builtin(policy, (episode.env_id for episode in episodes))
    indexed = list(enumerate(episodes))
    num_workers = min(num_workers, len(episodes))
    shares = [deque(indexed[worker :: max(1, num_workers)]) for worker in range(max(1, num_workers))]
    results: dict[int, EpisodeResult] = {}

    def keep(index: int, finished: Finished) -> None:
        results[index] = finished.result
        if on_result is not None:
            on_result(index, finished)

    perform(
        lambda worker, env_id: _take(shares[worker], env_id),
        policy,
        keep,
        num_workers,
        envs_per_worker,
        max_env_steps,
        make_env,
    )
    return [results[index] for index in range(len(episodes))]


def _take(waiting: deque[tuple[int, Episode]], env_id: str | None) -> tuple[int, Episode] | None:
    """The next episode; rather one of the same environment, which need not be built again."""
    same = (position for position, (_, episode) in enumerate(waiting) if episode.env_id == env_id)
    position = next(same, 0)
    if not waiting:
        return None
    taken = waiting[position]
    del waiting[position]
    return taken


def perform(
    take: Take,
    policy: Policy | str,
    on_result: OnResult,
    num_workers: int,
    envs_per_worker: int,
    max_env_steps: int | None,
    make_env: MakeEnv = make_env,
) -> None:
    """Run episodes as long as there are any.

    Args:
        take: gives a worker, by number, its next episode and an index for it, or None if there is none any more, or
            LATER if that depends on the episodes that run (then `envs_per_worker` must be 1); rather one in the
            environment that is named.
        policy: a model's policy, or the name of one that is decided beside the environments (see `builtin`).
        on_result: called with the index of an episode as soon as it is over, in this process.
        num_workers: processes that step environments; 0 steps them in this process.
        envs_per_worker: environments that wait for the model together.
        max_env_steps: env steps after which an episode is over; None: the environment says when.
        make_env: makes environments; workers need one that can be pickled.

    Raises:
        UserError: if an environment cannot be made or breaks, the policy gives actions that are not finite or of a
            wrong shape, or a worker dies; the message names the episode. No process is left behind.
    """
    needs = PolicyNeeds(builtin=policy) if isinstance(policy, str) else policy.needs
    session = _Session(take, None if isinstance(policy, str) else policy, on_result)
    make_group = partial(run_group, needs, max_env_steps, envs_per_worker, make_env)
    if num_workers == 0:
        with closing(make_group()) as group:
            session.drive(group)
        return
    with start_workers(num_workers, make_group) as crew:
        session.serve(crew)


class _Session:
    """This process's side: gives out episodes, answers decisions, hands on results."""

    def __init__(self, take: Take, policy: Policy | None, on_result: OnResult) -> None:
        self._take, self._policy, self._on_result = take, policy, on_result
        self._running: dict[int, tuple[int, Episode]] = {}  # worker and episode by index
        self._model_ms: dict[int, float] = {}

    def drive(self, group: Group) -> None:
        """Run a group of environments in this process."""
        answer: Any = None
        while (event := next_event(group, answer)) is not None:
            answer = self._answer(event, 0)

    def serve(self, crew: Sequence[Worker]) -> None:
        """Answer the workers until all have come to their end."""
        busy: dict[Any, Worker] = {worker.connection: worker for worker in crew}
        free: dict[Worker, Free] = {}
        while busy:
            for connection in wait(list(busy)):
                worker = busy[connection]
                event = worker.receive()
                if event is None:
                    del busy[connection]
                elif isinstance(event, Free):
                    free[worker] = event
                else:
                    answer = self._answer(event, worker.number)
                    if answer is not None:
                        worker.send(answer)
            for worker, event in list(free.items()):
                if (given := self._answer(event, worker.number)) != LATER:
                    del free[worker]
                    worker.send(given)

    def _answer(self, event: Free | Finished | list[Decision] | Failure, worker: int) -> Any:
        if isinstance(event, list):
            return self._decide(event)
        if isinstance(event, Free):
            given = self._take(worker, event.env_id)
            if isinstance(given, tuple):
                self._running[given[0]] = worker, given[1]
            return given
        if isinstance(event, Failure):
            raise UserError(f"{self._names(worker)} failed: {event.message}") from RuntimeError(event.trace)
        metrics = event.result.metrics
        if event.index in self._model_ms:
            metrics["decision_ms"] = self._model_ms.pop(event.index) / metrics["decisions"]
        del self._running[event.index]
        self._on_result(event.index, event)
        return None

    def _decide(self, decisions: list[Decision]) -> list[ActionChunk]:
        assert self._policy is not None
        started = time.perf_counter()
        keys = [(self._running[decision.index][1].key, decision.number) for decision in decisions]
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
        where = f"in episode {self._running[decision.index][1]}, decision {decision.number}"
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

    def _names(self, worker: int) -> str:
        names = [str(episode) for number, episode in self._running.values() if number == worker]
        if not names:
            return "A worker, before its first episode,"
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return ", ".join(names[:3]) + more
