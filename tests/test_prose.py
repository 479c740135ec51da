"""What pages, configs and messages name exists: commands with their options, files, links, extras, make targets."""

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module, util
from pathlib import Path

import pytest

from unified.cli import COMMANDS, TRAINING_VERBS, build_parser
from unified.errors import UserError
from unified.rollout.suites import load_suite
from unified.training.options import parse

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PLACEHOLDER = re.compile(r"[A-Z_]{3,}|<\w+>|…")
SWITCHES = {"--print-model", "--print-config", "--help-all", "--help"}


def commands_of_pages() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        quoted = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
        yield from ((page.name, line.split(" #")[0].strip()) for line in [*lines, *quoted])


def commands_of_configs() -> Iterator[tuple[str, str]]:
    """The lines of headers; what stands in brackets is left out, and a line cut by the header's width is joined."""
    for path in sorted((ROOT / "configs").rglob("*.yaml")):
        head = [line[1:].strip() for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        for line in head:
            found = re.search(r"(?:^|\s)((?:unified (?:\w+) -|python -m ).*)", line)
            if found:
                yield path.name, re.sub(r"\s*[\[()].*", "", found[1])


def commands_of_messages() -> Iterator[tuple[str, str]]:
    """Backquoted commands in the texts that the program prints."""
    for folder in ("unified", "decoders", "tasks", "sims"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [part.value if isinstance(part, ast.Constant) else "NAME" for part in node.values]
                    text = "".join(map(str, parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    text = node.value
                else:
                    continue
                yield from ((path.name, command) for command in re.findall(r"`([^`\n]+)`", text))


def fault(command: str) -> str | None:
    """What is wrong with a command line; None if it could be typed, or is none."""
    words = re.sub(r"^\.venv/bin/", "", command).split()
    if words[:1] == ["make"] and len(words) > 1:
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return None if words[1] in targets else "no such target"
    if words[:2] == ["python", "-m"]:
        return None if util.find_spec(words[2]) else "no such module"
    if words[:2] == ["pip", "install"]:
        return _fault_of_install(command)
    if words[:1] == ["unified"] and len(words) > 1 and words[1].isalpha() and words[1].islower():
        return _fault_of_unified(shlex.split(command)[1:])
    return None


def _fault_of_unified(words: list[str]) -> str | None:
    name, options = words[0], [word for word in words[1:] if word.startswith("-")]
    if name not in COMMANDS:
        return "no such command"
    if name in TRAINING_VERBS:
        if not PLACEHOLDER.search(" ".join(words)) and "-c" in options:
            try:
                parse(words)
            except UserError as error:
                return str(error)
        return None
    known = {option for action in build_parser(name)._actions for option in action.option_strings}
    wrong = [option for option in options if option.split("=")[0] not in known]
    suite = words[words.index("--suite") + 1] if "--suite" in words[:-1] else "NAME"
    if not wrong and not PLACEHOLDER.search(suite):
        load_suite(suite)
    return f"no option {wrong[0]}" if wrong else None


def _fault_of_install(command: str) -> str | None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = re.findall(r"\[([\w,]+)\]", command)
    missing = [name for group in wanted for name in group.split(",") if name != "NAME" and name not in extras]
    if missing:
        return f"no extra {missing[0]}"
    if wanted:
        return None if "-e " in command or project["name"] in command else "that is somebody else's package"
    needed = [item for group in [*extras.values(), project["dependencies"]] for item in group]
    package = _name(shlex.split(command)[-1])
    return None if package in {*map(_name, needed), "NAME"} else f"{package} is no dependency of ours"


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~ ]", requirement)[0]


@pytest.mark.parametrize("source", [commands_of_pages, commands_of_configs, commands_of_messages])
def test_every_command_that_is_named_could_be_typed(source) -> None:
    found = list(source())
    wrong = [f"{where}: {command}: {problem}" for where, command in found if (problem := fault(command))]
    assert sum(command.startswith(("unified ", "python -m", "make ")) for _, command in found) > 5
    assert not wrong, "\n".join(wrong)


def test_wrong_commands_are_seen() -> None:
    wrong = ("make cake", "unified fitt -c tiny", "unified record --sweet screen", "pip install 'unified[text]'")
    wrong += ("python -m tests.benchmarks.none", "unified fit -c configs/none.yaml", "pip install -e '.[dav]'")
    assert [command for command in wrong if not fault(command)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not re.match(r"https?:|mailto:", target):
            place, _, title = target.partition("#")
            linked = page.parent / place if place else page
            assert linked.exists(), target
            assert not title or title in anchors(linked), target


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    """Written in backquotes, from the root; what commands make (`runs/...`) and names in <brackets> are left out."""
    quoted = re.findall(r"`([\w.\-/]+)`", re.sub(r"(?s)```.*?```", "", page.read_text(encoding="utf-8")))
    kinds = r"\.(py|yaml|md|json|html|toml|sh|txt|png)"
    homes = "unified|decoders|tasks|sims|tests|docs|scripts|configs"
    paths = [name for name in quoted if re.fullmatch(rf"(({homes})/[\w.\-/]*|[\w.\-/]+/[\w.\-]+{kinds})", name)]
    missing = [name for name in paths if not (ROOT / name).exists() and not name.startswith(("runs/", "/"))]
    assert not missing


def test_the_line_for_a_single_test_selects_one(repository: Path) -> None:
    (line,) = re.findall(r"One test: `([^`]+)`", (repository / "CONTRIBUTING.md").read_text())
    command = [sys.executable, *shlex.split(line)[1:], "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_that_pages_name_can_be_found() -> None:
    text = "".join(page.read_text() for page in PAGES)
    names = set(re.findall(r"`((?:unified|tasks|decoders|sims)(?:\.\w+)+)`", text))
    wrong = []
    for name in sorted(names):
        module, _, attribute = name.rpartition(".")
        try:
            found = util.find_spec(name) is not None or hasattr(import_module(module), attribute)
        except ModuleNotFoundError:
            found = hasattr(import_module(module), attribute) if util.find_spec(module) else False
        wrong += [] if found else [name]
    assert not wrong
