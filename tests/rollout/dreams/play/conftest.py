"""A small model of large random weights on Meta-World's arm, and `unified play` in a process of its own."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.rollout.dreams.test_env import REACH, a_model
from unified.model.model import UnifiedModel

PUSH = "sims:MetaWorld-push-v3"


@dataclass(frozen=True)
class Served:
    """Where a page is."""

    url: str

    @property
    def port(self) -> int:
        """Of its address."""
        port = urlsplit(self.url).port
        assert port is not None
        return port


@pytest.fixture(scope="session")
def model() -> UnifiedModel:
    """As in the tests of `DreamEnv`."""
    return a_model()


@pytest.fixture(scope="session")
def checkpoint(model: UnifiedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is saved."""
    return model.save_pretrained(tmp_path_factory.mktemp("play") / "model")


@contextmanager
def serving(checkpoint: Path, folder: Path, *more: str) -> Generator[Served]:
    """The program on a free port."""
    words = ["play", "--checkpoint", str(checkpoint), "--env", REACH, "--env", PUSH, "--port", "0", "--output"]
    command = [sys.executable, "-m", "unified", *words, str(folder), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Served(process.stdout.readline().removeprefix("Play: ").strip())
        finally:
            process.terminate()
            assert process.wait(timeout=60) == 143, "the server ends"


@pytest.fixture(scope="session")
def server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """One on this machine alone, shared by all tests."""
    with serving(checkpoint, tmp_path_factory.mktemp("films")) as running:
        yield running
