#!/bin/sh
# Compile requirements.txt and requirements-dev.txt from the ranges in pyproject.toml: versions only, no addresses, for
# every platform. Pins that still fit are kept; UPGRADE=1 takes the newest versions the ranges allow.
set -eu
cd "$(dirname "$0")/.."
compile() {
    .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.12 --no-emit-index-url \
        --no-emit-find-links --no-annotate --custom-compile-command "make requirements" ${UPGRADE:+--upgrade} "$@"
}
compile --output-file requirements.txt
compile --extra dev --constraint requirements.txt --output-file requirements-dev.txt
if grep -nE '://|^-|file:| @ ' requirements.txt requirements-dev.txt; then
    echo "requirements: an address or an option stands in the pins above" >&2
    exit 1
fi
