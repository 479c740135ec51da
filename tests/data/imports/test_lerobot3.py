"""LeRobot v3 data sets that others wrote: `unified check` says what is wrong, `unified import` mends it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.recordings import edit_info, edit_table, join, record
from unified.cli import main
from unified.data.cache import Cache
from unified.data.imports.importing import check_dataset, import_dataset
from unified.data.source import Source, open_recording
from unified.errors import DataError, UserError


def pixels(root: Path) -> np.ndarray:
    """What training gets."""
    return np.array(Cache.open(open_recording(Source(str(root))), (16, 24)).images["front"])


def truth(episodes: list[dict[str, np.ndarray]], key: str = "observation.images.front") -> np.ndarray:
    return np.concatenate([episode[key] for episode in episodes])


def check(root: Path) -> dict[str, str]:
    return check_dataset(root).findings.lines()


def test_our_own_recordings_have_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path / "set", cameras=("front", "wrist"), has_expert=True)
    assert main(["check", str(tmp_path / "set")]) == 0
    assert "Nothing is wrong." in capsys.readouterr().out
    assert main(["check", str(tmp_path / "set"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 28


def test_a_fault_is_said_with_its_repair_and_exit_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path / "set")
    edit_info(tmp_path / "set", fps=20)
    assert main(["check", str(tmp_path / "set")]) == 1
    assert "--repair fps" in capsys.readouterr().out


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("pause", [0.0, 1.5])
def test_a_joined_film_is_cut_without_touching_pictures(tmp_path: Path, pause: float, bframes: int) -> None:
    """A pause between two episodes makes the film's average rate another one; the time of every frame is exact."""
    written = record(tmp_path / "set")
    join(tmp_path / "set", pause, bframes=bframes)
    np.testing.assert_array_equal(pixels(tmp_path / "set"), truth(written))
    assert check(tmp_path / "set") == {}
    imported = import_dataset(tmp_path / "set", tmp_path / "new")
    assert (imported.episodes, imported.frames, imported.repaired) == (3, 28, {})
    np.testing.assert_array_equal(pixels(tmp_path / "new"), truth(written))
    assert len(list((tmp_path / "new" / "videos").rglob("*.mp4"))) == 3


def times(change: Any) -> Any:
    return lambda root: [edit_table(root, episode, "timestamp", change) for episode in range(3)]


FAULTS = [
    ("timestamps", times(lambda t: [x + 1.7e9 for x in np.arange(len(t)) / 10]), {}),
    ("timestamps", times(lambda t: [1.015 * x for x in t]), {}),
    ("timestamps", times(lambda t: [x + 0.03 * (i % 2) for i, x in enumerate(t)]), {}),
    ("fps", lambda root: edit_info(root, fps=5), {}),
    ("extra-frames", lambda _: None, {"spare": 1}),
    ("film-rate", lambda _: None, {"late": 0.3}),
    ("frame-index", lambda root: edit_table(root, 1, "frame_index", lambda rows: [x + 3 for x in rows]), {}),
    ("episodes", lambda root: edit_info(root, total_frames=99), {}),
]


@pytest.mark.parametrize(("repair", "damage", "joining"), FAULTS)
def test_what_training_refuses_is_named_and_repaired(
    tmp_path: Path, repair: str, damage: Any, joining: dict[str, Any]
) -> None:
    root = tmp_path / "set"
    written = record(root, lengths=(7, 30, 9))
    damage(root)
    join(root, **joining)
    with pytest.raises(DataError):
        pixels(root)
    assert list(check(root)) == [repair]
    with pytest.raises(UserError, match=rf"--repair {repair}"):
        import_dataset(root, tmp_path / "new")
    imported = import_dataset(root, tmp_path / "new", frozenset({repair}))
    assert (imported.episodes, imported.rows_lost) == (3, 0)
    np.testing.assert_array_equal(pixels(tmp_path / "new"), truth(written))
    assert check(tmp_path / "new") == {}
