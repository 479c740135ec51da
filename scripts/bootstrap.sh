#!/bin/sh
# Make .venv with the pinned packages and this project in it, and see to headless rendering. `make setup` runs it.
#
#   scripts/bootstrap.sh [runtime|dev]      dev adds what `make test` needs
#
# A second run that finds nothing changed ends at once. Variables, all optional:
#   UNIFIED_PYTHON            the Python 3.12 to use
#   UNIFIED_TORCH             cpu | cuda: which build of torch; default: cpu where no NVIDIA device is seen and the small
#                             CPU build can be had, else the ordinary one
#   UNIFIED_SYSTEM_PACKAGES   1 | 0: install missing graphics libraries with apt-get; default: only as root in a
#                             container or in CI
set -eu
cd "$(dirname "$0")/.."
kind=${1:-runtime}
case $kind in
    runtime) requirements=requirements.txt ;;
    dev) requirements=requirements-dev.txt ;;
    *) echo "setup: unknown kind '$kind'; use runtime or dev" >&2; exit 2 ;;
esac
venv=.venv
stamp=$venv/.unified-setup
certificates=
export PIP_DISABLE_PIP_VERSION_CHECK=1
say() { printf 'setup: %s\n' "$*" >&2; }

fingerprint() {
    { cat requirements.txt requirements-dev.txt pyproject.toml plugins/*/pyproject.toml; printf '%s' "${UNIFIED_TORCH:-}"; pwd; } | cksum
}

install_uv() {
    [ -x $venv/bin/uv ] && return 0
    # The same pin as everything else; without uv, pip does the work, only slower.
    $venv/bin/python -m pip install --quiet "$(grep '^uv==' requirements-dev.txt | cut -d' ' -f1)" >&2 || return 1
}

wants_cpu_torch() {
    [ "${UNIFIED_TORCH:-}" = cuda ] && return 1
    [ "${UNIFIED_TORCH:-}" = cpu ] && return 0
    [ -e /dev/nvidiactl ] || command -v nvidia-smi >/dev/null 2>&1 && return 1
    # Cheap question: can the CPU build of our pin be had from here? (it saves some 4 GB of GPU libraries)
    UV_HTTP_TIMEOUT=5 UV_HTTP_RETRIES=0 $venv/bin/uv pip install --quiet --python $venv/bin/python --dry-run --no-deps \
        --reinstall --torch-backend cpu "$(grep '^torch==' requirements.txt | cut -d' ' -f1)" >/dev/null 2>&1
}

# uv with its own certificates, uv with the system's (behind a proxy that signs by itself), then pip, which reads its own
# configuration.
install() {
    if [ -x $venv/bin/uv ]; then
        $venv/bin/uv pip install --quiet --python $venv/bin/python $certificates "$@" >&2 && return 0
        certificates=--system-certs
        say "once more, with the certificates of the system"
        $venv/bin/uv pip install --quiet --python $venv/bin/python $certificates "$@" >&2 && return 0
    fi
    say "using pip, which is slower"
    $venv/bin/python -m pip install --quiet "$@" >&2
}

install_packages() {
    install_uv || say "uv could not be installed"
    if [ -x $venv/bin/uv ] && wants_cpu_torch; then
        say "installing packages, torch as its CPU build"
        $venv/bin/uv pip install --quiet --python $venv/bin/python --torch-backend cpu -r "$requirements" >&2 && return 0
        say "the CPU build of torch could not be installed; taking the ordinary one"
    fi
    say "installing packages; the first time this takes a few minutes"
    install -r "$requirements"
}

may_install_system_packages() {
    case ${UNIFIED_SYSTEM_PACKAGES:-} in 0) return 1 ;; esac
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    [ "${UNIFIED_SYSTEM_PACKAGES:-}" = 1 ] || [ -n "${CI:-}" ] || [ -e /.dockerenv ] || [ -e /run/.containerenv ]
}

backend() {
    env -u MUJOCO_GL -u UNIFIED_RENDERER $venv/bin/python -c \
        'from unified.rollout.rendering import choose_rendering as c; print(c().backend)' 2>/dev/null || echo raycast
}

# Never a reason to fail: without any graphics library the simulators draw by ray casting.
see_to_rendering() {
    if [ "$(backend)" = raycast ] && may_install_system_packages; then
        say "no EGL here; installing Mesa's (UNIFIED_SYSTEM_PACKAGES=0 forbids it)"
        { timeout 60 apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 180 apt-get install -qq -y \
            --no-install-recommends libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri; } >/dev/null 2>&1 </dev/null ||
            say "apt-get could not install it"
    fi
    $venv/bin/python -c '
from unified.rollout.rendering import choose_rendering
print(f"setup: {choose_rendering()}")' >&2 || say "the renderer could not be examined; see \`unified doctor\`"
}

# Never a reason to fail either: without a browser its tests are skipped.
see_to_a_browser() {
    command -v chromium >/dev/null 2>&1 || command -v chromium-headless-shell >/dev/null 2>&1 && return 0
    may_install_system_packages || return 0
    say "no Chromium here; installing it for the tests of pages (UNIFIED_SYSTEM_PACKAGES=0 forbids it)"
    { timeout 60 apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -qq -y \
        --no-install-recommends chromium; } >/dev/null 2>&1 </dev/null || say "apt-get could not install it"
}

if [ -x $venv/bin/python ] && [ -f "$stamp" ]; then
    case "$(cat "$stamp")" in
        # What serves the tests serves the program too.
        "$kind $(fingerprint)" | "dev $(fingerprint)") exit 0 ;;
    esac
fi
if ! $venv/bin/python -c 'import sys, pip; sys.exit(sys.version_info[:2] != (3, 12))' >/dev/null 2>&1; then
    python=$(sh scripts/find_python.sh)
    say "making $venv with $python"
    "$python" -m venv --clear $venv
fi
install_packages
install --no-deps -e .
[ "$kind" = dev ] && install --no-deps -e plugins/lerobot
[ "$kind" = dev ] && see_to_a_browser
see_to_rendering
echo "$kind $(fingerprint)" >"$stamp"
say "ready: .venv/bin/unified demo"
