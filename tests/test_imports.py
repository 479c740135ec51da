"""configs -> tasks -> decoders -> unified, and sims alone: read from the imports; and what must stay free of torch."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import unified

ROOT = Path(__file__).resolve().parents[1]
OURS = ("unified", "decoders", "tasks", "sims")
MAY_IMPORT = {
    "unified": {"unified"},
    "decoders": {"unified", "decoders"},
    "tasks": {"unified", "decoders", "tasks"},
    "sims": {"sims"},
}
HEAVY = (
    "torch",
    "pytorch_lightning",
    "lightning",
    "lerobot",
    "torchvision",
    "jsonargparse",
    "diffusers",
    "transformers",
)
# What decoders, or tasks, may share: parts that are no decoder and no task themselves.
SHARED = {
    "decoders": {
        "decoders.changes",
        "decoders.codec",
        "decoders.columns",
        "decoders.frames",
        "decoders.keypoints",
        "decoders.pretrained",
        "decoders.vectors",
    },
    "tasks": {"tasks.augmentation", "tasks.base", "tasks.metrics", "tasks.mixing"},
}
# Where each heavy library may be imported inside unified/ (function bodies included); None: anywhere.
UNIFIED_HOMES = {
    "pytorch_lightning": ("unified/data", "unified/training"),
    "jsonargparse": ("unified/training",),
    "omegaconf": ("unified/training",),
    "lerobot": ("unified/data",),
}
TORCH_FREE = (
    "unified",
    "unified.atomic",
    "unified.cli",
    "unified.commands",
    "unified.rollout.episodes",
    "unified.errors",
    "unified.judging.intervals",
    "unified.model.queries",
    "unified.rollout.recording.record",
    "unified.rollout.rendering",
    "unified.report.page",
    "unified.judging.results",
    "unified.rollout.rollout",
    "unified.rollout.stage",
    "unified.model.spec",
    "unified.rollout.suites",
    "unified.report.video",
    "sims",
)
PROBE = """
import importlib, json, os, sys
before = dict(os.environ)
guilty = {}
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    found = [heavy for heavy in json.loads(sys.argv[2]) if heavy in sys.modules]
    if found:
        guilty[name] = found
        break
changed = [key for key in {**before, **os.environ} if before.get(key) != os.environ.get(key)]
print(json.dumps({"guilty": guilty, "changed": changed}))
"""


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def torch_free_modules() -> list[str]:
    found = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in python_files("unified/commands", "sims")
    ]
    return [*TORCH_FREE, *(name.removesuffix(".__init__") for name in found)]


def module_path(name: str) -> Path:
    return ROOT / (name.replace(".", "/") + ".py")


@pytest.mark.parametrize("package", OURS)
def test_packages_import_only_what_the_arrow_allows(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in python_files(package)
        for name in imported_modules(path)
        if name.split(".")[0] in OURS and name.split(".")[0] not in MAY_IMPORT[package]
    ]
    assert not wrong


def test_sims_import_neither_torch_nor_training_libraries() -> None:
    heavy = [(path, name) for path in python_files("sims") for name in imported_modules(path) if is_heavy(name)]
    assert not heavy


def test_heavy_libraries_stay_in_their_corner_of_unified() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in python_files("unified")
        for name in imported_modules(path)
        for library, homes in UNIFIED_HOMES.items()
        if name.split(".")[0] == library and not path.relative_to(ROOT).as_posix().startswith(homes)
    ]
    assert not wrong


@pytest.mark.parametrize("package", SHARED)
def test_siblings_do_not_import_each_other(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in python_files(package)
        if path.name != "__init__.py"
        for name in imported_modules(path)
        if name.startswith(f"{package}.") and module_path(name).is_file() and name not in SHARED[package]
    ]
    assert not wrong


def test_light_modules_do_not_load_torch_when_imported() -> None:
    arguments = [json.dumps(torch_free_modules()), json.dumps(HEAVY)]
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["guilty"] == {}, "this module brought these libraries in"
    # These two are set by mujoco and by gymnasium.
    foreign = {"PYOPENGL_PLATFORM", "PYGAME_HIDE_SUPPORT_PROMPT"}
    assert set(answer["changed"]) <= foreign, "importing must not touch the environment"


def test_every_public_name_can_be_imported_from_the_package() -> None:
    missing = [name for name in unified.__all__ if getattr(unified, name, None) is None]
    assert not missing
    assert set(unified.__all__) == {*unified._HOMES, "__version__"}


def test_configs_hold_no_python() -> None:
    assert not python_files("configs")


def test_house_rules_hold_in_every_file() -> None:
    wrong: list[str] = []
    for path in python_files(*OURS):
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        if "from __future__ import annotations" in source:
            wrong.append(f"{path}: postponed annotations defeat the run-time shape checks")
        if path.name in ("utils.py", "helpers.py", "common.py", "misc.py"):
            wrong.append(f"{path}: name a file for what it holds")
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "weights_only" and not is_true(node.value):
                wrong.append(f"{path}:{node.value.lineno}: weights_only must be True; anything else unpickles")
    assert not wrong


def is_heavy(name: str) -> bool:
    return name.split(".")[0] in HEAVY


def is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True
