"""`unified study`: arms, seeds and budgets of a file, trained and judged one after another; nothing is done twice."""

import argparse
import shlex
import sys
import time
from pathlib import Path

from unified.errors import UserError
from unified.judging.study.file import Study, load_study
from unified.judging.study.stages import Stage, recordings, stages

HELP = "Compare what a file describes: record, train every arm, seed and budget, judge, one table and one plot."
EXAMPLES = """
unified study video --quick
unified study video --quick --only table
unified study corrections --slurm
"""
SLURM = """#!/bin/sh
# {runs} runs of {file}, one job each. Partition, time and account come from sbatch's own variables (SBATCH_PARTITION,
# SBATCH_TIMELIMIT, SBATCH_ACCOUNT, ...). Submitting it again goes on with what is missing.
set -eu
mkdir -p {logs}
options="--parsable --requeue --cpus-per-task={threads} --job-name={name}"
submit() {{ sbatch $options --output={logs}/slurm-%j.log "$@"; }}
recorded=$(submit --wrap={record})
trained=$(submit --dependency=afterok:"$recorded" --array=0-{last} --wrap={train})
submit --dependency=afterany:"$trained" --wrap={table}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", metavar="FILE", help="YAML file, or the name of one in configs/studies")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of the study (default: runs/NAME)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of each command (default 1)")
    parser.add_argument("--quick", action="store_true", help="four steps and one episode of everything: does it run?")
    parser.add_argument(
        "--only", metavar="WHAT", help="recordings, the number of one run (from 0), or table: what there is so far"
    )
    parser.add_argument("--slurm", action="store_true", help="print a script that does it as an array of SLURM jobs")


def run(args: argparse.Namespace) -> int:
    """Do what is missing, and write the table after every run.

    Raises:
        UserError: for what cannot be run, before anything runs; if a recording fails.
    """
    if args.threads < 1:
        raise UserError(f"--threads must be at least 1, got {args.threads}.")
    study = load_study(args.file, args.output, args.quick)
    if args.slurm:
        sys.stdout.write(_slurm(study, args))
        return 0
    chosen = _choose(study, args.only)
    study.begin()
    if args.only != "table":
        for stage in recordings(study):
            _do(stage, args.threads, "")
    failures: list[str] = []
    for number in chosen:
        try:
            for stage in stages(study.runs[number]):
                _do(stage, args.threads, f"[{number + 1}/{len(study.runs)}] ")
        except UserError as error:
            failures.append(str(error))
            sys.stderr.write(f"unified: error: {error}\n")
        if args.only is None:
            _table(study)
    if args.only in (None, "table"):
        sys.stdout.write(f"{_table(study)}{study.root}/study.md, study.json, study.png and tensorboard\n")
    return 1 if failures else 0


def _choose(study: Study, only: str | None) -> range:
    if only in ("recordings", "table"):
        return range(0)
    if only is None:
        return range(len(study.runs))
    if not only.isdigit() or int(only) >= len(study.runs):
        raise UserError(
            f"--only must be recordings, table or the number of a run from 0 to {len(study.runs) - 1}, got {only!r}."
        )
    return range(int(only), int(only) + 1)


def _do(stage: Stage, threads: int, prefix: str) -> None:
    """One stage, with a line when it begins and what it took."""
    started = time.monotonic()
    _say(f"{time.strftime('%H:%M:%S')} {prefix}{stage.title}")
    is_new = stage.run(threads)
    _say(f": {time.monotonic() - started:.0f} s\n" if is_new else ": done before\n")


def _table(study: Study) -> str:
    from unified.judging.study.rows import collect, write_outcome

    return write_outcome(study, collect(study))


def _slurm(study: Study, args: argparse.Namespace) -> str:
    command = [sys.executable, "-m", "unified", "study", str(study.path), "--output", str(study.root)]
    line = shlex.join([*command, "--threads", str(args.threads), *(["--quick"] if args.quick else [])])
    return SLURM.format(
        runs=len(study.runs), last=len(study.runs) - 1, file=study.path, name=shlex.quote(study.name),
        logs=shlex.quote(str(study.root / "logs")), threads=args.threads,
        record=shlex.quote(f"{line} --only recordings"), table=shlex.quote(f"{line} --only table"),
        train=shlex.quote(f'{line} --only "$SLURM_ARRAY_TASK_ID"'),
    )  # fmt: skip


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
