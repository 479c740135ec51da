"""The whole program once, as small as it gets."""

import json
from pathlib import Path

import pytest

from unified.cli import main


@pytest.mark.slow
def test_quick_demo_ends_in_a_report_and_is_not_done_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    assert main(["demo", "--quick", "--output", str(folder)]) == 0
    results = json.loads((folder / "report" / "results.json").read_text())
    assert len(results["summary"]["per_task"]) == 5
    assert set(results["baselines"]) == {"expert", "random"}
    assert set(results["queries"]) == {"demonstrations", "play"}
    assert results["plans"]
    assert (folder / "report" / "report.html").stat().st_size > 50_000
    capsys.readouterr()
    assert main(["demo", "--quick", "--output", str(folder)]) == 0
    assert capsys.readouterr().out.count("done before") == 4
