"""The processes in which episodes run: spawned, without torch, and never left behind."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from unified.rollout.episodes import Finished
from unified.rollout.stage import Failure, Group, next_event


class Worker:
    """A process that runs a group of environments, and the pipe to it."""

    def __init__(self, number: int, make_group: Callable[[], Group]) -> None:
        context = multiprocessing.get_context("spawn")
        self.number = number
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, make_group), daemon=True)
        self.process.start()
        theirs.close()

    def receive(self) -> Any:
        """What its group asks or tells next (see `next_event`); a `Failure` if the process has died."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join(timeout=5)
        code = self.process.exitcode
        how = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit status {code}"
        hint = " (out of memory? try fewer --workers)" if code == -signal.SIGKILL else ""
        return Failure(f"the worker process died, {how}{hint}")

    def send(self, answer: Any) -> None:
        """Answer what was asked; that a process has died is said by the next `receive`."""
        with suppress(OSError):
            self.connection.send(answer)


@contextmanager
def start_workers(count: int, make_group: Callable[[], Group]) -> Generator[list[Worker]]:
    """Start processes; on leaving, whatever the reason, none of them is left."""
    crew: list[Worker] = []
    try:
        with _interrupts_held_back():
            for number in range(count):
                crew.append(Worker(number, make_group))
        yield crew
    finally:
        for worker in crew:
            worker.connection.close()
            worker.process.terminate()
        for worker in crew:
            worker.process.join(timeout=5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


@contextmanager
def _interrupts_held_back() -> Generator[None]:
    """Ctrl-C reaches this process alone, later: processes started inside inherit that it is blocked for them."""
    resource_tracker.ensure_running()  # the first start would do it, and it unblocks Ctrl-C when it has
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, make_group: Callable[[], Group]) -> None:
    """A worker process: run a group and send what happens, until its end or until the other side has gone."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    group, answer = make_group(), None
    try:
        while True:
            event = next_event(group, answer)
            connection.send(event)
            if event is None or isinstance(event, Failure):
                return
            answer = None if isinstance(event, Finished) else connection.recv()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(1)  # nobody listens any more: no clean-up can matter, and none may hang


def _end_with_parent() -> None:
    """End this process as soon as the one that started it has ended: what it still writes, nobody waits for."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
