import copy

import numpy as np
import pytest

from tests.judging.test_comparison import BROKEN, MENDED, drives
from tests.report.test_page import Reader
from unified.errors import UserError
from unified.judging.comparison import compare
from unified.report.verdict import cause, print_verdict, sentences, write_films, write_verdict
from unified.report.video import first_difference, read_fps, read_video, write_mp4

SIZE = 64


def ride(length, until=None):
    """A film of a bar that moves to the right; from picture `until` on it stands."""
    film = np.random.default_rng(0).integers(90, 110, (1, SIZE, SIZE, 3), dtype=np.uint8).repeat(length, axis=0)
    for step, picture in enumerate(film):
        left = min(step, until if until is not None else step)
        picture[20:40, left : left + 8] = 250
    return film


@pytest.fixture
def filmed(tmp_path):
    """Two evaluations with films of MENDED and one of BROKEN, an env step in two shown; they part at picture 12."""
    sides = {"old": drives(True), "new": drives(False)}
    for side, results in sides.items():
        for episode in results["episodes"]:
            key = episode["env_id"], episode["seed"]
            if key in (MENDED, min(BROKEN)):
                name = f"films/{key[0][5:]}-{key[1]}.mp4"
                write_mp4(tmp_path / side / name, ride(30, until=None if side == "old" else 11), 10.0, quality=26)
                episode |= {"film": name, "film_stride": 2}
    return sides, {side: tmp_path / side for side in sides}


def verdict(filmed, folder):
    sides, folders = filmed
    made = compare(sides["old"], sides["new"])
    for side in sides:
        made[side] |= {"name": side, "path": str(folders[side])}
    made["command"] = "unified compare old new"
    write_films(made, folders, folder)
    return made


def test_films_stand_side_by_side_and_part_where_they_do(filmed, tmp_path):
    made = verdict(filmed, tmp_path / "out")
    shown = [episode for episode in made["changed"] if "film" in episode]
    assert {(episode["env_id"], episode["seed"]) for episode in shown} == {MENDED, min(BROKEN)}
    assert [episode["films_part_at_step"] for episode in shown] == [24, 24]
    film = read_video(tmp_path / "out" / shown[0]["film"])
    assert film.shape[0] == 30
    assert film.shape[2] == 2 * SIZE + 4
    assert read_fps(tmp_path / "out" / shown[0]["film"]) == 10


def test_films_that_look_alike_part_where_the_shorter_one_ends():
    assert first_difference(ride(30), ride(20)) is None
    assert first_difference(ride(30), ride(30, until=11)) == 12


def test_compression_alone_does_not_part_two_films(tmp_path):
    rng = np.random.default_rng(1)
    other = ride(30)
    other[15:] = rng.integers(0, 255, other[15:].shape, dtype=np.uint8)
    for name, film in (("a", ride(30)), ("b", other)):
        write_mp4(tmp_path / f"{name}.mp4", film, 10.0, quality=26)
    assert first_difference(read_video(tmp_path / "a.mp4"), read_video(tmp_path / "b.mp4")) == 15


def test_a_broken_film_is_named(filmed, tmp_path):
    sides, folders = filmed
    made = compare(sides["old"], sides["new"])
    path = next((folders["new"] / "films").glob("*.mp4"))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match=f"{path} cannot be read"):
        write_films(made, folders, tmp_path / "out")


def test_the_page_holds_the_verdict_every_changed_episode_and_the_films(filmed, tmp_path):
    made = verdict(filmed, tmp_path / "out")
    passed = ["success falls by more than 0.02"]
    made["gate"] = {"margins": passed, "passed": passed, "power": 0.07}
    reader = Reader(write_verdict(tmp_path / "out", made).read_text())
    assert all(source.startswith("data:") for source in reader.sources)
    assert reader.tags.count("video") == 2
    for wanted in (
        "new against old on drives",
        "New: 35 of 40 succeed; old: 37. 3 broke, 1 was mended.",
        "Difference \N{MINUS SIGN}5.0 points",
        "p = 0.62: may be chance",
        "40 episodes show a loss of",
        "Gate: FAILED, success falls by more than 0.02.",
        "significant in 7 % of cases",
        "collision at step 51, actor 2",
        "The films part at step 24.",
        "2 of them were not filmed in both",
        "epdms by task",
    ):
        assert wanted in reader.words, wanted


def test_the_terminal_says_the_same(filmed, tmp_path, capsys):
    print_verdict(verdict(filmed, tmp_path / "out"))
    said = capsys.readouterr().out
    for wanted in (
        "37/40",
        "35/40",
        "Driving-follow-v0",
        "broken",
        "24",
        "collision at step 51, actor 2",
        "may be chance",
    ):
        assert wanted in said, wanted


def test_no_change_and_few_episodes_have_words_too(tmp_path):
    few = drives(True, seeds=range(2))
    made = compare(few, copy.deepcopy(few))
    for side in ("old", "new"):
        made[side] |= {"name": side, "path": side}
    made["command"] = ""
    words = Reader(write_verdict(tmp_path, made).read_text()).words
    assert "No episode broke and none was mended." in words
    assert "4 episodes are too few to show any loss in 80 % of cases." in sentences(made)


def test_a_failure_that_the_environment_does_not_explain_is_told_by_its_length():
    side = {"failure": "time_limit", "length": 200}
    assert cause({"change": "broken", "new": side, "old": {}}) == "time limit after 200 steps"
    facts = {"failure": "collision", "bad_step": 7, "bad_actor": 3, "bad_actor_kind": "car", "in_sight_s": 1.25}
    assert cause({"change": "mended", "old": {**side, "facts": facts}, "new": {}}) == (
        "collision at step 7, car 3, in sight for 1.25 s"
    )
