"""Plain data from files and command lines: decoded, and checked against a type before anything uses it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
import yaml

from unified.errors import UserError, unreadable

MAX_YAML_VALUES = 100_000  # aliases counted as often as they are used
_PLAIN = (bool, int, float, str, NoneType, Any)
Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]


def conform(values: Any, wanted: Any, where: Path | str, kind: type[UserError] = UserError) -> Any:
    """Plain data as what they should be: numbers, texts, lists, mappings, a TypedDict or a dataclass.

    Raises:
        UserError: naming the key, what it takes and what it got.
    """
    try:
        return msgspec.convert(values, wanted)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at ")
        key = place.strip("`").removeprefix("$").removeprefix(".")
        text = (
            text.replace("`", "").replace("Object", "a mapping").replace("object", "mapping").replace("array", "list")
        )
        raise kind(f"{where}: {f'{key!r}: ' if key else ''}{text[:1].lower()}{text[1:]}.") from error


def is_plain(annotation: Any) -> bool:
    """Whether a type is made of numbers, texts, lists and mappings alone, so that `conform` can check it."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType, list, tuple, dict, Sequence, Mapping):
        return all(item is Ellipsis or is_plain(item) for item in inside)
    if origin is Annotated:
        return is_plain(inside[0])
    return origin is Literal or annotation in _PLAIN


def read_json(path: Path, wanted: Any, kind: type[UserError] = UserError) -> Any:
    """A JSON file as what it should hold.

    Raises:
        UserError: naming the file, and the key that is wrong.
    """
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise kind(unreadable(path, error)) from error
    return conform(values, wanted, path, kind)


def read_yaml(path: Path, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> tuple[yaml.Node | None, Any]:
    """A YAML file as nodes, which know their lines, and as values.

    Raises:
        UserError: naming file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(unreadable(path, error)) from error
    return parse_yaml(text, str(path), loader)


def parse_yaml(text: str, where: str, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> tuple[yaml.Node | None, Any]:
    """YAML as nodes and values, if it is finite: an alias may neither lead to itself nor multiply without end.

    Raises:
        UserError: naming the line.
    """
    try:
        node = yaml.compose(text, Loader=loader)
        if node is not None and _weigh(node, {}) > MAX_YAML_VALUES:
            raise UserError(f"{where}: more than {MAX_YAML_VALUES} values, with aliases (*name) written out.")
        return node, yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{where}{line}: not valid YAML: {getattr(error, 'problem', None) or error}.") from error
    except (ValueError, RecursionError) as error:
        reason = "too deep, or an alias inside itself" if isinstance(error, RecursionError) else str(error)[:80]
        raise UserError(f"{where}: not valid YAML: {reason}.") from error


def _weigh(node: yaml.Node, known: dict[int, int]) -> int:
    """Number of values in a node."""
    if id(node) not in known:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        items = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in pairs for part in pair]
        known[id(node)] = 1 + sum(_weigh(item, known) for item in items)
    return known[id(node)]


def differences(stored: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Values that differ between two nested mappings, as dotted key to (stored, given)."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in [*stored, *(key for key in given if key not in stored)]:
        left, right = stored.get(key), given.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            found |= differences(left, right, f"{prefix}{key}.")
        elif _plain(left) != _plain(right):
            found[f"{prefix}{key}"] = (left, right)
    return found


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
