"""What the columns of a data set are called there and here, and which of them are cameras."""

from collections.abc import Iterable, Mapping
from typing import Any

from unified.data.lerobot3.pictures import is_depth
from unified.errors import DataError, UserError, unknown_name
from unified.model.spec import IMAGES

Feature = dict[str, Any]


def stored_names(features: Iterable[str], rename: Mapping[str, str] | None, root: object) -> dict[str, str]:
    """Our name of every feature -> the data set's, after {the data set's: ours} of `rename`.

    Raises:
        UserError: for a feature that is not there, or two that would get one name.
    """
    features, rename = list(features), rename or {}
    for name in rename:
        if name not in features:
            raise unknown_name(f"feature of {root} in rename", name, features)
    return _distinct({name: rename.get(name, name) for name in features}, f"features of {root}", "rename")


def camera_names(features: Mapping[str, Feature], root: object) -> dict[str, str]:
    """Short name -> feature key of every camera; films of depth are no cameras.

    Raises:
        UserError: if two of them would be called the same.
    """
    keys = [key for key, feature in features.items() if feature["dtype"] in ("video", "image")]
    short = {key: key.removeprefix(IMAGES).removeprefix("observation.") for key in keys if not is_depth(features[key])}
    return _distinct(short, f"cameras of {root}", "rename")


def missing_feature(root: object, key: str, features: Iterable[str]) -> DataError:
    """The error for a column that training needs; it says how to name one."""
    return DataError(
        f"{root} has no {key!r}; it has: {', '.join(sorted(features))}. If one of them is it, say so: "
        f"`rename: {{ITS_NAME: {key}}}` in the source, or `unified import --rename ITS_NAME={key}`."
    )


def _distinct(names: Mapping[str, str], what: str, way_out: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for long, short in names.items():
        if short in found:
            raise UserError(
                f"{what}: {found[short]!r} and {long!r} would both be called {short!r}; give one of them another name "
                f"with `rename: {{{long}: observation.images.OTHER}}` (--rename {long}=observation.images.OTHER)."
            )
        found[short] = long
    return found
