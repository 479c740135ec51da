"""`unified record`: a policy acts in environments, and a dataset of it is kept."""

import argparse
import json
import os
import shlex
import sys
import time
from pathlib import Path

from unified.atomic import write_text
from unified.commands.bar import progress_bar
from unified.errors import UserError
from unified.rollout.builtin import BUILTIN_POLICIES
from unified.rollout.episodes import Rules
from unified.rollout.recording.plan import LABELS, Plan
from unified.rollout.recording.record import Progress, check_request, record
from unified.rollout.rendering import configure_rendering
from unified.rollout.suites import Suite, SuiteTask, load_suite, parse_env_kwargs

HELP = "Let a policy act in environments, and keep what happened as a LeRobot v3 dataset."
EXAMPLES = """
unified record --env sims:MetaWorld-reach-v3 --episodes 2 --output runs/record-reach
unified record --env sims:MetaWorld-reach-v3 --episodes 3 --output runs/record-reach --resume
unified record --env sims:MetaWorld-push-v3 --policy play --play-steps 100 --episodes 4 --output runs/record-play
unified record --suite metaworld-demo --episodes 25 --noise 0,0.1,0.2 --output runs/record-demo
"""
SUMMARY = "recording.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--suite", help="name in configs/suites, or a YAML file: record every environment of it")
    what.add_argument("--env", action="append", metavar="ID", help="an environment, such as sims:MetaWorld-reach-v3")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder of the dataset")
    names = ", ".join(BUILTIN_POLICIES)
    parser.add_argument(
        "--policy", default="expert", help=f"{names}, a baseline of the environments, or a checkpoint (default expert)"
    )
    parser.add_argument(
        "--label",
        default="own",
        choices=LABELS,
        help="what the column expert_action holds: the policy's own action (default), or the expert's advice",
    )
    parser.add_argument(
        "--expert-share", type=float, default=0.0, metavar="P", help="share of steps in which the expert acts instead"
    )
    parser.add_argument("--device", help="where a checkpoint runs (default: cuda where there is one, else cpu)")
    parser.add_argument("--episodes", type=int, default=25, metavar="N", help="episodes a task (default 25)")
    parser.add_argument(
        "--noise",
        type=_numbers,
        metavar="SD,SD,...",
        help="noise added to executed actions, one level an episode in turn, such as 0,0.1,0.2; labels stay clean",
    )
    parser.add_argument(
        "--shoves", type=float, default=0.0, metavar="P", help="chance of a push in a step of an episode with noise"
    )
    parser.add_argument("--cameras", type=_names, metavar="A,B", help="cameras (default: the suite's or environment's)")
    parser.add_argument(
        "--image-size", type=int, metavar="PIXELS", help="height and width (default: the suite's or 64)"
    )
    parser.add_argument("--env-kwargs", metavar="YAML", help="other arguments of the environments: '{latency_ms: 100}'")
    parser.add_argument("--max-env-steps", type=int, metavar="N", help="an episode without success ends after so many")
    parser.add_argument(
        "--play-steps", type=int, default=150, metavar="N", help="steps of play, random or hold (default 150)"
    )
    parser.add_argument("--workers", type=int, default=_cores(), metavar="N", help="processes (default: one a core)")
    parser.add_argument("--seed", type=int, help="first environment seed of every task (default: the suite's, or 0)")
    parser.add_argument("--video", default="lossless", help="lossless (default) or compact: plays anywhere, less exact")
    parser.add_argument("--keep-failures", action="store_true", help="also keep episodes in which the policy failed")
    parser.add_argument("--resume", action="store_true", help="add what is missing to a recording that was interrupted")


def run(args: argparse.Namespace) -> int:
    """Record, show how it goes, and write `recording.json` beside the data.

    Raises:
        UserError: see `unified.rollout.recording.record.record`.
    """
    plan = make_plan(args)
    check_request(plan, args.output, args.workers, args.resume)
    configure_rendering()
    start = time.perf_counter()
    (args.output / SUMMARY).unlink(missing_ok=True)  # it would count less than there is
    try:
        progress = _record_with_bar(plan, args)
    except (KeyboardInterrupt, SystemExit):
        sys.stderr.write(f"unified: stopped; saved episodes are kept, `--resume` continues in {args.output}.\n")
        raise
    summary = _summary(progress, args.output, time.perf_counter() - start)
    write_text(args.output / SUMMARY, json.dumps(summary, indent=2) + "\n")
    discarded = sum(progress.discarded.values())
    sys.stdout.write(
        f"{progress.episodes} episodes ({progress.solved} solved, {discarded} failed ones discarded), "
        f"{progress.frames} frames, {summary['megabytes']:.1f} MB in {args.output}\n"
    )
    return 0


def make_plan(args: argparse.Namespace) -> Plan:
    """The plan that the options describe.

    Raises:
        UserError: options that contradict each other.
    """
    suite = load_suite(args.suite) if args.suite else Suite("", tuple(SuiteTask(env_id) for env_id in args.env))
    if suite.parts:
        names = ", ".join(part.name for part in suite.parts)
        raise UserError(f"Suite {suite.name} is made of others with cameras of their own; record each: {names}.")
    env_kwargs = {**suite.env_kwargs, "max_env_steps": args.max_env_steps or suite.max_env_steps}
    if args.env_kwargs is not None:
        env_kwargs |= parse_env_kwargs(args.env_kwargs)
    if args.cameras is not None:
        env_kwargs["cameras"] = args.cameras
    if args.image_size is not None:
        env_kwargs["image_size"] = args.image_size
    noise = args.noise or ((0.0, 0.1, 0.2) if args.policy == "expert" else (0.0,))
    seed = suite.first_seed.get("train", 0) if args.seed is None else args.seed
    return Plan(
        env_ids=tuple(task.env_id for task in suite.tasks),
        rules=Rules(
            args.policy,
            env_kwargs,
            play_steps=args.play_steps,
            encoding=args.video,
            shoves=args.shoves,
            label=args.label,
            expert_share=args.expert_share,
        ),
        episodes=args.episodes,
        noise=noise,
        seed=seed,
        stop_seed=min((start for start in suite.first_seed.values() if start > seed), default=None),
        keep_failures=args.keep_failures,
    )


def _record_with_bar(plan: Plan, args: argparse.Namespace) -> Progress:
    command = "unified record " + shlex.join(item for item in sys.argv[2:] if item != "--resume")
    first: list[tuple[float, int]] = []  # time and frames when the workers began
    with progress_bar("recording") as show:

        def tell(now: Progress) -> None:
            first[:] = first or [(time.perf_counter(), now.frames)]
            rate = (now.frames - first[0][1]) / max(time.perf_counter() - first[0][0], 1e-3)
            note = f"{now.frames} frames, {rate:.0f} frames/s, {sum(now.discarded.values())} failures"
            show(now.episodes, note, now.total)

        return record(plan, args.output, args.workers, args.resume, command, tell, args.device)


def _summary(progress: Progress, root: Path, seconds: float) -> dict[str, object]:
    size = sum(file.stat().st_size for file in root.rglob("*") if file.is_file())
    return {
        "episodes": progress.episodes,
        "frames": progress.frames,
        "solved": progress.solved,
        "discarded": progress.discarded,
        "seconds": round(seconds, 1),
        "megabytes": round(size / 1e6, 2),
    }


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"must be numbers with commas between, such as 0,0.1,0.2; got {text!r}"
        ) from error


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _cores() -> int:
    return len(os.sched_getaffinity(0))
