"""`unified watch`: a drift watch for a checkpoint's dreams, and how much of what is planted it finds."""

import argparse
import json
import shlex
import sys
from pathlib import Path

from unified.errors import UserError, check_numbers

HELP = "Make a drift watch: it ends dreams that deserve no belief any more, in `unified play` and `evaluate --inside`."
EXAMPLES = """
unified watch --watcher runs/watcher --checkpoint runs/demo/train --data runs/demo/play --seconds 1.8 --output runs/look
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--watcher",
        required=True,
        metavar="CHECKPOINT",
        help="learned inverse_by_sight, apart from the dreamer (configs/watcher.yaml)",
    )
    parser.add_argument("--checkpoint", required=True, help="that dreams")
    parser.add_argument(
        "--data", required=True, metavar="DATASET", help="its held-out episodes: half set limits, half judge them"
    )
    parser.add_argument("--elsewhere", metavar="DATASET", help="also show it films of this recording of another world")
    parser.add_argument("--seed", type=int, default=0, help="of the dreams' noise (default 0)")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a dream (default 10)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="for --watch of the other commands")


def run(args: argparse.Namespace) -> int:
    """Set the limits, judge them, keep both.

    Raises:
        UserError: for checkpoints that fit neither each other nor the recording, or too little that was held out.
    """
    check_numbers(prefix="--", least=0.1, most=1e5, seconds=args.seconds)
    check_numbers(prefix="--", least=0, seed=args.seed)
    if Path(args.watcher).resolve() == Path(args.checkpoint).resolve():
        raise UserError("The watcher is the dreamer and would share its errors; train one apart: configs/watcher.yaml.")
    from unified.atomic import write_text
    from unified.judging.results import provenance
    from unified.judging.watching import fit_watch, judge_watch
    from unified.rollout.policies import half_the_cores, load_on_device

    watcher, dreamer = load_on_device(args.watcher, threads=half_the_cores()), load_on_device(args.checkpoint)
    watch, episodes = fit_watch(watcher, dreamer, args.data, args.seconds, args.seed)
    found = judge_watch(watch, dreamer, episodes, args.elsewhere)
    watch.save(args.output)
    content = {**found, **provenance(shlex.join(["unified", *sys.argv[1:]]))}
    write_text(args.output / "judged.json", json.dumps(content, indent=1) + "\n")
    for kind, row in found["ended"].items():
        low, high = row["ci95"]
        when = f"in {found['seconds']:g} s" if kind == "good" else f"within {found['within_s']:g} s"
        sys.stdout.write(f"{kind:<20}{row['share']:>5.0%} of {row['dreams']} ended {when} [{low:.0%} to {high:.0%}]\n")
    sys.stdout.write(f"{args.output}\n")
    return 0
