"""A seeded part of `tests.benchmarks.faults`, in programs of their own: here the checks of types would speak first."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def series(folder: Path, **cases: int) -> dict[str, Any]:
    """Run these and no others; what each found."""
    counts = {"fuzz": 0, "rot": 0, "kills": 0, **cases}
    options = [word for name, count in counts.items() for word in (f"--{name}", str(count))]
    command = [sys.executable, "-m", "tests.benchmarks.faults", *options, "--json", str(folder / "found.json")]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert (folder / "found.json").exists(), done.stderr[-3000:]
    return json.loads((folder / "found.json").read_text())


def test_malformed_files_and_options_are_refused_in_one_line(tmp_path: Path) -> None:
    found = series(tmp_path, fuzz=300)["fuzz"]
    assert found["cases"] == 300
    assert found["wrong"] == {}


def test_what_rots_is_refused_or_read_as_it_was(tmp_path: Path) -> None:
    found = series(tmp_path, rot=64)["rot"]
    assert found["cases"] == 64
    assert found["wrong"] == {}


def test_killed_commands_come_to_the_same_end(tmp_path: Path) -> None:
    found = series(tmp_path, kills=2)["kills"]
    assert found["cases"] == 1
    assert found["wrong"] == {}
