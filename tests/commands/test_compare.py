"""`unified compare` from outside: what it writes, and an exit status that a pipeline can rely on."""

import json

import pytest

from tests.judging.test_comparison import SUITE, drives
from unified.cli import main
from unified.judging.results import write_results


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with two evaluations of forty drives, of which three broke and one was mended."""
    monkeypatch.chdir(tmp_path)
    for name, is_old in (("a", True), ("b", False)):
        (tmp_path / name).mkdir()
        write_results(tmp_path / name / "results.json", drives(is_old))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ((), 0),
        (("--margin", "0.04"), 1),
        (("--margin", "0.05"), 0),
        (("--margin", "success=0.2", "--margin", "epdms=0.001"), 1),
        (("--margin", "epdms=+0"), 0),
        (("--margin", "length=+0"), 0),
    ],
)
def test_the_status_is_one_only_where_a_margin_is_passed(place, capsys, options, status):
    assert main(["compare", "a", "b", *options]) == status
    said = capsys.readouterr()
    assert ("Gate: FAILED" in said.out) == bool(status)
    assert said.err == ""


def test_numbers_page_and_tables_are_made_and_replace_an_older_comparison(place, capsys):
    for _ in range(2):
        assert main(["compare", "a/results.json", "b"]) == 0
    made = json.loads((place / "runs/compare-a-b/compare.json").read_text())
    assert sorted(path.name for path in (place / "runs").iterdir()) == ["compare-a-b"]
    assert {"compare.html", "compare.json"} == {path.name for path in (place / "runs/compare-a-b").iterdir()}
    assert (made["summary"]["broken"], made["summary"]["mended"], len(made["changed"])) == (3, 1, 4)
    assert made["old"]["policy"] == "old"
    assert "35/40" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "nowhere"), "There is no nowhere"),
        (
            ("a", "b", "--margin", "five"),
            "--margin must be X, NAME=X or NAME=+X with a number X such as 0.05, got 'five'",
        ),
        (("a", "b", "--margin", "-0.1"), "--margin must be at least 0, got -0.1"),
        (("a", "b", "--margin", "nan"), "--margin must be at least 0, got nan"),
        (("a", "b", "--margin", "epmds=0.1"), "Did you mean 'epdms'"),
        (("a", "b", "--output", "mine"), "is no part of an evaluation"),
        (("a", "other"), "suite is 'drives' in the old and 'rides' in the new"),
        (("a",), "required: NEW"),
        (("a", "b", "--marign", "0.1"), "Did you mean '--margin'"),
    ],
)
def test_a_mistake_has_status_two_and_one_line(place, capsys, arguments, message):
    (place / "mine").mkdir()
    (place / "mine" / "thesis.tex").touch()
    (place / "other").mkdir()
    write_results(place / "other" / "results.json", {**drives(False), "suite": "rides"})
    assert main(["compare", *arguments]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (place / "runs").exists()


def test_only_what_both_hold_is_compared_if_asked(place):
    write_results(place / "b" / "results.json", drives(False, SUITE, range(10, 30)))
    assert main(["compare", "a", "b"]) == 2
    assert main(["compare", "a", "b", "--common", "--output", "out"]) == 0
    assert json.loads((place / "out/compare.json").read_text())["summary"]["episodes"] == 20
