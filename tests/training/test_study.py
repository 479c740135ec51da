"""A study is checked before it runs, trains nothing twice however often it is killed, and says how sure it is."""

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from unified.cli import main
from unified.data.lerobot3.writer import read_provenance
from unified.errors import UserError
from unified.judging.results import read_results
from unified.judging.study.file import load_study
from unified.judging.study.rows import collect
from unified.judging.study.stages import CPU_TIMER, evaluation, recordings, stages
from unified.training.checkpoints import list_checkpoints, read_checkpoint

SUITE = """
env_kwargs: {cameras: [corner2], image_size: 16}
max_env_steps: 100
tasks: ["sims:MetaWorld-reach-v3"]
"""
STUDY: dict[str, Any] = {
    "recordings": {"shown": {"suite": "suite.yaml", "episodes": 2, "noise": 0}},
    "configs": ["run.yaml"],
    "overrides": {"data.sources": [{"root": "shown", "weight": 2.0}]},
    "evaluate": {"validation": {"suite": "suite.yaml", "split": "validation", "episodes": 1}},
    "seeds": [0, 1],
    "steps": [40],
    "arms": {"joint": None},
}


@pytest.fixture
def write(tmp_path: Path, write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Go to a folder with a suite, a config and a study; returns what writes the study with changes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suite.yaml").write_text(SUITE)
    write_config(trainer={"log_every_n_steps": 1, "limit_val_batches": 0}, checkpoints={"every_n_steps": 0})

    def write_study(**changes: Any) -> str:
        values = {key: value for key, value in {**STUDY, **changes}.items() if value is not None}
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        return "study.yaml"

    return write_study


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arms": {"joint": {"config": ["run.yaml"]}}}, r"study.yaml:\d+: Unknown key 'config'. Did you mean"),
        ({"arm": {}}, r"study.yaml:\d+: Unknown key 'arm'. Did you mean 'arms'"),
        ({"arms": None}, "missing required field arms"),
        ({"seeds": ["one"]}, r"study.yaml: 'seeds\[0\]': expected int, got str"),
        ({"seeds": []}, "expected list of length >= 1"),
        ({"steps": [0]}, "expected int >= 1"),
        ({"cpu_minutes": [1]}, "arms.joint: An arm needs configs, evaluate, and one budget"),
        ({"configs": ["rnu.yaml"]}, "Unknown config file 'rnu.yaml'"),
        ({"arms": {"shown": None}}, "'shown' cannot be a name"),
        ({"arms": {"../joint": None}}, "'../joint' cannot be a name"),
        ({"overrides": {"data.sources": [{"root": "show"}]}}, r"no data set show; .*\(shown\)"),
        ({"recordings": {"shown": {"suit": "suite.yaml"}}}, "recordings.shown: Unknown option 'suit'. Did you"),
        ({"recordings": {"shown": {"suite": "suite.yaml", "noise": -1}}}, "recordings.shown: --noise must be"),
        ({"recordings": {"shown": {"suite": "suite.yaml", "episodes": 5001}}}, "shown: --episodes 5001 from seed 0"),
        ({"evaluate": {"test": {"suite": "suite.yaml", "split": "tset"}}}, "Did you mean 'test'"),
        ({"evaluate": {"test": {"suite": "metaworld-dem"}}}, "Did you mean 'metaworld-demo'"),
        ({"evaluate": {"test": {"suite": "suite.yaml", "policy": "expert"}}}, "Unknown option 'policy'"),
        ({"start": "runs/none"}, "no checkpoint or run runs/none"),
        ({"start": "."}, "without them nothing would be trained"),
        ({"corrections": {"suite": "suite.yaml"}}, "corrections: episodes must name a number for each round"),
        ({"corrections": {"suite": "suite.yaml", "episodes": [1, 1]}}, "corrections: seed must say where the first"),
        ({"corrections": {"suite": "suite.yaml", "episodes": [1], "share": 0.3}}, "Unknown option 'share'"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused_before_anything_runs(
    write: Callable[..., str], changes: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", write(**changes)]) == 1
    said = capsys.readouterr().err
    (line,) = said.strip().splitlines()
    assert line.startswith("unified: error: ")
    with pytest.raises(UserError, match=words):
        raise UserError(line)
    assert not Path("runs").exists()


def test_a_wrong_name_bad_yaml_and_a_wrong_part_are_refused(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", "vidoe"]) == 1
    assert "Did you mean 'video'" in capsys.readouterr().err
    Path("bad.yaml").write_text("arms: [")
    assert main(["study", "bad.yaml"]) == 1
    assert "bad.yaml:1: not valid YAML" in capsys.readouterr().err
    assert main(["study", write(), "--only", "7"]) == 1
    assert "number of a run from 0 to 1, got '7'" in capsys.readouterr().err


def test_what_an_arm_says_is_laid_over_what_all_say(write: Callable[..., str]) -> None:
    Path("more.yaml").write_text("data: {batch_size: 4}")
    own = {"configs": ["more.yaml"], "overrides": {"model.seed": 3}, "cpu_minutes": [1.5, 90], "seeds": [5]}
    study = load_study(write(arms={"joint": None, "own": own}))
    assert [run.name for run in study.runs] == [
        "joint, 40 steps, seed 0", "joint, 40 steps, seed 1", "own, 1.5 min, seed 5", "own, 90 min, seed 5",
    ]  # fmt: skip
    words = next(stages(study.runs[3])).command()
    assert [words[place + 1] for place, word in enumerate(words) if word == "-c"] == ["run.yaml", "more.yaml"]
    options = dict(zip(words, words[1:], strict=False))
    assert options["--model.seed"] == "3"
    assert json.loads(options["--trainer.callbacks"]) == [
        {"class_path": CPU_TIMER, "init_args": {"duration": "00:01:30:00"}}
    ]
    assert options["--data.sources"] == '[{"root": "runs/study/shown", "weight": 2.0}]'


def test_a_study_that_was_begun_may_grow_but_not_change(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    for changes in ({}, {"seeds": [0, 1, 2]}, {"seeds": [0], "arms": {"joint": None, "other": {"steps": [7]}}}):
        assert main(["study", write(**changes), "--only", "table"]) == 0
    capsys.readouterr()
    text = Path("run.yaml").read_text()
    Path("run.yaml").write_text(text.replace("batch_size: 8", "batch_size: 4"))
    assert main(["study", write(), "--only", "table"]) == 1
    assert "fit.data.batch_size was 8 when the study was begun, now it is 4" in capsys.readouterr().err
    Path("run.yaml").write_text(text)
    shown = {"shown": {"suite": "suite.yaml", "episodes": 3, "noise": 0}}
    assert main(["study", write(recordings=shown), "--only", "table"]) == 1
    assert "recordings.shown: episodes was 2 when the study was begun, now it is 3" in capsys.readouterr().err


@pytest.mark.slow
def test_corrections_go_on_from_a_trained_run_with_a_budget_of_their_own(write: Callable[..., str]) -> None:
    assert main(["record", "--suite", "suite.yaml", "--episodes", "2", "--workers", "1", "--output", "shown"]) == 0
    fit = ["fit", "-c", "run.yaml", "--data.sources", "[{root: shown}]", "--run_dir", "deployed"]
    assert main([*fit, "--trainer.max_steps", "3"]) == 0
    corrections = {
        "suite": "suite.yaml",
        "episodes": [1, 2],
        "expert_share": 0.5,
        "seed": 1000,
        "source": {"weight": 3},
    }
    sources = {"data.sources": [{"root": "shown", "episodes": [0, 1]}]}
    changes = {"recordings": None, "overrides": sources, "corrections": corrections, "start": "deployed"}
    study = load_study(write(**changes, steps=[4], seeds=[0]))
    (run,) = study.runs
    titles = []
    for stage in stages(run):
        assert main(stage.command()) == 0
        assert stage.done.exists()
        titles.append(stage.title.removeprefix(run.name).removeprefix(", "))
    round_stages = ["recording", "training", "validation"]
    assert titles == [": validation", *(f"round {number}: {each}" for number in (1, 2) for each in round_stages)]
    for number, seeds in ((1, [1000]), (2, [1001, 1002])):
        recorded = read_provenance(run.folder(number).parent / "seed0-recorded")
        assert recorded["plan"]["rules"]["label"] == "expert"
        assert recorded["plan"]["rules"]["expert_share"] == 0.5
        assert recorded["policy"] == ("deployed" if number == 1 else str(run.folder(1)))
        assert [episode["seed"] for episode in recorded["episodes"]] == seeds
        (last,) = list_checkpoints(run.folder(number))
        assert read_checkpoint(last)["global_step"] == 3 + 4 * number
    config = yaml.safe_load((run.folder(2) / "config.yaml").read_text())
    assert [(each["root"], each["weight"]) for each in config["data"]["init_args"]["sources"]] == [
        ("shown", 1.0), *((str(run.folder(number).parent / "seed0-recorded"), 3.0) for number in (1, 2)),
    ]  # fmt: skip
    assert main(["study", "study.yaml", "--only", "table"]) == 0
    rows = json.loads(Path("runs/study/study.json").read_text())["rows"]
    assert [(row["round"], row["x"], row["episodes"]) for row in rows] == [(0, 0, 1), (1, 1, 1), (2, 3, 1)]
    # What all seeds start from is one model, and counts once.
    both = load_study(write(**changes, steps=[4], seeds=[0, 1]))
    first, second = both.runs
    for number in (0, 1):
        source, target = (evaluation(run.folder(number), "validation") for run in (first, second))
        copytree(source, target)
    assert [(row.round, row.seeds, row.episodes) for row in collect(both)] == [(0, [0], 1), (1, [0, 1], 2), (2, [0], 1)]


@pytest.mark.slow
def test_a_study_killed_five_times_trains_nothing_twice(
    write: Callable[..., str],
    unified: Callable[..., "subprocess.Popen[str]"],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(steps=[200], seeds=[0])
    place = tmp_path / "runs" / "study"
    trained = place / "joint" / "200steps" / "seed0"
    signs: tuple[Callable[[], bool], ...] = (
        (place / "shown" / "meta").exists,
        lambda: len(steps_of(trained)) > 3,
        lambda: len(steps_of(trained)) > 60,
        lambda: len(steps_of(trained)) > 120,
        trained.with_name("seed0-validation.log").exists,
    )
    for number, sign in enumerate(signs):
        study = unified("study", "study.yaml")
        while not sign():
            assert study.poll() is None, f"{number}: {study.communicate()}"
            time.sleep(0.02)  # another process writes what is waited for
        study.send_signal(signal.SIGTERM if number == 2 else signal.SIGKILL)
        study.communicate()
    begun = (trained / "command.txt").read_text()
    assert begun.count("unified fit") == 4
    assert steps_of(trained) == list(range(200)), "every step once"
    assert read_checkpoint(list_checkpoints(trained)[-1])["global_step"] == 200
    assert main(["study", write(steps=[200], seeds=[0])]) == 0
    assert capsys.readouterr().out.count("done before") == 2
    assert (trained / "command.txt").read_text() == begun
    check_outcome(place)


@pytest.mark.slow
def test_seeds_of_an_arm_are_judged_together_and_jobs_find_what_is_done(
    write: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = load_study(write(steps=[2]))
    for stage in [*recordings(study), *(stage for run in study.runs for stage in stages(run))]:
        assert main(stage.command()) == 0
    capsys.readouterr()
    assert main(["study", "study.yaml", "--slurm"]) == 0
    for job in jobs_of(capsys.readouterr().out, tmp_path):
        assert main(shlex.split(job)[3:]) == 0
    said = capsys.readouterr().out
    assert said.count("recording shown: done before") == 3
    assert said.count("validation: done before") == 2
    check_outcome(tmp_path / "runs" / "study")


def steps_of(run: Path) -> list[int]:
    """The optimiser steps that were trained, in the order of the log."""
    file = run / "metrics.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")] if file.exists() else []
    return [row["step"] for row in rows if "train/loss" in row]


def check_outcome(place: Path) -> None:
    """One row over all seeds, in every form."""
    (row,) = json.loads((place / "study.json").read_text())["rows"]
    (file,) = place.glob("joint/*/validation.json")
    pooled = read_results(file)
    told = [(each["seed"], each["facts"]["training_seed"]) for each in pooled["episodes"]]
    assert told == [(5000, seed) for seed in row["seeds"]]
    assert pooled["summary"]["successes"] == row["successes"]
    assert len(pooled["commands"]) == row["episodes"] == len(row["rates"])
    assert (
        f"| joint | {row['budget']} | 0 | validation | {', '.join(map(str, row['seeds']))} |"
        in (place / "study.md").read_text()
    )
    assert (place / "study.png").read_bytes().startswith(b"\x89PNG")
    curves = EventAccumulator(str(place / "tensorboard" / "joint")).Reload()
    (point,) = curves.Scalars("validation/success")
    assert (point.step, point.value) == (row["x"], row["success_rate"])


def jobs_of(script: str, folder: Path) -> list[str]:
    """The commands of the jobs that a script submits, to an sbatch that only notes them."""
    sbatch = folder / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(
        "#!/bin/sh\nfor word; do case $word in\n--wrap=*) job=${word#--wrap=};;\n--array=*) last=${word#--array=0-};;\n"
        'esac; done\nfor SLURM_ARRAY_TASK_ID in $(seq 0 "${last:-0}"); do eval "echo $job" >> jobs; done\necho 17\n'
    )
    sbatch.chmod(0o755)
    environment = {**os.environ, "PATH": f"{sbatch.parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", script], cwd=folder, env=environment, check=True, capture_output=True)
    return (folder / "jobs").read_text().splitlines()
