"""An environment that meets the contract is taken; of another one, everything that it lacks is named in a line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from tests.rollout.conforming import Conforming
from unified.cli import main
from unified.errors import UserError
from unified.rollout.environments import CONTRACT, check_contract

ENV = "tests.rollout.conforming:Conforming-v0"


@pytest.mark.slow
def test_what_meets_the_contract_is_recorded_as_any_other(tmp_path):
    line = ["record", "--env", ENV, "--policy", "random", "--play-steps", "5", "--episodes", "1", "--workers", "1"]
    assert main([*line, "--cameras", "front", "--image-size", "16", "--output", str(tmp_path / "data")]) == 0
    assert json.loads((tmp_path / "data" / "recording.json").read_text())["frames"] == 5


@pytest.mark.parametrize("name", CONTRACT)
def test_what_is_missing_is_named(name):
    class Lacking(Conforming):
        def __getattribute__(self, asked):
            if asked == name:
                raise AttributeError(asked)
            return super().__getattribute__(asked)

    with pytest.raises(UserError, match=rf"^Lacking-v0 cannot be used as it is: it lacks {name}\. You can describe"):
        check_contract(Lacking(), "Lacking-v0")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task", " "),
        ("control_dt", 0),
        ("cameras", [1]),
        ("cameras", ["other"]),
        ("image_size", 5),
        ("action_space", spaces.Discrete(3)),
        ("action_space", spaces.Box(-np.inf, np.inf, (2,))),
        ("action_space", spaces.Box(-1, 1, (2, 2))),
        ("observation_space", spaces.Box(0, 255, (4, 4, 3), np.uint8)),
        ("render_frame", None),
        ("sim_state_size", -1),
    ],
)
def test_what_is_wrong_is_named_with_what_it_must_be(name, value):
    env = Conforming()
    setattr(env, name, value)
    named = "observation_space" if name in ("image_size", "cameras") and value != [1] else name
    what = re.escape(CONTRACT[named][0])
    with pytest.raises(UserError, match=rf"cannot be used as it is: .*{named} must be {what}") as error:
        check_contract(env, "Wrong-v0")
    assert "\n" not in str(error.value)


def test_an_environment_that_nobody_described_is_sent_to_the_page(tmp_path, capsys):
    assert main(["record", "--env", "CartPole-v1", "--workers", "1", "--output", str(tmp_path / "data")]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("unified: error: CartPole-v1 cannot be used as it is: it lacks render_frame, make_expert")
    assert "`adapter` in a suite (docs/environments.md)" in said
    assert main(["record", "--env", "CartPol-v1", "--workers", "1", "--output", str(tmp_path / "data")]) == 1
    assert "Did you mean 'CartPole-v1'" in capsys.readouterr().err


def test_the_page_lists_the_contract(repository: Path):
    page = (repository / "docs" / "environments.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page.split("## Write it")[1], re.MULTILINE))
    assert rows == {name: what for name, (what, _) in CONTRACT.items()}
