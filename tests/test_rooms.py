"""Every folder has one purpose, said in one sentence, and few entries; files import each other in one direction."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("unified", "decoders", "tasks", "sims")
FOLDERS = sorted(path.parent for name in OURS for path in (ROOT / name).rglob("__init__.py"))
MOST_ENTRIES = 12
# Folders that hold one file a command, a world, a scenario or a score may be longer.
NARROW = [
    *(folder for folder in FOLDERS if "unified" in folder.parts and folder.name != "commands"),
    *(ROOT / "sims", ROOT / "sims/driving"),
]
ROW = re.compile(r"^\| `([\w/]+)/` \| (.+) \|$", re.MULTILINE)


def name_of(folder: Path) -> str:
    return folder.relative_to(ROOT).as_posix()


def purpose(folder: Path) -> str:
    """The first paragraph of the package's docstring."""
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def test_the_table_of_folders_is_the_tree() -> None:
    table = dict(ROW.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    assert table == {name_of(folder): purpose(folder) for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_folders_purpose_is_one_sentence(folder: Path) -> None:
    assert re.fullmatch(r"[A-Z`][^.!?]*(\.\w[^.!?]*)*\.", purpose(folder)), purpose(folder)


def test_no_folder_of_python_lacks_its_purpose() -> None:
    with_code = {path.parent for name in OURS for path in (ROOT / name).rglob("*.py")}
    assert with_code == set(FOLDERS)


@pytest.mark.parametrize("folder", NARROW, ids=name_of)
def test_a_folder_can_be_overlooked(folder: Path) -> None:
    entries = [path.name for path in folder.iterdir() if path.name not in ("__pycache__", "py.typed")]
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


def test_contributing_is_short() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) - len(ROW.findall(text)) < 60


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports inside functions count; those for type checkers only do not."""
    modules = {module_name(path): path for name in OURS for path in (ROOT / name).rglob("*.py")}
    graph = {name: {*imports(path, modules)} - {name} for name, path in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in inner if name in modules)
            if node.module in modules and not all(name in modules for name in inner):
                yield node.module
