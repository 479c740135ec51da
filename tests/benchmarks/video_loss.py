"""Does learning video help or cost the policy? The demo's network with and without its video stream, same time, seeds.

    python -m tests.benchmarks.video_loss --demo runs/demo --output runs/video-loss [--minutes 5.5] [--seeds 0,1,2]

Trains on the demo's recordings. The network without video gets the demonstrations only, since it can learn nothing from
play. With --parallel both arms of a seed train side by side, one thread each, so that both meet the same neighbours.
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


def main() -> int:
    """Train, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"), help="output folder of `unified demo`")
    parser.add_argument("--output", type=Path, default=Path("runs/video-loss"))
    parser.add_argument("--minutes", type=float, default=5.5)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--parallel", action="store_true")
    args = parser.parse_args()
    seeds = [int(seed) for seed in args.seeds.split(",")]
    for seed in seeds:
        arms = [arm for arm in ARMS if not (args.output / f"{arm}-{seed}" / "report" / "results.json").exists()]
        for group in (arms,) if args.parallel else ([arm] for arm in arms):
            run([train_command(args, arm, seed) for arm in group], threads=1 if args.parallel else None)
        run([evaluate_command(args, arm, seed) for arm in arms], threads=1)
    table = collect(args.output, seeds)
    sys.stdout.write(render(table))
    text = json.dumps({"minutes": args.minutes, "seeds": seeds, "parallel": args.parallel, "arms": table}, indent=2)
    (args.output / "table.json").write_text(text + "\n", encoding="utf-8")
    return 0


def train_command(args: argparse.Namespace, arm: str, seed: int) -> list[str]:
    """`unified fit` for one arm."""
    sources: list[dict[str, Any]] = [{"root": str(args.demo / "demonstrations"), "weight": 3.0}]
    overlay = ["-c", "policy_only"] if arm == "policy_only" else []
    if arm == "joint":
        sources.append({"root": str(args.demo / "play"), "weight": 1.0})
    seconds = round(args.minutes * 60)
    clock = f"00:{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    options = ["--data.sources", json.dumps(sources), "--run_dir", str(args.output / f"{arm}-{seed}")]
    options += ["--seed_everything", str(seed), "--trainer.max_time", clock]
    return [sys.executable, "-m", "unified", "fit", "-c", "demo", *overlay, *options]


def evaluate_command(args: argparse.Namespace, arm: str, seed: int) -> list[str]:
    """`unified evaluate` for one arm, on held-out seeds."""
    folder = args.output / f"{arm}-{seed}"
    options = ["--policy", str(folder / "pretrained"), "--suite", "metaworld-demo", "--episodes", str(args.episodes)]
    options += ["--output", str(folder / "report"), "--baselines", "", "--films", "0", "--plans", "0"]
    return [sys.executable, "-m", "unified", "evaluate", *options]


def run(commands: list[list[str]], threads: int | None) -> None:
    """Run commands side by side; stop at the first that failed."""
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    for process in [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for command in commands]:
        if process.wait():
            raise SystemExit(f"{process.args!r} failed with status {process.returncode}")


def collect(output: Path, seeds: list[int]) -> dict[str, dict[str, Any]]:
    """Successes per task and seed, and the pooled rate with its interval."""
    from unified.intervals import wilson

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
