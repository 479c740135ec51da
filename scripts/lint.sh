#!/bin/sh
# ruff (lint and format) and pyright, each silent unless it has something to say.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/ruff check --quiet .
.venv/bin/ruff format --quiet --check .
.venv/bin/pyright
