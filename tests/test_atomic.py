"""Files and folders appear whole or not at all, whatever stood there before."""

import itertools
import os
import signal
import sys
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import unified.atomic
from tests.faults.forks import run_in_fork
from unified.atomic import atomic_path, remove_leftovers
from unified.errors import UserError


def write(folder: Path, **files: str) -> Path:
    with atomic_path(folder, replaces_folder=True) as temporary:
        temporary.mkdir()
        for name, text in files.items():
            (temporary / name).write_text(text)
    return folder


def held(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_folder_replaces_an_older_one_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path / "out", old="1", both="1")
    write(tmp_path / "out", new="2", both="2")
    assert held(tmp_path / "out") == {"new": "2", "both": "2"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_came_into_being_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    new = atomic_path(tmp_path / "out")
    new.__enter__().mkdir()
    write(tmp_path / "out", another="1")
    with pytest.raises(UserError, match="has come to hold something"):
        new.__exit__(None, None, None)
    assert held(tmp_path / "out") == {"another": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_older_folder_stays_if_the_new_one_is_not_finished(tmp_path: Path) -> None:
    write(tmp_path / "out", old="1")
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out") as temporary:
        (temporary / "new").touch()
    assert held(tmp_path / "out") == {"old": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def write_and_die(folder: Path, line: int) -> int:
    """Write, and be killed at the given line of all that are run there."""
    lines = itertools.count(1)

    def trace(frame: FrameType, event: str, _: object) -> Any:
        is_there = event == "line" and frame.f_code.co_filename == unified.atomic.__file__
        if is_there and next(lines) == line:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    write(folder, new="2")
    return 0


@pytest.mark.slow
def test_there_is_a_folder_at_every_line_where_the_process_is_killed(tmp_path: Path) -> None:
    for line in range(1, 200):
        folder = write(tmp_path / str(line) / "out", old="1")
        done = run_in_fork(partial(write_and_die, folder, line), tmp_path)
        assert held(folder) in ({"old": "1"}, {"new": "2"}), f"killed at line {line}"
        write(folder, next="3")
        assert [path.name for path in folder.parent.iterdir()] == ["out"], f"killed at line {line}"
        if done.status == 0:
            return
        assert done.status == -signal.SIGKILL, done.errors
    pytest.fail("the writing never came to its end")


def test_leftovers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    ours, others = ".a.json.12345678/a.json", (".a.json.1234567x/mine", ".a.json.old/a.json", ".b.json.12345678/b.json")
    for name in (ours, *others):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.json").touch()
    (tmp_path / ".a.json.linked12").symlink_to(elsewhere)
    with atomic_path(tmp_path / "a.json") as unfinished:
        unfinished.touch()
        remove_leftovers(tmp_path / "a.json")
        assert unfinished.exists()
    assert not (tmp_path / ours).parent.exists()
    assert all((tmp_path / name).exists() for name in others)
    assert (elsewhere / "a.json").exists()


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    for left in (".out.12345678/out/half", ".out.1234567x/.mode"):
        (tmp_path / left).parent.mkdir(parents=True)
        (tmp_path / left).touch()
    write(tmp_path / "out", new="1")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_was_about_to_be_replaced_comes_back(tmp_path: Path) -> None:
    (tmp_path / ".out.12345678" / "previous").mkdir(parents=True)
    (tmp_path / ".out.12345678" / "previous" / "old").write_text("1")
    remove_leftovers(tmp_path / "out")
    assert held(tmp_path / "out") == {"old": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
