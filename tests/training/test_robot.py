"""A real robot's data from its published files to a verdict, through the program's own commands."""

import json
import shlex
from pathlib import Path

import pytest

from unified.cli import main

IMPORT = "unified import robot_franka_usb --output runs/franka --repair all"
FIT = "unified fit -c configs/robot.yaml"
JUDGE = "unified evaluate --policy runs/robot/pretrained --data runs/franka"


def run(line: str, *more: str) -> int:
    """Run a command line of the README, with more options that make it short."""
    return main([*shlex.split(line)[1:], *more])


@pytest.mark.slow
def test_real_robot_data_is_imported_trained_on_and_judged(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("robot_franka_usb").symlink_to(shared_data / "robot_franka_usb")
    assert run("unified import robot_franka_usb --output runs/franka") == 1, (
        "its metadata lies, nobody asked for repairs"
    )
    assert not Path("runs/franka").exists()
    assert run(IMPORT) == 0
    assert run(FIT, "--trainer.max_steps", "3", "--trainer.limit_val_batches", "1") == 0
    assert run(JUDGE, "--windows", "32", "--output", "runs/verdict") == 0
    scores = json.loads(Path("runs/verdict/results.json").read_text())["queries"]["franka"]
    actions = {name: row["mse"] for name, row in scores["action"]["arms"].items()}
    free = {"mean_predictor", "hold_action", "hold_state", "linear_proprio"}
    assert set(actions) == free | {"policy", "inverse_dynamics", "inverse_by_sight", "joint"}
    assert actions["hold_state"] < actions["mean_predictor"], "these actions are positions"
    assert {"true_actions", "copy_last"} <= set(scores["film"]["arms"])
    assert "Closed-loop" not in Path("runs/verdict/report.html").read_text()


def test_a_recording_is_needed_where_there_is_no_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--policy", "expert", "--output", str(tmp_path / "out")]) == 1
    assert "a recording as --data" in capsys.readouterr().err
