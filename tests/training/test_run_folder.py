"""Whose a run's folder is: one process's at a time, found again by name, a scheduler's jobs told apart."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unified.errors import UserError
from unified.training.checkpoints import AtomicCheckpointIO, step_path
from unified.training.run_folder import JOBS, held_folder, latest_folder, new_folder


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (name for pair in JOBS for name in pair if name):
        monkeypatch.delenv(name, raising=False)


def save(folder: str, step: int, time: int) -> None:
    AtomicCheckpointIO().save_checkpoint({"w": torch.zeros(1)}, step_path(Path(folder), step))
    os.utime(step_path(Path(folder), step), (time, time))


def elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a process of its own."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(function, arguments)


def name_of_new(name: str) -> str:
    with new_folder(name) as folder:
        return folder.name


def hold(folder: str) -> str:
    try:
        with held_folder(Path(folder)):
            return "held"
    except UserError as error:
        return str(error)


def hold_and_die(name: str) -> None:
    with new_folder(name) as folder:
        (folder / "command.txt").touch()
        os.kill(os.getpid(), signal.SIGKILL)


def test_two_processes_never_get_one_folder() -> None:
    with new_folder("twice") as first:
        assert first == Path("runs/twice")
        assert elsewhere(name_of_new, "twice") == "twice-2"
        assert "Another process trains in runs/twice" in elsewhere(hold, "runs/twice")
    assert elsewhere(name_of_new, "twice") == "twice"


def test_a_folder_in_which_nothing_happened_is_gone_and_one_of_a_killed_run_is_free() -> None:
    with new_folder("twice"):
        pass
    assert not Path("runs/twice").exists()
    process = multiprocessing.get_context("fork").Process(target=hold_and_die, args=("twice",))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert elsewhere(hold, "runs/twice") == "held"
    assert name_of_new("twice") == "twice"


@pytest.mark.parametrize(
    ("variables", "suffix"),
    [
        ({"SLURM_JOB_ID": "12"}, "-job12"),
        ({"SLURM_JOB_ID": "15", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "0"}, "-job12_0"),
        ({"PBS_JOBID": "12[3].server", "PBS_ARRAY_INDEX": "3"}, "-job12_3"),
        ({"JOB_ID": "12", "SGE_TASK_ID": "undefined"}, "-job12"),
        ({"JOB_ID": "12"}, ""),
    ],
)
def test_a_schedulers_job_is_part_of_the_name(
    variables: dict[str, str], suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert name_of_new("run") == f"run{suffix}"
    save(f"runs/run{suffix}", 1, 1)
    assert name_of_new("run") == f"run{suffix}-2"
    assert latest_folder("run") == Path(f"runs/run{suffix}")


def test_the_last_run_is_the_one_written_to_last_and_a_jobs_own_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, folder in enumerate(("run-2", "run", "run-job7", "run-job8_1", "run-job8_2", "runner")):
        save(f"runs/{folder}", 1, number)
    assert latest_folder("run") == Path("runs/run-job7")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "9")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    assert latest_folder("run") == Path("runs/run-job8_1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "5")
    assert latest_folder("run") == Path("runs/run-job9_5")
