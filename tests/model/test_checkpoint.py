"""Checkpoint folders: what is loaded is what was saved, and damage never passes for a model."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
import yaml

from tests.worlds import random_batch, small_config, small_spec
from unified.errors import UserError
from unified.model.model import UnifiedModel
from unified.model.queries import QUERIES
from unified.model.stored import checkpoint

STATS = {
    "arm": {
        "action": {"mean": [1.0, 2.0, 3.0, 4.0], "std": [2.0] * 4},
        "observation.state": {"mean": [0.5] * 3, "std": [3.0] * 3},
    }
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = UnifiedModel(small_config(), small_spec())
    model.set_stats(STATS)
    return model.save_pretrained(tmp_path / "model")


def test_loaded_model_answers_like_the_saved_one(folder: Path) -> None:
    torch.manual_seed(0)
    model = UnifiedModel(small_config(), small_spec()).eval()
    model.set_stats(STATS)
    loaded = UnifiedModel.from_pretrained(folder)
    batch = random_batch(model.spec)
    for query in QUERIES:
        one, two = (m.sample(batch, query, generator=torch.Generator().manual_seed(0)) for m in (model, loaded))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)
    assert loaded.spec == model.spec
    assert {path.name for path in folder.iterdir()} == {
        checkpoint.WEIGHTS,
        checkpoint.STATS,
        checkpoint.CONFIG,
        checkpoint.HISTORY,
        checkpoint.CARD,
        checkpoint.MANIFEST,
    }


def test_saving_again_replaces_the_folder(folder: Path) -> None:
    model = UnifiedModel.from_pretrained(folder)
    torch.nn.init.ones_(model.no_text)
    model.save_pretrained(folder)
    assert (UnifiedModel.from_pretrained(folder).no_text == 1).all()
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_weights_that_are_not_finite_are_no_model(folder: Path) -> None:
    model = UnifiedModel.from_pretrained(folder)
    torch.nn.init.constant_(model.no_text, torch.nan)
    model.save_pretrained(folder)
    with pytest.raises(UserError, match="no_text is not finite"):
        UnifiedModel.from_pretrained(folder)


@pytest.mark.parametrize("name", [checkpoint.WEIGHTS, checkpoint.STATS, checkpoint.CONFIG, checkpoint.HISTORY])
def test_one_flipped_bit_is_refused(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(UserError, match=f"{name} (is|cannot be read, it is) damaged"):
        UnifiedModel.from_pretrained(folder)


@pytest.mark.parametrize("name", [checkpoint.WEIGHTS, checkpoint.MANIFEST])
def test_missing_and_truncated_files_are_named(folder: Path, name: str) -> None:
    os.truncate(folder / name, 20)
    with pytest.raises(UserError, match=f"{name} (is|cannot be read, it is) damaged"):
        UnifiedModel.from_pretrained(folder)
    (folder / name).unlink()
    with pytest.raises(UserError, match=name):
        UnifiedModel.from_pretrained(folder)


def test_another_architecture_is_refused_with_the_first_differences(folder: Path) -> None:
    config = yaml.safe_load((folder / checkpoint.CONFIG).read_text())
    config["model"]["depth"] = 5
    rewrite(folder, config)
    with pytest.raises(UserError, match=r"weights do not fit the config: backbone\.in_blocks\.1.* is missing"):
        UnifiedModel.from_pretrained(folder)


def test_a_config_cannot_make_us_import_anything(folder: Path) -> None:
    config = yaml.safe_load((folder / checkpoint.CONFIG).read_text())
    config["model"]["text"] = {"class_path": "subprocess.Popen", "init_args": {"args": "true"}}
    rewrite(folder, config)
    with pytest.raises(UserError, match="outside the trusted packages"):
        UnifiedModel.from_pretrained(folder)


def rewrite(folder: Path, config: dict[str, object]) -> None:
    """Change the config as somebody would who also mends the manifest."""
    path = folder / checkpoint.CONFIG
    path.write_text(yaml.safe_dump(config))
    manifest = json.loads((folder / checkpoint.MANIFEST).read_text())
    manifest[checkpoint.CONFIG] = checkpoint._sha256(path)
    (folder / checkpoint.MANIFEST).write_text(json.dumps(manifest))


def test_a_pickled_payload_is_refused_and_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "evil.ckpt"
    path.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(UserError, match=r"evil\.ckpt is no checkpoint of ours"):
        checkpoint.load_weights(path)
    torch.save(Payload(), path)
    with pytest.raises(UserError, match=r"evil\.ckpt is no checkpoint of ours"):
        checkpoint.load_weights(path)
    assert not (tmp_path / "ran").exists()


def test_no_folder_says_where_training_writes_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pretrained"):
        UnifiedModel.from_pretrained(tmp_path / "nothing")
