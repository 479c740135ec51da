"""Does learning video help or cost the policy? The demo's network with and without its video stream, same time, seeds.

    python -m tests.benchmarks.video_loss --demo runs/demo --output runs/video-loss [--minutes 10] [--seeds 0,1,2]

Trains on the demo's recordings, one thread each. The network without video gets the demonstrations only, since it can
learn nothing from play. Both arms get the same CPU time: how many steps that is, is measured first (CPU time of a
longer run minus that of a shorter one, arms taking turns), so that neighbours on the machine cannot favour an arm.
Arms that are already evaluated are not run again. Prints a table and writes `table.json`.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ARMS = ("joint", "policy_only")
SPEED_STEPS = (20, 100)


def main() -> int:
    """Measure speeds, train, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"), help="output folder of `unified demo`")
    parser.add_argument("--output", type=Path, default=Path("runs/video-loss"))
    parser.add_argument("--minutes", type=float, default=10.0, help="CPU minutes of training an arm and seed")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--episodes", type=int, default=20)
    args = parser.parse_args()
    seeds = [int(seed) for seed in args.seeds.split(",")]
    steps = steps_in(args)
    for seed in seeds:
        for arm in ARMS:
            if not (args.output / f"{arm}-{seed}" / "report" / "results.json").exists():
                run(train_command(args, arm, f"{arm}-{seed}", seed, steps[arm]))
                run(evaluate_command(args, arm, seed))
    table = collect(args.output, seeds)
    sys.stdout.write(render(table))
    text = json.dumps({"cpu_minutes": args.minutes, "steps": steps, "seeds": seeds, "arms": table}, indent=2)
    (args.output / "table.json").write_text(text + "\n", encoding="utf-8")
    return 0


def steps_in(args: argparse.Namespace) -> dict[str, int]:
    """Optimiser steps of each arm in the given CPU time; measured once and kept in `steps.json`."""
    path = args.output / "steps.json"
    if not path.exists():
        seconds: dict[str, list[float]] = {arm: [] for arm in ARMS}
        for count in SPEED_STEPS:
            for arm in ARMS:
                seconds[arm].append(run(train_command(args, arm, f"speed-{arm}-{count}", 0, count)))
        extra = SPEED_STEPS[1] - SPEED_STEPS[0]
        steps = {arm: round(60 * args.minutes * extra / (long - short)) for arm, (short, long) in seconds.items()}
        path.write_text(json.dumps(steps) + "\n", encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def train_command(args: argparse.Namespace, arm: str, name: str, seed: int, max_steps: int) -> list[str]:
    """`unified fit` for one arm."""
    sources: list[dict[str, Any]] = [{"root": str(args.demo / "demonstrations"), "weight": 3.0}]
    overlay = ["-c", "policy_only"] if arm == "policy_only" else []
    if arm == "joint":
        sources.append({"root": str(args.demo / "play"), "weight": 2.0})
    options = ["--data.sources", json.dumps(sources), "--run_dir", str(args.output / name)]
    options += ["--seed_everything", str(seed), "--trainer.max_time", "null", "--trainer.max_steps", str(max_steps)]
    return [sys.executable, "-m", "unified", "fit", "-c", "demo", *overlay, *options]


def evaluate_command(args: argparse.Namespace, arm: str, seed: int) -> list[str]:
    """`unified evaluate` for one arm, on held-out seeds."""
    folder = args.output / f"{arm}-{seed}"
    options = ["--policy", str(folder / "pretrained"), "--suite", "metaworld-demo", "--episodes", str(args.episodes)]
    options += ["--output", str(folder / "report"), "--baselines", "", "--films", "0", "--plans", "0"]
    return [sys.executable, "-m", "unified", "evaluate", *options]


def run(command: list[str]) -> float:
    """Run a command on one thread and give the CPU seconds that it took; stop if it failed."""
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command!r} failed with status {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def collect(output: Path, seeds: list[int]) -> dict[str, dict[str, Any]]:
    """Successes per task and seed, and the pooled rate with its interval."""
    from unified.judging.intervals import wilson

    table: dict[str, dict[str, Any]] = {}
    for arm in ARMS:
        results = [json.loads((output / f"{arm}-{seed}" / "report" / "results.json").read_text()) for seed in seeds]
        tasks = list(results[0]["summary"]["per_task"])
        successes = {
            task: [sum(e["success"] for e in result["episodes"] if e["env_id"] == task) for result in results]
            for task in tasks
        }
        total, episodes = sum(map(sum, successes.values())), sum(len(result["episodes"]) for result in results)
        table[arm] = {
            "successes": successes,
            "per_seed": [result["summary"]["success_rate"] for result in results],
            "success_rate": total / episodes,
            "success_ci95": list(wilson(total, episodes)),
            "episodes": episodes,
        }
    return table


def render(table: dict[str, dict[str, Any]]) -> str:
    """A Markdown table."""
    lines = ["| task | " + " | ".join(ARMS) + " |", "| --- | --- | --- |"]
    for task in table[ARMS[0]]["successes"]:
        lines.append(f"| {task} | " + " | ".join(str(table[arm]["successes"][task]) for arm in ARMS) + " |")
    cells = []
    for arm in ARMS:
        low, high = table[arm]["success_ci95"]
        cells.append(f"{table[arm]['success_rate']:.1%} [{low:.1%}, {high:.1%}]")
    lines.append("| all | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
