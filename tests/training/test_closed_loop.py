"""Success in closed loop while training runs: real environments, real films in TensorBoard."""

import json
from pathlib import Path

import pytest

from unified.cli import main
from unified.training.callbacks.closed_loop import ClosedLoopEvaluation

ENV = "sims:MetaWorld-drawer-open-v3"


@pytest.mark.slow
def test_training_reports_success_per_task_as_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record = ["record", "--env", ENV, "--episodes", "2", "--cameras", "right", "--image-size", "64"]
    assert main([*record, "--output", "runs/record-demo"]) == 0
    options = {"suite": "metaworld-demo", "every_n_steps": 2, "episodes_per_task": 1, "tasks": [ENV]}
    callbacks = json.dumps([{"class_path": "ClosedLoopEvaluation", "init_args": options}])
    fit = ["fit", "-c", "world_action", "-c", "sizes/tiny", "--trainer.callbacks", callbacks]
    limits = ["--trainer.max_steps", "2", "--trainer.max_time", "null", "--trainer.limit_val_batches", "1"]
    assert main([*fit, *limits, "--data.batch_size", "8", "--run_dir", "runs/closed"]) == 0
    rows = [json.loads(line) for line in Path("runs/closed/metrics.jsonl").read_text().splitlines()]
    rates = {key: value for row in rows for key, value in row.items() if key.startswith("sim/")}
    assert rates["sim/success_rate"] in (0.0, 1.0)
    assert len(rates) > 1, "one rate a task beside the mean"


def test_a_suite_without_cameras_is_judged_without_films(tmp_path: Path) -> None:
    suite = tmp_path / "blind.yaml"
    suite.write_text(
        f"name: blind\ndescription: no pictures\nenv_kwargs: {{cameras: []}}\nmax_env_steps: 5\nepisodes_per_task: 1\n"
        f"first_seed: {{train: 0, validation: 4, test: 8}}\ntasks:\n  - {{env_id: {ENV!r}, group: easy}}\n"
    )
    assert ClosedLoopEvaluation(str(suite)).suite.name == "blind"
