"""Columns of a foreign table as numbers, and which of them are taken."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unified.data.imports.findings import Findings
from unified.data.lerobot3.features import Feature, camera_names, distinct, missing_feature, pick_cameras, stored_names
from unified.data.lerobot3.layout import DTYPES, INDEX_FEATURES
from unified.data.lerobot3.pictures import is_depth
from unified.errors import UserError
from unified.model.spec import ACTION, EXPERT_ACTION, IMAGES, PROPRIO

NEEDED = (PROPRIO, ACTION, EXPERT_ACTION)


@dataclass
class Columns:
    """What is taken of a data set.

    Attributes:
        features: by the names that they shall have.
        stored: what the data set calls them.
    """

    features: dict[str, Feature]
    stored: dict[str, str]

    def cameras(self) -> list[str]:
        """The features that become films."""
        return [key for key, feature in self.features.items() if feature["dtype"] in ("video", "image")]

    def numbers(self) -> list[str]:
        """The features that stand as numbers in the tables."""
        return [key for key in self.features if key not in self.cameras()]


def choose_columns(
    root: Path,
    declared: Mapping[str, Feature],
    cameras: Sequence[str] | None,
    rename: Mapping[str, str] | None,
    findings: Findings,
) -> Columns:
    """Everything that a data set of ours can hold; what is left out for another reason than `cameras` is noted.

    Raises:
        UserError: if there is no action, state or camera, an unknown name, or two with one name.
    """
    declared = {key: feature for key, feature in declared.items() if key not in INDEX_FEATURES}
    stored = stored_names(declared, rename, root)
    features = {name: dict(declared[key]) for name, key in stored.items()}
    known = camera_names(features, root)
    for key in (ACTION, PROPRIO):
        if key not in features:
            raise missing_feature(root, key, declared)
    taken = {key: IMAGES + name for name, key in pick_cameras(features, cameras, root).items()}
    chosen: dict[str, Feature] = {}
    left_out: list[str] = []
    for key, feature in features.items():
        if key in taken:
            chosen[key] = feature
        elif _is_vector(feature):
            chosen[key] = feature | {"shape": list(feature["shape"]) or [1]}
        elif key in NEEDED:
            raise UserError(f"{root}: {key!r} must be one vector of numbers a frame, got {_kind_of(feature)}.")
        elif key not in known.values():
            left_out.append(f"{stored[key]} ({_kind_of(feature)})")
    if left_out:
        findings.notes.append(f"columns that training does not use were left out: {', '.join(left_out)}")
    names = distinct({stored[key]: taken.get(key, key) for key in chosen}, f"features of {root}")
    return Columns({name: chosen[key] for name, key in zip(names, chosen, strict=True)}, names)


def _is_vector(feature: Feature) -> bool:
    return feature["dtype"] in DTYPES and len(feature["shape"]) <= 1


def _kind_of(feature: Feature) -> str:
    kind = "depth" if is_depth(feature) else feature["dtype"]
    return f"{kind} {list(feature['shape'])}"


def read_numbers(
    table: pa.Table, columns: Columns, place: str, findings: Findings
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The number columns of an episode as (frame, n), and what is wrong with those that cannot be read."""
    arrays: dict[str, np.ndarray] = {}
    wrong: dict[str, str] = {}
    for key in columns.numbers():
        try:
            arrays[key] = read_vectors(table, columns.stored[key], columns.features[key], place, findings)
        except ValueError as error:
            wrong[key] = str(error)
    return arrays, wrong


def read_vectors(table: pa.Table, name: str, feature: Feature, place: str, findings: Findings) -> np.ndarray:
    """A column as (frame, n) of the declared type.

    Raises:
        ValueError: missing, rows of different lengths, not of the declared one, not numbers, not finite.
    """
    if name not in table.column_names:
        raise ValueError(f"has no column {name}")
    values, width = table[name].to_pylist(), int(feature["shape"][0])
    if isinstance(values[0], str):
        declared = f"{feature['dtype']} {list(feature['shape'])}"
        findings.lie("json-columns", f"{name} in {place} ({values[0][:24]}...)", f"JSON text instead of {declared}")
        try:
            values = [json.loads(value) for value in values]
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{name}: text that is not JSON ({error})") from error
    sizes = [len(value) if isinstance(value, list) else 1 for value in values]
    row = next((row for row, size in enumerate(sizes) if size != width), None)
    if row is not None:
        raise ValueError(f"row {row}: {name} has {sizes[row]} numbers, meta/info.json says {width}")
    try:
        array = np.array(values, dtype=feature["dtype"]).reshape(len(values), width)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name}: not all are numbers ({error})") from error
    if array.dtype.kind in "biu":  # numpy cuts 0.7 to 0 and calls everything true that is not 0
        given = np.array(values, dtype=object).reshape(array.shape)
        for row, column in np.argwhere(given != array)[:1].tolist():
            raise ValueError(f"row {row}: {name}[{column}] is {given[row, column]!r}, which is no {array.dtype}")
    for row, column in np.argwhere(~np.isfinite(array))[:1].tolist():
        raise ValueError(f"row {row}: {name}[{column}] is {array[row, column]}")
    return array


def declare_the_rest(path: Path, declared: Mapping[str, Any], columns: Columns, findings: Findings) -> None:
    """Add columns of numbers that a table has and the metadata do not declare."""
    found: dict[str, Feature] = {}
    for column in pq.read_schema(path):
        kind = _kind(column.type)
        is_known = column.name in (*declared, *columns.features, *INDEX_FEATURES)
        if kind is not None and not is_known:
            found[column.name] = {"dtype": kind, "shape": [1], "names": None}
    if found:
        kinds = ", ".join(f"{key} ({feature['dtype']})" for key, feature in found.items())
        findings.lie("columns", f"the tables have columns that meta/info.json does not declare: {kinds}")
    columns.features.update(found)
    columns.stored.update({key: key for key in found})


def _kind(column: pa.DataType) -> str | None:
    if pa.types.is_boolean(column):
        return "bool"
    if pa.types.is_integer(column):
        return "int64"
    return "float32" if pa.types.is_floating(column) else None
