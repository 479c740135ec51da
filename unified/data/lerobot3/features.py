"""What the columns of a data set are called there and here, and which of them are cameras."""

from collections.abc import Iterable, Mapping
from typing import Any

from unified.data.lerobot3.pictures import is_depth
from unified.errors import DataError, UserError, unknown_name
from unified.model.spec import IMAGES

Feature = dict[str, Any]
_NO_DEPTH = (
    "Distances are not read: leave them out, or store them as colours of 8 bits (a colour map) under a camera's name."
)


def stored_names(features: Iterable[str], rename: Mapping[str, str] | None, root: object) -> dict[str, str]:
    """Our name of every feature -> the data set's, after {the data set's: ours} of `rename`.

    Raises:
        UserError: for a feature that is not there, or two that would get one name.
    """
    features, rename = list(features), rename or {}
    for name in rename:
        if name not in features:
            raise unknown_name(f"feature of {root} in rename", name, features)
    return distinct({name: rename.get(name, name) for name in features}, f"features of {root}")


def camera_names(features: Mapping[str, Feature], root: object) -> dict[str, str]:
    """Short name -> feature key of every camera; films of depth are no cameras.

    Raises:
        UserError: if two of them would be called the same.
    """
    keys = [key for key, feature in features.items() if feature["dtype"] in ("video", "image")]
    short = {key: _short(key) for key in keys if not is_depth(features[key])}
    return distinct(short, f"cameras of {root}")


def _short(key: str) -> str:
    return key.removeprefix(IMAGES).removeprefix("observation.")


def pick_cameras(features: Mapping[str, Feature], wanted: Iterable[str] | None, root: object) -> dict[str, str]:
    """The cameras that are wanted, in that order; None is all of `camera_names`.

    Raises:
        UserError: if there is none, no such one, or it is one of depth.
    """
    known = camera_names(features, root)
    picked = list(known) if wanted is None else list(wanted)
    depth = [_short(key) for key, feature in features.items() if is_depth(feature)]
    for name in picked:
        if name not in known and name in depth:
            raise UserError(f"{root}: {name!r} is declared as depth in meta/info.json. {_NO_DEPTH}")
        if name not in known:
            raise unknown_name(f"camera of {root}", name, known)
    if not picked:
        there = ", ".join(known) or "none"
        more = f" Declared as depth: {', '.join(depth)}. {_NO_DEPTH}" if depth else ""
        raise UserError(f"{root}: at least one camera is needed; it has: {there}.{more}")
    return {name: known[name] for name in picked}


def missing_feature(root: object, key: str, features: Iterable[str]) -> DataError:
    """The error for a column that training needs; it says how to name one."""
    return DataError(
        f"{root} has no {key!r}; it has: {', '.join(sorted(features))}. If one of them is it, say so: "
        f"`rename: {{ITS_NAME: {key}}}` in the source, or `unified import --rename ITS_NAME={key}`."
    )


def distinct(names: Mapping[str, str], what: str) -> dict[str, str]:
    """New name -> old name.

    Raises:
        UserError: if two would be called the same.
    """
    found: dict[str, str] = {}
    for long, short in names.items():
        if short in found:
            raise UserError(
                f"{what}: {found[short]!r} and {long!r} would both be called {short!r}; give one of them another name "
                f"with `rename: {{{long}: observation.images.OTHER}}` (--rename {long}=observation.images.OTHER)."
            )
        found[short] = long
    return found
