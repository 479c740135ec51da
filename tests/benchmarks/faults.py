"""Faults made on purpose: malformed inputs, rotten files, killed processes; nothing may be lost or silently wrong.

    python -m tests.benchmarks.faults [--fuzz 300] [--rot 200] [--kills 60] [--seed 0] [--json FILE]

Every case is drawn from the seed. Prints the cases that went wrong and the counts; exit status 1 if there was any.
The kills are `tests.benchmarks.kills`, which can be run by itself.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.fuzz import fuzz
from tests.faults.rot import rot
from tests.faults.world import warm_up


def kill(_world: Path, _folder: Path, cases: int, seed: int) -> Iterator[tuple[str, str]]:
    """The series of kills as one case; what it found it has printed."""
    command = [sys.executable, "-m", "tests.benchmarks.kills", "--kills", str(cases), "--seed", str(seed)]
    status = subprocess.run(command, check=False).returncode
    yield f"{cases} kills", f"status {status}" if status else ""


SERIES = {"fuzz": (fuzz, 300), "rot": (rot, 200), "kills": (kill, 60)}


def main() -> int:
    """Run the series one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (_, cases) in SERIES.items():
        parser.add_argument(f"--{name}", type=int, default=cases, metavar="N", help=f"cases (default {cases})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="unified-faults-") as place:
        world = Path(place) / "world"
        if args.fuzz or args.rot:
            warm_up(world)
        for name, (series, _) in SERIES.items():
            started, count, wrong = time.perf_counter(), 0, dict[str, str]()
            wanted = getattr(args, name)
            for what, fault in series(world, Path(place) / "case", wanted, args.seed) if wanted else ():
                count += 1
                if fault:
                    wrong[what] = fault
                    print(f"{name} {what}: {fault}", flush=True)
            rows[name] = {"cases": count, "wrong": wrong, "seconds": round(time.perf_counter() - started, 1)}
            print(f"{name}: {count} cases, {len(wrong)} wrong, {rows[name]['seconds']} s", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"seed": args.seed, **rows}, indent=1) + "\n")
    return int(any(row["wrong"] for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
