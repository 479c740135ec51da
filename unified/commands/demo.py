"""`unified demo`: record, train one model, act, imagine, judge: the whole program once, small."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from unified.errors import UserError

HELP = "The whole story, small: record demonstrations, train one model, let it act and imagine, write one HTML report."
EXAMPLES = """
unified demo --quick --output runs/demo-quick
"""
SUITE = "metaworld-demo"
DEMONSTRATIONS, PLAY_EPISODES, TEST_EPISODES = 25, 8, 20
QUICK = {"demonstrations": 2, "play": 2, "test": 1, "steps": 20}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--output", type=Path, default=Path("runs/demo"), metavar="DIR", help="default: runs/demo")
    parser.add_argument("--seed", type=int, default=0, help="seed of training (default 0)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="simulation processes (default 2)")
    parser.add_argument(
        "--quick", action="store_true", help="a minute instead of ten: shows the way, the model will be poor"
    )


def run(args: argparse.Namespace) -> int:
    """Run the stages one after another; what an interrupted demo finished is not done again.

    Raises:
        UserError: if a stage fails.
    """
    folder: Path = args.output
    started = time.perf_counter()
    stages: list[tuple[str, str, list[str], Path]] = [
        ("demos", "Recording demonstrations in MuJoCo", _record(args, "expert"), folder / "demos" / DONE),
        (
            "play",
            "Recording play, so that actions can be told from habits",
            _record(args, "play"),
            folder / "play" / DONE,
        ),
        ("train", "Training one model for all queries", _fit(args), folder / "train" / "pretrained" / "manifest.json"),
        ("report", "Acting, imagining and judging on unseen seeds", _evaluate(args), folder / "report" / "report.html"),
    ]
    seconds: dict[str, float] = {}
    for number, (name, title, command, done) in enumerate(stages, start=1):
        _say(f"\n[{number}/{len(stages)}] {title}\n      unified {' '.join(command)}\n")
        if done.exists():
            _say("      done before\n")
            continue
        stage_started = time.perf_counter()
        _unified(command)
        if name in ("demos", "play"):
            done.touch()
        seconds[name] = round(time.perf_counter() - stage_started, 1)
    durations = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    _say(f"\n{_verdict(folder / 'report' / 'results.json')}\n")
    _say(f"{time.perf_counter() - started:.0f} s: {durations}\n")
    _say(f"Report: {folder / 'report' / 'report.html'}\nModel:  {folder / 'train' / 'pretrained'}\n")
    _say(f"Curves: tensorboard --logdir {folder / 'train'}\n")
    return 0


DONE = ".complete"


def _record(args: argparse.Namespace, policy: str) -> list[str]:
    full = DEMONSTRATIONS if policy == "expert" else PLAY_EPISODES
    episodes = QUICK["demonstrations" if policy == "expert" else "play"] if args.quick else full
    output = args.output / ("demos" if policy == "expert" else "play")
    command = ["record", "--suite", SUITE, "--policy", policy, "--episodes", str(episodes), "--output", str(output)]
    return [*command, "--workers", str(args.workers), *(["--resume"] if output.exists() else [])]


def _fit(args: argparse.Namespace) -> list[str]:
    sources = [{"root": str(args.output / "demos"), "weight": 3.0}, {"root": str(args.output / "play"), "weight": 1.0}]
    command = ["fit", "-c", "demo", "--data.sources", json.dumps(sources), "--run_dir", str(args.output / "train")]
    command += ["--seed_everything", str(args.seed)]
    return [*command, "--trainer.max_steps", str(QUICK["steps"])] if args.quick else command


def _evaluate(args: argparse.Namespace) -> list[str]:
    episodes = QUICK["test"] if args.quick else TEST_EPISODES
    command = ["evaluate", "--policy", str(args.output / "train" / "pretrained"), "--suite", SUITE]
    command += ["--episodes", str(episodes), "--workers", str(args.workers), "--output", str(args.output / "report")]
    return [*command, "--data", str(args.output / "demos"), "--data", str(args.output / "play")]


def _unified(command: list[str]) -> None:
    from unified.cli import main

    status = main(command)
    if status:
        raise UserError(
            f"`unified {command[0]}` stopped with status {status}. Run `unified demo` again to go on from here."
        )


def _verdict(path: Path) -> str:
    results = json.loads(path.read_text(encoding="utf-8"))
    lines = [f"{'task':<42}{'success':>9}   95 % interval\n"]
    for env_id, row in results["summary"]["per_task"].items():
        low, high = row["success_ci95"]
        lines.append(f"{env_id:<42}{row['success_rate']:>8.0%}   {low:.0%} to {high:.0%}\n")
    return "".join(lines)


_say: Callable[[str], object] = sys.stdout.write
