"""A real robot's data from its published files to a verdict, through the program's own commands."""

import json
from pathlib import Path

import pytest

from unified.cli import main


@pytest.mark.slow
def test_real_robot_data_is_imported_trained_on_and_judged(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = str(shared_data / "robot_franka_usb")
    assert main(["import", source, "--output", "runs/franka"]) == 1, "its metadata lies, and nobody asked for repairs"
    assert not Path("runs/franka").exists()
    assert main(["import", source, "--output", "runs/franka", "--repair", "all"]) == 0
    assert main(["fit", "-c", "robot", "--trainer.max_steps", "3", "--trainer.limit_val_batches", "1"]) == 0
    command = ["evaluate", "--policy", "runs/robot/pretrained", "--data", "runs/franka", "--holdout", "0.2"]
    assert main([*command, "--windows", "32", "--output", "runs/verdict"]) == 0
    scores = json.loads(Path("runs/verdict/results.json").read_text())["queries"]["franka"]
    actions = {name: row["mse"] for name, row in scores["action"]["arms"].items()}
    assert set(actions) == {"mean_predictor", "hold_state", "policy", "inverse_dynamics", "joint"}
    assert actions["hold_state"] < actions["mean_predictor"], "these actions are positions"
    assert {"true_actions", "copy_last"} <= set(scores["film"]["arms"])
    assert "Closed-loop" not in Path("runs/verdict/report.html").read_text()


def test_a_recording_is_needed_where_there_is_no_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--policy", "expert", "--output", str(tmp_path / "out")]) == 1
    assert "a recording as --data" in capsys.readouterr().err
