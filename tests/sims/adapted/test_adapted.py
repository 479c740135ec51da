"""Environments of others, described in plain values alone, meet our contract; wrong descriptions are named."""

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import yaml
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from sims.adapted.actions import translate
from tests.sims.adapted.corridor import LENGTH
from tests.sims.registry import NEEDS
from unified.cli import main
from unified.errors import UserError
from unified.rollout.environments import make_env
from unified.rollout.suites import load_suite

CORRIDOR = "tests.sims.adapted.corridor:Corridor-v0"
OPTIONS = {
    "task": "Walk to the end",
    "embodiment": "walker",
    "pictures": {"own": "observation.image", "drawn": "render"},
    "proprio": ["observation.body.place", "observation.body.dotted.key", "action"],
    "success": "info.at_end",
    "expert": "tests.sims.adapted.corridor:expert",
}
FORWARD, STAY = np.array([1, -1, -1], np.float32), np.array([-1, 1, -1], np.float32)


def make(kwargs: dict[str, Any] | None = None, env_id: str = CORRIDOR, **changes: Any) -> Any:
    options = {name: value for name, value in {**OPTIONS, **changes}.items() if value is not None}
    return make_env(env_id, {**(kwargs or {}), "adapters": {env_id: options}}).unwrapped


def test_pictures_and_numbers_come_from_the_places_that_are_named():
    env = make({"image_size": 10})
    observation, info = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    start = int(observation["agent_pos"][0])
    assert observation["agent_pos"].tolist() == [start, 0, 1, 1, 1, 1, 0, 0, 0]
    for camera in ("own", "drawn", "main", "second"):
        assert (env.render_frame(camera, 10) == 10 * start).all()
    observation, reward, terminated, truncated, info = env.step(FORWARD)
    assert observation["agent_pos"].tolist() == [start + 1, 0, 1, 1, 1, 1, *FORWARD]
    assert (observation["pixels"]["own"] == 10 * (start + 1)).all()
    assert (reward, terminated, truncated, info["is_success"]) == (0, False, False, False)
    assert env.control_dt == pytest.approx(0.1)


def test_an_episode_ends_as_it_ends_there_and_takes_no_further_step():
    env = make()
    env.reset(seed=0)
    steps = [env.step(FORWARD) for _ in range(LENGTH - env.inner.unwrapped.place)]
    assert [terminated for _, _, terminated, _, _ in steps] == [False] * (len(steps) - 1) + [True]
    assert [info["is_success"] for *_, info in steps] == [False] * (len(steps) - 1) + [True]
    with pytest.raises(ResetNeeded):
        env.step(FORWARD)
    env.reset(seed=0)
    ends = [env.step(STAY)[3] for _ in range(15)]
    assert ends == [False] * 14 + [True], "its own limit of time"


@pytest.mark.parametrize(
    ("success", "forward", "stay"),
    [
        ("info.at_end", True, False),
        ("terminated", True, False),
        ("survived", False, True),
        ("reward >= 1", True, False),
        ("return > 0.5", True, False),
        ("info.left<=0", True, False),
        ("info.left > 3", False, True),
    ],
)
def test_success_is_said_in_many_ways(success, forward, stay):
    for action, wanted in ((FORWARD, forward), (STAY, stay)):
        env = make({"max_env_steps": 8}, success=success)
        env.reset(seed=0)
        is_over, info = False, {}
        while not is_over:
            _, _, terminated, truncated, info = env.step(action)
            is_over = terminated or truncated
        assert info["is_success"] is wanted


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pictures": None, "task": None}, "adapter lacks task, pictures"),
        ({"pictuers": {}}, "Unknown option of adapter 'pictuers'. Did you mean 'pictures'"),
        ({"task": ""}, "adapter.task must be the instruction in words, got ''"),
        ({"proprio": []}, r"adapter.proprio must be a list of places .*or \[action\]"),
        ({"control_hz": 2.5}, "adapter.control_hz must be a whole number, 1 to 1000, got 2.5"),
        ({"action_bounds": [1, -1]}, "adapter.action_bounds must be two numbers"),
        ({"action_bounds": [-1, 1]}, "adapter.action_bounds means nothing for Discrete"),
        ({"pictures": {"own": "observation.imge"}}, "no 'observation.imge'; observation holds image, body"),
        ({"pictures": {"own": "obs.image"}}, "'obs'. Did you mean|begins with 'obs'"),
        (
            {"pictures": {"own": "observation.body.place"}},
            r"must give uint8 \(height, width, 3\), it is float64 \(2,\)",
        ),
        ({"make": {"fault": "float"}}, r"adapter.pictures.own: observation.image must give uint8.* it is float64"),
        ({"make": {"fault": "planes"}}, r"it is uint8 \(3, 20, 30\)"),
        ({"make": {"fault": "grey"}}, r"it is uint8 \(20, 30\)"),
        ({"make": {"fault": "undrawn"}}, "adapter.pictures.drawn: render must give uint8.* it is None"),
        ({"make": {"fault": "blind"}}, "its render.* knows no 'rgb_array'"),
        ({"make": {"fault": "timeless"}}, "render_fps is None; give adapter.control_hz"),
        ({"make": {"fault": "nan"}}, "adapter.proprio: observation.body.place is not finite"),
        ({"make": {"fault": "words"}}, "observation.body.place must hold numbers, it is 'here'"),
        ({"make": {"fault": "grows"}}, "adapter.proprio: 9 numbers at first, now 10"),
        ({"make": {"fault": "silent"}}, "adapter.success: there is no 'info.at_end'; info holds nothing"),
        ({"make": {"fault": "constructor"}}, "it failed with RuntimeError no such corridor"),
        ({"make": {"fualt": ""}}, "unexpected keyword argument 'fualt'"),
        ({"make": {"space": spaces.Box(-np.inf, np.inf, (2,))}}, "have no bounds; give adapter.action_bounds"),
        ({"make": {"space": spaces.Text(3)}}, "its actions are Text"),
        ({"success": "info.word"}, "info.word must hold true or false .*it is 'far'"),
        ({"success": "info.left"}, "info.left must hold true or false"),
        ({"success": "reward >= much"}, "'much' in 'reward >= much' must be a number"),
        ({"success": "rewrad >= 1"}, "'rewrad'. Did you mean 'reward'"),
        ({"expert": "tests.sims.adapted.corridor:nobody"}, "nobody' cannot be imported"),
        ({"expert": "somewhere"}, "adapter.expert must be a text such as 'package.module:function'"),
    ],
    ids=str,
)
def test_a_wrong_description_is_one_line_that_names_the_option(changes, message):
    with pytest.raises(UserError, match=message) as error:
        make(**changes)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(CORRIDOR)


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("nosuchpackage:Thing-v0", "No module named 'nosuchpackage'"),
        ("tests.sims.adapted.corridor:Coridor-v0", "Coridor"),
        ("CartPole-v1000", "CartPole"),
    ],
)
def test_an_environment_that_is_not_there_is_one_line(env_id, message):
    with pytest.raises(UserError, match=message) as error:
        make(env_id=env_id)
    assert "\n" not in str(error.value)


def test_arguments_in_the_wrong_place_are_sent_to_the_right_one():
    with pytest.raises(UserError, match="env_kwargs: fault means nothing here; its own arguments go to adapter.make"):
        make({"fault": "nan"})
    with pytest.raises(UserError, match="Unknown camera 'owm'. Did you mean 'own'"):
        make({"cameras": ["owm"]})


@pytest.mark.parametrize(
    ("space", "bounds"),
    [
        (spaces.Discrete(4, start=-1), None),
        (spaces.MultiDiscrete([2, 5]), None),
        (spaces.Box(-2.0, 3.0, (2, 3), np.float64), None),
        (spaces.Box(-np.inf, np.inf, (3,)), (-2.0, 0.5)),
    ],
    ids=str,
)
def test_actions_translate_there_and_back(space, bounds):
    actions: Any = translate(space, bounds)
    rng = np.random.default_rng(0)
    for _ in range(20):
        action = rng.uniform(actions.space.low, actions.space.high).astype(np.float32)
        command = actions.command(action)
        assert space.contains(command)
        again = actions.command(actions.action_of(command))
        assert np.allclose(again, command)
        assert actions.space.contains(actions.action_of(command))


@pytest.mark.parametrize("name", ["lunar-lander", "point-maze"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # SWIG's generated code warns of itself
def test_suites_of_other_packages_repeat_what_the_package_does(name):
    for module in NEEDS["Box2D"] if name == "lunar-lander" else ["gymnasium_robotics"]:
        pytest.importorskip(module)
    suite = load_suite(name)
    task, rng = suite.tasks[-1], np.random.default_rng(0)
    env: Any = make_env(task.env_id, {**suite.env_kwargs, "cameras": ()}).unwrapped
    options = suite.env_kwargs["adapters"][task.env_id]
    theirs = gymnasium.make(task.env_id, disable_env_checker=True, **options["make"])
    for seed in (3, 4, 3):
        observation, there = env.reset(seed=seed)[0], theirs.reset(seed=seed)[0]
        for _ in range(20):
            flat = there if isinstance(there, np.ndarray) else np.r_[there["observation"], there["desired_goal"]]
            assert np.array_equal(observation["agent_pos"], flat.astype(np.float32))
            action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
            there, reward, *_ = theirs.step(action)
            observation, own_reward, *_ = env.step(action)
            assert own_reward == reward
    env.close()
    theirs.close()


def write_suite(path: Path, **changes: Any) -> str:
    suite = {"env_kwargs": {"cameras": ["own"], "image_size": 16}, "max_env_steps": 12, "episodes_per_task": 2}
    suite |= {"tasks": [{"env_id": CORRIDOR, "adapter": {**OPTIONS, **changes}}]}
    path.write_text(yaml.safe_dump(suite))
    return str(path)


@pytest.mark.slow
def test_a_stranger_is_recorded_and_judged_by_a_file_alone(tmp_path, capsys):
    suite, data, judged = write_suite(tmp_path / "walk.yaml"), tmp_path / "data", tmp_path / "judged"
    assert main(["record", "--suite", suite, "--episodes", "3", "--workers", "1", "--output", str(data)]) == 0
    kept = json.loads((data / "recording.json").read_text())
    assert (kept["episodes"], kept["solved"]) == (3, 3)
    line = ["evaluate", "--suite", suite, "--films", "1", "--workers", "0"]
    assert main([*line, "--policy", "expert", "--output", str(judged)]) == 0
    assert json.loads((judged / "results.json").read_text())["summary"]["success_rate"] == 1
    capsys.readouterr()


def test_that_there_is_no_expert_is_said_before_anything_runs(tmp_path, capsys):
    options = {key: value for key, value in OPTIONS.items() if key != "expert"}
    path = Path(write_suite(tmp_path / "walk.yaml"))
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "adapter": options, "tasks": [CORRIDOR]}))
    line = ["--suite", str(path), "--workers", "0"]
    assert main(["evaluate", "--policy", "expert", *line, "--output", str(tmp_path / "judged")]) == 1
    assert "there is no expert, the adapter names none" in capsys.readouterr().err
    assert main(["record", *line[:2], "--workers", "1", "--output", str(tmp_path / "data")]) == 1
    assert "has no policy 'expert'; choose another (random, play, hold, a checkpoint)" in capsys.readouterr().err
