import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unified.errors import UserError
from unified.training.checkpoints import (
    AtomicCheckpointIO,
    check_same_architecture,
    differences,
    newest_checkpoint,
    read_checkpoint,
    step_path,
)


def save(path: Path, size: int = 4) -> dict[str, Any]:
    checkpoint = {"state_dict": {"w": torch.arange(float(size))}, "global_step": 3}
    AtomicCheckpointIO().save_checkpoint(checkpoint, path)
    return checkpoint


def test_a_saved_checkpoint_comes_back(tmp_path: Path) -> None:
    saved = save(tmp_path / "a.ckpt")
    assert torch.equal(read_checkpoint(tmp_path / "a.ckpt")["state_dict"]["w"], saved["state_dict"]["w"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


@pytest.mark.parametrize("kept", [0, 10, 900])
def test_a_truncated_checkpoint_is_named(tmp_path: Path, kept: int) -> None:
    save(tmp_path / "a.ckpt", 1000)
    (tmp_path / "a.ckpt").write_bytes((tmp_path / "a.ckpt").read_bytes()[:kept])
    with pytest.raises(UserError, match=r"a\.ckpt is (damaged|not a checkpoint)"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_no_flipped_bit_changes_what_is_read(tmp_path: Path) -> None:
    saved = save(tmp_path / "a.ckpt", 500)
    whole = (tmp_path / "a.ckpt").read_bytes()
    seen = 0
    for bit in np.random.default_rng(0).integers(8 * len(whole), size=200).tolist():
        spoilt = bytearray(whole)
        spoilt[bit // 8] ^= 1 << bit % 8
        (tmp_path / "a.ckpt").write_bytes(spoilt)
        try:
            read = read_checkpoint(tmp_path / "a.ckpt")
        except UserError:
            seen += 1
        else:
            assert torch.equal(read["state_dict"]["w"], saved["state_dict"]["w"])
            assert read["global_step"] == saved["global_step"]
    assert seen > 100


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("owned",)


@pytest.mark.parametrize("as_zip", [True, False])
def test_foreign_objects_are_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_zip: bool) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.ckpt"
    if as_zip:
        torch.save({"state_dict": Payload(), "global_step": 1}, path)
    else:
        path.write_bytes(pickle.dumps(Payload(), protocol=2))
    with pytest.raises(UserError, match=r"a\.ckpt"):
        read_checkpoint(path)
    assert not (tmp_path / "owned").exists()


def test_a_file_that_is_no_training_checkpoint_is_named(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(2)}, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match="not a training checkpoint"):
        read_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(UserError, match=r"no checkpoint .*b\.ckpt\. There are .*a\.ckpt"):
        read_checkpoint(tmp_path / "b.ckpt")


def test_the_newest_readable_checkpoint_is_the_last(tmp_path: Path) -> None:
    for step in (5, 20, 100):
        save(step_path(tmp_path, step))
    step_path(tmp_path, 100).write_bytes(b"PK half")
    assert newest_checkpoint(tmp_path) == step_path(tmp_path, 20)
    with pytest.raises(UserError, match="no checkpoint in"):
        newest_checkpoint(tmp_path / "elsewhere")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    save(tmp_path / "a.ckpt")
    before = (tmp_path / "a.ckpt").read_bytes()
    program = (
        "import torch, sys\n"
        "from unified.training.checkpoints import AtomicCheckpointIO\n"
        "from unified.errors import UserError\n"
        "try: AtomicCheckpointIO().save_checkpoint({'w': torch.zeros(10**6)}, sys.argv[1])\n"
        "except UserError as error: sys.exit(f'said: {error}')\n"
    )
    limit = 2_000_000

    def limited() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.ckpt")],
        preexec_fn=limited,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "said: " in done.stderr
    assert "a.ckpt" in done.stderr
    assert (tmp_path / "a.ckpt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


def test_what_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    save(tmp_path / "a.ckpt")
    spoilt = {
        "state_dict": {"w": torch.zeros(2)},
        "optimizer_states": [{"state": {0: {"m": torch.tensor([torch.inf])}}}],
    }
    with pytest.raises(UserError, match=r"a\.ckpt was not written: optimizer_states\.0\.state\.0\.m is not finite"):
        AtomicCheckpointIO().save_checkpoint(spoilt, tmp_path / "a.ckpt")
    assert read_checkpoint(tmp_path / "a.ckpt")["global_step"] == 3


def test_differences_are_listed_by_dotted_key() -> None:
    assert differences({"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"b": 3, "c": (1,)}, "e": 4}) == {
        "a.b": (1, 3),
        "d": (2, None),
        "e": (None, 4),
    }


def test_another_architecture_is_refused_and_other_options_are_told() -> None:
    network = {"dim": 64, "compile": False, "time_shifts": {"plan": 10.0}, "history_noise": 0.0}
    trained_otherwise = {"compile": True, "time_shifts": {"plan": 3.0, "video": 3.0}, "history_noise": 0.5}
    stored = {"network": network, "spec": {"image_size": [64, 64]}, "seed": 1}
    given = {"network": {"dim": 64, **trained_otherwise}, "spec": {"image_size": [64, 64]}, "seed": 2}
    assert check_same_architecture("x.ckpt", stored, given) == {"seed": (1, 2)}
    with pytest.raises(UserError, match=r"x\.ckpt is of another .*network\.dim: 64 there, 32 here"):
        check_same_architecture("x.ckpt", stored, {**given, "network": {"dim": 32}})
