"""Runs that are killed, stopped or spread over processes: programs of their own, as users start them."""

import json
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unified.training.checkpoints import list_checkpoints, read_checkpoint

Start = Callable[..., "subprocess.Popen[str]"]
WriteConfig = Callable[..., Path]

pytestmark = pytest.mark.slow


def finish(process: "subprocess.Popen[str]", status: int = 0) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, f"{out[-2000:]}\n{err[-3000:]}"
    return err


def wait_for_step(process: "subprocess.Popen[str]", path: Path, step: int) -> None:
    """Block until the run's metrics speak of a step, by watching its progress in a pipe of its own."""
    while process.poll() is None:
        if path.exists() and any(f'"step": {number}' in path.read_text() for number in range(step, step + 40)):
            return
        with selectors.DefaultSelector() as selector:
            selector.select(timeout=0.05)
    raise AssertionError(f"ended before step {step}: {process.communicate()[1][-2000:]}")


def listening(parent: int) -> set[str]:
    """The local addresses, as /proc/net/tcp writes them, at which a process or its children listen."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    links = [link for pid in (str(parent), *children) for link in Path(f"/proc/{pid}/fd").iterdir()]
    inodes = {os.readlink(link).removeprefix("socket:[").rstrip("]") for link in links if link.is_symlink()}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes}


def same(left: Any, right: Any, where: str = "") -> None:
    """Equal to the bit, through nested containers."""
    assert type(left) is type(right), where
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right), where
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            same(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            same(one, other, f"{where}[{index}]")
    else:
        assert left == right, where


STATE = ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers", "global_step")


def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    unified: Start, write_config: WriteConfig, tmp_path: Path
) -> None:
    # Steps 24 of an epoch of 9 batches: the kill comes between two checkpoints and in the middle of an epoch.
    trainer = {"max_steps": 24, "log_every_n_steps": 1, "val_check_interval": 7}
    config = str(
        write_config(trainer=trainer, data={"steps_per_epoch": 9}, checkpoints={"every_n_steps": 5, "keep": -1})
    )
    whole = unified("fit", "-c", config, "--run_dir", "whole")
    finish(whole)
    broken = unified("fit", "-c", config, "--run_dir", "broken")
    wait_for_step(broken, tmp_path / "broken" / "metrics.jsonl", 12)
    broken.send_signal(signal.SIGKILL)
    broken.communicate()
    kept = list_checkpoints(tmp_path / "broken")
    assert kept
    for path in kept:
        read_checkpoint(path)
    finish(unified("fit", "-c", config, "--run_dir", "broken", "--ckpt_path", "last"))
    one = read_checkpoint(list_checkpoints(tmp_path / "whole")[-1])
    two = read_checkpoint(list_checkpoints(tmp_path / "broken")[-1])
    assert one["global_step"] == 24
    for key in STATE:
        same(one[key], two[key], key)


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_run_that_is_asked_to_stop_saves_itself_first(
    unified: Start, write_config: WriteConfig, tmp_path: Path, signum: int, status: int
) -> None:
    config = str(write_config(trainer={"max_steps": 100_000, "log_every_n_steps": 1}, checkpoints={"every_n_steps": 0}))
    run = unified("fit", "-c", config, "--run_dir", "run")
    wait_for_step(run, tmp_path / "run" / "metrics.jsonl", 3)
    run.send_signal(signum)
    said = finish(run, status)
    (saved,) = list_checkpoints(tmp_path / "run")
    step = read_checkpoint(saved)["global_step"]
    assert f"--ckpt_path {saved.relative_to(tmp_path)}" in said
    more = ["--ckpt_path", "last", "--trainer.max_steps", str(step + 2)]
    finish(unified("fit", "-c", config, "--run_dir", "run", *more))
    assert read_checkpoint(list_checkpoints(tmp_path / "run")[-1])["global_step"] == step + 2


OPTIMIZERS = [{"class_path": "AdamW"}, {"class_path": "Muon", "init_args": {"bfloat16": False}}]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["AdamW", "Muon"])
def test_two_processes_train_what_one_trains(
    unified: Start, write_config: WriteConfig, tmp_path: Path, optimizer: dict[str, Any]
) -> None:
    trainer = {"max_steps": 8, "val_check_interval": 4}
    config = str(write_config(trainer=trainer, model={"init_args": {"optimizer": optimizer, "shift_pixels": 2}}))
    finish(unified("fit", "-c", config, "--run_dir", "one"))
    pair = unified("fit", "-c", config, "--run_dir", "two", "--trainer.devices", "2", "--trainer.strategy", "ddp")
    wait_for_step(pair, tmp_path / "two" / "metrics.jsonl", 2)
    assert listening(pair.pid) <= {"0100007F", "00000000000000000000000001000000"}, "loopback addresses only"
    finish(pair)
    one = read_checkpoint(list_checkpoints(tmp_path / "one")[-1])
    two = read_checkpoint(list_checkpoints(tmp_path / "two")[-1])
    for key in ("state_dict", "current_model_state"):
        for name, tensor in one[key].items():
            torch.testing.assert_close(
                tensor, two[key][name], atol=2e-5, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}"
            )


def test_two_processes_stop_together_and_go_on(unified: Start, write_config: WriteConfig, tmp_path: Path) -> None:
    trainer = {"max_steps": 100_000, "log_every_n_steps": 1, "devices": 2, "strategy": "ddp"}
    config = str(write_config(trainer=trainer, checkpoints={"every_n_steps": 0}))
    run = unified("fit", "-c", config, "--run_dir", "run")
    wait_for_step(run, tmp_path / "run" / "metrics.jsonl", 3)
    run.send_signal(signal.SIGTERM)
    finish(run, 143)
    (saved,) = list_checkpoints(tmp_path / "run")
    step = read_checkpoint(saved)["global_step"]
    arguments = ["--ckpt_path", "last", "--trainer.max_steps", str(step + 2)]
    finish(unified("fit", "-c", config, "--run_dir", "run", *arguments))
    assert read_checkpoint(list_checkpoints(tmp_path / "run")[-1])["global_step"] == step + 2


def test_two_runs_of_a_config_at_once_get_folders_of_their_own(
    unified: Start, write_config: WriteConfig, tmp_path: Path
) -> None:
    config = str(write_config("twice", trainer={"max_steps": 4, "limit_val_batches": 0}))
    for run in [unified("fit", "-c", config), unified("fit", "-c", config)]:
        finish(run)
    for name in ("twice", "twice-2"):
        assert [path.name for path in list_checkpoints(tmp_path / "runs" / name)] == ["step-00000004.ckpt"]
        lines = (tmp_path / "runs" / name / "metrics.jsonl").read_text().splitlines()
        steps = [json.loads(line)["step"] for line in lines]
        assert steps == sorted(set(steps))


def test_a_run_goes_on_when_nobody_reads_what_it_writes(
    unified: Start, write_config: WriteConfig, tmp_path: Path
) -> None:
    config = str(write_config(trainer={"max_steps": 30, "log_every_n_steps": 1, "limit_val_batches": 0}))
    run = unified("fit", "-c", config, "--run_dir", "run")
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.readline()
    run.stdout.close()
    run.stderr.close()
    assert run.wait(timeout=200) == 0
    assert list_checkpoints(tmp_path / "run")[-1].name == "step-00000030.ckpt"


def test_a_finished_run_without_its_model_gets_it_back(
    unified: Start, write_config: WriteConfig, tmp_path: Path
) -> None:
    config = str(write_config(trainer={"max_steps": 4, "limit_val_batches": 0}))
    finish(unified("fit", "-c", config, "--run_dir", "run"))
    before = (tmp_path / "run/pretrained/model.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "run/pretrained")  # as when the export is killed
    finish(unified("fit", "-c", config, "--run_dir", "run", "--ckpt_path", "last"))
    assert (tmp_path / "run/pretrained/model.safetensors").read_bytes() == before


def test_a_second_interrupt_ends_a_run_at_once_in_one_line(
    unified: Start, write_config: WriteConfig, tmp_path: Path
) -> None:
    config = str(write_config(trainer={"max_steps": 100_000, "log_every_n_steps": 1}, data={"num_workers": 2}))
    run = unified("fit", "-c", config, "--run_dir", "run")
    wait_for_step(run, tmp_path / "run" / "metrics.jsonl", 3)
    os.killpg(run.pid, signal.SIGINT)
    time.sleep(0.05)  # two at once would be delivered as one; saving takes longer
    os.killpg(run.pid, signal.SIGINT)
    said = finish(run, 130)
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("unified: stopped by signal 2")
