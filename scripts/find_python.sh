#!/bin/sh
# Print the path of a CPython 3.12 that really runs (each candidate is executed: a shim that fails is passed over).
# Looked at in this order: $UNIFIED_PYTHON, PATH, folders of pyenv, asdf, mise and uv, system folders, conda.
set -eu
home=${HOME:-$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6)}

runs() {
    [ -n "$1" ] && [ -f "$1" ] && [ -x "$1" ] && "$1" -I -c '
import ctypes, ssl, sys, venv
sys.exit(0 if sys.version_info[:2] == (3, 12) and sys.implementation.name == "cpython" else 1)
' >/dev/null 2>&1 </dev/null
}

candidates() {
    printf '%s\n' "${UNIFIED_PYTHON:-}"
    for name in python3.12 python3 python; do
        printf '%s\n' "$PATH" | tr ':' '\n' | while IFS= read -r folder; do printf '%s\n' "${folder:-.}/$name"; done
    done
    printf '%s\n' \
        "${PYENV_ROOT:-$home/.pyenv}"/versions/3.12*/bin/python3.12 \
        "${ASDF_DATA_DIR:-$home/.asdf}"/installs/python/3.12*/bin/python3.12 \
        "${MISE_DATA_DIR:-$home/.local/share/mise}"/installs/python/3.12*/bin/python3.12 \
        "${UV_PYTHON_INSTALL_DIR:-$home/.local/share/uv/python}"/cpython-3.12*/bin/python3.12 \
        "$home"/.local/bin/python3.12 /usr/bin/python3.12 /usr/local/bin/python3.12 \
        /opt/*/bin/python3.12 /opt/*/*/bin/python3.12 "${HOMEBREW_PREFIX:-/nonexistent}"/bin/python3.12 \
        "${CONDA_PREFIX:-/nonexistent}"/bin/python3.12 "$home"/*conda3/bin/python3.12 \
        "$home"/*conda3/envs/*/bin/python3.12 "$home"/miniforge3/bin/python3.12 "$home"/miniforge3/envs/*/bin/python3.12
}

first_that_runs() {
    candidates | {
        while IFS= read -r candidate; do
            if runs "$candidate"; then
                printf '%s\n' "$candidate"
                exit 0
            fi
        done
        exit 1
    }
}

if first_that_runs; then exit 0; fi

# None here: uv can fetch one. Any Python with pip can fetch uv.
find_uv() {
    command -v uv && return 0
    for other in python3 python; do
        "$other" -m pip install --quiet --target .cache/uv uv >/dev/null 2>&1 </dev/null || continue
        printf '%s\n' .cache/uv/bin/uv
        return 0
    done
    return 1
}

if uv=$(find_uv); then
    echo "setup: no working Python 3.12 found; asking uv for one" >&2
    if "$uv" python install --quiet 3.12 >&2 && first_that_runs; then exit 0; fi
fi
cat >&2 <<'HELP'
setup: no Python 3.12 that runs was found. Any one of these provides it:
    uv python install 3.12              (https://docs.astral.sh/uv)
    pyenv install 3.12
    conda create -n py312 python=3.12
    sudo apt-get install python3.12 python3.12-venv      (Ubuntu 24.04 and newer)
If you have one elsewhere: UNIFIED_PYTHON=/path/to/python3.12 make setup
HELP
exit 1
