"""`unified play`: steer a checkpoint's dream in the browser, beside the real world where there is one."""

import argparse
import asyncio
import sys
from pathlib import Path

from unified.errors import check_numbers

HELP = "Steer a checkpoint's dream in the browser, with keys or a gamepad; the simulator can run beside it."
EXAMPLES = """
unified play --checkpoint runs/tiny --env sims:MetaWorld-reach-v3 --env sims:MetaWorld-drawer-open-v3
unified play --checkpoint runs/tiny --data runs/record-demo --port 0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--checkpoint", required=True, help="pretrained folder, run folder, .ckpt or Hub id")
    parser.add_argument(
        "--env", action="append", default=[], metavar="ID", help="start where this environment is reset to; repeatable"
    )
    parser.add_argument(
        "--data", action="append", default=[], metavar="DATASET", help="start in a recording; repeatable"
    )
    parser.add_argument("--env-kwargs", metavar="YAML", help="other arguments of the environments: '{rig: front1}'")
    parser.add_argument("--embodiment", metavar="NAME", help="the checkpoint's name of the body (default: as trained)")
    parser.add_argument("--seed", type=int, default=0, help="of the first start; the page picks others (default 0)")
    parser.add_argument("--num-steps", type=int, default=1, metavar="N", help="denoise steps (default 1)")
    parser.add_argument("--window", type=int, metavar="N", help="most moments seen at once (default: as in training)")
    parser.add_argument("--anchor", type=int, default=0, metavar="N", help="first moments kept for good (default 0)")
    parser.add_argument("--watch", metavar="DIR", help="a drift watch, from `unified watch`, that ends bad dreams")
    parser.add_argument("--output", type=Path, default=Path("runs/play"), metavar="DIR", help="default: runs/play")
    parser.add_argument("--device", help="where the model runs (default: cuda where there is one, else cpu)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="listen elsewhere than on this machine alone; the page then needs the token that is printed",
    )
    parser.add_argument("--port", type=int, default=8008, help="default 8008; 0: any that is free")


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C.

    Raises:
        UserError: for a checkpoint that cannot dream or fits no start, or an address that cannot be used.
    """
    check_numbers(least=0, most=65535, prefix="--", port=args.port)
    check_numbers(least=0, most=2**31 - 1, prefix="--", seed=args.seed)
    from unified.rollout.dreams.play.server import PlayServer
    from unified.rollout.dreams.play.session import Worlds
    from unified.rollout.dreams.watch import DriftWatch
    from unified.rollout.policies import half_the_cores, load_on_device
    from unified.rollout.rendering import configure_rendering
    from unified.rollout.suites import parse_env_kwargs

    configure_rendering()
    options = {name: getattr(args, name) for name in ("embodiment", "num_steps", "window", "anchor")}
    options["watch"] = None if args.watch is None else DriftWatch.load(args.watch)
    kwargs = parse_env_kwargs(args.env_kwargs or "{}")
    model = load_on_device(args.checkpoint, args.device, half_the_cores())
    worlds = Worlds(model, args.env, args.data, kwargs, **options)
    server = PlayServer(worlds, args.output, args.host, args.port, args.seed)

    def tell() -> None:
        sys.stdout.write(f"Play: {server.url}\nCtrl-C ends it.\n")
        sys.stdout.flush()

    asyncio.run(server.run(tell))
    return 0
