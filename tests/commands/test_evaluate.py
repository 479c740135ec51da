"""`unified evaluate` from end to end: a real recording, real environments, a tiny model."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.rollout.test_policies import CAR, SAWYER
from unified.cli import main
from unified.data.heldout import choose_windows, open_dataset
from unified.errors import UserError
from unified.judging.evaluation import new_evaluation, suite_episodes, with_films
from unified.judging.results import read_results
from unified.model.config import ModelConfig
from unified.model.model import UnifiedModel
from unified.model.queries import QUERIES, Query
from unified.model.spec import DataSpec
from unified.model.stored.history import History
from unified.report.video import read_video
from unified.rollout.episodes import Episode
from unified.rollout.policies import load_model
from unified.rollout.suites import load_suite

SPEC = DataSpec(embodiments=(SAWYER,), cameras=("corner2",), image_size=(32, 32))
SUITE = """
name: two
env_kwargs: {cameras: [corner2], image_size: 32}
max_env_steps: 20
episodes_per_task: 2
tasks: [{env_id: "sims:MetaWorld-reach-v3", group: easy}, {env_id: "sims:MetaWorld-push-v3", group: hard}]
"""


def make_model(spec: DataSpec = SPEC, **queries: Query) -> UnifiedModel:
    """Random weights, strong enough for commands to show in pixels; of these queries, if any, it is said to know."""
    torch.manual_seed(0)
    model = UnifiedModel(ModelConfig(dim=32, depth=3, num_heads=1), spec)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.history = History(queries or None)
    return model


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """A folder with a suite (two.yaml), a checkpoint (model) and a recording of play (play)."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "two.yaml").write_text(SUITE)
    make_model().save_pretrained(folder / "model")
    record = "record --env sims:MetaWorld-reach-v3 --policy play --episodes 4 --play-steps 30 --workers 1"
    assert main([*record.split(), "--cameras", "corner2", "--image-size", "32", "--output", str(folder / "play")]) == 0
    return folder


def evaluate(workshop: Path, output: Path, *options: str, policy: str = "model") -> int:
    policy = str(workshop / policy) if (workshop / policy).exists() else policy
    base = ["evaluate", "--policy", policy, "--suite", str(workshop / "two.yaml"), "--output", str(output)]
    return main([*base, *options])


def test_a_checkpoint_is_judged_beside_expert_and_random_with_films_plans_and_queries(workshop, tmp_path, capsys):
    output = tmp_path / "out"
    assert (
        evaluate(workshop, output, "--films", "1", "--data", str(workshop / "play"), "--unseen", "--windows", "20") == 0
    )
    made = read_results(output)
    assert [(episode["env_id"][-8:], episode["seed"]) for episode in made["episodes"]] == [
        ("reach-v3", 10_000),
        ("reach-v3", 10_001),
        ("-push-v3", 10_000),
        ("-push-v3", 10_001),
    ]
    assert set(made["baselines"]) == {"expert", "random"}
    assert made["summary"]["per_group"].keys() == {"easy", "hard"}
    filmed = [episode["film"] for episode in made["episodes"] if "film" in episode]
    assert len(filmed) == 2
    film = read_video(output / filmed[0])
    assert film.shape[1:] == (192, 192, 3)
    assert len(film) == 6, "every fourth of 20 steps, and the first"
    assert [plan["steps_ahead"] for plan in made["plans"]] == [4, 4]
    assert read_video(output / made["plans"][0]["film"]).shape[0] == 4
    play = made["queries"]["play"]
    assert (play["known_moments"], play["frame_stride"]) == (4, 4)
    assert (play["film"]["steps_ahead"], play["film"]["env_steps"]) == (8, [4, 8])
    assert set(play["film"]["arms"]) == {"copy_last", "true_actions", "no_actions", "shuffled_actions", "joint"}
    assert play["film"]["shuffled_windows"] == play["film"]["windows"] == 20
    queries = {"policy", "inverse_dynamics", "inverse_by_sight", "joint"}
    assert set(play["action"]["arms"]) == {"mean_predictor", "hold_action", *queries}
    page = (output / "report.html").read_text()
    assert "Plans and what then happened" in page
    assert "Imagined frames of play, 8 env steps ahead" in page
    assert "http" not in page.replace('http-equiv="', "")
    assert "reach-v3" in capsys.readouterr().out


def test_recordings_alone_are_judged_with_every_query_that_was_trained_however_far(workshop, tmp_path, capsys):
    own = Query("by_feel", given=("proprio",), wanted=("action",), history=0, observed=("proprio",))
    wide = Query("policy", wanted=("plan",), history=2)
    measure = Query("measure", given=("video",), wanted=("proprio",))
    named = {query.name: query for query in (own, wide, QUERIES["world_model"], measure)}
    make_model(SPEC, **named).save_pretrained(tmp_path / "model")
    command = ["evaluate", "--policy", str(tmp_path / "model"), "--data", str(workshop / "play"), "--unseen"]
    assert main([*command, "--steps-ahead", "12", "--windows", "5", "--output", str(tmp_path / "out")]) == 0
    play = read_results(tmp_path / "out")["queries"]["play"]
    assert set(play["not_trained"]) == {"inverse_dynamics", "inverse_by_sight", "video", "joint"}
    assert play["not_scored"] == ["measure"]
    assert set(play["film"]["arms"]) == {"true_actions", "shuffled_actions", "copy_last"}
    assert (play["film"]["steps_ahead"], play["film"]["env_steps"]) == (8, [4, 8, 12])
    assert set(play["action"]["arms"]) == {"mean_predictor", "hold_action", "policy", "by_feel"}
    printed = capsys.readouterr().out
    assert "play: the video query was not trained" in printed
    assert "play: action error of by_feel" in printed
    assert "SSIM" in printed
    assert "by_feel query" in (tmp_path / "out" / "report.html").read_text()
    assert main([*command, "--steps-ahead", "0"]) == 1
    assert "--steps-ahead must be at least 1, got 0" in capsys.readouterr().err
    assert main([*command, "--steps-ahead", "40"]) == 1
    assert "No held-out episode is longer than 40 env steps" in capsys.readouterr().err


def test_the_same_seed_gives_the_same_results(workshop, tmp_path):
    quick = ("--films", "0", "--plans", "0", "--baselines", "", "--episodes", "1")
    for name, workers in (("a", "0"), ("b", "2")):
        assert evaluate(workshop, tmp_path / name, *quick, "--workers", workers) == 0
    first, second = (read_results(tmp_path / name)["episodes"] for name in ("a", "b"))
    assert [episode["return"] for episode in first] == pytest.approx([e["return"] for e in second], abs=1e-3)


@pytest.mark.parametrize(
    ("policy", "options", "message"),
    [
        ("expart", (), "Did you mean 'expert'"),
        (
            "model",
            ("--baselines", "expert,do-nothing"),
            "Unknown policy 'do-nothing'. Known: expert, hold",
        ),
        ("nobody/nothing/here", (), "No checkpoint folder"),
        ("model", ("--n-action-steps", "9"), "between 1 and the model's action_horizon (8), got 9"),
        ("model", ("--films", "-1"), "--films must be at least 0"),
        ("model", ("--envs", "0"), "--envs must be at least 1"),
        ("expert", ("--split", "tset"), "Did you mean 'test'"),
        ("expert", ("--env-kwargs", "latency"), "--env-kwargs must be a mapping"),
    ],
)
def test_what_cannot_be_judged_is_answered_in_one_line(workshop, tmp_path, capsys, policy, options, message):
    assert evaluate(workshop, tmp_path / "out", *options, policy=policy) == 1
    stderr = capsys.readouterr().err
    assert message in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "out").exists()


def test_baselines_that_environments_offer_are_policies_by_name_with_their_scores_and_facts(tmp_path, capsys):
    (tmp_path / "drive.yaml").write_text(
        'env_kwargs: {cameras: [front]}\nmax_env_steps: 300\nepisodes_per_task: 1\ntasks: ["sims:Driving-debris-v0"]\n'
    )
    suite = ["--suite", str(tmp_path / "drive.yaml"), "--workers", "0", "--films", "1", "--output", str(tmp_path / "o")]
    suite += ["--env-kwargs", "{latency_ms: 100}"]
    assert main(["evaluate", "--policy", "constant-velocity", *suite]) == 0
    made = read_results(tmp_path / "o")
    (episode,) = made["episodes"]
    assert (episode["success"], episode["failure"]) == (False, "terminated")
    assert episode["length"] < 200, "it ends with the failure"
    assert episode["facts"]["failure"] in ("collision", "off_road")
    assert episode["facts"]["scenario"].startswith("debris/")
    assert {"pdms", "epdms", "alpasim", "nuplan"} == set(episode["scores"]) <= set(episode["metrics"])
    assert episode["scores"]["nuplan"]["terms"]["ego_progress_along_expert_route"] > 0
    assert made["summary"]["per_task"]["sims:Driving-debris-v0"]["metrics"]["epdms"]["mean"] == 0
    assert "epdms" in capsys.readouterr().out
    page = (tmp_path / "o" / "report.html").read_text()
    assert "epdms" in page
    assert "What went wrong first" in page
    film, moment = (read_video(tmp_path / "o" / path) for path in (episode["film"], episode["facts"]["moment"]))
    assert 10 < len(moment) < len(film), "the last seconds before it failed"
    assert np.abs(moment[-1].astype(float) - film[-1]).mean() < 3
    assert made["env_kwargs"] == {"latency_ms": 100}
    (conditions,) = made["environments"]
    assert conditions["env_kwargs"] == {"cameras": ["front"], "latency_ms": 100}
    assert (conditions["env_ids"], conditions["max_env_steps"]) == (["sims:Driving-debris-v0"], 300)
    assert len(film) == 1 + -(-episode["length"] // episode["film_stride"])
    assert main(["evaluate", "--policy", "constant-velocty", *suite]) == 1
    assert "Did you mean 'constant-velocity'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            replace(SPEC, embodiments=(CAR,), cameras=CAR.cameras),
            "(this checkpoint moves others) 'metaworld'. Known: car.",
        ),
        (
            replace(SPEC, embodiments=(replace(SAWYER, cameras=("front",)),), cameras=("front",)),
            "looks through front at 32 pixels",
        ),
    ],
)
def test_a_checkpoint_of_another_body_or_camera_is_refused(workshop, tmp_path, capsys, spec, message):
    make_model(spec).save_pretrained(tmp_path / "other")
    assert evaluate(workshop, tmp_path / "out", policy=str(tmp_path / "other")) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["thesis.tex", "films/holiday.jpg", "films/a.mp4", "results.json/x", "link"])
def test_a_folder_with_something_else_in_it_is_not_touched(tmp_path, name):
    out = tmp_path / "out"
    path = out / name
    path.parent.mkdir(parents=True)
    if name == "link":
        path.symlink_to(tmp_path)
    else:
        path.write_text("years of work")
    with pytest.raises(UserError, match=r"no part of an evaluation|holds no results\.json"), new_evaluation(out):
        pass
    assert path.exists()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"), new_evaluation(tmp_path / "file"):
        pass


def hold(folder: Path, suite: Path, *options: str) -> int:
    command = ["evaluate", "--policy", "hold", "--suite", str(suite), "--output", str(folder), "--workers", "0"]
    return main([*command, "--films", "1", *options])


def a_quick_suite(folder: Path) -> Path:
    (folder / "quick.yaml").write_text(
        "env_kwargs: {cameras: [front]}\nmax_env_steps: 3\nepisodes_per_task: 1\ntasks: ['sims:Screen-ClickIcon-v0']\n"
    )
    return folder / "quick.yaml"


def test_a_new_evaluation_replaces_an_older_one_as_a_whole_or_not_at_all(tmp_path, capsys):
    suite, out = a_quick_suite(tmp_path), tmp_path / "out"
    assert hold(out, suite, "--split", "train") == 0
    (old,) = (out / "films").glob("*.mp4")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    suite.write_text(suite.read_text().replace("front", "nowhere"))
    assert hold(out, suite) == 1, "films from a camera that is not there fail in the middle"
    assert "nowhere" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "quick.yaml"]
    suite.write_text(suite.read_text().replace("nowhere", "front"))
    assert hold(out, suite) == 0
    (new,) = (out / "films").glob("*.mp4")
    assert new.name != old.name
    assert read_results(out)["episodes"][0]["film"] == f"films/{new.name}"
    assert new.name in (out / "report.html").read_text() or "data:video/mp4" in (out / "report.html").read_text()


def test_what_would_fail_after_the_rollouts_is_said_before_them(workshop, tmp_path, capsys):
    # No rollout gets far in this suite: its films are asked for from a camera that is not there.
    (tmp_path / "broken.yaml").write_text(SUITE.replace("cameras: [corner2]", "cameras: [nowhere]"))
    broken = ("--suite", str(tmp_path / "broken.yaml"), "--workers", "0", "--films", "1")
    policy = QUERIES["policy"]
    far = make_model(policy=policy, joint=Query("joint", wanted=("action", "proprio")))
    far.save_pretrained(tmp_path / "far")
    assert evaluate(workshop, tmp_path / "out", *broken, policy=str(tmp_path / "far")) == 1
    assert "leave plans out (--plans 0)" in capsys.readouterr().err
    assert evaluate(workshop, tmp_path / "out", *broken, "--plans", "0", "--data", str(tmp_path / "typo")) == 1
    assert "typo" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_came_into_the_folder_meanwhile_is_kept(tmp_path):
    out = tmp_path / "out"
    evaluation = new_evaluation(out)
    (evaluation.__enter__() / "results.json").write_text("{}")
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.txt is no part"):
        evaluation.__exit__(None, None, None)
    assert (out / "notes.txt").read_text() == "mine"


KILLED = """
import os, signal, sys
from unified.cli import main
renames = 0
def count(event, arguments):
    global renames
    if event == "os.rename":
        renames += 1
        if renames == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
options = ["--policy", "hold", "--workers", "0", "--films", "1"]
main(["evaluate", *options, "--output", sys.argv[1], "--suite", sys.argv[2]])
"""


@pytest.mark.parametrize("rename", [2, *(pytest.param(rename, marks=pytest.mark.slow) for rename in (1, 3))])
def test_a_killed_evaluation_leaves_results_and_films_that_belong_together(tmp_path, repository, rename):
    suite, out = a_quick_suite(tmp_path), tmp_path / "out"
    assert hold(out, suite, "--split", "train") == 0
    command = [sys.executable, "-c", KILLED, str(out), str(suite), str(rename)]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    episodes = read_results(out)["episodes"]
    assert [f"films/{path.name}" for path in (out / "films").glob("*.mp4")] == [episodes[0]["film"]]
    assert hold(out, suite) == 0
    assert read_results(out)["episodes"][0]["seed"] == 10_000


def test_films_are_made_of_the_first_episodes_of_each_task(workshop):
    episodes = with_films(suite_episodes(load_suite(workshop / "two.yaml")), 1)
    assert [episode.film is not None for episode in episodes] == [True, False, True, False]
    assert episodes[0] == replace(
        Episode("sims:MetaWorld-reach-v3", 10_000, episodes[0].env_kwargs), film=episodes[0].film
    )


def test_a_training_checkpoint_gives_the_model_that_was_stored(tmp_path):
    model = make_model(SPEC)
    hyper = {"spec": SPEC.to_dict(), "network": model.config.to_dict()}
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": hyper, "global_step": 3}, tmp_path / "step.ckpt")
    loaded = load_model(tmp_path / "step.ckpt")
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())
    del state["model.no_text"]
    torch.save({"state_dict": state, "hyper_parameters": hyper}, tmp_path / "cut.ckpt")
    with pytest.raises(UserError, match=r"cut\.ckpt: weights do not fit"):
        load_model(tmp_path / "cut.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match="no model description"):
        load_model(tmp_path / "other.ckpt")


def test_all_episodes_are_there_if_asked_for_and_windows_do_not_reach_past_their_ends(workshop):
    every = open_dataset(workshop / "play", SPEC, History(), every=True).windows
    assert len(every.sources[0].frames) == 120
    windows = choose_windows(every, 1000, known=4, steps=2)
    assert len(windows) == 4 * 10
    batch = windows.fetch()
    assert batch.moment_is_pad is not None
    assert not batch.moment_is_pad.any()


def test_a_recording_that_does_not_fit_the_model_is_refused(workshop):
    with pytest.raises(UserError, match="embodiment"):
        open_dataset(workshop / "play", replace(SPEC, embodiments=(CAR,)), History())
    with pytest.raises(UserError, match=r"no camera front \(it has corner2\)"):
        open_dataset(workshop / "play", replace(SPEC, embodiments=(replace(SAWYER, cameras=("front",)),)), History())
    with pytest.raises(UserError, match="has 4 actions"):
        open_dataset(workshop / "play", replace(SPEC, embodiments=(replace(SAWYER, action_dim=7),)), History())


def test_a_policy_runs_inside_a_checkpoint_s_imagination_from_the_same_starts(workshop, capsys):
    from tests.rollout.dreams.test_env import a_model

    suite = workshop / "small.yaml"
    suite.write_text(SUITE.replace("32}", "16}"))
    a_model().save_pretrained(workshop / "dreamer")
    out = workshop / "inside"
    words = ["evaluate", "--suite", str(suite), "--workers", "0", "--films", "0", "--baselines", "", "--plans", "0"]
    words += ["--inside", str(workshop / "dreamer"), "--output", str(out)]
    assert main([*words, "--policy", str(workshop / "dreamer"), "--n-action-steps", "2"]) == 0
    results = read_results(out / "results.json")
    (name,) = results["baselines"]
    assert name == "in dreams of dreamer"
    assert results["baselines"][name]["episodes"] == len(results["episodes"]) == 4
    assert set(results["baselines"][name]["summary"]["per_task"]) == set(results["summary"]["per_task"])
    assert name in (out / "report.html").read_text()
    assert main([*words, "--policy", "random"]) == 0
    for policy, more, message in (
        ("expert", (), "reads a simulator's state"),
        (str(workshop / "dreamer"), ("--n-action-steps", "3"), "2 env steps apart, and the policy looks every 3"),
        (str(workshop / "model"), ("--n-action-steps", "2"), "16 pixels"),
    ):
        capsys.readouterr()
        assert main([*words, "--policy", policy, *more]) == 1
        assert message in capsys.readouterr().err
    assert main(["evaluate", "--policy", "random", "--suite", str(suite), "--watch", "nowhere"]) == 1
    assert "--inside CHECKPOINT" in capsys.readouterr().err
