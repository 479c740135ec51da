"""Recordings are exact, do not depend on workers or interruptions, and say what they are."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.data.lerobot3.test_writer import digests, load
from unified.cli import build_parser, main
from unified.commands.record import make_plan
from unified.data.lerobot3 import layout
from unified.data.lerobot3.mp4 import read_mp4
from unified.errors import UserError
from unified.rollout.episodes import Rules
from unified.rollout.recording.noise import SHOVE_STRENGTH, ActionNoise
from unified.rollout.recording.plan import Plan
from unified.rollout.recording.record import Progress, record

REACH, DRAWER = "sims:MetaWorld-reach-v3", "sims:MetaWorld-drawer-close-v3"
SCREEN = "sims:Screen-ClickIcon-v0"
KWARGS = {"cameras": ["corner2"], "image_size": 32, "max_env_steps": 120}


def a_plan(episodes: int = 2, policy: str = "expert", **changes: Any) -> Plan:
    values: dict[str, Any] = {"env_ids": (REACH, DRAWER), "rules": Rules(policy, KWARGS), "episodes": episodes}
    values["noise"] = (0.0, 0.3) if policy == "expert" else (0.0,)
    return Plan(**(values | changes))


def table(root: Path, episode: int) -> dict[str, np.ndarray]:
    columns = pq.read_table(root / layout.place(layout.DATA_PATH, episode)).to_pydict()
    return {key: np.array(values) for key, values in columns.items()}


def film(root: Path, episode: int) -> np.ndarray:
    path = root / layout.place(layout.VIDEO_PATH, episode, video_key="observation.images.corner2")
    return np.stack([picture for _, picture in read_mp4(path)])


def provenance(root: Path) -> dict[str, Any]:
    return json.loads((root / layout.PROVENANCE).read_text())


def run_and_signal(
    code: str, kind: signal.Signals, rename: int, repository: Path, arguments: list[str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own that sends itself a signal when it renames a file for the n-th time."""
    driver = folder / "driver.py"
    driver.write_text(
        "import os, sys\nfrom pathlib import Path\n"
        "from tests.rollout.test_record import a_plan\nfrom unified.cli import main\n"
        "from unified.rollout.recording.record import record\nrenames = 0\n"
        "def count(event, arguments):\n    global renames\n"
        "    if event == 'os.rename':\n        renames += 1\n"
        f"        if renames == {rename}: os.kill(os.getpid(), {int(kind)})\n"
        f"if __name__ == '__main__':\n    sys.addaudithook(count)\n    sys.exit({code})\n"
    )
    command, environment = [sys.executable, str(driver), *arguments], {**os.environ, "PYTHONPATH": str(repository)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recorded") / "set"
    seen: list[int] = []
    progress = record(a_plan(), root, workers=2, on_progress=lambda now: seen.append(now.episodes))
    assert (progress.episodes, progress.solved, progress.discarded) == (4, 4, {})
    assert seen == sorted(seen)
    assert seen[-1] == 4
    return root


def test_a_recording_says_what_it_is(recorded: Path) -> None:
    said = provenance(recorded)
    assert (said["embodiment"], said["policy"], said["is_demonstration"]) == ("metaworld", "expert", True)
    assert said["env_ids"] == [REACH, DRAWER]
    assert {"mujoco", "metaworld", "sims"} <= set(said["versions"])
    assert [(row["env_id"], row["seed"], row["noise"], row["success"]) for row in said["episodes"]] == [
        (REACH, 0, 0.0, True),
        (REACH, 1, 0.3, True),
        (DRAWER, 0, 0.0, True),
        (DRAWER, 1, 0.3, True),
    ]
    info = json.loads((recorded / layout.INFO).read_text())
    assert (info["fps"], info["robot_type"], info["total_episodes"]) == (80, "metaworld", 4)
    assert len(layout.read_tasks(recorded / layout.TASKS)) == 2


def test_the_executed_action_is_noisy_and_the_label_is_clean(recorded: Path) -> None:
    clean, noisy = table(recorded, 0), table(recorded, 1)
    np.testing.assert_array_equal(clean["action"], clean["expert_action"])
    assert 0.1 < np.abs(noisy["action"] - noisy["expert_action"]).mean() < 0.5
    for rows in (clean, noisy):
        assert np.abs(rows["action"]).max() <= 1
        assert np.abs(rows["expert_action"]).max() <= 1


def test_an_episode_ends_nine_steps_after_its_first_success(recorded: Path) -> None:
    for episode in range(4):
        success = table(recorded, episode)["next.success"]
        assert len(success) - 1 - int(np.argmax(success)) == 9


@pytest.mark.parametrize("episode", [1, 2])
def test_every_recorded_state_restores_the_picture_and_what_followed(recorded: Path, episode: int) -> None:
    rows, pictures = table(recorded, episode), film(recorded, episode)
    details = provenance(recorded)["episodes"][episode]
    env = gymnasium.make(details["env_id"], disable_env_checker=True, **KWARGS)
    env.reset(seed=77)
    inner: Any = env.unwrapped
    for t in (0, 7, len(pictures) - 2):
        inner.set_sim_state(rows["observation.sim_state"][t])
        observation = inner.observe()
        np.testing.assert_array_equal(observation["pixels"]["corner2"], pictures[t])
        np.testing.assert_array_equal(observation["agent_pos"], rows["observation.state"][t].astype(np.float32))
        observation, reward, *_, info = env.step(rows["action"][t].astype(np.float32))
        np.testing.assert_array_equal(observation["pixels"]["corner2"], pictures[t + 1])
        np.testing.assert_array_equal(inner.get_sim_state(), rows["observation.sim_state"][t + 1])
        assert (np.float32(reward), info["is_success"]) == (rows["next.reward"][t], rows["next.success"][t])
    env.close()


def test_the_number_of_workers_does_not_matter(recorded: Path, tmp_path: Path) -> None:
    record(a_plan(), tmp_path / "set", workers=1)
    assert digests(tmp_path / "set") == digests(recorded)


def test_a_killed_recording_resumes_to_the_same_bytes(recorded: Path, tmp_path: Path, repository: Path) -> None:
    # In the middle of the second episode's commit; the workers are left alone.
    root = tmp_path / "set"
    done = run_and_signal(
        "record(a_plan(), Path(sys.argv[1]), workers=2)", signal.SIGKILL, 12, repository, [str(root)], tmp_path
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert json.loads((root / layout.INFO).read_text())["total_episodes"] == 1
    progress = record(a_plan(), root, workers=1, resume=True)
    assert progress.episodes == 4
    assert digests(root) == digests(recorded)


@pytest.mark.slow
def test_more_episodes_can_be_added_later(recorded: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    shutil.copytree(recorded, root)
    record(a_plan(episodes=3, env_ids=(REACH, DRAWER)), root, resume=True)
    assert [row["seed"] for row in provenance(root)["episodes"]] == [0, 1, 0, 1, 2, 2]
    assert all(digests(root)[name] == value for name, value in digests(recorded).items() if name.startswith("data"))


def test_a_worker_that_dies_is_named_with_its_episode(tmp_path: Path) -> None:
    def kill_one(now: Progress) -> None:
        if now.episodes == 1:
            for process in multiprocessing.active_children():
                process.kill()

    with pytest.raises(UserError, match=r"sims:MetaWorld-\S+ seed \d+ failed: the worker process died, signal SIGKILL"):
        record(a_plan(episodes=4), tmp_path / "set", workers=2, on_progress=kill_one)
    assert not multiprocessing.active_children()
    assert json.loads((tmp_path / "set" / layout.INFO).read_text())["total_episodes"] >= 1


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_saved_and_leaves_no_process(tmp_path: Path) -> None:
    def interrupt(now: Progress) -> None:
        if now.episodes == 1:
            os.kill(os.getpid(), signal.SIGINT)

    root = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt):
        record(a_plan(episodes=4), root, workers=2, on_progress=interrupt)
    assert not multiprocessing.active_children()
    assert json.loads((root / layout.INFO).read_text())["total_episodes"] == 1
    assert not (root / ".unfinished").exists()


@pytest.mark.slow
def test_sigterm_ends_the_command_and_its_workers(tmp_path: Path, repository: Path) -> None:
    arguments = ["--env", REACH, "--output", str(tmp_path / "set"), "--cameras", "corner2", "--image-size", "32"]
    code = "main(['record', *sys.argv[1:]])"
    done = run_and_signal(code, signal.SIGTERM, 20, repository, arguments, tmp_path)
    # Standard error was read to its end, so the last process that could write there has ended.
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert "--resume` continues" in done.stderr
    assert 1 <= json.loads((tmp_path / "set" / layout.INFO).read_text())["total_episodes"] < 25
    assert not (tmp_path / "set" / ".unfinished").exists()


@pytest.mark.slow
def test_failed_episodes_make_room_for_the_next_seed(tmp_path: Path) -> None:
    short = Rules("expert", {**KWARGS, "max_env_steps": 45})
    plan = a_plan(episodes=4, env_ids=(REACH,), rules=short, noise=(0.0,))
    kept = record(a_plan(episodes=8, env_ids=(REACH,), rules=short, noise=(0.0,), keep_failures=True), tmp_path / "all")
    solved = [row["seed"] for row in provenance(tmp_path / "all")["episodes"] if row["success"]]
    assert 4 <= len(solved) < 8, "choose another max_env_steps"
    assert kept.episodes == 8
    progress = record(plan, tmp_path / "solved")
    assert [row["seed"] for row in provenance(tmp_path / "solved")["episodes"]] == solved[:4]
    assert progress.discarded == ({REACH: solved[3] - 3} if solved[3] > 3 else {})


@pytest.mark.slow
def test_an_expert_that_always_fails_stops_the_recording(tmp_path: Path) -> None:
    rules = Rules("expert", {**KWARGS, "cameras": [], "max_env_steps": 3})
    with pytest.raises(UserError, match="keep-failures"):
        record(a_plan(episodes=1, env_ids=(REACH,), rules=rules), tmp_path / "set")


@pytest.mark.parametrize("policy", ["play", "random"])
def test_exploration_has_a_fixed_length_and_is_no_demonstration(tmp_path: Path, policy: str) -> None:
    rules = Rules(policy, KWARGS, play_steps=25)
    record(a_plan(episodes=2, env_ids=(REACH,), rules=rules, noise=(0.0,)), tmp_path / "set")
    assert provenance(tmp_path / "set")["is_demonstration"] is False
    for episode in range(2):
        rows = table(tmp_path / "set", episode)
        assert len(rows["action"]) == 25
        np.testing.assert_array_equal(rows["action"], rows["expert_action"])
        assert np.ptp(rows["action"], axis=0).min() > 0.1


@pytest.mark.slow
def test_a_checkpoint_acts_and_the_expert_labels(tmp_path: Path) -> None:
    from tests.rollout.test_policies import make_model

    make_model().save_pretrained(tmp_path / "model")
    rules = Rules(str(tmp_path / "model"), {**KWARGS, "max_env_steps": 20}, label="expert")
    plan = a_plan(episodes=2, env_ids=(REACH,), rules=rules, noise=(0.0,))
    for name in ("one", "two"):
        record(plan, tmp_path / name, workers=2 if name == "two" else 1)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    rows = table(tmp_path / "one", 0)
    assert len(rows["action"]) == 20
    assert np.abs(rows["action"] - rows["expert_action"]).mean() > 0.1
    assert provenance(tmp_path / "one")["is_demonstration"] is True, "its labels may be imitated"
    wrong = Rules(str(tmp_path / "model"), {**KWARGS, "image_size": 16})
    with pytest.raises(UserError, match=r"looks through corner2 at 32 pixels; record these \(--cameras corner2"):
        record(a_plan(episodes=1, env_ids=(REACH,), rules=wrong, noise=(0.0,)), tmp_path / "three", workers=1)


def screen_rows(root: Path, policy: str, **rules: Any) -> dict[str, np.ndarray]:
    kwargs = {"image_size": 16, "max_env_steps": 40}
    plan = a_plan(1, policy, env_ids=(SCREEN,), rules=Rules(policy, kwargs, play_steps=15, **rules), noise=(0.0,))
    record(plan, root, workers=1)
    return table(root, 0)


def test_the_expert_advises_where_another_policy_goes_and_acts_for_its_share(tmp_path: Path) -> None:
    led = screen_rows(tmp_path / "led", "hold", label="expert")
    env: Any = gymnasium.make(SCREEN, image_size=16).unwrapped
    observation, _ = env.reset(seed=0)
    expert = env.make_expert(np.random.default_rng(99))  # of another pace and wobble: advice leaves them out
    for label in led["expert_action"]:
        expert(observation)
        np.testing.assert_allclose(label, expert.advice, atol=1e-5)
        observation, *_ = env.step(np.zeros(5, np.float32))
    assert np.abs(led["action"]).max() == 0
    assert np.abs(led["expert_action"]).max() > 0.1
    assert provenance(tmp_path / "led")["is_demonstration"] is True
    mixed = screen_rows(tmp_path / "mixed", "hold", label="expert", expert_share=0.5)
    assert 3 <= np.any(mixed["action"] != 0, axis=1).sum() <= 12, "about half of 15 steps"
    own = screen_rows(tmp_path / "own", "hold")
    np.testing.assert_array_equal(own["action"], own["expert_action"])
    assert provenance(tmp_path / "own")["is_demonstration"] is False


def test_a_baseline_that_environments_offer_can_be_recorded(tmp_path: Path) -> None:
    kwargs = {"cameras": ["front"], "image_size": 16, "max_env_steps": 5}
    rules = Rules("constant-velocity", kwargs)
    plan = a_plan(1, env_ids=("sims:Driving-cut-in-v0",), rules=rules, noise=(0.0,), keep_failures=True)
    record(plan, tmp_path / "set", workers=1)
    assert len(table(tmp_path / "set", 0)["action"]) == 5
    assert provenance(tmp_path / "set")["policy"] == "constant-velocity"


def test_a_shove_pushes_one_way_for_some_steps_and_then_lets_go() -> None:
    noise = ActionNoise(0.0, 3, np.random.default_rng(0), shoves=0.1)
    values = np.stack([noise() for _ in range(3000)])
    strength = np.linalg.norm(values, axis=1)
    pushed = strength > 0
    assert 0.2 < pushed.mean() < 0.45  # 0.1 a step, four steps on average, none begins within another
    assert strength[pushed].min() >= SHOVE_STRENGTH[0] - 1e-6
    assert strength.max() <= SHOVE_STRENGTH[1] + 1e-6
    same = np.linalg.norm(np.diff(values, axis=0), axis=1)[pushed[1:] & pushed[:-1]] < 1e-6
    assert same.mean() > 0.8


def test_the_label_of_an_arms_expert_leaves_out_what_it_drew_by_chance() -> None:
    env: Any = gymnasium.make("sims:Screen-ClickIcon-v0", image_size=16).unwrapped
    labels, actions = [], []
    for seed in (0, 1):  # two experts of different pace and wobble in the same state
        env.reset(seed=5)
        expert = env.make_expert(np.random.default_rng(seed))
        for _ in range(12):
            expert(env.observe())
            env.step(np.array([0, 0, 0, 0, -1], np.float32))
        actions.append(expert(env.observe()))
        labels.append(expert.advice)
    assert np.abs(labels[0] - labels[1]).max() < 1e-6
    assert np.abs(actions[0] - actions[1]).max() > 0.01


def test_noise_has_the_standard_deviation_that_was_asked_for() -> None:
    noise = ActionNoise(0.2, 500, np.random.default_rng(0))
    values = np.stack([noise() for _ in range(60)])
    np.testing.assert_allclose(values.std(axis=1), 0.2, atol=0.03)
    correlation = np.mean(values[1:] * values[:-1]) / np.mean(values**2)
    assert abs(correlation - 0.85) < 0.03


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"env_ids": ("sims:MetaWorld-reech-v3",)}, "Did you mean 'sims:MetaWorld-reach-v3'"),
        ({"env_ids": ("MetaWorld-reach-v3",)}, "Did you mean 'sims:MetaWorld-reach-v3'"),
        ({"env_ids": ("nowhere:Reach-v3",)}, "no package 'nowhere'"),
        ({"env_ids": (REACH, REACH)}, "each once"),
        ({"episodes": 0}, "at least 1, got 0"),
        ({"noise": (-0.1,)}, "from 0 up"),
        ({"rules": Rules("expert", KWARGS, shoves=1.5)}, "--shoves must be a chance"),
        ({"rules": Rules("play", KWARGS)}, "--noise is added to the expert's actions"),
        ({"rules": Rules("expret", KWARGS)}, "Did you mean 'expert'"),
        ({"rules": Rules("expert", KWARGS, encoding="losless")}, "Did you mean 'lossless'"),
        ({"rules": Rules("expert", {**KWARGS, "cameras": ["corner3"]})}, "Unknown camera 'corner3'"),
        ({"rules": Rules("expert", {**KWARGS, "imagesize": 64})}, "imagesize"),
        ({"seed": 10_000, "stop_seed": 10_000}, "kept for judging"),
        ({"seed": 4_999, "episodes": 2, "stop_seed": 5_000}, "seeds that are kept for judging, those from 5000 on"),
        ({"seed": -1}, "--seed must be 0 or more"),
        ({"noise": (float("nan"),)}, "from 0 up"),
        ({"rules": Rules("expert", KWARGS, label="exprt")}, "Did you mean 'expert'"),
        ({"rules": Rules("expert", KWARGS, expert_share=1.5)}, "--expert-share must be a share"),
    ],
)
def test_what_cannot_be_recorded_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        record(a_plan(**changes), tmp_path / "set", workers=1)
    assert words in str(caught.value)
    assert not list((tmp_path / "set").glob("data/*"))


def test_a_suites_training_seeds_are_recorded_and_end_where_those_of_validation_begin() -> None:
    parser = build_parser("record")
    line = ["--suite", "metaworld-demo", "--output", "set"]
    plans = [make_plan(parser.parse_args([*line, *more])) for more in ([], ["--seed", "5000"], ["--seed", "10000"])]
    assert [(plan.seed, plan.stop_seed) for plan in plans] == [(0, 5000), (5000, 10_000), (10_000, None)]


def test_a_recording_is_not_mixed_with_another(recorded: Path, tmp_path: Path) -> None:
    before = digests(recorded)
    with pytest.raises(UserError, match="--resume"):
        record(a_plan(), recorded)
    with pytest.raises(UserError, match=r"noise \[0.0, 0.3\], now it is \[0.0\]"):
        record(a_plan(noise=(0.0,)), recorded, resume=True)
    with pytest.raises(UserError, match="play_steps"):
        record(a_plan(rules=Rules("expert", KWARGS, play_steps=3)), recorded, resume=True)
    with pytest.raises(UserError, match="--episodes 1 is less"):
        record(a_plan(episodes=1), recorded, resume=True)
    with pytest.raises(UserError, match="no dataset"):
        record(a_plan(), tmp_path / "nothing", resume=True)
    assert digests(recorded) == before


@pytest.mark.parametrize("change", [{"env_id": "sims:Other-v0"}, {"seed": "x"}, {"seed": None}])
def test_notes_that_are_not_of_this_recording_are_refused(recorded: Path, tmp_path: Path, change: Any) -> None:
    root = tmp_path / "set"
    shutil.copytree(recorded, root)
    said = provenance(root)
    said["episodes"][2] |= change
    (root / layout.PROVENANCE).write_text(json.dumps(said))
    with pytest.raises(UserError, match=r"unified\.json: episode 2 is .*not one of this recording"):
        record(a_plan(episodes=3), root, resume=True)


def test_the_command_records_and_summarises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--episodes", "1", "--cameras", "corner2", "--image-size", "32", "--seed", "5", "--workers", "1"]
    assert main(["record", "--env", DRAWER, "--output", str(tmp_path / "set"), *options]) == 0
    summary = json.loads((tmp_path / "set" / "recording.json").read_text())
    assert (summary["episodes"], summary["solved"]) == (1, 1)
    assert "1 episodes (1 solved, 0 failed ones discarded)" in capsys.readouterr().out
    assert provenance(tmp_path / "set")["episodes"][0]["seed"] == 5


def test_recording_needs_neither_torch_nor_lerobot() -> None:
    code = (
        "import sys, unified.commands.record, unified.commands.import_\n"
        "print({'torch', 'lerobot', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_lerobot_reads_a_recording(recorded: Path) -> None:
    dataset = load(recorded)
    lengths = [len(table(recorded, episode)["action"]) for episode in range(4)]
    assert len(dataset) == sum(lengths)
    item = dataset[lengths[0] + 3]
    np.testing.assert_array_equal(item["observation.images.corner2"].permute(1, 2, 0).numpy(), film(recorded, 1)[3])
    assert item["task"] == layout.read_tasks(recorded / layout.TASKS)[0]


def test_what_an_environment_measures_and_says_is_recorded_with_the_episode(tmp_path: Path) -> None:
    kwargs = {"cameras": ["front", "front_conditions"], "image_size": 32, "max_env_steps": 12, "control": "trajectory"}
    plan = a_plan(
        1, env_ids=("sims:Driving-cut-in-v0",), rules=Rules("expert", kwargs), noise=(0.2,), keep_failures=True
    )
    record(plan, tmp_path / "drive", workers=1)
    rows, info = table(tmp_path / "drive", 0), json.loads((tmp_path / "drive" / layout.INFO).read_text())
    assert info["features"]["observation.ego_motion"]["shape"] == [11]
    motion = rows["observation.ego_motion"]
    np.testing.assert_allclose(motion[:, 3], rows["observation.state"][:, 0], rtol=1e-6)
    assert np.hypot(*np.diff(motion[:, :2], axis=0).T) == pytest.approx(0.1 * motion[:-1, 3], rel=0.05)
    assert rows["action"].shape[1] == 120
    assert np.abs(rows["action"] - rows["expert_action"]).max() > 0.1
    (episode,) = provenance(tmp_path / "drive")["episodes"]
    assert episode["facts"]["scenario"].startswith("cut-in/")
    assert episode["facts"]["topology"] in episode["facts"]["scenario"]
    lines = tmp_path / "drive" / layout.place(layout.VIDEO_PATH, 0, video_key="observation.images.front_conditions")
    picture = next(iter(read_mp4(lines)))[1]
    assert (picture.max(axis=2) == 0).mean() > 0.5, "lines on black"
    assert picture.max() > 100
