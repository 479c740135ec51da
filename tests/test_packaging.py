"""The wheel, the pins and the set-up scripts, tried as a stranger would."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

IMPORT_ALL = """
import pkgutil, importlib, importlib.resources, pathlib, sys
import unified, decoders, tasks, sims
for package in (unified, decoders, tasks, sims):
    assert pathlib.Path(package.__path__[0]).is_relative_to(sys.prefix), package.__path__
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
suites = importlib.resources.files("configs") / "suites"
texts = [path.read_text() for path in suites.iterdir() if path.name.endswith(".yaml")]
assert texts and all(texts), "no suite in the wheel"
print(len(sys.modules))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(repository)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_code_configs_licence_and_nothing_else(wheel: Path, repository: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("unified", "decoders", "tasks", "sims"):
        assert f"{package}/py.typed" in names
    configs = {path.relative_to(repository).as_posix() for path in (repository / "configs").rglob("*.yaml")}
    assert configs
    assert configs <= names
    allowed = re.compile(r"(unified|decoders|tasks|sims|configs)/|unified_world_action-[^/]+\.dist-info/")
    assert [name for name in names if not allowed.match(name)] == []
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_the_wheel_imports_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    prefix = tmp_path / "clean"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)], check=True)
    python = prefix / "bin" / "python"
    site = next((prefix / "lib").glob("python3*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The dependencies come from here; a .pth inside that folder (our editable install) is not followed from there.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    command = [str(python), "-c", IMPORT_ALL]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    command = [str(python), "-m", "unified", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pins_are_versions_without_addresses_and_cover_the_dependencies(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    for name, wanted in {
        "requirements.txt": project["dependencies"],
        "requirements-dev.txt": project["dependencies"] + project["optional-dependencies"]["dev"],
    }.items():
        lines = [line for line in (repository / name).read_text().splitlines() if not line.startswith("#")]
        assert all(re.fullmatch(r"[a-z0-9-]+==[\w.!+]+( ; .+)?", line) for line in lines)
        pinned = {line.split("==")[0] for line in lines}
        assert {re.split(r"[\[<>=!~ ]", item)[0] for item in wanted} <= pinned


def test_a_python_that_does_not_run_is_passed_over(tmp_path: Path, repository: Path) -> None:
    broken, working = tmp_path / "broken shims", tmp_path / "working"
    for folder in (broken, working):
        folder.mkdir()
    for name, body in {"python3.12": "exit 127", "python3": "echo 3.12.0; exit 1", "python": "kill -9 $$"}.items():
        (broken / name).write_text(f"#!/bin/sh\n{body}\n")
        (broken / name).chmod(0o755)
    (working / "python3.12").symlink_to(os.path.realpath(sys.executable))
    done = find_python(repository, PATH=f"{broken}:{working}:/usr/bin:/bin", HOME=str(tmp_path))
    assert done.stdout.strip() == str(working / "python3.12")
    assert done.returncode == 0


def test_the_python_that_the_user_names_comes_first(tmp_path: Path, repository: Path) -> None:
    mine = tmp_path / "my python"
    mine.symlink_to(os.path.realpath(sys.executable))
    done = find_python(repository, PATH=os.environ["PATH"], HOME=str(tmp_path), UNIFIED_PYTHON=str(mine))
    assert done.stdout.strip() == str(mine)


def find_python(repository: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(repository / "scripts" / "find_python.sh")]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
