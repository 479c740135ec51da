"""`unified gallery`: a page with a still and a film of every environment, its expert's success and its speed."""

import argparse
import itertools
import json
import shlex
import sys
from pathlib import Path

HELP = "A page with a still and a film of every environment of some suites, the expert's success and the speed."
EXAMPLES = """
unified gallery --suites metaworld-demo --episodes 1 --output runs/gallery
"""
NUMBERS = "gallery.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--suites",
        default="screen,games,deformable,driving,metaworld-mt50",
        metavar="A,B",
        help="names in configs/suites (default: screen,games,deformable,driving,metaworld-mt50)",
    )
    parser.add_argument("--episodes", type=int, default=5, metavar="N", help="held-out seeds a task (default 5)")
    parser.add_argument("--size", type=int, default=160, metavar="PIXELS", help="size of the films (default 160)")
    parser.add_argument("--output", type=Path, default=Path("runs/gallery"), metavar="DIR", help="default runs/gallery")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="simulation processes (default 2)")
    parser.add_argument("--seed", type=int, default=0, help="without effect: the suites fix their seeds")


def run(args: argparse.Namespace) -> int:
    """Film, count, write gallery.html, stills.png and gallery.json.

    Raises:
        UserError: for an unknown suite, or an environment that breaks.
    """
    from unified.atomic import write_text
    from unified.commands.bar import progress_bar
    from unified.report.gallery import Exhibit, visit, write_gallery
    from unified.rollout.rendering import configure_rendering
    from unified.rollout.suites import load_suite

    suites = [load_suite(name.strip()) for name in args.suites.split(",")]
    configure_rendering()
    exhibits: list[Exhibit] = []
    for suite in suites:
        with progress_bar(suite.name, len(suite.tasks) * args.episodes) as show:
            count = map(show, itertools.count(1))
            exhibits += visit(suite, args.episodes, args.workers, args.size, lambda _, count=count: next(count))
    command = shlex.join(["unified", *sys.argv[1:]])
    page = write_gallery(args.output, exhibits, command)
    numbers = {"command": command, "environments": [exhibit.to_dict() for exhibit in exhibits]}
    write_text(args.output / NUMBERS, json.dumps(numbers, indent=1) + "\n")
    for exhibit in exhibits:
        sys.stdout.write(
            f"{exhibit.name:<36}{exhibit.successes:>4}/{exhibit.episodes:<4}{exhibit.steps_per_second:>8.0f} steps/s\n"
        )
    sys.stdout.write(f"{page}\n")
    return 0
