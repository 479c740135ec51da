"""`unified import`: a dataset of another layout becomes a checked LeRobot v3 dataset."""

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from unified.atomic import write_text
from unified.data.imports.donkeycar import import_tub, is_tub
from unified.data.imports.findings import REPAIRS, parse_repairs
from unified.data.imports.importing import Imported, import_dataset
from unified.errors import UserError

HELP = (
    "Check a LeRobot v2.x dataset or a Donkeycar tub to its last frame and write it as LeRobot v3; what its metadata "
    "get wrong is named."
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
    parser.add_argument(
        "source", type=Path, metavar="SRC", help="folder of the dataset (LeRobot v2.0 or v2.1, or a tub)"
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder of the new dataset")
    parser.add_argument("--repair", metavar="NAME,NAME|all", help=f"what to put right ({repairs})")
    lerobot = parser.add_argument_group("LeRobot v2.x only")
    lerobot.add_argument("--cameras", metavar="A,B", help="cameras to take (default: all)")
    lerobot.add_argument("--fps", type=float, help="true rate of the rows, if neither metadata nor times have it right")
    tub = parser.add_argument_group("Donkeycar tubs only")
    tub.add_argument("--task", help="the instruction (default: follow the track)")
    tub.add_argument(
        "--episode-seconds", type=float, metavar="S", help="cut drives into episodes of this length (default: 20)"
    )
    parser.add_argument("--seed", type=int, default=0, help="without effect: nothing here is random")


def run(args: argparse.Namespace) -> int:
    """Import, say what was repaired, and write `import.json` beside the data.

    Raises:
        UserError: everything that is wrong, one line each; nothing is written then.
    """
    cameras = [name.strip() for name in args.cameras.split(",")] if args.cameras else None
    imported = _import_with_bar(args, cameras)
    write_text(args.output / SUMMARY, json.dumps(dataclasses.asdict(imported), indent=2) + "\n")
    for name, line in imported.repaired.items():
        sys.stdout.write(f"repaired [{name}] {line}\n")
    for note in imported.notes:
        sys.stdout.write(f"note: {note}\n")
    if imported.unused_repairs:
        sys.stderr.write(f"unified: warning: nothing to repair for {', '.join(imported.unused_repairs)}.\n")
    sys.stdout.write(f"{imported.episodes} episodes, {imported.frames} frames in {args.output}\n")
    return 0


def _import_with_bar(args: argparse.Namespace, cameras: list[str] | None) -> Imported:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        line = bar.add_task("checking every frame", total=None)

        def show(done: int, total: int) -> None:
            bar.update(line, completed=done, total=total)

        command = "unified import " + shlex.join(sys.argv[2:])
        repairs = parse_repairs(args.repair)
        tub_options = {"task": args.task, "episode_seconds": args.episode_seconds}
        given = {name: value for name, value in tub_options.items() if value is not None}
        if is_tub(args.source):
            _refuse("a Donkeycar tub", {"--cameras": cameras, "--fps": args.fps})
            return import_tub(args.source, args.output, repairs, command=command, on_episode=show, **given)
        _refuse("a LeRobot dataset", {f"--{name.replace('_', '-')}": value for name, value in given.items()})
        return import_dataset(args.source, args.output, repairs, cameras, args.fps, command, show)


def _refuse(layout: str, options: Mapping[str, object]) -> None:
    unused = [name for name, value in options.items() if value is not None]
    if unused:
        raise UserError(f"{', '.join(unused)} means nothing for {layout}; leave it out.")
