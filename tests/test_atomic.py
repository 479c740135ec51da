"""Files and folders appear whole or not at all, whatever stood there before."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

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


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.test_atomic import write
place = 0
def at_every_line(frame, event, _):
    global place
    if event == "line" and frame.f_code.co_filename.endswith("atomic.py"):
        place += 1
        if place == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
    return at_every_line
sys.settrace(at_every_line)
write(Path(sys.argv[1]), new="2")
"""


@pytest.mark.slow
def test_there_is_a_folder_at_every_line_where_the_process_is_killed(tmp_path: Path, repository: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    for place in range(1, 60):
        folder = write(tmp_path / str(place) / "out", old="1")
        command = [sys.executable, "-c", KILLED, str(folder), str(place)]
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        assert held(folder) in ({"old": "1"}, {"new": "2"}), f"killed at line {place}"
        if done.returncode == 0:
            return
        assert done.returncode == -signal.SIGKILL, done.stderr
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
    remove_leftovers(tmp_path / "a.json")
    assert not (tmp_path / ours).parent.exists()
    assert all((tmp_path / name).exists() for name in others)
    assert (elsewhere / "a.json").exists()
