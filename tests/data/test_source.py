import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.recordings import edit_info, record, rename_columns
from unified.data.source import Source, open_recording
from unified.data.table import read_numbers
from unified.errors import DataError, UserError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "reach"
    record(folder, cameras=("front", "wrist"), provenance={"embodiment": "toyarm", "is_demonstration": False})
    return folder


def test_metadata_say_sizes_rate_and_provenance(root: Path):
    recording = open_recording(Source(str(root)))
    assert (recording.sizes, recording.fps) == ({"action": 3, "observation.state": 2}, 10)
    assert list(recording.cameras) == ["front", "wrist"]
    assert (recording.embodiment, recording.is_demonstration) == ("toyarm", False)
    assert [episode.length for episode in recording.episodes()] == [7, 12, 9]


def test_a_source_overrides_what_was_recorded(root: Path):
    source = Source(str(root), embodiment="other", cameras=["wrist"], is_demonstration=True, episodes=[2, 0])
    recording = open_recording(source)
    assert (recording.embodiment, recording.is_demonstration) == ("other", True)
    assert list(recording.cameras) == ["wrist"]
    assert [episode.index for episode in recording.episodes()] == [0, 2]


def test_the_robot_type_names_the_body_where_nothing_better_is_known(tmp_path: Path):
    record(tmp_path / "set", robot="franka", lengths=(4,))
    assert open_recording(Source(str(tmp_path / "set"))).embodiment == "franka"


def test_an_unknown_camera_lists_the_nearest_one(root: Path):
    with pytest.raises(UserError, match=r"'wirst'.*Did you mean 'wrist'"):
        open_recording(Source(str(root), cameras=["wirst"]))


def test_unknown_episodes_are_refused(root: Path):
    with pytest.raises(UserError, match=r"no episodes \[7\]; it has 3, from 0 to 2"):
        open_recording(Source(str(root), episodes=[1, 7])).episodes()


def test_version_2_names_the_command_that_converts_it(tmp_path: Path):
    record(tmp_path / "old", lengths=(4,))
    edit_info(tmp_path / "old", codebase_version="v2.1")
    with pytest.raises(UserError, match=r"unified import .*old"):
        open_recording(Source(str(tmp_path / "old")))


def test_a_folder_that_is_not_there_is_not_looked_up_on_the_hub(tmp_path: Path):
    with pytest.raises(UserError, match=r"There is no data set folder .*/nothing"):
        open_recording(Source(str(tmp_path / "nothing")))


def test_a_hub_id_without_network_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"no folder nobody/nothing-at-all, and the Hub"):
        open_recording(Source("nobody/nothing-at-all"))


def test_a_hub_id_is_found_where_lerobot_keeps_it(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_LEROBOT_HOME", str(root.parent.parent))
    recording = open_recording(Source(f"{root.parent.name}/{root.name}"))
    assert recording.root == root


def test_a_folder_without_metadata_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"not a LeRobot data set: there is no meta/info.json"):
        open_recording(Source(str(tmp_path)))


def test_half_written_metadata_are_named(tmp_path: Path):
    record(tmp_path / "set", lengths=(4,))
    (tmp_path / "set" / "meta" / "info.json").write_text('{"fps": 10,')
    with pytest.raises(DataError, match=r"info.json cannot be read"):
        open_recording(Source(str(tmp_path / "set")))


def test_a_missing_film_is_named_with_its_episode(tmp_path: Path):
    record(tmp_path / "set", lengths=(4, 5))
    (film,) = (tmp_path / "set").rglob("file-001.mp4")
    film.unlink()
    with pytest.raises(DataError, match=r"file-001.mp4 is missing; episode 1 needs it"):
        open_recording(Source(str(tmp_path / "set"))).episodes()


def test_a_path_out_of_the_data_set_is_refused(tmp_path: Path):
    record(tmp_path / "set", lengths=(4,))
    edit_info(tmp_path / "set", data_path="../elsewhere/file-{file_index:03d}.parquet")
    with pytest.raises(DataError, match=r"leads outside the data set"):
        open_recording(Source(str(tmp_path / "set"))).episodes()


def test_a_data_set_without_actions_says_what_it_has(tmp_path: Path):
    record(tmp_path / "set", lengths=(4,))
    features = json.loads((tmp_path / "set" / "meta" / "info.json").read_text())["features"]
    edit_info(tmp_path / "set", features={name: value for name, value in features.items() if name != "action"})
    with pytest.raises(DataError, match=r"has no 'action'; it has: .*observation.state"):
        open_recording(Source(str(tmp_path / "set")))


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_a_weight_must_be_positive(weight: float):
    with pytest.raises(UserError, match=r"weight of somewhere must be a positive number"):
        Source("somewhere", weight=weight)


def test_names_of_the_data_set_are_mapped(tmp_path: Path):
    written = record(tmp_path / "set", lengths=(4, 5))
    rename_columns(tmp_path / "set", {"action": "actions", "observation.state": "state"})
    with pytest.raises(DataError, match=r"has no 'action'; it has: .*actions.*`rename: {ITS_NAME: action}`"):
        open_recording(Source(str(tmp_path / "set")))
    rename = {"actions": "action", "state": "observation.state", "observation.images.front": "observation.images.top"}
    recording = open_recording(Source(str(tmp_path / "set"), rename=rename))
    assert list(recording.cameras) == ["top"]
    numbers = read_numbers(recording, recording.episodes())
    np.testing.assert_array_equal(numbers.columns["action"], np.concatenate([episode["action"] for episode in written]))
    with pytest.raises(UserError, match=r"'actoins'.*Did you mean 'actions'"):
        open_recording(Source(str(tmp_path / "set"), rename={"actoins": "action"}))


def test_names_that_collide_are_refused(tmp_path: Path):
    record(tmp_path / "set", lengths=(4,), cameras=("front", "wrist"))
    with pytest.raises(UserError, match=r"'observation.images.front' and 'action' would both be called"):
        open_recording(Source(str(tmp_path / "set"), rename={"action": "observation.images.front"}))
    for other in ("observation.front", "front"):
        rename = {"observation.images.wrist": other}
        with pytest.raises(UserError, match=rf"'observation.images.front' and '{other}' would both be called 'front'"):
            open_recording(Source(str(tmp_path / "set"), rename=rename))


def test_depth_is_no_camera_but_where_it_is_asked_for_it_is_named(tmp_path: Path):
    record(tmp_path / "set", lengths=(4,), cameras=("front", "depth"))
    features = json.loads((tmp_path / "set" / "meta" / "info.json").read_text())["features"]
    features["observation.images.depth"]["info"]["is_depth_map"] = True
    edit_info(tmp_path / "set", features=features)
    assert list(open_recording(Source(str(tmp_path / "set"))).cameras) == ["front"]
    with pytest.raises(UserError, match=r"'depth' is declared as depth in meta/info.json.*leave them out, or store"):
        open_recording(Source(str(tmp_path / "set"), cameras=["depth"]))
