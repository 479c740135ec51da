"""What the program and its pages tell people to type is typed: help examples, hints, snippets; in one folder."""

import json
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.data.strangers import write_stand_ins
from unified.cli import COMMANDS, main
from unified.judging.study.file import load_study

# Later commands use what earlier ones made. `demo` is its own test: it is the longest of all.
ORDER = (
    *("doctor", "record", "import", "check", "fit", "validate", "test", "predict"),
    *("evaluate", "compare", "generate", "gallery", "study"),
)
# Appended to the line, where the last value of an option wins: the same line, only smaller.
SHRINK: dict[str, list[str]] = {
    "record": ["--episodes", "2"],
    "evaluate": ["--episodes", "1", "--windows", "16"],
    "validate": ["--data.val_batches", "1"],
    "test": ["--data.val_batches", "1"],
}
ROBOT = (
    "unified import robot_franka_usb --output runs/franka --repair all",
    "unified fit -c configs/robot.yaml",
    "unified evaluate --policy runs/robot/pretrained --data runs/franka",
)


def example_lines(name: str) -> list[str]:
    return [line.strip() for line in import_module(COMMANDS[name][0]).EXAMPLES.strip().splitlines()]


def snippets(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.slow
def test_every_example_hint_and_snippet_runs(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_stand_ins(tmp_path)
    failures: list[str] = []
    lines = [line for name in ORDER for line in example_lines(name)] + list(ROBOT)
    for line in dict.fromkeys(lines):  # the training verbs show the same ones
        status, said = type_in(line, capsys)
        failures += [] if status == 0 else [f"{line}\n{said[-1500:]}"]
        hints = re.findall(r"next: (unified .+)", said)
        for hint in hints:
            status, said = type_in(f"{hint} --output runs/hinted", capsys)
            failures += [] if status == 0 else [f"hint: {hint}\n{said[-1500:]}"]
        assert hints or not line.startswith("unified fit") or "--print-model" in line, f"{line}: and what is next?"
    assert not failures, "\n\n".join(failures)
    for code in snippets(repository / "README.md", "python"):
        exec(code, {})


def test_the_page_opens_as_the_examples_of_play_say(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    recorded, _ = type_in(example_lines("record")[-1] + " --episodes 1", capsys)
    trained, _ = type_in("unified fit -c configs/tiny.yaml", capsys)
    assert (recorded, trained) == (0, 0)
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    for line in example_lines("play"):
        command = [sys.executable, "-m", *shlex.split(line), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
            assert server.stdout is not None
            with urlopen(server.stdout.readline().removeprefix("Play: ").strip()) as page:
                assert b"unified play" in page.read()
            server.terminate()
            assert server.wait(timeout=60) == 143


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # see sims.box2d.quiet_world
def test_somebody_elses_environment_is_recorded_trained_on_and_judged_as_the_page_says(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By configuration alone."""
    for module in ("Box2D", "pygame"):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    page = repository / "docs" / "environments.md"
    assert snippets(page, "yaml") == [(repository / "configs/suites/lunar-lander.yaml").read_text(encoding="utf-8")]
    lines = [line for block in snippets(page, "sh") for line in block.splitlines()]
    assert len(lines) == 3
    for line in lines:
        status, said = type_in(line, capsys)
        assert status == 0, f"{line}\n{said[-1500:]}"
    results = json.loads((tmp_path / "runs/evaluate-lander-model-lunar-lander/results.json").read_text())
    assert results["episodes"][0]["env_id"] == "LunarLander-v3"
    assert results["baselines"]["expert"]["summary"]["success_rate"] == 1


def type_in(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    _, name, *options = shlex.split(line)
    steps = 8 if "last" in options else 6  # what goes on has something left to do
    less = ["--trainer.max_steps", str(steps), "--trainer.val_check_interval", "6", "--data.val_batches", "1"]
    status = main([name, *options, *(less if name == "fit" else SHRINK.get(name, []))])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


@pytest.mark.parametrize("page", ["README.md", "docs/compare.md", "docs/dreams.md", "docs/studies.md"])
def test_pages_show_only_commands_that_tests_run(repository: Path, page: str) -> None:
    blocks = snippets(repository / page, "sh")
    shown = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    shown = [line for line in shown if line.startswith("unified ")]
    run = {line for name in COMMANDS for line in example_lines(name)} | set(ROBOT)
    assert shown
    assert not set(shown) - run


def test_the_study_that_a_page_shows_can_be_run(repository: Path, tmp_path: Path) -> None:
    study, corrections = snippets(repository / "docs" / "studies.md", "yaml")
    (tmp_path / "own.yaml").write_text(f"{study}{corrections}")
    runs = load_study(str(tmp_path / "own.yaml")).runs
    assert [run.budget for run in runs if run.seed == 0] == [5, 10, 5, 10]
    assert runs[0].rounds == [0, 10, 10, 10]
