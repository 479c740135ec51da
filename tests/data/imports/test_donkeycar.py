"""`unified import` of a Donkeycar tub: commands and pictures arrive as they are, what is wrong is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.lerobot3.test_writer import load
from tests.data.recordings import png
from unified.cli import main
from unified.data.imports.donkeycar import is_tub
from unified.data.imports.importing import import_dataset
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
    imported = import_dataset(tub, tmp_path / "out", task="drive on", episode_seconds=1.0)
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
    import_dataset(tub, tmp_path / "out")
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
        ({"cam/image_array": "gone.jpg"}, "gone.jpg: the picture cannot be read"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_written(tmp_path, changes, message):
    tub = write_tub(tmp_path / "tub", [row(index) for index in range(8)])
    lines = (tub / "catalog.jsonl").read_text().splitlines()
    lines[3] = json.dumps(row(3, **changes))
    (tub / "catalog.jsonl").write_text("\n".join(lines))
    with pytest.raises(UserError, match=message):
        import_dataset(tub, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_options_of_the_other_layout_are_refused(tmp_path, capsys):
    tub = write_tub(tmp_path / "tub", [row(index) for index in range(8)])
    assert main(["import", str(tub), "--output", str(tmp_path / "out"), "--cameras", "front"]) == 1
    assert "--cameras means nothing for a Donkeycar tub" in capsys.readouterr().err


def write_manifest(tub: Path, deleted: list[int], paths: tuple[str, ...] = ("catalog.jsonl",)) -> None:
    """As Donkeycar writes it: five lines, the last of which says which catalogues and rows count."""
    state = {"paths": list(paths), "current_index": 100, "max_len": 1000, "deleted_indexes": deleted}
    lines = [
        ["cam/image_array", "user/angle"],
        ["image_array", "float"],
        [],
        {"created_at": 1.0, "sessions": {}},
        state,
    ]
    (tub / "manifest.json").write_text("".join(json.dumps(line) + "\n" for line in lines))


def actions(root: Path) -> np.ndarray:
    data = load(root)
    return np.stack([np.asarray(data[place]["action"]) for place in range(len(data))])


def test_deleted_rows_and_what_the_pilot_drove_are_left_out(tmp_path):
    records = [row(index) for index in range(60)]
    for index in range(20, 24):
        records[index]["user/angle"] = 0.9
    for index in range(40, 50):
        records[index] |= {"user/mode": "local", "user/angle": 0.0, "pilot/angle": 0.4}
    tub = write_tub(tmp_path / "tub", records)
    write_manifest(tub, deleted=[20, 21, 22, 23])
    (tub / "images" / "21.jpg").unlink()
    imported = import_dataset(tub, tmp_path / "out")
    kept = [r for r in records if r["user/mode"] == "user" and r["user/angle"] != 0.9]
    assert actions(tmp_path / "out")[:, 0] == pytest.approx([r["user/angle"] for r in kept], abs=1e-6)
    assert (imported.episodes_before, imported.episodes, imported.rows_lost) == (1, 3, 14)
    assert "4 deleted, 10 driven by the pilot" in " ".join(imported.notes)


def test_the_manifest_says_which_catalogues_count(tmp_path):
    tub = write_tub(tmp_path / "tub", [row(index) for index in range(20)])
    lines = (tub / "catalog.jsonl").read_text().splitlines()
    (tub / "catalog.jsonl").unlink()
    (tub / "catalog_0.catalog").write_text("\n".join(lines[:10]))
    (tub / "catalog_1.catalog").write_text("\n".join(lines[10:]))
    write_manifest(tub, [], ("catalog_0.catalog",))
    imported = import_dataset(tub, tmp_path / "out")
    assert imported.frames == 10
    assert any("does not list catalog_1.catalog" in note for note in imported.notes)
    write_manifest(tub, [], ("catalog_0.catalog", "catalog_2.catalog"))
    with pytest.raises(UserError, match=r"catalog_2.catalog is missing, manifest.json lists it"):
        import_dataset(tub, tmp_path / "other")
    (tub / "manifest.json").write_text('["cam/image')
    with pytest.raises(UserError, match=r"manifest.json does not say which rows count"):
        import_dataset(tub, tmp_path / "other")


def test_bad_rows_are_left_out_only_when_told_to(tmp_path):
    tub = write_tub(tmp_path / "tub", [row(index) for index in range(30)])
    lines = (tub / "catalog.jsonl").read_bytes().splitlines()
    lines[10] = json.dumps(row(10, **{"user/angle": 1.5})).encode()
    lines[20:20] = [b"", b"  "]
    lines += [b"[1]", b"\xff\xfe", lines[3], lines[-1][:40], json.dumps(row(30, _index=[30])).encode()]
    (tub / "catalog.jsonl").write_bytes(b"\n".join(lines))
    with pytest.raises(UserError, match=r"\[rows\] 6 of 35 rows cannot be used: catalog.jsonl, line 11: user/angle"):
        import_dataset(tub, tmp_path / "out")
    imported = import_dataset(tub, tmp_path / "out", frozenset({"rows"}))
    assert (imported.episodes, imported.frames, imported.rows_lost) == (2, 29, 6)
    assert actions(tmp_path / "out")[:, 0] == pytest.approx([r / 100 - 0.5 for r in range(30) if r != 10], abs=1e-6)


def test_a_repair_of_times_says_what_it_does_to_the_drive(tmp_path, capsys):
    times, now = [], 0
    for index in range(60):
        times.append(now)
        now += 3700 if index == 29 else 600 if index % 2 else 50
    records = [row(index, _timestamp_ms=1_000_000 + time) for index, time in enumerate(times)]
    tub = write_tub(tmp_path / "tub", records)
    assert main(["import", str(tub), "--output", str(tmp_path / "out")]) == 1
    text = capsys.readouterr().err
    assert "pauses leave less than a second between them" in text
    assert "1 recorded session(s) of 60 rows become 30 drives without a gap (median 2 rows) and 30 episodes" in text
    assert "cut at 29 pauses of up to 3.7 s" in text
    assert main(["import", str(tub), "--output", str(tmp_path / "out"), "--repair", "timestamps"]) == 0
    assert "30 episodes, 60 frames" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", [0.0, float("inf"), float("nan")])
def test_a_length_that_is_none_is_refused(tmp_path, seconds):
    with pytest.raises(UserError, match="--episode-seconds must be above 0"):
        import_dataset(write_tub(tmp_path / "tub", [row(0)]), tmp_path / "out", episode_seconds=seconds)


def test_pictures_of_depth_are_not_taken_for_colour(tmp_path):
    tub = write_tub(tmp_path / "tub", [row(index, **{"cam/image_array": f"{index}.png"}) for index in range(8)])
    for index in range(8):
        (tub / "images" / f"{index}.png").write_bytes(png(np.full((16, 24), 600 + index, np.uint16)))
    with pytest.raises(UserError, match="16 bits a channel"):
        import_dataset(tub, tmp_path / "out")


def test_a_rate_that_is_no_whole_number_is_named(tmp_path):
    tub = write_tub(tmp_path / "tub", [row(index, _timestamp_ms=400 * index) for index in range(12)])
    with pytest.raises(UserError, match="2.50 rows a second are no whole number"):
        import_dataset(tub, tmp_path / "out")
