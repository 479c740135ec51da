"""The plugin for LeRobot: the same model, windows, answers and episodes on both sides."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.recordings import record
from tests.worlds import mixed_spec, small_config, small_model, small_spec
from unified.data.heldout import open_dataset
from unified.data.stats import embodiment_stats
from unified.errors import UserError
from unified.model.model import UnifiedModel
from unified.model.spec import DataSpec, Embodiment
from unified.rollout.episodes import Decision, Episode
from unified.rollout.policies import ModelPolicy, load_model
from unified.rollout.rollout import run_episodes

pytest.importorskip("lerobot_policy_unified", reason="the plugin is not installed: uv pip install -e plugins/lerobot")
pytestmark = pytest.mark.slow  # importing LeRobot alone takes ten seconds

ENV, SEED, STEPS = "sims:MetaWorld-drawer-open-v3", 10_000, 10
# Appended to a line of the page, where the last value of an option wins.
LESS = {
    "unified": ["--episodes", "2"],
    "lerobot-train": ["--steps=2", "--batch_size=2", "--policy.network={dim: 32, depth: 3, num_heads: 1}"],
    "lerobot-eval": ["--eval.n_episodes=2", "--eval.batch_size=2", f"--env.max_env_steps={STEPS}"],
}


@pytest.mark.parametrize(("spec", "body"), [(small_spec(), None), (mixed_spec(), "arm"), (mixed_spec(), "car")])
def test_a_checkpoint_of_ours_answers_the_same_as_a_policy_of_lerobot_and_back(
    tmp_path: Path, spec: DataSpec, body: str | None
) -> None:
    from lerobot_policy_unified.__main__ import export
    from lerobot_policy_unified.modeling_unified import EPISODE_KEY, UnifiedPolicy

    model = small_model(spec=spec)
    policy = UnifiedPolicy.from_pretrained(export(model, tmp_path / "lerobot", body))
    back = UnifiedModel.from_pretrained(tmp_path / "lerobot")
    assert back.history == model.history
    assert all(torch.equal(value, back.state_dict()[name]) for name, value in model.state_dict().items())

    moved = spec.embodiments[spec.index(body or "arm")]
    decisions = [_decision(moved, row) for row in range(3)]
    wanted = ModelPolicy(model, moved.name).answer(decisions, [(70_000 + row, 0) for row in range(3)])["plan"]
    observations = _observations(decisions) | {EPISODE_KEY: torch.tensor([[1, 4464 + row] for row in range(3)])}
    given = policy.predict_action_chunk(observations)
    torch.testing.assert_close(given, wanted[..., : moved.action_dim], rtol=0, atol=1e-5)
    policy.reset()
    chunk = torch.stack([policy.select_action(observations) for _ in range(4)], dim=1)
    torch.testing.assert_close(chunk, given[:, :4], rtol=0, atol=1e-5)


def test_windows_and_statistics_are_those_of_unified(tmp_path: Path) -> None:
    """Also where windows reach past the end of an episode; LeRobot tells a window no instruction but its first."""
    from lerobot.datasets.factory import resolve_delta_timestamps
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    from lerobot_policy_unified.configuration_unified import UnifiedConfig
    from lerobot_policy_unified.modeling_unified import UnifiedPolicy
    from lerobot_policy_unified.windows import to_windows

    record(tmp_path / "set", lengths=(9, 12), cameras=("front", "rear"), size=(32, 48), rests=False)
    spec = small_spec(embodiments=(Embodiment("toy", 3, 2, ("front", "rear"), 0.1),), cameras=("front", "rear"))
    network = small_config().to_dict()
    config = UnifiedConfig.of(spec, "toy", frame_stride=spec.frame_stride, device="cpu", network=network)
    plain = LeRobotDataset("local/set", root=tmp_path / "set", video_backend="pyav")
    timestamps = resolve_delta_timestamps(config, plain.meta)
    theirs = LeRobotDataset("local/set", root=tmp_path / "set", video_backend="pyav", delta_timestamps=timestamps)
    rows = [0, 3, 7, 9, 20]
    given = to_windows(torch.utils.data.default_collate([theirs[row] for row in rows]), spec)
    ours = open_dataset(str(tmp_path / "set"), spec, small_model(spec=spec).history, every=True).windows
    wanted = ours.fetch((np.zeros(len(rows), np.int64), np.array(rows)))
    assert given.task == wanted.task
    for name in ("images", "moment_is_pad", "ahead_is_pad", "embodiment"):
        torch.testing.assert_close(getattr(given, name), getattr(wanted, name))
    for given_columns, wanted_columns in ((given.at, wanted.at), (given.between, wanted.between)):
        assert all(torch.equal(values, wanted_columns[name]) for name, values in given_columns.items())
    assert torch.equal(given.ahead["action"], wanted.ahead["action"])
    assert bool(given.moment_is_pad.any())  # pyright: ignore[reportOptionalMemberAccess]

    cache, model = ours.sources[0].cache, small_model(spec=spec)
    model.set_stats(embodiment_stats([("toy", cache.columns, np.arange(21))]))
    made = UnifiedPolicy(config, plain.meta.stats, plain.meta).model.state_dict()
    normalizers = {name: value for name, value in model.state_dict().items() if "normalizer" in name}
    assert normalizers
    for name, value in normalizers.items():
        torch.testing.assert_close(made[name], value, rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    from lerobot.configs import PreTrainedConfig

    from lerobot_policy_unified.__main__ import export
    from lerobot_policy_unified.modeling_unified import UnifiedPolicy

    with pytest.raises(UserError, match="moves arm, car; say which"):
        export(small_model(spec=mixed_spec()), tmp_path / "none")
    folder = export(small_model(), tmp_path / "lerobot")
    config: Any = PreTrainedConfig.from_pretrained(folder)
    config.action_horizon = 16
    with pytest.raises(UserError, match=r"policy.action_horizon is 16, but this checkpoint was built with 4"):
        UnifiedPolicy.from_pretrained(folder, config=config)
    config.input_features.pop("observation.state")
    with pytest.raises(UserError, match="needs observation.images.<camera>, observation.state and action"):
        config.validate_features()
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(UserError, match="damaged or was changed"):
        UnifiedPolicy.from_pretrained(folder)


def test_the_page_of_commands_trains_judges_and_exports(tmp_path: Path, repository: Path) -> None:
    """Unmodified programs of LeRobot find the plugin; its episodes end as ours do."""
    small_model(small_config()).save_pretrained(tmp_path / "runs/tiny/pretrained")
    page = (repository / "docs/lerobot.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    assert [line.split()[0] for line in lines] == ["unified", "lerobot-train", "lerobot-eval", "unified", "python"]
    for line in lines:
        program, *options = shlex.split(line)
        command = [str(Path(sys.executable).with_name(program)), *options, *LESS.get(program, [])]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"}, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stderr[-3000:]}"

    trained = load_model(tmp_path / "runs/lerobot/checkpoints/last/pretrained_model")
    assert set(trained.history.queries or {}) >= {"policy", "world_model", "inverse_dynamics"}
    episodes = [Episode(ENV, SEED + number) for number in range(2)]
    ours = run_episodes(episodes, ModelPolicy(trained, "metaworld"), num_workers=0, max_env_steps=STEPS)
    theirs = json.loads((tmp_path / "runs/lerobot-eval/eval_info.json").read_text())["per_task"][0]["metrics"]
    assert theirs["sum_rewards"] == pytest.approx([result.env_return for result in ours], rel=1e-5)
    assert theirs["successes"] == [result.success for result in ours]
    assert (tmp_path / "runs/tiny-lerobot/config.json").is_file()


def _decision(body: Embodiment, row: int) -> Decision:
    rng = np.random.default_rng(row)
    pixels = {camera: rng.integers(0, 256, (1, 16, 16, 3), np.uint8) for camera in body.cameras}
    proprio = rng.normal(size=(1, body.proprio_dim)).astype(np.float32)
    executed = np.zeros((0, 1, body.action_dim), np.float32)
    observation = {"pixels": pixels, "agent_pos": proprio}
    return Decision(row, 0, observation, executed, f"task {row}", body.name, body.action_dim)


def _observations(decisions: list[Decision]) -> dict[str, Any]:
    """As LeRobot's evaluation shows them."""
    pictures = {
        f"observation.images.{camera}": torch.from_numpy(
            np.concatenate([decision.observation["pixels"][camera] for decision in decisions])
        ).movedim(-1, 1)
        / 255
        for camera in decisions[0].observation["pixels"]
    }
    proprio = np.concatenate([decision.observation["agent_pos"] for decision in decisions])
    tasks = [decision.task for decision in decisions]
    return {**pictures, "observation.state": torch.from_numpy(proprio), "task": tasks}
