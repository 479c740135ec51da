"""`unified demo`: record, train one model, act, imagine, judge: the whole program once, small."""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from unified.judging.study import child

HELP = "Record demonstrations, train one model, let it act and imagine, and write one report, in ten minutes on a CPU."
EXAMPLES = """
unified demo --quick --output runs/demo-quick
"""
SUITE = "metaworld-demo"
DEMONSTRATIONS, PLAY_EPISODES, TEST_EPISODES = 25, 24, 20
PLAYED = "--env sims:MetaWorld-drawer-open-v3 --env sims:MetaWorld-reach-v3"
WINDOWS = 256  # held-out ones a recording
QUICK = {"demonstrations": 2, "play": 2, "test": 1, "steps": 20}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--output", type=Path, default=Path("runs/demo"), metavar="DIR", help="default: runs/demo")
    parser.add_argument("--seed", type=int, default=0, help="seed of training (default 0)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="simulation processes (default 2)")
    parser.add_argument(
        "--quick", action="store_true", help="one minute instead of ten; shows what happens, but the model stays poor"
    )


def run(args: argparse.Namespace) -> int:
    """Run the stages one after another; what an interrupted demo finished is not done again."""
    folder: Path = args.output
    started = time.perf_counter()
    seconds: dict[str, float] = {}
    stages = _stages(args)
    for number, stage in enumerate(stages, start=1):
        _say(f"\n[{number}/{len(stages)}] {stage.title}\n      {shlex.join(['unified', *stage.command])}\n")
        if stage.done.exists():
            _say("      done before\n")
            continue
        stage_started = time.perf_counter()
        status = child.run(stage.command)
        if status:
            _say("The demo stopped here; what is finished is kept. Run the same command again to go on.\n")
            return status
        stage.done.touch()
        seconds[stage.name] = time.perf_counter() - stage_started
    durations = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    _say(f"\n{_verdict(folder / 'report' / 'results.json')}\n")
    _say(f"{time.perf_counter() - started:.0f} s: {durations}\n")
    _say(f"Report: {folder / 'report' / 'report.html'}\nModel:  {folder / 'train' / 'pretrained'}\n")
    _say(f"Play:   unified play --checkpoint {shlex.quote(str(folder / 'train'))} {PLAYED}\n")
    _say(f"Curves: tensorboard --logdir {shlex.quote(str(folder / 'train' / 'tensorboard'))}\n")
    return 0


@dataclass(frozen=True)
class Stage:
    """One command of the demo; `done` exists once it is finished."""

    name: str
    title: str
    command: list[str]
    done: Path


def _stages(args: argparse.Namespace) -> list[Stage]:
    folder: Path = args.output
    titles = {
        "demonstrations": ("Recording demonstrations in MuJoCo", _record(args, "expert", folder / "demonstrations")),
        "play": ("Recording play, so that actions can be told from habits", _record(args, "play", folder / "play")),
        "train": ("Training one model for all queries", _fit(args)),
        "report": ("Acting, imagining and judging on unseen seeds", _evaluate(args)),
    }
    return [Stage(name, title, command, folder / f".{name}.done") for name, (title, command) in titles.items()]


def _record(args: argparse.Namespace, policy: str, output: Path) -> list[str]:
    full, quick = (DEMONSTRATIONS, QUICK["demonstrations"]) if policy == "expert" else (PLAY_EPISODES, QUICK["play"])
    command = ["record", "--suite", SUITE, "--policy", policy, "--episodes", str(quick if args.quick else full)]
    command += ["--output", str(output), "--workers", str(args.workers)]
    return [*command, *(["--resume"] if output.exists() else [])]


def _fit(args: argparse.Namespace) -> list[str]:
    sources = [
        {"root": str(args.output / "demonstrations"), "weight": 3.0},
        {"root": str(args.output / "play"), "weight": 2.0},
    ]
    run_folder = args.output / "train"
    command = ["fit", "-c", "demo", "--data.sources", json.dumps(sources), "--run_dir", str(run_folder)]
    command += ["--seed_everything", str(args.seed)]
    if args.quick:
        command += ["--trainer.max_steps", str(QUICK["steps"])]
    return [*command, *(["--ckpt_path", "last"] if any(run_folder.glob("checkpoints/*.ckpt")) else [])]


def _evaluate(args: argparse.Namespace) -> list[str]:
    episodes = QUICK["test"] if args.quick else TEST_EPISODES
    command = ["evaluate", "--policy", str(args.output / "train" / "pretrained"), "--suite", SUITE]
    command += ["--episodes", str(episodes), "--workers", str(args.workers), "--windows", str(WINDOWS)]
    command += ["--output", str(args.output / "report")]
    return [*command, "--data", str(args.output / "demonstrations"), "--data", str(args.output / "play")]


def _verdict(path: Path) -> str:
    results = json.loads(path.read_text(encoding="utf-8"))
    lines = [f"{'task':<42}{'success':>9}   95 % interval\n"]
    for env_id, row in results["summary"]["per_task"].items():
        low, high = row["success_ci95"]
        lines.append(f"{env_id:<42}{row['success_rate']:>8.0%}   {low:.0%} to {high:.0%}\n")
    return "".join(lines)


_say: Callable[[str], object] = sys.stdout.write
