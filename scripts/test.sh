#!/bin/sh
# The whole check: lint, types, then the tests, on one process more than there are cores (at most 4), since many tests
# wait for programs that they start. FAST=1 leaves out the slow ones; further arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
sh scripts/lint.sh
processes=$(.venv/bin/python -c 'import os; print(min(4, len(os.sched_getaffinity(0)) + 1))')
# A cap on memory-hungry thread pools: the processes share the cores already.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
if [ -n "${FAST:-}" ]; then
    exec .venv/bin/python -m pytest -q -n "$processes" --dist worksteal -m "not slow" "$@" </dev/null
fi
exec .venv/bin/python -m pytest -q -n "$processes" --dist worksteal "$@" </dev/null
