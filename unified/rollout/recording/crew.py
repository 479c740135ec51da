"""The recording processes as their parent sees them."""

import multiprocessing
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from unified.errors import UserError
from unified.rollout.recording.plan import Rules
from unified.rollout.recording.worker import serve


class Worker:
    """A process, its pipe and what it is working on."""

    def __init__(self, number: int, rules: Rules) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.number, self.work = number, "its start"
        self.process = context.Process(target=serve, args=(theirs, rules), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, request: Any, work: str) -> None:
        self.work = work
        try:
            self.connection.send(request)
        except OSError as error:
            raise self._death() from error

    def answer(self) -> Any:
        """Raises: UserError: with the episode, if the worker failed or is dead."""
        try:
            answer = self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._death() from error
        if isinstance(answer, str):
            raise UserError(f"Recording {self.work} failed: {answer}")
        return answer

    def _death(self) -> UserError:
        self.process.join(5)
        code = self.process.exitcode
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit status {code}"
        hint = " (out of memory?)" if code == -9 else ""
        return UserError(
            f"Recording process {self.number} died while recording {self.work}: {how}{hint}. "
            "Saved episodes are kept; continue with --resume."
        )


@contextmanager
def start_workers(count: int, rules: Rules) -> Generator[list[Worker]]:
    """Spawn the processes; however the block is left, none of them is left behind."""
    crew: list[Worker] = []
    try:
        for number in range(count):
            crew.append(Worker(number, rules))
        yield crew
    finally:
        for worker in crew:
            worker.connection.close()
            worker.process.terminate()
        for worker in crew:
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()
