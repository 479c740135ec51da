"""Whether a dream deserves belief: what is familiar, what a film shows of its commands, limits, and the command."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.rollout.dreams.test_env import REACH, a_model
from unified.cli import main
from unified.errors import UserError
from unified.judging.watching import prediction_limit
from unified.model.model import UnifiedModel
from unified.model.spec import ACTION
from unified.model.stored.history import History
from unified.rollout.dreams.env import DreamEnv
from unified.rollout.dreams.watch import ERROR, STRANGENESS, DriftWatch, Familiar

NOWHERE = {ERROR: float("inf"), STRANGENESS: float("inf")}


@pytest.fixture(scope="module")
def model() -> UnifiedModel:
    return a_model()


def a_watch(model: UnifiedModel, **limits: float) -> DriftWatch:
    """Looks through the dreamer's own weights; grey noise is what it knows."""
    env = DreamEnv(model, env=REACH)
    features = []
    for seed in range(40):
        env.reset(seed=seed)
        features.append(DriftWatch(model, Familiar(torch.zeros(1), torch.eye(1)), {}).features(env.dream.present))
    env.close()
    return DriftWatch(model, Familiar.of(torch.cat(features)), {**NOWHERE, **limits})


def test_what_is_familiar_is_one_standard_deviation_away_and_other_things_are_farther() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 6, generator=generator)
    seen, more = (torch.randn(4000, 6, generator=generator) @ mixing + 3 for _ in range(2))
    familiar = Familiar.of(seen)
    assert familiar.distance(more).square().mean() == pytest.approx(1, rel=0.35)  # shrunk, so a little less
    assert familiar.distance(more + 10).min() > familiar.distance(more).mean()
    few = Familiar.of(seen[:3])  # fewer pictures than features
    assert few.distance(more).isfinite().all()


def test_noise_and_blur_are_strange(model: UnifiedModel) -> None:
    watch, env = a_watch(model), DreamEnv(model, env=REACH)
    env.reset(seed=77)
    picture = env.dream.present.images
    usual = float(watch.familiar.distance(watch.features(env.dream.present)))
    noise = torch.rand(picture.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    blur = torch.nn.functional.avg_pool2d(picture[0, 0], 3, 1, 1, count_include_pad=False)[None, None]
    for images in (noise, blur):
        moment = replace(env.dream.present, images=images)
        assert float(watch.familiar.distance(watch.features(moment))) > 3 * usual


def test_as_many_dreams_as_planned_cross_a_limit_also_where_few_set_it() -> None:
    rng = np.random.default_rng(0)
    crossed = [
        np.exp(rng.normal(size=1)) > prediction_limit(np.exp(rng.normal(size=(10, 1))), 0.1) for _ in range(4000)
    ]
    assert np.mean(crossed) == pytest.approx(0.1, abs=0.015)


def test_the_error_is_that_of_the_commands_that_the_film_shows(model: UnifiedModel) -> None:
    watch = a_watch(model)
    env = DreamEnv(model, env=REACH, watch=watch)
    env.reset(seed=0)
    before = env.dream.present
    actions = [env.action_space.sample() for _ in range(2)]
    _, info = [env.step(action)[4] for action in actions]
    both = torch.cat([before.images, env.dream.present.images], dim=1)
    batch = replace(before, images=both, at={name: column.expand(-1, 2, -1) for name, column in before.at.items()})
    noise = model.noise_of(ACTION, [(0, 0)])
    recovered = model.sample(batch, "inverse_by_sight", 0, noise={ACTION: noise})[ACTION][0].numpy()
    assert info["drift"][ERROR] == pytest.approx(np.square(recovered - np.stack(actions)).mean(), rel=1e-4)
    strangeness = watch.familiar.distance(watch.features(env.dream.present))
    assert info["drift"][STRANGENESS] == pytest.approx(float(strangeness), rel=1e-4)


@pytest.mark.parametrize("limit", [ERROR, STRANGENESS])
def test_a_dream_beyond_a_limit_ends_after_a_second(model: UnifiedModel, limit: str) -> None:
    env = DreamEnv(model, env=REACH, watch=a_watch(model, **{limit: 0.0}))
    env.reset(seed=0)
    steps = 0
    while not (outcome := env.step(env.action_space.sample()))[3]:
        steps += 1
        assert steps < 200
    assert 0.9 < (steps + 1) * env.control_dt < 1.1
    assert outcome[4]["is_over"]
    believed = DreamEnv(model, env=REACH, watch=a_watch(model))
    believed.reset(seed=0)
    assert not any(believed.step(believed.action_space.sample())[3] for _ in range(100))


def test_notes_belong_to_a_state(model: UnifiedModel) -> None:
    env = DreamEnv(model, env=REACH, watch=a_watch(model))
    env.reset(seed=0)
    actions = [env.action_space.sample() for _ in range(8)]
    for action in actions[:4]:
        env.step(action)
    state = env.get_sim_state()
    went = [env.step(action)[4]["drift"] for action in actions[4:]]
    env.set_sim_state(state)
    assert [env.step(action)[4]["drift"] for action in actions[4:]] == went


def test_it_is_kept_with_its_model(model: UnifiedModel, tmp_path: Path) -> None:
    watch = a_watch(model, action_error=1.5)
    watch.save(tmp_path / "watch")
    again = DriftWatch.load(tmp_path / "watch")
    assert again.limits == watch.limits
    env = DreamEnv(model, env=REACH)
    env.reset(seed=0)
    assert torch.equal(again.features(env.dream.present), watch.features(env.dream.present))
    (tmp_path / "watch" / "watch.json").write_text("{}")
    with pytest.raises(UserError, match="holds no drift watch"):
        DriftWatch.load(tmp_path / "watch")


def test_who_did_not_learn_to_see_commands_cannot_watch(model: UnifiedModel) -> None:
    other = a_model()
    other.history = History({"world_model": other.query("world_model")})
    with pytest.raises(UserError, match="'inverse_by_sight' was not trained"):
        DriftWatch(other, Familiar(torch.zeros(1), torch.eye(1)), {})


@pytest.mark.slow
def test_the_command_sets_limits_and_refuses_a_dreamer_that_watches_itself(
    model: UnifiedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = f"record --env {REACH} --policy play --episodes 4 --play-steps 120 --workers 1 --image-size 16"
    assert main([*record.split(), "--output", str(tmp_path / "play")]) == 0
    for name, seed in {"dreamer": 0, "watcher": 1}.items():
        a_model(seed=seed).save_pretrained(tmp_path / name)
    words = ["watch", "--data", str(tmp_path / "play"), "--seconds", "1.4", "--output", str(tmp_path / "watch")]
    words += ["--checkpoint", str(tmp_path / "dreamer")]
    assert main([*words, "--watcher", str(tmp_path / "dreamer")]) == 1
    assert "the dreamer and would share" in capsys.readouterr().err
    assert main([*words, "--watcher", str(tmp_path / "watcher")]) == 0
    found = json.loads((tmp_path / "watch" / "judged.json").read_text())
    assert {kind: row["dreams"] for kind, row in found["ended"].items()} == dict.fromkeys(
        ("good", "another's commands", "noise"), 2
    )
    assert found["limits"] == DriftWatch.load(tmp_path / "watch").limits
    assert main([*words, "--watcher", str(tmp_path / "watcher"), "--seconds", "9"]) == 1
    assert "held-out episodes of 9 s" in capsys.readouterr().err
