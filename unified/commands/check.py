"""`unified check`: what is wrong with a dataset, before anything is trained on it."""

import argparse
import json
import shlex
import sys
from pathlib import Path

from unified.commands.import_ import add_layout_options, layout_options, progress_bar
from unified.data.imports.importing import Checked, check_dataset

HELP = (
    "Look at a dataset (LeRobot v2.0, v2.1 or v3, a Donkeycar tub or a robomimic HDF5 file) to its last frame and say "
    "what is wrong with it. "
    "Nothing is changed. Status 0: training would take it, or an import without repairs would; 1: something is wrong."
)
EXAMPLES = """
unified check runs/import-usb
unified check runs/import-usb --cameras wrist_cam --json
unified check runs/import-car
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("source", type=Path, metavar="SRC", help="folder or file of the dataset")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    add_layout_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print what was found; status 1 if anything is wrong."""
    with progress_bar() as show:
        checked = check_dataset(args.source, show, **layout_options(args))
    findings = checked.findings
    faults, advice = findings.faults(), findings.advice()
    if args.json:
        answer = {"source": str(args.source), "ok": not faults, "layout": checked.layout, "fps": checked.fps}
        answer |= {"episodes": checked.before[0], "frames": checked.before[1]}
        answer |= {"cannot_be_repaired": findings.broken, "to_repair": findings.lines(), "notes": findings.notes}
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    else:
        sys.stdout.write(_text(checked, args.source, faults, advice))
    return 1 if faults else 0


def _text(checked: Checked, source: Path, faults: list[str], advice: str) -> str:
    episodes, frames = checked.before
    lines = [f"{source}: {checked.layout}, {episodes} episodes, {frames} frames at {checked.fps:g} Hz"]
    lines += [f"  {fault}" for fault in faults] + [f"  note: {note}" for note in checked.findings.notes]
    if faults:
        command = f"unified import {shlex.quote(str(source))} --output NEW_FOLDER"
        lines += [f"{len(faults)} kind(s) of fault. `{command}`: {advice}"]
    else:
        lines += ["Nothing is wrong."]
    return "\n".join(lines) + "\n"
