"""`unified compare`: what a new evaluation does better and worse than an old one on the same episodes."""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from unified.errors import UserError, check_numbers
from unified.rollout.builtin import labels

if TYPE_CHECKING:
    from unified.judging.comparison import Margin

HELP = (
    "Compare two results of `unified evaluate` on the same suite and seeds: which episodes broke, which were mended, "
    "whether that can be chance, films side by side. Status 0: no margin is passed; 1: worse by more than a margin; "
    "2: the two cannot be compared."
)
EXAMPLES = """
unified compare runs/evaluate-random runs/evaluate-expert-metaworld-demo
unified compare runs/evaluate-random runs/evaluate-expert-metaworld-demo --margin 0.05 --margin return=10
unified compare runs/evaluate-random runs/evaluate-tiny-metaworld-demo --common --output runs/verdict
"""
ERROR_STATUS = 2  # 1 says that the new one is worse
OWN_FILES = ("compare.json", "compare.html", "films")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("old", type=Path, metavar="OLD", help="folder of an evaluation, or its results.json")
    parser.add_argument("new", type=Path, metavar="NEW", help="the one that is judged against it")
    parser.add_argument(
        "--margin",
        action="append",
        default=[],
        metavar="[NAME=]X",
        help="status 1 if success falls by more than X (a share: 0.05 is five points); epdms=0.02: if the mean of a "
        "metric falls by more than that; collision=+0.01: if it rises by more",
    )
    parser.add_argument("--common", action="store_true", help="leave out the episodes that only one of the two holds")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: runs/compare-OLD-NEW")


def run(args: argparse.Namespace) -> int:
    """Compare, write compare.json, compare.html and films, print the tables.

    Raises:
        UserError: if the two cannot be compared, or a margin cannot be understood.
    """
    from unified.atomic import write_text
    from unified.judging.comparison import compare, judge
    from unified.judging.evaluation import new_evaluation
    from unified.judging.results import read_results
    from unified.report.verdict import print_verdict, write_films, write_verdict

    margins = [_margin(text) for text in args.margin]
    folders = {"old": args.old, "new": args.new}
    comparison = compare(read_results(args.old), read_results(args.new), args.common)
    folders = {side: path if path.is_dir() else path.parent for side, path in folders.items()}
    for side, name in zip(folders, labels([str(path) for path in folders.values()]), strict=True):
        comparison[side] |= {"name": name, "path": str(folders[side])}
    comparison["command"] = shlex.join(["unified", *sys.argv[1:]])
    if margins:
        comparison["gate"] = judge(comparison, margins)
    output = args.output or Path("runs") / "-".join(["compare", *(path.resolve().name for path in folders.values())])
    with new_evaluation(output, OWN_FILES) as folder:
        write_films(comparison, folders, folder)
        write_text(folder / OWN_FILES[0], json.dumps(comparison, indent=1, allow_nan=False) + "\n")
        write_verdict(folder, comparison)
    print_verdict(comparison)
    sys.stdout.write("".join(f"{output / name}\n" for name in OWN_FILES[:2]))
    return 1 if margins and comparison["gate"]["passed"] else 0


def _margin(text: str) -> "Margin":
    from unified.judging.comparison import Margin

    name, _, amount = text.rpartition("=")
    try:
        value = float(amount)
    except ValueError as error:
        raise UserError(f"--margin must be X, NAME=X or NAME=+X with a number X such as 0.05, got {text!r}.") from error
    check_numbers(least=0, prefix="--", margin=value)
    return Margin(name or "success", value, is_rise=amount.startswith("+"))
