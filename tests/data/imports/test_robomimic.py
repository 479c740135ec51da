"""`unified import` of a robomimic file: numbers and pictures arrive as they are, what is wrong is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unified.cli import main
from unified.data.imports.importing import import_dataset
from unified.data.lerobot3.mp4 import read_mp4
from unified.errors import UserError

h5py = pytest.importorskip("h5py")
LENGTHS = (7, 5, 6)
ENV_ARGS = {"env_name": "Lift", "type": 1, "env_kwargs": {"robots": ["Panda"], "control_freq": 20}}
TASK: dict[str, Any] = {"task": "lift the cube"}


def demo(number: int) -> dict[str, Any]:
    length, rng = LENGTHS[number], np.random.default_rng(number)
    arrays: dict[str, Any] = {
        "actions": rng.uniform(-1, 1, (length, 7)),
        "states": rng.normal(size=(length, 32)),
        "rewards": np.zeros(length),
        "dones": np.zeros(length, np.int64),
        "obs/agentview_image": rng.integers(0, 256, (length, 16, 24, 3)).astype(np.uint8),
        "obs/object": rng.normal(size=(length, 10)),
        "obs/robot0_eef_pos": rng.normal(size=(length, 3)),
        "obs/robot0_eef_quat": rng.normal(size=(length, 4)),
        "obs/robot0_gripper_qpos": rng.normal(size=(length, 2)),
        "obs/robot0_joint_pos": rng.normal(size=(length, 7)),
    }
    return arrays | {f"next_{key}": value for key, value in arrays.items() if key.startswith("obs/")}


def write(path: Path, change: Any = None, mask: bool = True) -> Path:
    """A file in robomimic's layout; `change(demos, file)` makes it lie."""
    demos = {number: demo(number) for number in range(len(LENGTHS))}
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"], data.attrs["total"] = json.dumps(ENV_ARGS), sum(LENGTHS)
        if mask:
            file["mask/train"] = np.array([b"demo_0", b"demo_2"])
            file["mask/valid"] = np.array([b"demo_1"])
        if change is not None:
            change(demos, file)
        for number, arrays in demos.items():
            group = data.create_group(f"demo_{number}")
            group.attrs["num_samples"] = arrays.pop("num_samples", LENGTHS[number])
            for key, value in arrays.items():
                group[key] = value
    return path


def column(root: Path, key: str) -> np.ndarray:
    """A column of all episodes."""
    tables = [pq.read_table(path, columns=[key]) for path in sorted((root / "data").rglob("*.parquet"))]
    return np.array(pa.concat_tables(tables)[key].to_pylist())


def rate(root: Path) -> int:
    return json.loads((root / "meta/info.json").read_text())["fps"]


def test_numbers_and_pictures_arrive_as_they_are(tmp_path):
    source = write(tmp_path / "image.hdf5")
    imported = import_dataset(source, tmp_path / "out", **TASK)
    assert (imported.episodes, imported.frames, imported.rows_lost) == (3, sum(LENGTHS), 0)
    out, demos = tmp_path / "out", [demo(number) for number in range(3)]
    assert rate(out) == 20
    assert "lift the cube" in str(pq.read_table(out / "meta/tasks.parquet").to_pylist())
    assert json.loads((out / "meta/unified.json").read_text())["embodiment"] == "panda"
    assert np.allclose(column(out, "action"), np.concatenate([arrays["actions"] for arrays in demos]), atol=1e-6)
    keys = [f"obs/robot0_{key}" for key in ("eef_pos", "eef_quat", "gripper_qpos")]
    states = [np.concatenate([arrays[key] for key in keys], axis=1) for arrays in demos]
    assert np.allclose(column(out, "observation.state"), np.concatenate(states), atol=1e-6)
    films = sorted((tmp_path / "out" / "videos").rglob("*.mp4"))
    shown = np.concatenate([[frame for _, frame in read_mp4(film)] for film in films])
    assert np.array_equal(shown, np.concatenate([demo(number)["obs/agentview_image"] for number in range(3)]))
    assert any("object, robot0_joint_pos are not taken" in note for note in imported.notes)


def test_what_is_wanted_of_a_file_can_be_said(tmp_path):
    source, out = write(tmp_path / "image.hdf5"), tmp_path / "out"
    wanted = {"proprio": ["object"], "cameras": ["agentview"], "filter_key": "train", "skip_episodes": [2], "fps": 10.0}
    imported = import_dataset(source, out, **TASK, **wanted)
    assert (imported.episodes, imported.frames) == (1, LENGTHS[0])
    assert rate(out) == 10
    assert np.allclose(column(out, "observation.state"), demo(0)["obs/object"], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda demos, _: demos[1].pop("obs/robot0_eef_pos"), r"obs/robot0_eef_pos missing \(episode 1\)"),
        (lambda demos, _: demos[2].pop("obs/agentview_image"), r"obs/agentview_image missing \(episode 2\)"),
        (lambda demos, _: demos[1].update({"actions": np.full((5, 7), np.nan)}), r"action is not finite \(episode 1\)"),
        (lambda demos, _: demos[0].update({"obs/robot0_eef_pos": np.full((7, 3), np.inf)}), "state is not finite"),
        (lambda demos, _: demos[1].update({"actions": np.zeros((4, 7))}), "lengths differ or are 0: actions 4, obs/"),
        (lambda demos, _: demos[2].update({"actions": np.zeros((6, 6))}), "action has 6 numbers, the first one 7"),
        (
            lambda demos, _: demos[1].update({"obs/agentview_image": np.zeros((5, 3, 16, 24), np.uint8)}),
            r"images.agentview is uint8 \(3, 16, 24\), must be uint8 \(height, width, 3\)",
        ),
        (lambda _, file: file["data"].attrs.pop("env_args"), "got None as control_freq; give --fps"),
    ],
)
def test_what_cannot_be_repaired_is_named_with_its_episode(tmp_path, change, message):
    source = write(tmp_path / "image.hdf5", change)
    with pytest.raises(UserError, match=message):
        import_dataset(source, tmp_path / "out", **TASK)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "repair", "options", "message"),
    [
        (lambda demos, _: demos[1]["actions"].__setitem__((2, 3), 1.5), "action-range", {}, "demo_1 reaches 1.5"),
        (lambda demos, _: demos[1].update({"num_samples": 9}), "length", {}, "5 steps, num_samples says 9"),
        (
            lambda _, file: file.__setitem__("mask/odd", np.array([b"demo_0", b"demo_7"])),
            "episodes",
            {"filter_key": "odd"},
            "mask/odd lists demo_7, which data does not hold",
        ),
    ],
)
def test_what_can_be_repaired_is_repaired_when_told_to(tmp_path, change, repair, options, message):
    source = write(tmp_path / "image.hdf5", change)
    with pytest.raises(UserError, match=message):
        import_dataset(source, tmp_path / "out", **TASK, **options)
    imported = import_dataset(source, tmp_path / "out", frozenset({repair}), **TASK, **options)
    assert imported.repaired.keys() == {repair}
    assert np.abs(column(tmp_path / "out", "action")).max() <= 1


def test_a_file_without_mask_is_taken_whole_and_says_so(tmp_path):
    source = write(tmp_path / "image.hdf5", mask=False)
    assert "there is no mask" in " ".join(import_dataset(source, tmp_path / "out", **TASK).notes)
    with pytest.raises(UserError, match="--filter-key: there is no mask"):
        import_dataset(source, tmp_path / "other", **TASK, filter_key="train")


def test_mistakes_on_the_command_line_are_one_line(tmp_path, capsys):
    source = write(tmp_path / "image.hdf5")
    for options, message in {
        (): "hold no instruction; say what is done, such as --task",
        ("--task", "lift", "--filter-key", "trian"): "Did you mean 'train'",
        ("--task", "lift", "--cameras", "agentveiw"): "Did you mean 'agentview'",
        ("--task", "lift", "--proprio", "robot0_eef_poss"): "Did you mean 'robot0_eef_pos'",
        ("--task", "lift", "--action-key", "actions_abs"): "has no 'actions_abs'; it holds actions",
        ("--task", "lift", "--skip-episodes", "8"): "names 8",
        ("--task", "lift", "--episode-seconds", "3"): "means nothing for a robomimic HDF5 file",
    }.items():
        assert main(["import", str(source), "--output", str(tmp_path / "out"), *options]) == 1
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert message in said, said


def test_a_file_that_is_cut_or_holds_something_else_is_refused(tmp_path):
    whole = write(tmp_path / "image.hdf5").read_bytes()
    (tmp_path / "cut.hdf5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cut.hdf5 cannot be read, it is damaged or half-written"):
        import_dataset(tmp_path / "cut.hdf5", tmp_path / "out", **TASK)
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["results"] = [1, 2]
    with pytest.raises(UserError, match="not as robomimic writes it: there is no group 'data'"):
        import_dataset(tmp_path / "other.hdf5", tmp_path / "out", **TASK)
