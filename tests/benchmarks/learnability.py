"""What can a small policy learn of each suite, and what is it worth to see?

    python -m tests.benchmarks.learnability --output runs/learnability [--suites screen,games,deformable] [--minutes 15]

For every suite: 100 demonstrations a task, one model for all of its tasks, fifteen minutes of processor time
(`configs/learnability.yaml`), and the same once more blind (its encoder sees grey). Both are judged on held-out seeds
beside the expert and the random policy, the seeing one on the suite's unseen variant too. What is done is not done
again. Prints a table and writes `learnability.json`.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified.judging.results import read_results


@dataclass(frozen=True)
class Recipe:
    """What differs between the suites.

    Attributes:
        cameras: that the policy looks through.
        shoves: chance of one in every step of a demonstration.
        shift_pixels: of the pictures in training; where a thing lies must be seen to the centimetre.
        first_stride: of the convolutions; 4 spares work, 2 keeps more detail.
    """

    cameras: tuple[str, ...]
    shoves: float
    shift_pixels: int
    first_stride: int


SUITES = {
    "screen": Recipe(("main",), 0.08, 9, 4),
    "games": Recipe(("main", "second"), 0.03, 6, 2),
    "deformable": Recipe(("main",), 0.05, 3, 2),
}
CPU_TIMER = "unified.training.callbacks.cpu_timer.CpuTimer"
DECIDING = ["--n-action-steps", "2"]
ARMS: dict[str, list[str]] = {
    "seeing": [],
    "blind": ["--model.network.observation.init_args.is_blind", "true"],
}


def main() -> int:
    """Record, train, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/learnability"))
    parser.add_argument("--suites", default=",".join(SUITES))
    parser.add_argument("--minutes", type=int, default=15, help="of processor time, to train a model")
    parser.add_argument("--demonstrations", type=int, default=100, help="a task")
    parser.add_argument("--episodes", type=int, default=20, help="of evaluation, a task")
    args = parser.parse_args()
    suites = args.suites.split(",")
    for suite in suites:
        record(args, suite)
        with ThreadPoolExecutor(len(ARMS)) as pool:
            list(pool.map(lambda arm, suite=suite: train(args, suite, arm), ARMS))
        for arm in ARMS:
            evaluate(args, suite, arm)
    table = {suite: collect(args.output, suite) for suite in suites}
    text = json.dumps({"minutes": args.minutes, "demonstrations": args.demonstrations, "suites": table}, indent=1)
    (args.output / "learnability.json").write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(render(table))
    return 0


def record(args: argparse.Namespace, suite: str) -> None:
    """The demonstrations of a suite."""
    folder = args.output / suite
    if not (folder / "recording.json").exists():
        disturbed = ["--noise", "0.05", "--shoves", str(SUITES[suite].shoves)]
        options = ["--suite", suite, "--episodes", str(args.demonstrations), *disturbed]
        resume = ["--resume"] if folder.exists() else []
        run("record", *options, "--cameras", "main,second", "--output", str(folder), *resume)


def train(args: argparse.Namespace, suite: str, arm: str) -> None:
    """One model of a suite."""
    folder = args.output / f"{suite}-{arm}"
    if not (folder / "pretrained").exists():
        source = {"root": str(args.output / suite), "cameras": SUITES[suite].cameras, "balance_tasks": True}
        timer = {"class_path": CPU_TIMER, "init_args": {"duration": f"00:00:{args.minutes:02d}:00"}}
        limit = ["--trainer.callbacks", json.dumps([timer])]
        shift = ["--model.shift_pixels", str(SUITES[suite].shift_pixels)]
        stride = ["--model.network.observation.init_args.first_stride", str(SUITES[suite].first_stride)]
        options = ["--data.sources", json.dumps([source]), *limit, *shift, *stride, *ARMS[arm]]
        run("fit", "-c", "learnability", "--run_dir", str(folder), *options)


def evaluate(args: argparse.Namespace, suite: str, arm: str) -> None:
    """One model on its suite; the seeing one on unseen things too."""
    folder = args.output / f"{suite}-{arm}"
    reports = {suite: "expert,random" if arm == "seeing" else ""}
    if arm == "seeing":
        reports[f"{suite}-unseen"] = ""
    for name, baselines in reports.items():
        if not (folder / name / "results.json").exists():
            options = ["--suite", name, "--episodes", str(args.episodes), "--baselines", baselines, *DECIDING]
            films = "1" if arm == "seeing" else "0"
            policy = str(folder / "pretrained")
            run("evaluate", "--policy", policy, *options, "--films", films, "--output", str(folder / name))


def run(*arguments: str) -> None:
    """One command of ours on one thread; stop if it failed."""
    command = [sys.executable, "-m", "unified", *arguments]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(f"{command!r} failed with status {done.returncode}")


def collect(output: Path, suite: str) -> dict[str, Any]:
    """Success of everyone on every task, with intervals, and how long was trained."""
    seeing = read_results(output / f"{suite}-seeing" / suite)
    reports = {
        "seeing": seeing["summary"],
        "blind": read_results(output / f"{suite}-blind" / suite)["summary"],
        **{name: seeing["baselines"][name]["summary"] for name in ("expert", "random")},
        "unseen": read_results(output / f"{suite}-seeing" / f"{suite}-unseen")["summary"],
    }
    return {
        "steps": {arm: steps_of(output / f"{suite}-{arm}") for arm in ARMS},
        "tasks": {
            task: {name: pick(summary["per_task"][task]) for name, summary in reports.items()}
            for task in seeing["summary"]["per_task"]
        },
        "all": {name: pick(summary) for name, summary in reports.items()},
    }


def pick(summary: dict[str, Any]) -> dict[str, Any]:
    """Rate and interval."""
    return {key: summary[key] for key in ("success_rate", "success_ci95")}


def steps_of(folder: Path) -> int:
    """Optimiser steps of a run."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return max(row["step"] for row in rows) + 1


def render(table: dict[str, Any]) -> str:
    """Markdown."""
    names = ("expert", "random", "blind", "seeing", "unseen")
    lines = ["| task | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for suite, entry in table.items():
        for task, reports in [*entry["tasks"].items(), (f"all of {suite}", entry["all"])]:
            cells = []
            for name in names:
                low, high = reports[name]["success_ci95"]
                cells.append(f"{reports[name]['success_rate']:.0%} [{low:.0%}, {high:.0%}]")
            lines.append(f"| {task} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
