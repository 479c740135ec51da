"""Every YAML of configs/ parses, builds and trains a step; presets have the size that their name says."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.data.recordings import record
from tests.decoders.test_codec import make_pretrained
from unified.judging.study.file import load_study
from unified.model.network.backbone import UViT
from unified.training.cli import main

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
OVERLAYS = ("policy_only", "driving_trajectory", "pretrained_codec")
RUNS = sorted(path for path in CONFIGS.glob("*.yaml") if path.stem not in OVERLAYS)
SIZES = sorted((CONFIGS / "sizes").glob("*.yaml"))
STUDIES = sorted((CONFIGS / "studies").glob("*.yaml"))
# A step of a network this small says as much about a config, and takes no time.
SMALL = ["--model.network.dim", "32", "--model.network.depth", "3", "--model.network.num_heads", "2"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Twelve frames of 64 x 64 pixels, thrice."""
    root = tmp_path_factory.mktemp("recordings") / "toy"
    brings = {"next.reward": 1, "next.success": 1}
    record(root, lengths=(30, 30, 30), size=(64, 64), columns=brings, provenance={"embodiment": "toy"})
    return str(root)


def run(arguments: list[str], folder: Path, recording: str) -> int:
    quick = ["--trainer.fast_dev_run", "true", "--trainer.accelerator", "cpu", "--data.batch_size", "4"]
    data = ["--data.sources", f"[{{root: {recording}}}]", "--run_dir", str(folder / "run")]
    return main(["fit", *arguments, *quick, *data])


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_every_config_trains_a_step(path: Path, tmp_path: Path, recording: str) -> None:
    small = SMALL if "network" in path.read_text() else []
    assert run(["-c", str(path), *small], tmp_path, recording) == 0
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_arm_of_every_study_trains_a_step(path: Path, tmp_path: Path, recording: str) -> None:
    for arm in {each.arm: each for each in load_study(str(path)).runs}.values():
        assert run([*arm.words()[1:], *SMALL], tmp_path, recording) == 0, arm.name


def test_the_policy_only_overlay_leaves_the_video_stream_out(tmp_path: Path, recording: str) -> None:
    overlay = ["-c", str(CONFIGS / "world_action.yaml"), "-c", str(CONFIGS / "policy_only.yaml")]
    assert run([*overlay, *SMALL], tmp_path, recording) == 0
    assert run([*overlay, *SMALL, "--print-config"], tmp_path, recording) == 0


def test_the_plans_overlay_is_laid_over_driving(tmp_path: Path, recording: str) -> None:
    overlay = ["-c", str(CONFIGS / "driving.yaml"), "-c", str(CONFIGS / "driving_trajectory.yaml")]
    assert run([*overlay, *SMALL], tmp_path, recording) == 0


def test_the_pretrained_codec_overlay_takes_any_autoencoder_of_its_kind(
    tmp_path: Path, recording: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pretrained("wan", tmp_path / "wan")
    overlay = ["-c", str(CONFIGS / "video_generation.yaml"), "-c", str(CONFIGS / "pretrained_codec.yaml")]
    codec = ["--model.network.decoders.video.init_args.codec", str(tmp_path / "wan")]
    assert run([*overlay, *SMALL, *codec, "--data.image_size", "64"], tmp_path, recording) == 0
    assert run([*overlay, "--print-config"], tmp_path, recording) == 0
    assert "image_size: 256" in capsys.readouterr().out


@pytest.mark.parametrize("path", [p for p in SIZES if p.stem in ("tiny", "small")], ids=lambda path: path.stem)
def test_a_size_is_laid_over_a_config(path: Path, tmp_path: Path, recording: str) -> None:
    assert run(["-c", str(CONFIGS / "world_action.yaml"), "-c", str(path)], tmp_path, recording) == 0


@pytest.mark.parametrize("path", SIZES, ids=lambda path: path.stem)
def test_a_size_has_the_parameters_it_claims(path: Path) -> None:
    network: dict[str, Any] = yaml.safe_load(path.read_text())["model"]["init_args"]["network"]
    claimed = re.search(r"About ([\d.]+)([MB])", path.read_text())
    assert claimed
    with torch.device("meta"):
        backbone = UViT(network["dim"], network["depth"], network["num_heads"])
    count = sum(parameter.numel() for parameter in backbone.parameters())
    assert count == pytest.approx(float(claimed[1]) * {"M": 1e6, "B": 1e9}[claimed[2]], rel=0.15)


@pytest.mark.parametrize("path", [*RUNS, *STUDIES], ids=lambda path: path.stem)
def test_every_config_says_how_it_is_run_and_what_to_expect(path: Path) -> None:
    header = re.split(r"(?m)^\w", path.read_text())[0]
    assert all(f"#   {word}" in header for word in ("command", "hardware", "duration", "expect"))
