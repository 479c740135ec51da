#!/bin/sh
# The whole check: lint, types, then the tests on as many processes as there are cores (at most 4). FAST=1 leaves out
# the slow tests; further arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
sh scripts/lint.sh
cores=$(.venv/bin/python -c 'import os; print(min(4, len(os.sched_getaffinity(0))))')
# A cap on memory-hungry thread pools: the processes share the cores already.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
if [ -n "${FAST:-}" ]; then
    exec .venv/bin/python -m pytest -q -n "$cores" --dist worksteal -m "not slow" "$@" </dev/null
fi
exec .venv/bin/python -m pytest -q -n "$cores" --dist worksteal "$@" </dev/null
