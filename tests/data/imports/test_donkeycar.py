"""`unified import` of a Donkeycar tub: commands and pictures arrive as they are, what is wrong is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.lerobot3.test_writer import load
from unified.cli import main
from unified.data.imports.donkeycar import import_tub, is_tub
from unified.data.lerobot3.mp4 import read_mp4
from unified.errors import UserError

SIZE = (24, 16)


def picture(index: int) -> Image.Image:
    ramp = np.linspace(0, 200, SIZE[0]).astype(np.uint8)
    pixels = np.stack([np.tile(ramp, (SIZE[1], 1)), np.full(SIZE[::-1], index % 250, np.uint8), np.tile(ramp, (16, 1))])
    return Image.fromarray(np.moveaxis(pixels, 0, 2))


def row(index: int, **changes: Any) -> dict[str, Any]:
    record = {"_index": index, "_session_id": "a", "_timestamp_ms": 1_000_000 + 50 * index}
    record |= {"cam/image_array": f"{index}.jpg", "user/angle": index / 100 - 0.5, "user/throttle": index / 200}
    return record | {"user/mode": "user"} | changes


def write_tub(folder: Path, records: list[dict[str, Any]]) -> Path:
    (folder / "images").mkdir(parents=True)
    for record in records:
        picture(record["_index"]).save(folder / "images" / record["cam/image_array"], quality=95)
    (folder / "catalog.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def test_a_drive_is_cut_into_equal_episodes_and_ends_where_rows_are_missing(tmp_path):
    records = [row(index) for index in [*range(40), *range(45, 55)]]
    tub = write_tub(tmp_path / "tub", records)
    assert is_tub(tub)
    imported = import_tub(tub, tmp_path / "out", task="drive on", episode_seconds=1.0)
    assert (imported.episodes, imported.frames) == (3, 50)
    data = load(tmp_path / "out")
    assert data.meta.fps == 20
    assert [int(length) for length in data.meta.episodes["length"]] == [20, 20, 10]
    action = np.stack([np.asarray(data[place]["action"]) for place in range(50)])
    assert action == pytest.approx(np.array([[r["user/angle"], r["user/throttle"]] for r in records]), abs=1e-6)
    state = np.array([float(data[place]["observation.state"]) for place in range(50)])
    assert state[[1, 20, 39, 41]] == pytest.approx(action[[0, 19, 38, 40], 1], abs=1e-6)
    assert state[[0, 40]] == pytest.approx(action[[0, 40], 1], abs=1e-6), "nothing is known before a drive begins"
    assert data[0]["task"] == "drive on"


def test_pictures_arrive_to_the_bit(tmp_path):
    tub = write_tub(tmp_path / "tub", [row(index) for index in range(10)])
    import_tub(tub, tmp_path / "out")
    film = next((tmp_path / "out" / "videos").rglob("*.mp4"))
    for index, (_, frame) in enumerate(read_mp4(film)):
        assert np.array_equal(frame, np.asarray(Image.open(tub / "images" / f"{index}.jpg")))


def test_uneven_times_are_repaired_only_when_told_to(tmp_path, capsys):
    records = [row(index, _timestamp_ms=1_000_000 + 50 * index + 12 * (index % 2)) for index in range(12)]
    tub, output = write_tub(tmp_path / "tub", records), tmp_path / "out"
    assert main(["import", str(tub), "--output", str(output)]) == 1
    assert "steps by 38 to 62 ms" in capsys.readouterr().err
    assert not output.exists()
    assert main(["import", str(tub), "--output", str(output), "--repair", "timestamps"]) == 0
    assert json.loads((output / "import.json").read_text())["repaired"].keys() == {"timestamps"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"user/angle": 1.5}, "line 4: user/angle must be between -1 and 1, got 1.5"),
        ({"user/throttle": float("nan")}, "line 4: user/throttle must be between -1 and 1, got nan"),
        ({"user/angle": None}, "line 4: no usable"),
        ({"cam/image_array": "gone.jpg"}, "gone.jpg cannot be read"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_written(tmp_path, changes, message):
    tub = write_tub(tmp_path / "tub", [row(index) for index in range(8)])
    lines = (tub / "catalog.jsonl").read_text().splitlines()
    lines[3] = json.dumps(row(3, **changes))
    (tub / "catalog.jsonl").write_text("\n".join(lines))
    with pytest.raises(UserError, match=message):
        import_tub(tub, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_options_of_the_other_layout_are_refused(tmp_path, capsys):
    tub = write_tub(tmp_path / "tub", [row(index) for index in range(8)])
    assert main(["import", str(tub), "--output", str(tmp_path / "out"), "--cameras", "front"]) == 1
    assert "--cameras means nothing for a Donkeycar tub" in capsys.readouterr().err
