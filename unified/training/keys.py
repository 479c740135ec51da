"""Checks the names in a tree of options against the classes that they are for, before anything is built."""

import dataclasses
import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from unified.errors import UserError, unknown_name
from unified.model.config import ClassSpec
from unified.model.plain import conform, is_plain, parse_yaml
from unified.training.options import SPECIAL, Options, UsageError


def check_options(options: Options, tree: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Check all keys of `tree`; `known` holds the type of each top-level key.

    Raises:
        UsageError: for the first unknown one, with the nearest right name, the file and the line.
    """
    for key, value in tree.items():
        if key not in known:
            raise _unknown(options, "option", key, key, known)
        _check_finite(options, value, key)
        _check_value(options, known[key], value, key)


def parameters_of(cls: type) -> dict[str, Any]:
    """Names and annotations of a constructor's arguments, those passed on by `**options` to its bases included."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        hints = _hints(base.__init__)
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                found.setdefault(parameter.name, hints.get(parameter.name, Any))
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def resolve_class(name: str, base: type) -> type | None:
    """A class by import path, or by its own name among the subclasses of `base` that are imported."""
    if "." not in name:
        return next((cls for cls in _subclasses(base) if cls.__name__ == name), None)
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute, None)
    except ImportError:
        return None
    return found if inspect.isclass(found) else None


def _check_finite(options: Options, value: Any, path: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{options.where(path)}{path} must be a finite number, got {value}.")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_finite(options, item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_finite(options, item, f"{path}[{index}]")


def _check_value(options: Options, annotation: Any, value: Any, path: str) -> None:
    choices = _alternatives(annotation)
    if not any(_takes(choice, value) for choice in choices):
        wanted = " or ".join(dict.fromkeys(map(_words, choices)))
        raise UsageError(f"{options.where(path)}option {typed(path)!r}: Expected {wanted}. Got value: {value!s:.80}")
    if isinstance(value, str) and str not in choices and Any not in choices:
        base = next((choice for choice in choices if _can_be_subclassed(choice)), None)
        if base is not None and not dataclasses.is_dataclass(base) and "." not in value:
            _check_class(options, base, {"class_path": value}, path)
    elif isinstance(value, Mapping):
        plain = next((choice for choice in choices if dataclasses.is_dataclass(choice)), None)
        base = next((choice for choice in choices if _can_be_subclassed(choice)), None)
        if ClassSpec in choices and "class_path" in value:
            _check_class(options, object, value, path)
        elif "class_path" in value and base is not None:
            _check_class(options, base, value, path)
        elif plain is not None:
            _check_names(options, value, {f.name: f.type for f in dataclasses.fields(plain)}, path, _hints(plain))
        elif base is not None and value and (set(value) <= set(SPECIAL) or not parameters_of(base)):
            known = ", ".join(sorted(cls.__name__ for cls in _subclasses(base) if cls is not base))
            raise UsageError(f"{options.where(path)}{typed(path)} names no class: add `class_path:`, one of {known}.")
        elif base is not None:
            _check_names(options, value, parameters_of(base), path, parameters_of(base))
        else:
            members = [get_args(choice)[1] for choice in choices if get_origin(choice) is dict]
            for key, item in value.items() if members else ():
                _check_value(options, members[0], item, f"{path}.{key}")
    elif isinstance(value, list):
        for item_type in (argument for choice in choices for argument in get_args(choice)):
            for index, item in enumerate(value):
                _check_value(options, item_type, item, f"{path}[{index}]")


def _takes(choice: Any, value: Any) -> bool:
    """Whether a value may become what one alternative of an annotation asks for; the parser behind decides the rest."""
    if is_plain(choice):
        return _conforms(value, choice) or (isinstance(value, str) and _conforms(_read(value), choice))
    if get_origin(choice) in (list, tuple, Sequence, Iterable):
        return isinstance(value, list)
    if get_origin(choice) in (dict, Mapping) or dataclasses.is_dataclass(choice):
        return isinstance(value, Mapping)
    return not _can_be_subclassed(choice) or isinstance(value, str | Mapping)


def _conforms(value: Any, choice: Any) -> bool:
    try:
        conform(value, choice, "")
    except UserError:
        return False
    return True


def _read(text: str) -> Any:
    """A text as the parser behind will read it: numbers in quotes are numbers."""
    try:
        return parse_yaml(text, "")[1]
    except UserError:
        return text


def _words(choice: Any) -> str:
    if get_origin(choice) in (list, tuple, Sequence, Iterable):
        return "a list"
    if get_origin(choice) in (dict, Mapping) or dataclasses.is_dataclass(choice):
        return "a mapping"
    if get_origin(choice) is Literal:
        return " or ".join(repr(item) for item in get_args(choice))
    return "null" if choice is NoneType else getattr(choice, "__name__", str(choice))


def _check_class(options: Options, base: type, value: Mapping[str, Any], path: str) -> None:
    for key in value:
        if key not in SPECIAL:
            raise _unknown(options, "option", key, f"{path}.{key}", [*SPECIAL, *value.get("init_args", {})])
    name, init_args = value["class_path"], value.get("init_args") or {}
    if not isinstance(name, str) or not isinstance(init_args, Mapping):
        wanted = "class_path takes the name of a class and init_args a mapping"
        raise UsageError(f"{options.where(path)}option {typed(path)!r}: {wanted}, got {dict(value)!r:.80}.")
    cls = resolve_class(name, base)
    if cls is None or not issubclass(cls, base):
        wanted = f"{base.__name__}" if cls is None else f"{base.__name__}, which {name} is not"
        names = [c.__name__ if "." not in name else f"{c.__module__}.{c.__name__}" for c in _subclasses(base)]
        own = [item for item in names if not item.startswith("pytorch_lightning")]
        raise UsageError(f"{options.where(f'{path}.class_path')}{path}: {unknown_name(wanted, name, own)}")
    _check_names(options, init_args, parameters_of(cls), f"{path}.init_args", parameters_of(cls))


def _check_names(
    options: Options, values: Mapping[str, Any], known: Mapping[str, Any], path: str, types: Mapping[str, Any]
) -> None:
    for key, value in values.items():
        if key not in known:
            raise _unknown(options, "option", str(key), f"{path}.{key}", known, _inner(str(key), types))
        _check_value(options, types.get(key, Any), value, f"{path}.{key}")


def _unknown(
    options: Options, kind: str, name: str, path: str, known: Iterable[str], inner: str | None = None
) -> UsageError:
    inside = typed(path).rpartition(".")[0]
    kind = f"{kind} in {inside}:" if inside else kind
    if inner is not None:
        hint = f"it belongs into each block of {inside}.{inner}: --{inside}.{inner} '[{{{name}: ...}}]'."
        return UsageError(f"{options.where(path)}Unknown {kind} {name!r}; {hint}")
    return UsageError(f"{options.where(path)}{unknown_name(kind, name, known)}")


def typed(path: str) -> str:
    """A key as people type it."""
    return path.replace(".init_args", "")


def _inner(name: str, types: Mapping[str, Any]) -> str | None:
    """The option whose list of blocks has a key of that name."""
    for key, annotation in types.items():
        items = [item for choice in _alternatives(annotation) for item in get_args(choice)]
        blocks = [item for item in items if dataclasses.is_dataclass(item)]
        if any(field.name == name for block in blocks for field in dataclasses.fields(block)):
            return key
    return None


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, UnionType):
        return [choice for argument in get_args(annotation) for choice in _alternatives(argument)]
    return [annotation]


def _can_be_subclassed(choice: Any) -> bool:
    return inspect.isclass(choice) and choice.__module__ not in ("builtins", "collections.abc", "typing")


def _hints(thing: Any) -> dict[str, Any]:
    try:
        return get_type_hints(thing)
    except (NameError, TypeError):
        return {}


def _subclasses(base: type) -> list[type]:
    found = {base: None}  # a set in order
    waiting = [base]
    while waiting:
        for cls in type.__subclasses__(waiting.pop(0)):
            if cls not in found:
                found[cls] = None
                waiting.append(cls)
    return [cls for cls in found if not inspect.isabstract(cls)]
