"""`unified import`: a dataset of another layout becomes a checked LeRobot v3 dataset."""

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unified.atomic import write_text
from unified.data.imports.findings import REPAIRS, parse_repairs
from unified.data.imports.importing import Imported, import_dataset, importers

HELP = (
    "Check a LeRobot dataset (v2.0, v2.1 or v3), a Donkeycar tub or a robomimic HDF5 file to its last frame and write "
    "it as LeRobot v3; what its metadata get wrong is named. Columns that training does not use, depth "
    "among them, are left out with a note."
)
EXAMPLES = """
unified import robot_franka_usb --output runs/import-usb --repair all
unified import robot_franka_usb --output runs/import-wrist --repair all --cameras wrist_cam
unified import driving_rc_car --output runs/import-car --repair timestamps --episode-seconds 20
"""
SUMMARY = "import.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    repairs = "; ".join(f"{name}: {text}" for name, text in REPAIRS.items())
    parser.add_argument("source", type=Path, metavar="SRC", help="folder or file of the dataset")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder of the new dataset")
    parser.add_argument("--repair", metavar="NAME,NAME|all", help=f"what to put right ({repairs})")
    add_layout_options(parser)
    parser.add_argument("--seed", type=int, default=0, help="without effect: nothing here is random")


def add_layout_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of every importer; several may share one."""
    owners: dict[str, list[str]] = {}
    settings: dict[str, Any] = {}
    for importer in importers():
        for name, option in importer.options.items():
            owners.setdefault(name, []).append(importer.name)
            settings[name] = option
    for name, option in settings.items():
        text = f"{option['help']}; only for {' and '.join(owners[name])}"
        parser.add_argument(f"--{name.replace('_', '-')}", **{**option, "help": text})


def layout_options(args: argparse.Namespace) -> dict[str, Any]:
    """What was given of them."""
    return {name: getattr(args, name) for importer in importers() for name in importer.options}


def run(args: argparse.Namespace) -> int:
    """Import, say what was repaired, and write `import.json` beside the data.

    Raises:
        UserError: everything that is wrong, one line each; nothing is written then.
    """
    command, repairs = "unified import " + shlex.join(sys.argv[2:]), parse_repairs(args.repair)
    with progress_bar() as show:
        imported = import_dataset(args.source, args.output, repairs, command, show, **layout_options(args))
    write_text(args.output / SUMMARY, json.dumps(dataclasses.asdict(imported), indent=2) + "\n")
    for name, line in imported.repaired.items():
        sys.stdout.write(f"repaired [{name}] {line}\n")
    for note in imported.notes:
        sys.stdout.write(f"note: {note}\n")
    if imported.unused_repairs:
        sys.stderr.write(f"unified: warning: nothing to repair for {', '.join(imported.unused_repairs)}.\n")
    sys.stdout.write(_summary(imported, args.output))
    return 0


@contextmanager
def progress_bar() -> Generator[Callable[[int, int], None]]:
    """A bar on stderr, and what moves it: called with (things done, of how many)."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        line = bar.add_task("looking at every frame", total=None)
        yield lambda done, total: bar.update(line, completed=done, total=total)


def _summary(imported: Imported, output: Path) -> str:
    before = f"{imported.episodes_before} with {imported.frames + imported.rows_lost} frames before"
    after = f"{imported.episodes} episodes, {imported.frames} frames in {output}"
    return f"{after} ({before}; {imported.rows_lost} frames were left out)\n"
