"""The command line of training as one tree of options: YAML files, laid over each other, then `--key value`.

Every value remembers the file and line it came from, for error messages. Nothing here imports torch.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from unified.errors import UserError, unknown_name
from unified.model.plain import parse_yaml
from unified.model.plain import read_yaml as read_plain_yaml

VERBS = ("fit", "validate", "test", "predict")
GROUPS = ("model", "data", "trainer")
SPECIAL = ("class_path", "init_args", "dict_kwargs")


class UsageError(UserError):
    """The command line or a config is wrong: exit status 2."""


@dataclass
class Options:
    """What was asked for.

    Attributes:
        verb: fit, validate, test or predict.
        tree: nested mappings as in a YAML file, interpolations still in place.
        origins: "file:line" or "command line" of every dotted key.
        argv: as typed.
    """

    verb: str
    tree: dict[str, Any] = field(default_factory=dict[str, Any])
    origins: dict[str, str] = field(default_factory=dict[str, str])
    configs: list[Path] = field(default_factory=list[Path])
    argv: list[str] = field(default_factory=list[str])
    print_model: bool = False
    print_config: bool = False
    help_all: bool = False

    def resolve(self) -> dict[str, Any]:
        """The tree with every `${...}` replaced.

        Raises:
            UsageError: for an interpolation that leads nowhere.
        """
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        try:
            return OmegaConf.to_container(OmegaConf.create(self.tree), resolve=True)  # pyright: ignore[reportReturnType]
        except OmegaConfBaseException as error:
            key = str(getattr(error, "full_key", "") or "")
            reason = str(error).splitlines()[0]
            raise UsageError(f"{self.where(key)}{key}: {reason}.") from error

    def where(self, key: str) -> str:
        """Give "file:line: " of a dotted key or of the nearest key around it; empty if unknown."""
        while key:
            if key in self.origins:
                return f"{self.origins[key]}: "
            key = re.sub(r"(\[\d+\]|\.[^.\[]*|^[^.\[]*)$", "", key)
        return ""

    def locate(self, name: str) -> str:
        """Give "file:line: " of the first key that ends with `name`; empty if there is none."""
        keys = [key for key in self.origins if f".{key}".endswith(f".{name}")]
        return f"{self.origins[keys[0]]}: " if keys else ""


def parse(argv: Sequence[str]) -> Options:
    """Read `verb -c a.yaml -c b.yaml --key value --key=value`.

    Raises:
        UsageError: for anything else, and for YAML that cannot be read; the message names file and line.
    """
    if not argv or argv[0] not in VERBS:
        raise UsageError(f"The command comes first, one of {', '.join(VERBS)}; then -c CONFIG and --key value.")
    options = Options(argv[0], argv=list(argv))
    overrides: list[tuple[str, str]] = []
    words = list(argv[1:])
    while words:
        word = words.pop(0)
        name, has_value, value = word.partition("=")
        if name.replace("-", "_") in ("__print_model", "__print_config", "__help_all"):
            setattr(options, name[2:].replace("-", "_"), True)
            continue
        if not name.startswith("-") or name == "--":
            raise UsageError(f"Unexpected {word!r}: options are written --key value.")
        if not has_value:
            value = words.pop(0) if words and not re.match(r"-(-|c$)", words[0]) else "true"
        if name in ("-c", "--config"):
            options.configs.append(find_config(value))
        else:
            overrides.append((name.removeprefix("--"), value))
    for path in options.configs:
        merge(options.tree, read_yaml(path, options.origins))
    for key, value in sorted(overrides, key=lambda pair: pair[0].count(".")):  # a class before its options
        _override(options, key, value)
    return options


def find_config(name: str) -> Path:
    """A config by path, or by its name among those that come with the project ("demo", "sizes/base").

    Raises:
        UsageError: if there is none, with the nearest name.
    """
    if Path(name).is_file():
        return Path(name)
    folder = Path(__file__).resolve().parents[2] / "configs"
    for candidate in (folder / name, folder / f"{name}.yaml", folder / name.removeprefix("configs/")):
        if candidate.is_file():
            return candidate
    known = [
        str(path.relative_to(folder).with_suffix(""))
        for path in folder.rglob("*.yaml")
        if not {"suites", "studies"} & {*path.parts}
    ]
    raise UsageError(str(unknown_name("config file", name, known)))


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1e-3 is a number, as everywhere but in YAML 1.1."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*(\.[\d_]*)?|\.[\d_]+)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)
# Integers must win over the float pattern above, which matches them too.
for _first in "-+0123456789":
    _Loader.yaml_implicit_resolvers[_first].sort(key=lambda pair: pair[0] == "tag:yaml.org,2002:float")


def read_yaml(path: Path, origins: dict[str, str]) -> dict[str, Any]:
    """Read one file and note the line of every key.

    Raises:
        UsageError: for bad syntax, a key given twice or a file that is not a mapping.
    """
    try:
        node, values = read_plain_yaml(path, _Loader)
    except UserError as error:
        raise UsageError(str(error)) from error
    if node is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(f"{path}:1: a config is a mapping such as `trainer: ...`, got {type(values).__name__}.")
    if odd := [key for key in values if not isinstance(key, str)]:
        raise UsageError(f"{path}: {odd[0]!r} is no name of an option.")
    _note_lines(node, "", path, origins)
    return values


def _note_lines(node: yaml.Node, prefix: str, path: Path, origins: dict[str, str]) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = f"{prefix}.{key_node.value}".lstrip(".")
            if key in seen:
                raise UsageError(f"{path}:{key_node.start_mark.line + 1}: {key} is given twice.")
            seen.add(key)
            origins[key] = f"{path}:{key_node.start_mark.line + 1}"
            _note_lines(value_node, key, path, origins)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(item, f"{prefix}[{index}]", path, origins)


def merge(base: dict[str, Any], overlay: Mapping[str, Any]) -> None:
    """Lay `overlay` over `base`: mappings merge, all else replaces, null over a mapping takes it away.

    Options belong to their class: another class comes without them, and options alone go to the class that is named.
    Only tasks and data modules, of which most options are the same, keep theirs.
    """
    for key, value in overlay.items():
        old = base.get(key)
        if isinstance(old, str) and "${" not in old and isinstance(value, Mapping):
            old = base[key] = {"class_path": old}
        if isinstance(old, dict) and value is None:
            del base[key]
        elif not isinstance(old, dict) or not isinstance(value, Mapping):
            base[key] = value
        elif key not in GROUPS and old.get("class_path") != value.get("class_path", old.get("class_path")):
            base[key] = dict(value)
        elif "class_path" in old and not set(value) & set(SPECIAL):
            merge(old, {"init_args": value})
        else:
            merge(old, value)


def _override(options: Options, key: str, text: str) -> None:
    if key in GROUPS and re.search(r"\.(ya?ml|json)$", text):
        raise UsageError(
            f"--{key} {text}: files of one group are not read; write `{options.verb} -c {text}` after the command."
        )
    if key == "seed":
        for each in ("seed_everything", "model.seed", "data.seed"):
            _override(options, each, text)
        return
    try:
        value = parse_yaml(text, f"--{key}", _Loader)[1]
    except UserError:
        value = text
    if key in ("model", "data") and isinstance(value, str):
        key = f"{key}.class_path"
    path = _set(options.tree, [*key.split(".")], value)
    options.origins[path] = "command line"
    while path := path.rpartition(".")[0]:
        options.origins.setdefault(path, "command line")


def _set(tree: dict[str, Any], parts: Sequence[str], value: Any) -> str:
    """Set a nested value, stepping into `init_args` of whatever names a class; returns the full key."""
    path: list[str] = []
    node = tree
    while True:
        names_a_class = "class_path" in node or path == ["model"]
        if path and names_a_class and parts[0] not in SPECIAL:
            parts = ["init_args", *parts]
        path.append(parts[0])
        if len(parts) == 1:
            if value is None:
                node[parts[0]] = None
            else:
                merge(node, {parts[0]: value})
            return ".".join(path)
        child = node.get(parts[0])
        if isinstance(child, str) and "${" not in child:
            child = {"class_path": child}
        if child is not None and not isinstance(child, dict):
            raise UsageError(f"{'.'.join(path)} is {child!r:.80} in a config, which has no {parts[1]!r} inside.")
        node[parts[0]] = child or {}
        node, parts = node[parts[0]], parts[1:]
