"""A stream and a query of one's own: a column of the data, named in a config; no file of the program is changed."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.data.recordings import record
from tests.worlds import random_batch
from unified.cli import main
from unified.model.model import UnifiedModel

VALUE = {"class_path": "decoders.columns.ColumnDecoder", "init_args": {"column": "next.reward", "reduce": "sum"}}
QUERIES = {
    "policy": {"share": 1.0},
    "world_model": {"wanted": ["video", "proprio"], "share": 0.5},
    "value": {"given": ["action"], "wanted": ["value"], "share": 0.3},
}


@pytest.fixture
def config(tmp_path: Path, write_config: Callable[..., Path]) -> Path:
    """Of a model with a stream of rewards; the recordings hold rewards around 40."""
    record(
        tmp_path / "rewarded",
        lengths=(20, 15, 18),
        size=(16, 16),
        columns={"next.reward": 1},
        provenance={"embodiment": "toy", "is_demonstration": True},
    )
    return write_config(
        trainer={"max_steps": 6, "val_check_interval": 3, "log_every_n_steps": 1},
        data={"sources": [{"root": str(tmp_path / "rewarded")}], "holdout": 0.4, "columns": ["next.reward"]},
        model={"init_args": {"queries": QUERIES, "network": {"decoders": {"value": VALUE}}}},
    )


def test_a_column_named_in_a_config_is_learned_kept_answered_and_judged(config: Path, tmp_path: Path) -> None:
    run, judged = tmp_path / "run", tmp_path / "judged"
    assert main(["fit", "-c", str(config), "--run_dir", str(run)]) == 0
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [row["train/loss_value_value"] for row in logged if "train/loss_value_value" in row]
    assert len(losses) == 6
    assert all(map(math.isfinite, losses))
    model = UnifiedModel.from_pretrained(run / "pretrained").eval()
    batch = random_batch(model.spec, size=4)
    answers = model.sample(batch, "value", now=1, generator=torch.Generator().manual_seed(0))
    assert {name: tuple(answer.shape) for name, answer in answers.items()} == {"value": (4, 1)}
    torch.testing.assert_close(answers["value"], torch.full((4, 1), 80.0), atol=30, rtol=0)  # two env steps of 40
    judge = ["evaluate", "--policy", str(run / "pretrained"), "--data", str(tmp_path / "rewarded")]
    assert main([*judge, "--windows", "8", "--output", str(judged)]) == 0
    (scores,) = json.loads((judged / "results.json").read_text())["queries"].values()
    assert "value" in scores["not_scored"]
    assert "true_actions" in scores["film"]["arms"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--data.columns", "[]"], "data.columns"),
        (["--data.columns", "[next.rewrd]"], "data.columns"),
        (["--model.network.decoders.value.init_args.column", "next.rewrd"], "Did you mean 'next.reward'"),
    ],
)
def test_a_stream_whose_column_is_not_read_is_refused_in_one_line(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[Any], complaint: str
) -> None:
    assert main(["fit", "-c", str(config), "--run_dir", str(tmp_path / "run"), *options]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(said) == 1
    assert complaint in said[0]
    assert "data.columns" in said[0]
    assert not (tmp_path / "run").exists()
