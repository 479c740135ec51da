"""Every example line that a `--help` shows is run, in one folder, in the order a user would run them."""

import re
import shlex
from importlib import import_module, util
from pathlib import Path

import pytest

from tests.training.test_robot import FIT, IMPORT, JUDGE
from unified.cli import COMMANDS, main

# Later commands use what earlier ones made. `demo` is its own test: it is the longest of all.
ORDER = ("doctor", "record", "import", "fit", "validate", "test", "predict", "evaluate", "generate", "gallery")
# Appended to the example, where the last value of an option wins: the same line, only smaller.
SHRINK: dict[str, list[str]] = {
    "record": ["--episodes", "2"],
    "evaluate": ["--episodes", "2"],
}


def example_lines(name: str) -> list[str]:
    # A module that is not there is reported by test_cli, under its own name.
    module = COMMANDS[name][0]
    if util.find_spec(module) is None:
        return []
    return [line.strip() for line in getattr(import_module(module), "EXAMPLES", "").strip().splitlines()]


@pytest.mark.slow
def test_every_example_of_every_command_runs(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # What an example may name without having made it: recordings of a real robot and a real car, under these names.
    for name in ("robot_franka_usb", "driving_rc_car"):
        (tmp_path / name).symlink_to(shared_data / name)
    failures: list[str] = []
    done_before: set[str] = set()
    for name in ORDER:
        for line in example_lines(name):
            if line in done_before:  # the training verbs show the same lines
                continue
            done_before.add(line)
            if main([*shlex.split(line)[1:], *SHRINK.get(name, [])]) != 0:
                failures.append(f"{line}\n{capsys.readouterr().err[-1500:]}")
    assert not failures, "\n\n".join(failures)


def test_the_readme_shows_only_commands_that_tests_run(repository: Path) -> None:
    shown = [
        line.split("#")[0].strip()
        for block in re.findall(r"```sh\n(.*?)```", (repository / "README.md").read_text(), re.DOTALL)
        for line in block.splitlines()
        if line.startswith("unified ")
    ]
    run = {line for name in COMMANDS for line in example_lines(name)} | {IMPORT, FIT, JUDGE}
    assert shown
    assert set(shown) <= run
