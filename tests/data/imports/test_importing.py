"""`unified import` names what metadata get wrong, repairs it only when told to, and changes nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.lerobot3.test_writer import load
from tests.data.recordings import png, write_film
from unified.cli import main
from unified.data.imports.findings import REPAIRS, parse_repairs
from unified.data.imports.importing import import_dataset
from unified.data.lerobot3 import layout
from unified.data.lerobot3.mp4 import ENCODINGS, read_mp4, write_mp4
from unified.data.source import Source, open_recording
from unified.errors import UserError

FPS, LENGTHS, CAMERA = 10, (8, 6), "observation.images.front"
TABLE, FILM = "data/chunk-000/episode_{:06d}.parquet", f"videos/chunk-000/{CAMERA}/episode_{{:06d}}.mp4"
Damage = Callable[[Path], Any]


def pictures(number: int, count: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (count, 16, 24, 3)).astype(np.uint8)


def vectors(number: int, width: int) -> np.ndarray:
    return np.random.default_rng([number, width]).normal(size=(LENGTHS[number], width)).astype(np.float32)


def write_source(root: Path) -> Path:
    """An honest LeRobot v2.1 dataset of two episodes."""
    features: dict[str, Any] = {
        CAMERA: {
            "dtype": "video",
            "shape": [16, 24, 3],
            "names": ["height", "width", "channels"],
            "info": {"video.codec": "h264", "video.pix_fmt": "gbrp", "video.fps": FPS},
        },
        "observation.state": {"dtype": "float32", "shape": [2], "names": {"motors": ["shoulder", "gripper"]}},
        "action": {"dtype": "float32", "shape": [3], "names": None},
    }
    info = {"codebase_version": "v2.1", "robot_type": "toy", "fps": FPS, "features": features | layout.INDEX_FEATURES}
    info |= {"total_episodes": 2, "total_frames": sum(LENGTHS), "total_tasks": 1, "splits": {"train": "0:2"}}
    (root / "meta").mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(info))
    (root / "meta/tasks.jsonl").write_text('{"task_index": 0, "task": "push"}\n')
    (root / "meta/episodes_stats.jsonl").write_text("")
    rows = [{"episode_index": number, "tasks": ["push"], "length": length} for number, length in enumerate(LENGTHS)]
    (root / "meta/episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for number, length in enumerate(LENGTHS):
        write_episode(root, number, length)
    return root


def write_episode(root: Path, number: int, length: int) -> None:
    steps = np.arange(length)
    columns = {
        "observation.state": vectors(number, 2).tolist(),
        "action": vectors(number, 3).tolist(),
        "timestamp": (steps / FPS).astype(np.float32),
        "frame_index": steps,
        "episode_index": np.full(length, number),
        "index": steps + sum(LENGTHS[:number]),
        "task_index": np.zeros(length, np.int64),
    }
    for name in (TABLE, FILM):
        (root / name.format(number)).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), root / TABLE.format(number))
    write_mp4(root / FILM.format(number), pictures(number, length), FPS, ENCODINGS["lossless"])


def edit_info(**changes: Any) -> Damage:
    def edit(root: Path) -> None:
        info = json.loads((root / "meta/info.json").read_text())
        (root / "meta/info.json").write_text(json.dumps(info | changes))

    return edit


def edit_feature(key: str, **changes: Any) -> Damage:
    def edit(root: Path) -> None:
        info = json.loads((root / "meta/info.json").read_text())
        info["features"][key] |= changes
        (root / "meta/info.json").write_text(json.dumps(info))

    return edit


def edit_column(name: str, change: Callable[[list[Any]], list[Any] | None], episode: int = 1) -> Damage:
    """Change a column of a table; None removes it."""

    def edit(root: Path) -> None:
        table = pq.read_table(root / TABLE.format(episode))
        values = table[name].to_pylist() if name in table.column_names else []
        table = table.drop_columns([name]) if name in table.column_names else table
        values = change(values)
        pq.write_table(
            table if values is None else table.append_column(name, pa.array(values)), root / TABLE.format(episode)
        )

    return edit


def replace(path: str, text: str) -> Damage:
    return lambda root: (root / path).write_text(text)


def new_film(count: int, fps: int = FPS, size: tuple[int, int] = (16, 24)) -> Damage:
    def write(root: Path) -> None:
        write_mp4(root / FILM.format(1), pictures(1, count)[:, : size[0], : size[1]], fps, ENCODINGS["lossless"])

    return write


def cut_film(root: Path) -> None:
    path = root / FILM.format(1)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def set_value(row: int, column: int, value: float) -> Callable[[list[Any]], list[Any]]:
    def change(values: list[Any]) -> list[Any]:
        values[row][column] = value
        return values

    return change


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source")


def read(root: Path, episode: int) -> tuple[dict[str, Any], np.ndarray, dict[str, Any]]:
    """Table, film and meta/episodes row of an imported episode."""
    table = pq.read_table(root / layout.place(layout.DATA_PATH, episode)).to_pydict()
    film = np.stack([frame for _, frame in read_mp4(root / layout.place(layout.VIDEO_PATH, episode, video_key=CAMERA))])
    return table, film, pq.read_table(layout.episode_files(root)[episode]).to_pylist()[0]


def test_an_honest_dataset_is_imported_as_it_is(source: Path, tmp_path: Path) -> None:
    imported = import_dataset(source, tmp_path / "new")
    assert (imported.episodes, imported.frames, imported.repaired, imported.notes) == (2, 14, {}, [])
    dataset = load(tmp_path / "new")
    for row in range(14):
        number, t = (0, row) if row < 8 else (1, row - 8)
        item = dataset[row]
        np.testing.assert_array_equal(item["action"].numpy(), vectors(number, 3)[t])
        np.testing.assert_array_equal(item[CAMERA].permute(1, 2, 0).numpy(), pictures(number, LENGTHS[number])[t])
        assert item["task"] == "push"
    same = [(source / FILM.format(n)).read_bytes() for n in range(2)]
    new = [(tmp_path / "new" / layout.place(layout.VIDEO_PATH, n, video_key=CAMERA)).read_bytes() for n in range(2)]
    assert same == new


LIES: list[tuple[str, Damage, str]] = [
    ("fps", edit_info(fps=5), "says 5 Hz, the times in the tables step 0.1 s (10 Hz), the films run at 10"),
    ("codec", edit_feature(CAMERA, info={"video.codec": "av1"}), "video.codec is h264, meta/info.json says av1"),
    (
        "frame-size",
        edit_feature(CAMERA, shape=[32, 24, 3]),
        "the films are (16, 24, 3), meta/info.json says [32, 24, 3]",
    ),
    ("film-rate", new_film(6, fps=20), "episode_000001.mp4: a frame every 0.05 s, rows at 10 Hz"),
    ("extra-frames", new_film(7), "episode_000001.mp4 has 7 frames, its table 6 rows"),
    ("timestamps", edit_column("timestamp", lambda t: [x + 0.1 for x in t]), "000001.parquet starts at 0.1 s"),
    ("timestamps", edit_column("timestamp", lambda t: [*t[:-1], t[-1] + 0.005]), "row 5 is 0.0050 s off"),
    ("frame-index", edit_column("frame_index", lambda _: None), "episode_000001.parquet"),
    ("frame-index", edit_column("frame_index", lambda i: i[::-1]), "counts 5..0"),
    ("episode-index", edit_column("episode_index", lambda i: [7] * len(i)), "says episode 7"),
    (
        "json-columns",
        edit_column("action", lambda a: [json.dumps(x) for x in a]),
        "action in data/chunk-000/episode_00",
    ),
    ("columns", edit_column("next.reward", lambda _: [0.5] * 6, episode=0), "next.reward"),
    ("tasks", replace("meta/tasks.jsonl", '{"task_index": 0, "text": "push"}\n'), "under 'text' instead of 'task'"),
    ("tasks", edit_info(total_tasks=3), "says 3 tasks, meta/tasks.jsonl has 1"),
    ("tasks", lambda root: edit_episodes(root, tasks=[0]), "episode 0 has tasks [0]"),
    ("episodes", lambda root: edit_episodes(root, length=9), "has 8 rows, meta/episodes.jsonl says 9"),
    ("episodes", lambda root: (root / TABLE.format(0)).unlink(), "lists 2 and meta/info.json says 2"),
    (
        "names",
        replace("meta/modality.json", '{"state": {"wrist": {"start": 1, "end": 2}}}'),
        "'gripper' in meta/info.json",
    ),
]


def edit_episodes(root: Path, **changes: Any) -> None:
    rows = [json.loads(line) for line in (root / "meta/episodes.jsonl").read_text().splitlines()]
    (root / "meta/episodes.jsonl").write_text("".join(json.dumps(row | changes) + "\n" for row in rows))


@pytest.mark.parametrize(("repair", "damage", "words"), LIES)
def test_a_lie_is_named_and_repaired_only_on_demand(
    source: Path, tmp_path: Path, repair: str, damage: Damage, words: str
) -> None:
    if words == "next.reward":  # every table must have the column
        edit_column("next.reward", lambda _: [0.5] * 6)(source)
        edit_column("next.reward", lambda _: [0.5] * 8, episode=0)(source)
    else:
        damage(source)
    with pytest.raises(UserError) as caught:
        import_dataset(source, tmp_path / "new", frozenset(REPAIRS) - {repair})
    lines = str(caught.value).splitlines()
    assert len(lines) == 3, lines
    assert lines[1].startswith(f"  [{repair}] ")
    assert words in lines[1]
    assert f"--repair {repair}" in lines[2]
    assert not (tmp_path / "new").exists()
    imported = import_dataset(source, tmp_path / "new", frozenset({repair}))
    assert list(imported.repaired) == [repair]
    assert json.loads((tmp_path / "new" / layout.PROVENANCE).read_text())["repaired"] == imported.repaired
    last = imported.episodes - 1
    table, film, row = read(tmp_path / "new", last)
    np.testing.assert_array_equal(np.array(table["action"], np.float32), vectors(1, 3))
    np.testing.assert_allclose(table["timestamp"], np.arange(6) / FPS, atol=1e-6)
    np.testing.assert_array_equal(film[: len(film)], pictures(1, len(film)))
    assert row[f"videos/{CAMERA}/to_timestamp"] - row[f"videos/{CAMERA}/from_timestamp"] == pytest.approx(6 / FPS)


def test_times_say_which_film_frame_belongs_to_the_first_row(source: Path, tmp_path: Path) -> None:
    new_film(7)(source)
    edit_column("timestamp", lambda times: [time + 0.1 for time in times])(source)
    import_dataset(source, tmp_path / "new", frozenset({"extra-frames", "timestamps"}))
    dataset = load(tmp_path / "new")
    for t in range(6):
        np.testing.assert_array_equal(dataset[8 + t][CAMERA].permute(1, 2, 0).numpy(), pictures(1, 7)[t + 1])


@pytest.mark.parametrize("start", [1.7e9, 86_400.0, -3.6e6])
def test_a_clock_that_began_elsewhere_says_nothing_about_the_film(source: Path, tmp_path: Path, start: float) -> None:
    new_film(7)(source)
    edit_column("timestamp", lambda _: (start + np.arange(6) / FPS).tolist())(source)
    imported = import_dataset(source, tmp_path / "new", frozenset({"extra-frames", "timestamps"}))
    assert "no time of the film: the first row has the first frame" in imported.repaired["extra-frames"]
    _, film, row = read(tmp_path / "new", 1)
    first = round(row[f"videos/{CAMERA}/from_timestamp"] * FPS)
    np.testing.assert_array_equal(film[first : first + 6], pictures(1, 7)[:6])


@pytest.mark.parametrize(
    ("damage", "start", "words"),
    [
        (new_film(7), 0.3, "start 3 frames into it: that does not fit"),
        (new_film(7), 0.05, "start 0.5 frames into it: that does not fit"),
        (new_film(7), -0.1, "start -1 frames into it: that does not fit"),
        (new_film(12, fps=20), 0.0, "it shows 20 frames a second, rows come at 10 Hz"),
    ],
)
def test_pictures_that_cannot_be_matched_to_rows_are_refused(
    source: Path, tmp_path: Path, damage: Damage, start: float, words: str
) -> None:
    damage(source)
    edit_column("timestamp", lambda _: (start + np.arange(6) / FPS).tolist())(source)
    with pytest.raises(UserError) as caught:
        import_dataset(source, tmp_path / "new", frozenset(REPAIRS))
    assert words in str(caught.value)


def test_stamps_that_are_late_by_a_third_are_no_missing_frames(source: Path, tmp_path: Path) -> None:
    late = 0.03 * np.array([0, 1, -1, 1, -1, 0])
    edit_column("timestamp", lambda _: (np.arange(6) / FPS + late).tolist())(source)
    write_film(source / FILM.format(1), list(zip(np.arange(6) / FPS + abs(late), pictures(1, 6), strict=True)))
    imported = import_dataset(source, tmp_path / "new", frozenset({"timestamps", "film-rate"}))
    assert "rows come 0.04 to 0.16 s apart" in imported.repaired["timestamps"]
    np.testing.assert_array_equal(read(tmp_path / "new", 1)[1], pictures(1, 6))


def test_stamps_rounded_to_milliseconds_have_the_rate_that_they_had(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source")
    for number, length in enumerate(LENGTHS):
        stamps = (np.floor(1000 * np.arange(length) / 30) / 1000).tolist()
        edit_column("timestamp", lambda _, t=stamps: t, number)(source)
        write_mp4(source / FILM.format(number), pictures(number, length), 30, ENCODINGS["lossless"])
    edit_info(fps=30)(source)
    edit_feature(CAMERA, info={})(source)
    assert list(import_dataset(source, tmp_path / "new", frozenset({"timestamps"})).repaired) == ["timestamps"]


def test_columns_that_nobody_needs_stop_nothing(source: Path, tmp_path: Path) -> None:
    extra: dict[str, tuple[dict[str, Any], list[Any]]] = {
        "map": ({"dtype": "float32", "shape": [2, 2]}, [[[0.0, 1.0], [2.0, 3.0]]]),
        "note": ({"dtype": "string", "shape": [1]}, ["hello"]),
        "language_events": ({"dtype": "language", "shape": [1]}, [[{"text": "go"}]]),
        "torque": ({"dtype": "float32", "shape": [1]}, [float("nan")]),
        "ticks": ({"dtype": "uint16", "shape": [1]}, [7]),
        "charge": ({"dtype": "float16", "shape": []}, [0.5]),
    }
    info = json.loads((source / "meta/info.json").read_text())
    for name, (feature, values) in extra.items():
        info["features"][name] = {**feature, "names": None}
        for number, length in enumerate(LENGTHS):
            edit_column(name, lambda _, n=length, v=values: v * n, number)(source)
    (source / "meta/info.json").write_text(json.dumps(info))
    imported = import_dataset(source, tmp_path / "new")
    assert imported.notes == [
        "columns that training does not use were left out: map (float32 [2, 2]), note (string [1]), language_events "
        "(language [1])",
        "columns that cannot be read were left out: torque (data/chunk-000/episode_000000.parquet, episode 0: row 0: "
        "torque[0] is nan)",
    ]
    assert float(load(tmp_path / "new")[0]["charge"]) == 0.5
    assert int(load(tmp_path / "new")[0]["ticks"]) == 7


def test_what_training_would_refuse_is_not_written(source: Path, tmp_path: Path) -> None:
    features = json.loads((source / "meta/info.json").read_text())["features"]
    edit_info(features={**features, "expert_action": {"dtype": "float32", "shape": [2], "names": None}})(source)
    for number in range(len(LENGTHS)):
        edit_column("expert_action", lambda _, n=number: vectors(n, 2).tolist(), number)(source)
    with pytest.raises(UserError, match="Training would refuse the result: .*new: expert_action and action must have"):
        import_dataset(source, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_action_of_small_whole_numbers_is_taken(source: Path, tmp_path: Path) -> None:
    edit_feature("action", dtype="int16")(source)
    for number, length in enumerate(LENGTHS):
        edit_column("action", lambda _, n=length: [[t, -t, 300] for t in range(n)], number)(source)
    import_dataset(source, tmp_path / "new")
    assert load(tmp_path / "new")[3]["action"].tolist() == [3, -3, 300]


def rename_columns(root: Path) -> None:
    """A data set that calls things as it likes."""
    theirs = {"observation.state": "state", "action": "actions", CAMERA: "image"}
    info = json.loads((root / "meta/info.json").read_text())
    info["features"] = {theirs.get(name, name): feature for name, feature in info["features"].items()}
    (root / "meta/info.json").write_text(json.dumps(info))
    for number in range(2):
        table = pq.read_table(root / TABLE.format(number))
        names = [theirs.get(name, name) for name in table.column_names]
        pq.write_table(table.rename_columns(names), root / TABLE.format(number))
    (root / "videos/chunk-000" / CAMERA).rename(root / "videos/chunk-000/image")


def test_other_names_are_mapped(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rename_columns(source)
    command = ["import", str(source), "--output", str(tmp_path / "new")]
    assert main(command) == 1
    assert "--rename ITS_NAME=action" in capsys.readouterr().err
    assert main([*command, "--rename", "actoins=action"]) == 1
    assert "Did you mean 'actions'?" in capsys.readouterr().err
    assert main([*command, "--rename", "state=observation.state,actions=action,image=observation.images.front"]) == 0
    np.testing.assert_array_equal(load(tmp_path / "new")[9]["action"], vectors(1, 3)[1])
    np.testing.assert_array_equal(read(tmp_path / "new", 1)[1], pictures(1, 6))


@pytest.mark.parametrize("other", ["front", "observation.front"])
def test_cameras_that_would_be_called_the_same_are_refused(source: Path, tmp_path: Path, other: str) -> None:
    info = json.loads((source / "meta/info.json").read_text())
    info["features"][other] = info["features"][CAMERA]
    (source / "meta/info.json").write_text(json.dumps(info))
    shutil.copytree(source / f"videos/chunk-000/{CAMERA}", source / f"videos/chunk-000/{other}")
    with pytest.raises(UserError, match=f"'{CAMERA}' and '{other}' would both be called 'front'"):
        import_dataset(source, tmp_path / "new")
    import_dataset(source, tmp_path / "new", rename={other: "observation.images.second"}, cameras=["second"])
    assert list(open_recording(Source(str(tmp_path / "new"))).cameras) == ["second"]


def pause(root: Path) -> None:
    """Half a second in the middle of an episode during which nothing was recorded."""
    edit_column("timestamp", lambda _: [*np.arange(3) / FPS, *(np.arange(3, 6) / FPS + 0.5)])(root)


@pytest.mark.parametrize("damage", [cut_film, pause])
def test_an_episode_is_left_out_only_when_told_to(source: Path, tmp_path: Path, damage: Damage) -> None:
    damage(source)
    with pytest.raises(UserError, match="--skip-episodes 1"):
        import_dataset(source, tmp_path / "new", frozenset(REPAIRS))
    imported = import_dataset(source, tmp_path / "new", skip_episodes=[1])
    assert (imported.episodes, imported.frames, imported.episodes_before, imported.rows_lost) == (1, 8, 2, 6)
    with pytest.raises(UserError, match="has no episode 7 to skip"):
        import_dataset(source, tmp_path / "other", skip_episodes=[7])


def test_a_line_separator_inside_a_sentence_ends_no_line(source: Path, tmp_path: Path) -> None:
    text = "push\u2028the cube\x85now"
    (source / "meta/tasks.jsonl").write_text(json.dumps({"task_index": 0, "task": text}, ensure_ascii=False))
    edit_episodes(source, tasks=[text])
    import_dataset(source, tmp_path / "new")
    assert load(tmp_path / "new")[0]["task"] == text


def as_pictures(root: Path, encode: Callable[[np.ndarray], bytes]) -> None:
    """Store the films as pictures in the tables."""
    edit_feature(CAMERA, dtype="image")(root)
    for number, length in enumerate(LENGTHS):
        stored = [{"bytes": encode(picture), "path": f"{t}.png"} for t, picture in enumerate(pictures(number, length))]
        edit_column(CAMERA, lambda _, v=stored: v, number)(root)
        (root / FILM.format(number)).unlink()


def test_pictures_in_tables_become_films_without_loss(source: Path, tmp_path: Path) -> None:
    as_pictures(source, png)
    import_dataset(source, tmp_path / "new")
    for number, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(read(tmp_path / "new", number)[1], pictures(number, length))


def test_pictures_of_depth_are_not_taken_for_colour(source: Path, tmp_path: Path) -> None:
    as_pictures(source, lambda picture: png(600 + 8 * picture[..., 0].astype(np.uint16)))
    with pytest.raises(UserError, match=r"row 0: .*16 bits a channel.*is_depth_map.*\(episode 0\)"):
        import_dataset(source, tmp_path / "new", frozenset(REPAIRS))
    edit_feature(CAMERA, info={"is_depth_map": True})(source)
    with pytest.raises(UserError, match=r"it has: none. Declared as depth: .*leave them out"):
        import_dataset(source, tmp_path / "new")


def test_films_of_depth_are_not_taken_for_colour(source: Path, tmp_path: Path) -> None:
    with av.open(str(source / FILM.format(1)), "w", format="matroska") as container:
        stream: Any = container.add_stream("ffv1", rate=FPS)
        stream.height, stream.width, stream.pix_fmt = 16, 24, "gray12le"
        for t in range(6):
            depth = np.full((16, 24), 600 + 100 * t, np.uint16)
            frame = av.VideoFrame.from_ndarray(depth, format="gray16le").reformat(format="gray12le")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(UserError, match="its pictures have 12 bits a channel"):
        import_dataset(source, tmp_path / "new", frozenset(REPAIRS))


def test_a_re_timed_film_keeps_its_pictures(source: Path, tmp_path: Path) -> None:
    new_film(6, fps=20)(source)
    import_dataset(source, tmp_path / "new", frozenset({"film-rate"}))
    path = tmp_path / "new" / layout.place(layout.VIDEO_PATH, 1, video_key=CAMERA)
    times, frames = zip(*read_mp4(path), strict=True)
    np.testing.assert_allclose(times, np.arange(6) / FPS, atol=1e-6)
    np.testing.assert_array_equal(np.stack(frames), pictures(1, 6))


def test_a_name_that_another_feature_was_given_is_not_taken_by_a_column_that_nobody_declared(
    source: Path, tmp_path: Path
) -> None:
    features = json.loads((source / "meta/info.json").read_text())["features"]
    features["actions"] = features.pop("action")
    edit_info(features=features)(source)
    for number, length in enumerate(LENGTHS):
        edit_column("actions", lambda _, n=number: vectors(n, 3).tolist(), number)(source)
        edit_column("action", lambda _, n=length: np.arange(n, dtype=np.float32).tolist(), number)(source)
    import_dataset(source, tmp_path / "new", frozenset(REPAIRS), rename={"actions": "action"})
    assert open_recording(Source(str(tmp_path / "new"))).sizes["action"] == 3


def test_numbers_called_like_a_camera_are_not_taken_for_it(source: Path, tmp_path: Path) -> None:
    vector = {"dtype": "float32", "shape": [2], "names": None}
    declared = json.loads((source / "meta/info.json").read_text())["features"]
    edit_info(features={**declared, "front": declared[CAMERA], CAMERA: vector})(source)
    with pytest.raises(UserError, match="would both be called 'observation.images.front'"):
        import_dataset(source, tmp_path / "new", frozenset(REPAIRS))


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("int64", [[0.7] * 3] * 6, "row 0: action[0] is 0.7, which is no int64"),
        ("bool", [[None, True, False]] * 6, "row 0: action[0] is None, which is no bool"),
        ("bool", [[2, 0, 1]] * 6, "row 0: action[0] is 2, which is no bool"),
    ],
)
def test_numbers_that_their_declared_type_would_change_are_refused(
    source: Path, tmp_path: Path, kind: str, values: list[Any], words: str
) -> None:
    edit_feature("action", dtype=kind)(source)
    for number, length in enumerate(LENGTHS):
        edit_column("action", lambda _, n=length: (values * 2)[:n], number)(source)
    with pytest.raises(UserError) as caught:
        import_dataset(source, tmp_path / "new", frozenset(REPAIRS))
    assert words in str(caught.value)


BROKEN: list[tuple[Damage, str]] = [
    (
        edit_column("action", set_value(3, 1, float("nan"))),
        "episode_000001.parquet: row 3: action[1] is nan (episode 1)",
    ),
    (edit_column("observation.state", set_value(2, 0, float("inf"))), "row 2: observation.state[0] is inf"),
    (cut_film, "episode_000001.mp4"),
    (new_film(5), "5 frames for the 6 rows of episode 1; it is truncated"),
    (lambda root: (root / FILM.format(1)).unlink(), "episode_000001.mp4: the film is missing"),
    (lambda root: (root / TABLE.format(1)).write_bytes(b"PAR1 no"), "episode_000001.parquet: cannot be read"),
    (edit_column("timestamp", lambda t: [*t[:3], t[2], *t[4:]]), "row 3: times do not grow"),
    (edit_column("timestamp", lambda t: [*t[:3], *(x + 0.3 for x in t[3:])]), "row 3: a step of 0.4000 s at 10 Hz"),
    (edit_column("action", lambda a: [*a[:2], a[2][:2], *a[3:]]), "row 2: action has 2 numbers, meta/info.json says 3"),
    (edit_column("action", lambda a: ["[1, 2" for _ in a]), "text that is not JSON"),
    (edit_column("action", lambda _: None), "has no column action (episode 1)"),
    (edit_column("task_index", lambda i: [4] * len(i)), "task_index 4 is not in meta/tasks.jsonl"),
    (new_film(6, size=(16, 16)), "another size than the first"),
]


@pytest.mark.parametrize(("damage", "words"), BROKEN)
def test_what_cannot_be_repaired_is_refused_with_file_and_episode(
    source: Path, tmp_path: Path, damage: Damage, words: str
) -> None:
    damage(source)
    with pytest.raises(UserError) as caught:
        import_dataset(source, tmp_path / "new", frozenset(REPAIRS))
    assert "[cannot be repaired]" in str(caught.value)
    assert words in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (edit_info(codebase_version="v3.0"), "tasks.parquet cannot be read"),
        (edit_info(codebase_version="v1.6"), "says 'v1.6'"),
        (edit_info(fps=None), "'fps' must be a number above 0, got None"),
        (edit_info(data_path="../../{episode_index}.parquet"), "leads out of the dataset"),
        (edit_info(data_path="{episode_index[0]}"), "cannot be filled in"),
        (edit_info(chunks_size="x"), "'chunks_size': expected int"),
        (edit_feature(CAMERA, info=["x"]), "info': expected mapping"),
        (replace("meta/info.json", "{"), "info.json cannot be read"),
        (
            replace("meta/modality.json", '{"state": {"arm": 7}}'),
            "modality.json: '[...][...]': expected mapping, got int",
        ),
        (replace("meta/tasks.jsonl", "push\n"), "tasks.jsonl, line 1 is not JSON"),
        (lambda root: (root / "meta/info.json").unlink(), "info.json is missing"),
        (lambda root: shutil.rmtree(root / "data"), "no table"),
    ],
)
def test_what_is_no_dataset_of_this_layout_is_refused(source: Path, tmp_path: Path, damage: Damage, words: str) -> None:
    damage(source)
    with pytest.raises(UserError) as caught:
        import_dataset(source, tmp_path / "new", frozenset(REPAIRS))
    assert words in str(caught.value)


@pytest.mark.parametrize("fps", [0.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(source: Path, tmp_path: Path, fps: float) -> None:
    with pytest.raises(UserError, match="--fps must be above 0 and at most 100000"):
        import_dataset(source, tmp_path / "new", fps=fps)


def test_a_table_without_its_pictures_is_named(source: Path, tmp_path: Path) -> None:
    as_pictures(source, png)
    edit_column(CAMERA, lambda _: None)(source)
    with pytest.raises(UserError, match=rf"cannot be repaired.*there is no column {CAMERA} \(episode 1\)"):
        import_dataset(source, tmp_path / "new", frozenset(REPAIRS))


def test_wrong_names_list_the_nearest_right_one(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'front'"):
        import_dataset(source, tmp_path / "new", cameras=["frnt"])
    with pytest.raises(UserError, match="Did you mean 'timestamps'"):
        parse_repairs("fps,timestamp")
    with pytest.raises(UserError, match="inside the source"):
        import_dataset(source, source / "new")


def test_commands_that_only_reach_the_next_state_are_noted(source: Path, tmp_path: Path) -> None:
    edit_feature("action", shape=[2])(source)
    for number in range(2):
        states = vectors(number, 2)
        edit_column("action", lambda _, states=states: [*states[1:].tolist(), [0.0, 0.0]], episode=number)(source)
    assert "action is exactly the next observation.state" in import_dataset(source, tmp_path / "new").notes[0]


def test_the_command_lists_all_that_is_wrong_and_then_repairs_it(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_info(fps=5)(source)
    new_film(7)(source)
    output = tmp_path / "new"
    assert main(["import", str(source), "--output", str(output), "--repair", "codec"]) == 1
    assert "--repair fps,extra-frames (or all)" in capsys.readouterr().err
    assert main(["import", str(source), "--output", str(output), "--repair", "extra-frames,fps,codec"]) == 0
    shown = capsys.readouterr()
    assert "repaired [fps] meta/info.json says 5 Hz" in shown.out
    assert "nothing to repair for codec" in shown.err
    assert json.loads((output / "import.json").read_text())["frames"] == 14


def test_every_lie_of_the_real_robots_metadata_is_named(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        import_dataset(shared_data / "robot_franka_usb", tmp_path / "new")
    text = str(caught.value)
    for words in (
        "[fps] meta/info.json says 10 Hz, the times in the tables step 0.05 s (20 Hz), the films run at 20",
        "[codec] observation.images.right_cam: video.codec is h264, meta/info.json says av1",
        "episode_000000.mp4 has 335 frames, its table 334 rows",
        "data/chunk-000/episode_000000.parquet starts at 0.05 s",
        "[frame-index] meta/info.json declares frame_index, the tables have no such column",
        "[json-columns] JSON text instead of float32 [8]",
        "episode 0 has tasks [0], its table ['Pick up the USB drive and insert it into the port.']",
        "[episodes] meta/episodes.jsonl lists 50 and meta/info.json says 50",
        "[columns] the tables have columns that meta/info.json does not declare",
        "[names] observation.state[7] is 'pad' in meta/info.json and 'gripper_state' in meta/modality.json",
    ):
        assert words in text
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_the_real_robots_data_are_repaired_to_what_they_are(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "robot_franka_usb"
    imported = import_dataset(source, tmp_path / "new", frozenset(REPAIRS))
    assert (imported.episodes, imported.frames) == (10, 3283)
    assert any("action is exactly the next" in note for note in imported.notes)
    dataset = load(tmp_path / "new")
    assert (len(dataset), dataset.fps, dataset.meta.robot_type) == (3283, 20, "franka")
    table = pq.read_table(source / TABLE.format(1)).to_pydict()
    for camera in ("right_cam", "wrist_cam"):
        film = source / f"videos/chunk-000/observation.images.{camera}/episode_000001.mp4"
        frames = [frame for _, frame in read_mp4(film)]
        for t in (0, 1, 309):
            item = dataset[334 + t]
            picture = item[f"observation.images.{camera}"].permute(1, 2, 0).numpy()
            np.testing.assert_array_equal(picture, frames[t + 1])  # the first frame is the one without a row
            np.testing.assert_array_equal(item["action"].numpy(), np.float32(json.loads(table["action"][t])))
            assert item["timestamp"] == np.float32(t / 20)
            assert item["task"] == "Pick up the USB drive and insert it into the port."


@pytest.mark.slow
def test_one_real_episode_of_a_hundred_is_imported(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "robot_unitree_g1"
    with pytest.raises(UserError, match=r"\[episodes\] .* lists 100 .* 1 have a table \(4\)"):
        import_dataset(source, tmp_path / "new")
    imported = import_dataset(source, tmp_path / "new", frozenset({"episodes"}))
    assert (imported.episodes, imported.frames, imported.notes) == (1, 357, [])
    info = json.loads((tmp_path / "new" / layout.INFO).read_text())
    assert info["features"]["observation.images.cam_high"]["info"]["video.codec"] == "av1"


def test_the_layout_of_2024_is_refused_by_name(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="layout of 2024"):
        import_dataset(shared_data / "robot_lerobot_tests/lerobot/pusht", tmp_path / "new")
