import json
import subprocess

import pytest

from unified.errors import UserError
from unified.judging.results import (
    SCHEMA_VERSION,
    EpisodeResult,
    git_commit,
    provenance,
    read_results,
    summarise,
    write_results,
)


def episode(env_id: str, success: bool, seed: int = 0) -> EpisodeResult:
    return EpisodeResult(env_id, f"do {env_id}", seed, success, 1.5, 20 if success else 100, {"decisions": 5.0})


def episodes() -> list[EpisodeResult]:
    """Two easy tasks at 100 % and 50 %, one hard one at 0 %."""
    rows = [("a", [True] * 4), ("b", [True, True, False, False]), ("c", [False] * 4)]
    return [episode(name, success, seed) for name, successes in rows for seed, success in enumerate(successes)]


GROUPS = {"a": "easy", "b": "easy", "c": "hard"}


def results() -> dict:
    return {
        "schema_version": SCHEMA_VERSION,
        "suite": "three",
        "policy": "expert",
        "seed": 0,
        "episodes": [item.to_dict() for item in episodes()],
        "summary": summarise(episodes(), GROUPS),
        **provenance("unified evaluate"),
    }


def test_the_summary_counts_tasks_groups_and_both_kinds_of_mean():
    summary = summarise(episodes(), GROUPS)
    assert summary["success_rate"] == 0.5
    assert {name: row["success_rate"] for name, row in summary["per_task"].items()} == {"a": 1.0, "b": 0.5, "c": 0.0}
    assert summary["per_task"]["b"]["mean_length"] == 60
    assert summary["per_group"]["easy"]["success_rate"] == 0.75
    assert summary["task_mean"]["success_rate"] == pytest.approx(0.5)
    assert summary["group_mean"]["success_rate"] == pytest.approx(0.375), "groups count equally whatever their sizes"
    for row in (summary, *summary["per_task"].values(), *summary["per_group"].values(), summary["group_mean"]):
        low, high = row["success_ci95"]
        assert 0 <= low <= row["success_rate"] <= high <= 1
        assert low < high


def test_the_interval_is_the_one_that_was_asked_for():
    wilson, exact = (summarise(episodes(), method=name) for name in ("wilson", "clopper-pearson"))
    assert (wilson["interval"], exact["interval"]) == ("wilson", "clopper-pearson")
    assert exact["success_ci95"][0] < wilson["success_ci95"][0]


def test_results_come_back_as_they_were_written(tmp_path):
    write_results(tmp_path / "results.json", results())
    assert read_results(tmp_path) == json.loads(json.dumps(results()))
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("suite"), "suite is missing"),
        (lambda r: r["episodes"][3].update(success="yes"), r"episodes\[3\]: success must be bool, got 'yes'"),
        (lambda r: r["episodes"][0].update(length=True), r"episodes\[0\]: length must be int"),
        (lambda r: r["episodes"][0]["metrics"].update(x=float("nan")), r"episodes\[0\]\.metrics\.x is not a finite"),
        (lambda r: r.update(schema_version=9), "schema_version is 9, this version reads 1"),
        (lambda r: r["summary"].pop("success_ci95"), "summary: success_ci95 is missing"),
    ],
)
def test_results_that_break_the_schema_are_neither_written_nor_read(tmp_path, change, message):
    wrong = results()
    change(wrong)
    path = tmp_path / "results.json"
    with pytest.raises(UserError, match=message):
        write_results(path, wrong)
    assert not path.exists()
    path.write_text(json.dumps(wrong))
    with pytest.raises(UserError, match=message):
        read_results(path)


def test_a_missing_or_cut_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no .*results\.json"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"suite": "th')
    with pytest.raises(UserError, match="cut short"):
        read_results(tmp_path)


def test_provenance_names_versions_and_the_commit(repository):
    made = provenance("unified evaluate --policy expert")
    assert made["versions"]["mujoco"]
    if (repository / ".git").exists():
        head = subprocess.run(["git", "-C", str(repository), "rev-parse", "HEAD"], capture_output=True, text=True)
        assert (git_commit() or "").split("-")[0] in head.stdout or head.returncode != 0


def test_metrics_have_a_mean_with_an_interval_for_each_task_over_the_episodes_that_report_them():
    rows = [EpisodeResult("a", "drive", seed, True, 1.0, 5, {"decisions": 5.0, "epdms": 0.5}) for seed in range(4)]
    rows += [EpisodeResult("b", "drive", 0, False, 1.0, 5, {"decisions": 5.0, "metres": 20.0 + k}) for k in range(2)]
    summary = summarise(rows)
    low, high = summary["per_task"]["a"]["metrics"]["epdms"]["ci95"]
    assert 0 < low < 0.5 < high < 1
    assert set(summary["per_task"]["a"]["metrics"]) == {"epdms"}, "what the policy costs is no score"
    assert summary["metrics"]["epdms"]["episodes"] == 4
    assert summary["metrics"]["metres"]["mean"] == 20.5
    low, high = summary["metrics"]["metres"]["ci95"]
    assert low < 20 < 21 < high


def test_facts_stand_with_the_episode_that_has_them():
    with_facts = EpisodeResult("a", "drive", 0, False, 0.0, 5, facts={"scenario": "follow/street-left/7"})
    assert with_facts.to_dict()["facts"] == {"scenario": "follow/street-left/7"}
    assert not {"facts", "scores"} & set(episode("a", True).to_dict())
    scored = EpisodeResult("a", "drive", 0, False, 0.0, 5, scores={"nuplan": {"terms": {"progress": 0.5}}})
    assert scored.to_dict()["scores"] == {"nuplan": {"terms": {"progress": 0.5}}}
