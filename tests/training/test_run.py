"""`unified fit` and its kin, on a real small data set, in this process."""

import json
import re
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.data.recordings import edit_table
from unified.model.model import UnifiedModel
from unified.training.checkpoints import list_checkpoints, read_checkpoint
from unified.training.cli import main

WriteConfig = Callable[..., Path]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, sources: list[dict[str, str]]) -> Path:
    """A run of eight steps with its config beside it."""
    from tests.training.conftest import CONFIG

    folder = tmp_path_factory.mktemp("finished")
    values = {**CONFIG, "data": {**CONFIG["data"], "sources": sources}}
    (folder / "run.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    assert main(["fit", "-c", str(folder / "run.yaml"), "--run_dir", str(folder / "run")]) == 0
    return folder


def fit(folder: Path, *arguments: str, verb: str = "fit", run: str = "run") -> int:
    return main([verb, "-c", str(folder / "run.yaml"), "--run_dir", str(folder / run), *arguments])


def test_a_run_leaves_everything_that_is_needed_to_understand_it(finished: Path) -> None:
    run = finished / "run"
    assert [path.name for path in list_checkpoints(run)] == ["step-00000004.ckpt", "step-00000008.ckpt"]
    assert yaml.safe_load((run / "config.yaml").read_text())["model"]["class_path"] == "tasks.WorldAction"
    assert "torch" in json.loads((run / "versions.json").read_text())
    assert (run / "command.txt").read_text().startswith("unified fit -c")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    keys = {key for line in lines for key in line}
    assert {"train/loss_plan", "train/loss_video", "train/grad_norm", "train/samples_per_second"} <= keys
    assert all(path.stat().st_mode & 0o044 for path in (run / "pretrained").iterdir()), "readable by others"
    assert {"val/loss", "val/psnr_world_model", "val/psnr_copy_last", "val/action_mse_policy", "lr/0_muon"} <= keys


def test_progress_is_plain_lines_where_output_is_no_terminal(
    write_config: WriteConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = {"max_steps": 3, "enable_progress_bar": True, "limit_val_batches": 0}
    assert main(["fit", "-c", str(write_config(trainer=trainer)), "--run_dir", str(tmp_path / "run")]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert lines[0].startswith("step 1 of 3, ")
    assert lines[0].endswith(" left")
    assert lines[-1].startswith("step 3 of 3, ")
    assert "100%" in lines[-1]


def test_the_stored_config_runs_again(finished: Path) -> None:
    config = str(finished / "run" / "config.yaml")
    assert main(["fit", "-c", config, "--trainer.fast_dev_run", "true", "--run_dir", str(finished / "again")]) == 0
    assert not (finished / "again").exists()


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_bfloat16_is_not_emulated(
    has_bfloat16: bool, finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": has_bfloat16})
    seen: list[str] = []
    fit_loop = pl.Trainer.fit
    monkeypatch.setattr(pl.Trainer, "fit", lambda self, *a, **k: (seen.append(self.precision), fit_loop(self, *a, **k)))
    options = ["--trainer.precision", "bf16-mixed", "--trainer.fast_dev_run", "true"]
    assert fit(finished, *options, run="precise") == 0
    assert seen == ["bf16-mixed" if has_bfloat16 else "32-true"]
    assert ("32-true instead of bf16-mixed" in capsys.readouterr().err) is not has_bfloat16


def test_films_play_in_tensorboard(finished: Path) -> None:
    events = EventAccumulator(str(finished / "run" / "tensorboard" / "run"), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()
    assert "film/world_model" in tags["images"]
    film = Image.open(BytesIO(events.Images("film/world_model")[-1].encoded_image_string))
    assert film.format == "WEBP"
    assert film.n_frames == 3  # pyright: ignore[reportAttributeAccessIssue]
    assert "train/loss_video" in tags["scalars"]
    assert "hp/val/loss" in tags["scalars"]
    assert any(tag.startswith("config") for tag in tags["tensors"])
    assert "custom_scalars__config__" in tags["tensors"]


def test_the_exported_model_holds_the_averaged_weights(finished: Path) -> None:
    checkpoint = read_checkpoint(list_checkpoints(finished / "run")[-1])
    model = UnifiedModel.from_pretrained(finished / "run" / "pretrained")
    state = model.state_dict()
    for name, tensor in checkpoint["state_dict"].items():
        assert torch.equal(tensor, state[name.removeprefix("model.")]), name
    trained = checkpoint["current_model_state"]
    assert any(not torch.equal(trained[name], tensor) for name, tensor in checkpoint["state_dict"].items())


def test_validate_judges_the_averaged_weights_of_a_checkpoint(finished: Path) -> None:
    assert fit(finished, "--ckpt_path", "last", verb="validate") == 0
    judged = json.loads((finished / "run" / "validate.json").read_text())
    trained = json.loads((finished / "run" / "fit.json").read_text())
    assert judged["val/loss"] == pytest.approx(trained["val/loss"], rel=1e-5)


def test_predict_writes_the_answers_of_every_query(finished: Path) -> None:
    assert fit(finished, "--ckpt_path", "last", verb="predict") == 0
    answers = load_file(finished / "run" / "predictions" / "batch-00000.safetensors")
    assert answers["policy.plan"].shape == (8, 4, 3)
    assert answers["joint.video"].shape == (8, 1, 3, 16, 16)


def test_the_command_line_wins_over_what_a_checkpoint_stores(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished / "run", finished / "changed")
    changes = ["--model.optimizer", "{class_path: Muon, init_args: {lr: 0.5}}", "--trainer.max_steps", "12"]
    assert fit(finished, "--ckpt_path", "last", *changes, run="changed") == 0
    assert "optimizer.init_args.lr: 0.02 in the checkpoint, 0.5 now" in capsys.readouterr().out
    checkpoint = read_checkpoint(list_checkpoints(finished / "changed")[-1])
    assert checkpoint["global_step"] == 12
    assert checkpoint["hyper_parameters"]["optimizer"]["init_args"]["lr"] == 0.5
    rates = [
        json.loads(line).get("lr/0_muon") for line in (finished / "changed/metrics.jsonl").read_text().splitlines()
    ]
    assert max(rate for rate in rates if rate is not None) > 0.05


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["--ckpt_path", "last", "--model.network.dim", "64"], 1, "network.dim: 32 there, 64 here"),
        (["--ckpt_path", "nowhere.ckpt"], 1, "There is no checkpoint nowhere.ckpt"),
        ([], 2, "already holds a run"),
    ],
)
def test_what_would_ruin_a_run_is_refused(
    finished: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, complaint: str
) -> None:
    assert fit(finished, *arguments) == status
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["fit", "validate", "test", "predict"])
def test_last_without_a_checkpoint_is_refused(
    write_config: WriteConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert main([verb, "-c", str(write_config()), "--run_dir", str(tmp_path / "new"), "--ckpt_path", "last"]) == 1
    assert "--ckpt_path last: no checkpoint in" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_random_weights_are_not_judged(write_config: WriteConfig, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "-c", str(write_config())]) == 2
    assert "needs a trained model" in capsys.readouterr().err


WRONG = [
    ({"data": {"batch_sizee": 3}}, "batch_sizee", "batch_size"),
    ({"trainer": {"max_step": 3}}, "max_step", "max_steps"),
    ({"modle": {"x": 3}}, "modle", "model"),
    ({"model": {"init_args": {"quries": {}}}}, "quries", "queries"),
    ({"model": {"init_args": {"queries": {"polcy": 1.0}}}}, "polcy", "policy"),
    ({"model": {"init_args": {"network": {"dept": 3}}}}, "dept", "depth"),
    ({"model": {"init_args": {"schedule": {"warmup_step": 3}}}}, "warmup_step", "warmup_steps"),
    ({"model": {"init_args": {"optimizer": "Moun"}}}, "Moun", "Muon"),
    ({"model": {"init_args": {"loss_weights": {"vido": 1.0}}}}, "vido", "video"),
    ({"model": {"class_path": "tasks.WorldActon"}}, "tasks.WorldActon", "WorldAction"),
    ({"checkpoints": {"every_n_step": 3}}, "every_n_step", "every_n_steps"),
    ({"data": {"sources": [{"rot": "x"}]}}, "rot", "root"),
    (
        {"model": {"init_args": {"network": {"decoders": {"video": {"init_args": {"patch_siz": 8}}}}}}},
        "patch_siz",
        "patch_size",
    ),
    (
        {"trainer": {"callbacks": [{"class_path": "ClosedLoopEvaluation", "init_args": {"sute": "x"}}]}},
        "sute",
        "suite",
    ),
]


@pytest.mark.parametrize(("change", "wrong", "right"), WRONG, ids=[wrong for _, wrong, _ in WRONG])
def test_a_misspelt_key_is_answered_with_the_right_one_and_the_file(
    write_config: WriteConfig, capsys: pytest.CaptureFixture[str], change: dict[str, Any], wrong: str, right: str
) -> None:
    path = write_config("misspelt", **change)
    key = re.compile(rf"\b{re.escape(wrong)}(:|$)")
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if key.search(text))
    assert main(["fit", "-c", str(path)]) in (1, 2)
    said = capsys.readouterr().err
    assert len(said.splitlines()) <= 5
    assert repr(wrong) in said
    assert f"Did you mean '{right}'" in said or f".{right}'" in said
    assert f"{path}:{line}: " in said


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--data.batch_siz", "3"], "Did you mean 'batch_size'"),
        (["--data.root", "x"], "it belongs into each block of data.sources: --data.sources '[{root: ...}]'"),
        (["--model.optimizer.lrr", "0.1"], "Did you mean 'lr'"),
        (["--data.batch_size", "many"], "batch_size"),
        (["--trainer.max_steps", "fast"], "trainer.max_steps': Expected int. Got value: fast"),
        (["--model.schedule.flat", "late"], "flat"),
        (["--model", "WorldActoin"], "Did you mean 'WorldAction'"),
        (["--model", "os.system"], "os.system"),
        (["--model", "subprocess.Popen"], "which subprocess.Popen is not"),
        (["--data.sources", "[{root: nowhere}]"], "nowhere"),
    ],
)
def test_a_wrong_option_is_answered_in_a_few_lines(
    write_config: WriteConfig, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(["fit", "-c", str(write_config()), *arguments]) in (1, 2)
    said = capsys.readouterr().err
    assert complaint in said
    assert len(said.splitlines()) <= 5


def test_print_model_counts_parameters_and_trains_nothing(
    write_config: WriteConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "-c", str(write_config()), "--print-model"]) == 0
    said = capsys.readouterr().out
    assert "WorldAction" in said
    assert "backbone" in said
    assert re.search(r"policy +\d\.\d+", said)
    assert not (tmp_path / "runs").exists()


def test_help_needs_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--help"]) == 0
    assert len(capsys.readouterr().out.splitlines()) < 40


def test_a_loss_that_is_not_finite_stops_before_the_update(
    write_config: WriteConfig,
    tmp_path: Path,
    sources: list[dict[str, str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tasks.base import GenerativeTask

    original = GenerativeTask.training_step

    def broken(self: GenerativeTask, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.global_step == 5:
            batch.at["observation.state"][3, 0, 0] = float("nan")
        return original(self, batch, batch_idx)

    monkeypatch.setattr(GenerativeTask, "training_step", broken)
    assert main(["fit", "-c", str(write_config()), "--run_dir", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert "Step 5: the loss is not finite (input at.observation.state is not finite in rows [3])" in said
    assert "step-00000004.ckpt" in said
    assert [path.name for path in list_checkpoints(tmp_path / "run")] == ["step-00000004.ckpt"]
    (stored,) = (tmp_path / "run" / "not_finite").iterdir()
    batch = load_file(stored)
    assert batch["at.observation.state"][3, 0, 0].isnan()
    assert batch["images"].shape[0] == 8
    state = read_checkpoint(list_checkpoints(tmp_path / "run")[0])["current_model_state"]
    assert all(torch.isfinite(tensor).all() for tensor in state.values() if tensor.is_floating_point())


def test_weights_that_an_update_makes_infinite_are_not_saved(
    write_config: WriteConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rate = ["--model.optimizer", "{class_path: AdamW, init_args: {lr: 1.0e+39}}", "--checkpoints.every_n_steps", "1"]
    assert main(["fit", "-c", str(write_config()), "--run_dir", str(tmp_path / "run"), *rate]) == 1
    assert "Step 0: the weights are not finite after the update" in capsys.readouterr().err
    assert not list_checkpoints(tmp_path / "run")
    assert not (tmp_path / "run" / "pretrained").exists()


def test_the_rate_of_the_default_optimizer_can_be_given_alone(write_config: WriteConfig, tmp_path: Path) -> None:
    run = ["--run_dir", str(tmp_path / "run"), "--model.optimizer.lr", "0.125", "--trainer.max_steps", "1"]
    assert main(["fit", "-c", str(write_config()), *run]) == 0
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["model"]["init_args"]["optimizer"]
    assert (kept["class_path"], kept["init_args"]["lr"]) == ("unified.training.optimizers.Muon", 0.125)


OUT_OF_RANGE = [
    ("model.optimizer.lr", ".inf", "optimizer.init_args.lr must be a finite number, got inf"),
    ("trainer.gradient_clip_val", ".nan", "trainer.gradient_clip_val must be a finite number, got nan"),
    ("ema.decay", ".nan", "ema.decay must be a finite number"),
    ("model.optimizer.lr", "0", "optimizer.lr must be above 0, got 0"),
    ("model.optimizer.weight_decay", "-1", "optimizer.weight_decay must be at least 0"),
    ("model.optimizer.momentum", "1", "optimizer.momentum must be at least 0 and below 1"),
    ("model.optimizer.betas", "[0.9, 2]", "optimizer.betas[1] must be at least 0 and below 1"),
    ("model.optimizer.newton_schulz_steps", "0", "optimizer.newton_schulz_steps must be at least 1"),
    ("model.schedule.flat", "2", "schedule.flat must be at least 0 and at most 1"),
    ("model.schedule.warmup_steps", "-1", "schedule.warmup_steps must be at least 0"),
    ("model.loss_weights", "{video: -1}", "loss_weights.video must be at least 0"),
    ("model.queries", "{policy: -1}", "queries.policy.share is a share of the rows"),
    ("model.shift_pixels", "-1", "shift_pixels must be at least 0"),
    ("model.seed", "-1", "seed must be at least 0"),
    ("model.network.text_dropout", "-1.0", "'text_dropout': expected float >= 0.0"),
    ("model.network.time_shifts", "{plan: 0.0}", "time_shifts[...]': expected float > 0.0"),
    ("model.network.num_registers", "-1", "'num_registers': expected int >= 0"),
    ("model.network.observation.patch_size", "-8", "observation.patch_size must be at least 1"),
    ("model.network.decoders.video.patch_size", "0", "patch_size must be at least 1"),
    ("model.network.text.num_buckets", "0", "text.num_buckets must be at least 1"),
    ("ema.decay", "1", "ema.decay must be at least 0 and below 1"),
    ("films.rows", "-1", "films.rows must be at least 1"),
    ("films.every_n_validations", "-1", "films.every_n_validations must be at least 0"),
    ("checkpoints.keep", "0", "checkpoints.keep must be at least 1, or -1 to keep all"),
    ("checkpoints.every_n_steps", "-1", "checkpoints.every_n_steps must be at least 0"),
    ("data.num_workers", "-1", "data.num_workers must be at least 0"),
    ("data.holdout", "1", "data.holdout must be at least 0 and below 1"),
]


@pytest.mark.parametrize(("key", "value", "complaint"), OUT_OF_RANGE, ids=[f"{k}={v}" for k, v, _ in OUT_OF_RANGE])
def test_a_number_out_of_range_is_refused_before_anything_is_built(
    write_config: WriteConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    value: str,
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    config = write_config(model={"init_args": {"optimizer": "Muon"}})
    assert main(["fit", "-c", str(config), f"--{key}={value}"]) in (1, 2)
    said = capsys.readouterr().err
    assert complaint in said
    assert len(said.splitlines()) == 1
    assert not list(tmp_path.glob("runs/*"))


def test_a_dataset_with_nan_is_refused_before_training(
    write_config: WriteConfig, tmp_path: Path, sources: list[dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(sources[0]["root"], bad)
    edit_table(bad, 1, "action", lambda rows: [[float("nan")] * 3, *rows[1:]])
    assert main(["fit", "-c", str(write_config()), "--data.sources", f"[{{root: {bad}}}]"]) == 1
    assert str(bad) in capsys.readouterr().err


def test_two_runs_of_a_config_get_folders_of_their_own(
    write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = str(write_config("twice", trainer={"max_steps": 1}))
    assert main(["fit", "-c", path]) == 0
    assert main(["fit", "-c", path]) == 0
    assert sorted(folder.name for folder in (tmp_path / "runs").iterdir()) == ["twice", "twice-2"]
    assert main(["fit", "-c", path, "--ckpt_path", "last", "--trainer.max_steps", "2"]) == 0
    assert [p.name for p in list_checkpoints(tmp_path / "runs/twice-2")][-1] == "step-00000002.ckpt"


def test_a_new_run_leaves_alone_what_its_name_holds_already(
    write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recording = tmp_path / "runs/twice/meta/info.json"
    recording.parent.mkdir(parents=True)
    recording.write_text("{}", encoding="utf-8")
    assert main(["fit", "-c", str(write_config("twice", trainer={"max_steps": 1}))]) == 0
    assert [path.name for path in (tmp_path / "runs/twice").iterdir()] == ["meta"]
    assert list_checkpoints(tmp_path / "runs/twice-2")
