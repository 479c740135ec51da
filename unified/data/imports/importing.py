"""Data sets of other layouts: found by their importer, checked, and written as LeRobot v3.0.

An importer is a module of this package with an `IMPORTER`; there is no list of them elsewhere.
"""

import argparse
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from unified.atomic import atomic_path
from unified.data import imports
from unified.data.frames import check_films
from unified.data.imports.findings import Findings, refuse, unused_repairs
from unified.data.lerobot3.writer import EpisodeWriter, PreparedEpisode
from unified.data.source import Source, open_recording
from unified.data.table import read_numbers
from unified.errors import DataError, UserError
from unified.model.plain import read_json

OnEpisode = Callable[[int, int], None]


class Ready(NamedTuple):
    """An episode that can be saved: its instruction in every row, and plain values about it."""

    episode: PreparedEpisode
    tasks: Sequence[str]
    details: dict[str, Any]


@dataclass(frozen=True)
class Checked:
    """A data set as it is on disk, with what is wrong with it.

    Attributes:
        layout: its name and version.
        fps: the rate of the rows, from their times.
        features: what each episode has, index columns left out.
        before, after: (episodes, rows) that were found, and that would be written.
        ready: the episodes, one after the other, with their films in the folder given.
    """

    layout: str
    embodiment: str
    fps: float
    features: dict[str, dict[str, Any]]
    findings: Findings
    before: tuple[int, int]
    after: tuple[int, int]
    ready: Callable[[Path], Iterator[Ready]]


@dataclass(frozen=True)
class Importer:
    """A layout that is read.

    Attributes:
        name: for messages.
        matches: whether a folder looks like it.
        check: `check(source, on_episode, **options)` looks at everything and changes nothing.
        options: the arguments of `check` as argparse declares them.
    """

    name: str
    matches: Callable[[Path], bool]
    check: Callable[..., Checked]
    options: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Imported:
    """What an import did; `repaired` and `notes` are also kept in `meta/unified.json`.

    Attributes:
        episodes_before: what the source calls an episode: in a tub, a drive.
        rows_lost: rows of the source that were not taken.
    """

    episodes: int
    frames: int
    episodes_before: int
    rows_lost: int
    repaired: dict[str, str]
    notes: list[str]
    unused_repairs: list[str]


def importers() -> list[Importer]:
    """Every importer of this package."""
    modules = (import_module(f"{imports.__name__}.{found.name}") for found in pkgutil.iter_modules(imports.__path__))
    return [module.IMPORTER for module in modules if hasattr(module, "IMPORTER")]


def find_importer(source: Path) -> Importer:
    """The importer whose layout a folder has.

    Raises:
        UserError: if there is none; it says which there are.
    """
    found = next((importer for importer in importers() if importer.matches(source)), None)
    if found is not None:
        return found
    known = ", ".join(importer.name for importer in importers())
    if (source / "meta_data" / "info.json").is_file():
        old = "LeRobot layout of 2024 (meta_data/, arrow files)"
        raise UserError(f"{source} has the {old}, which is not read; {known} are.")
    raise UserError(f"{source} holds no data set of a layout that is read ({known}){_version(source)}.")


def _version(source: Path) -> str:
    path = source / "meta" / "info.json"
    if not path.is_file():
        return f"; {path} is missing"
    return f"; {path} says {read_json(path, dict[str, Any], DataError).get('codebase_version')!r}"


def check_dataset(source: Path | str, on_episode: OnEpisode = lambda *_: None, **options: Any) -> Checked:
    """Look at a data set to its last frame. Options that are None were not given.

    Raises:
        UserError: if there is none, or an option means nothing for its layout.
    """
    importer = find_importer(Path(source))
    given = {name: value for name, value in options.items() if value is not None}
    unused = [f"--{name.replace('_', '-')}" for name in given if name not in importer.options]
    if unused:
        raise UserError(f"{', '.join(unused)} means nothing for {importer.name}; leave it out.")
    return importer.check(Path(source), on_episode, **given)


def import_dataset(
    source: Path | str,
    output: Path | str,
    repairs: frozenset[str] = frozenset(),
    command: str = "",
    on_episode: OnEpisode = lambda *_: None,
    **options: Any,
) -> Imported:
    """Check a data set to its last frame and write it as LeRobot v3.0.

    Args:
        repairs: names in `unified.data.imports.findings.REPAIRS`; everything else that is wrong stops the import.
        on_episode: called with (things done, of how many), first when checking, then when writing.
        options: of the layout's importer.

    Raises:
        UserError: with one line for everything that is wrong and not to be repaired; nothing is written then.
    """
    source, output = Path(source), Path(output)
    _check_folders(source, output)
    checked = check_dataset(source, on_episode, **options)
    findings = checked.findings
    refuse(findings, repairs, str(source))
    with atomic_path(output) as folder:
        _write(checked, folder, _provenance(source, checked, command), on_episode)
        _read_back(folder, output)
    lost = checked.before[1] - checked.after[1]
    unused = unused_repairs(repairs, findings.lies)
    return Imported(*checked.after, checked.before[0], lost, findings.lines(), findings.notes, unused)


def names(text: str) -> list[str]:
    """The words in "a,b"."""
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers(text: str) -> list[int]:
    """The numbers in "1,2"."""
    return [int(word) for word in names(text)]


def pairs(text: str) -> dict[str, str]:
    """The pairs in "a=b,c=d"."""
    split = [word.partition("=") for word in names(text)]
    wrong = [first + equals + second for first, equals, second in split if not (first and second)]
    if wrong:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} must be ITS_NAME=OUR_NAME")
    return {first.strip(): second.strip() for first, _, second in split}


def _provenance(source: Path, checked: Checked, command: str) -> dict[str, Any]:
    """What `meta/unified.json` says of data that were recorded elsewhere."""
    return {
        "embodiment": checked.embodiment,
        "is_demonstration": True,
        "policy": "recorded elsewhere",
        "source": {"name": source.name, "layout": checked.layout},
        "repaired": checked.findings.lines(),
        "notes": checked.findings.notes,
        "versions": {},
        "command": command,
    }


def _check_folders(source: Path, output: Path) -> None:
    """Refuse an output that holds something or lies inside the source."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} exists and is not empty; choose another --output.")
    if output.resolve().is_relative_to(source.resolve()):
        raise UserError(f"--output {output} lies inside the source {source}; choose another folder.")


def _write(checked: Checked, folder: Path, origin: dict[str, Any], on_episode: OnEpisode) -> None:
    with EpisodeWriter.create(folder, int(checked.fps), checked.features, checked.embodiment, origin) as writer:
        for number, ready in enumerate(checked.ready(writer.scratch), start=1):
            writer.commit(*ready)
            on_episode(number, checked.after[0])


def _read_back(folder: Path, output: Path) -> None:
    """What was written must be what training accepts; films are not decoded again, their times are looked at."""
    try:
        recording = open_recording(Source(str(folder)))
        read_numbers(recording, recording.episodes())
        check_films(recording)
    except UserError as error:
        raise UserError(f"Training would refuse the result: {str(error).replace(str(folder), str(output))}") from error
