"""What a run trained on goes with its checkpoints, and what it did not learn is not scored."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.world_action import WorldAction
from unified.cli import main
from unified.data.heldout import open_dataset
from unified.rollout.policies import load_model

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
QUERIES = {"policy": 1.0, "world_model": 0.7, "joint": 0.3}


@pytest.fixture
def run(write_config: Callable[..., Path], tmp_path: Path) -> Path:
    """Two steps on another split than the default one, of three queries."""
    model = {"init_args": {"queries": QUERIES}}
    trainer = {"max_steps": 2, "val_check_interval": 2}
    config = write_config(model=model, trainer=trainer, data={"seed": 1, "holdout": 0.4})
    assert main(["fit", "-c", str(config), "--run_dir", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def judge(run: Path, sources: list[dict[str, str]], *options: str) -> dict[str, Any]:
    data = [word for source in sources for word in ("--data", source["root"])]
    output = run.parent / "judged"
    assert main(["evaluate", "--policy", str(run), *data, "--output", str(output), *options]) == 0
    return json.loads((output / "results.json").read_text())["queries"]


def test_evaluate_judges_what_the_run_held_out_and_says_which_queries_were_not_trained(
    run: Path, sources: list[dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    made = judge(run, sources)["demonstrations"]
    assert made["episodes"] == {"judged": "held out", "trained_on": 2, "held_out": 1}
    assert set(made["not_trained"]) == {"video", "inverse_dynamics", "inverse_by_sight"}
    assert "no_actions" not in made["film"]["arms"]
    assert "no_actions_cost_db" not in made["film"]
    assert set(made["action"]["arms"]) & {"policy", "inverse_dynamics", "joint"} == {"policy", "joint"}
    assert "inverse_dynamics query was not trained" in capsys.readouterr().out
    page = (run.parent / "judged" / "report.html").read_text()
    assert page.count("not trained</td>") == 6  # video and both inverse dynamics, of two recordings
    query = ["generate", "--checkpoint", str(run), "--data", sources[0]["root"], "--query", "video"]
    assert main(query) == 1
    assert "The query 'video' was not trained" in capsys.readouterr().err


def test_exported_and_training_checkpoints_say_the_same(run: Path, sources: list[dict[str, str]]) -> None:
    exported, stored = load_model(run), load_model(run / "checkpoints" / "step-00000002.ckpt")
    assert exported.history == stored.history
    assert exported.history.queries is not None
    assert set(exported.history.queries) == set(QUERIES)
    known = open_dataset(sources[0]["root"], exported.spec, exported.history)
    assert sorted(known.status.values()) == ["held out", "trained on", "trained on"]


def test_another_split_given_to_validate_does_not_bring_training_episodes(run: Path) -> None:
    scores = []
    for options in ([], ["--data.seed", "0", "--data.holdout", "0"]):
        config = ["-c", str(run / "config.yaml"), "--run_dir", str(run), "--ckpt_path", "last"]
        assert main(["validate", *config, *options]) == 0
        scores.append(json.loads((run / "validate.json").read_text())["val/action_mse_policy"])
    assert scores[0] == pytest.approx(scores[1], rel=0.5)
    history = load_model(run).history
    assert {source.root: len(set(source.held_out.values())) for source in history.sources} == {
        source.root: 1 for source in history.sources
    }


def test_instructions_that_the_text_encoder_cannot_take_end_a_run_before_its_first_step(
    write_config: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = {"text": {"class_path": "decoders.observation.TextEncoder", "init_args": {"max_words": 1}}}
    config = write_config(model={"init_args": {"network": network}})
    assert main(["fit", "-c", str(config), "--run_dir", str(tmp_path / "short")]) == 1
    said = capsys.readouterr()
    assert "An instruction has 2 words (signs count too), text.init_args.max_words is 1" in said.err
    assert "normalisation" not in said.out, "it is said when training begins"


def test_the_normalisation_is_printed_before_training(
    write_config: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(trainer={"max_steps": 1, "val_check_interval": 1})
    assert main(["fit", "-c", str(config), "--run_dir", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "demonstrations: 2 episodes trained on, 1 held out; body toy" in said
    assert "toy, observation.state" in said


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_published_results_score_no_query_that_was_not_trained(path: Path) -> None:
    import yaml

    results = json.loads(path.read_text())
    config = RESULTS.parents[1] / "configs" / f"{path.stem}.yaml"
    if not isinstance(results, dict) or not results.get("queries") or not config.is_file():
        return
    learned = yaml.safe_load(config.read_text())["model"]["init_args"].get("queries", WorldAction.default_queries)
    arms = {"no_actions": "video", "true_actions": "world_model", "shuffled_actions": "world_model"}
    for scores in results["queries"].values():
        scored = {arms.get(arm, arm) for part in ("film", "action") for arm in scores[part]["arms"]}
        free = {"copy_last", "mean_predictor", "hold_action", "hold_state", "linear_proprio"}
        by_sight = {"inverse_by_sight"} if "inverse_dynamics" in learned else set()  # asked in training or not
        assert scored - free <= {*learned, *by_sight}
        assert set(scores.get("not_trained", ())).isdisjoint(learned)
        assert ("no_actions_cost_db" in scores["film"]) == ("video" in learned)
