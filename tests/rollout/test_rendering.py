"""The choice of renderer: the best that works, the user's wish first, said once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unified.rollout.rendering import Rendering, choose_rendering, configure_rendering, is_software, probe_egl

CHOOSE_TWICE = """
from unified.rollout.rendering import configure_rendering
import os, subprocess, sys
first = configure_rendering()
second = configure_rendering()
child = "from unified.rollout.rendering import configure_rendering as c; print(c().backend)"
inherited = subprocess.run([sys.executable, "-c", child], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
print(first.backend, second.backend, inherited, os.environ["MUJOCO_GL"])
"""


def clean_environment(**extra: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("MUJOCO_GL", "UNIFIED_RENDERER")}
    return {**kept, **extra}


def run_choice(repository: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(**extra)
    command = [sys.executable, "-c", CHOOSE_TWICE]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=repository, check=True)


def test_what_the_user_asks_for_comes_first() -> None:
    assert choose_rendering({"UNIFIED_RENDERER": "raycast", "MUJOCO_GL": "egl"}).backend == "raycast"
    assert choose_rendering({"MUJOCO_GL": "off"}).backend == "raycast"


@pytest.mark.parametrize("gl", ["osmesa", "glfw"])
def test_a_wish_that_cannot_be_met_here_is_named_with_its_reason(gl: str) -> None:
    rendering = choose_rendering({"MUJOCO_GL": gl})
    if rendering.backend != gl:
        assert rendering.backend == choose_rendering({}).backend
        assert f"MUJOCO_GL={gl} does not work here and is ignored: " in rendering.detail
    if gl == "glfw":
        assert "neither DISPLAY nor WAYLAND_DISPLAY is set" in rendering.detail


def test_a_meaningless_wish_is_named_and_passed_over() -> None:
    rendering = choose_rendering({"MUJOCO_GL": "elg"})
    assert rendering.backend == choose_rendering({}).backend
    assert "MUJOCO_GL=elg" in rendering.detail


def test_the_choice_follows_the_probe() -> None:
    found, rendering = probe_egl(), choose_rendering({})
    if "error" in found:
        assert rendering.backend == "raycast"
    else:
        assert rendering.backend == ("egl-software" if is_software(found["device"]) else "egl")


def test_without_egl_the_simulators_cast_rays_and_the_advice_names_packages(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "libEGL.so.1").write_text("not a library")
    done = run_choice(repository, LD_LIBRARY_PATH=str(tmp_path))
    assert done.stdout.split() == ["raycast", "raycast", "raycast", "disable"]
    assert done.stderr.count("libegl1") == 1


def test_a_crashing_driver_is_survived(tmp_path: Path, repository: Path) -> None:
    source = tmp_path / "crash.c"
    source.write_text("#include <stdlib.h>\n__attribute__((constructor)) static void crash(void) { abort(); }\n")
    try:
        compiler = ["cc", "-shared", "-fPIC", "-o", str(tmp_path / "libEGL.so.1"), str(source)]
        subprocess.run(compiler, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no C compiler to make a crashing driver with")
    done = run_choice(repository, LD_LIBRARY_PATH=str(tmp_path))
    assert done.stdout.split()[0] == "raycast"
    assert "crashed" in done.stderr


def test_the_choice_is_made_and_said_once_for_all_processes(repository: Path) -> None:
    done = run_choice(repository)
    first, second, inherited, gl = done.stdout.split()
    assert first == second == inherited
    assert gl == Rendering(first, "").environment["MUJOCO_GL"]
    assert done.stderr.count("rendering with") == 1


def test_configuring_sets_what_mujoco_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNIFIED_RENDERER", "raycast")
    monkeypatch.setenv("MUJOCO_GL", "egl")
    assert configure_rendering().backend == "raycast"
    assert os.environ["MUJOCO_GL"] == "disable"
    assert "ray casting" in capsys.readouterr().err
