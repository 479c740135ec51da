"""`unified doctor`: what this machine has and lacks, with the fix for each. Torch is never imported."""

import argparse
import dataclasses
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any, Literal

import unified
from unified.rollout.rendering import choose_rendering

HELP = "Say what this machine has and lacks, with the fix for each."
EXAMPLES = """
unified doctor
unified doctor --json
unified doctor --full
"""

PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "lerobot",
    "mujoco",
    "metaworld",
    "gymnasium",
    "numpy",
    "av",
    "omegaconf",
    "jsonargparse",
    "tensorboard",
)
OPTIONAL = {
    "diffusers": "pretrained autoencoders: `pip install 'diffusers>=0.38'`",
    "transformers": "pretrained text encoders: `pip install 'transformers>=5.4'`",
}
DISK_NEEDED_GB = 5
MEMORY_NEEDED_GB = 4
TEST_FRAME = (
    "from unified.rollout.rendering import configure_rendering; configure_rendering(announce=False)\n"
    "import gymnasium, sims\n"
    "env = gymnasium.make('sims:MetaWorld-reach-v3', image_size=64)\n"
    "picture = next(iter(env.reset(seed=0)[0]['pixels'].values()))\n"
    "assert picture.std() > 1, 'the picture is blank'\n"
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its state, and for anything but "ok" or "note" what to do."""

    name: str
    status: Literal["ok", "note", "warn", "fail"]
    text: str
    fix: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `unified doctor`."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--full", action="store_true", help="also draw a picture in a simulator and encode a film")


def run(args: argparse.Namespace) -> int:
    """Print the findings; status 1 if something that is needed does not work."""
    findings = examine()
    if args.full:
        findings += [check_picture(), check_film()]
    failed = any(finding.status == "fail" for finding in findings)
    if args.json:
        answer = {"unified": unified.__version__, "ok": not failed, "findings": [*map(dataclasses.asdict, findings)]}
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    else:
        sys.stdout.write(format_findings(findings, is_colored=sys.stdout.isatty()))
    return int(failed)


def examine() -> list[Finding]:
    """Everything that can be found out in a fraction of a second."""
    return [
        check_python(),
        check_packages(),
        *check_optional_packages(),
        check_processor(),
        check_accelerator(),
        check_memory(),
        check_disk(),
        check_rendering(),
        check_codecs(),
        check_writing(),
        check_hub(),
    ]


def format_findings(findings: list[Finding], is_colored: bool) -> str:
    """The findings as lines, fixes below the finding they mend."""
    marks = {"ok": ("ok  ", "32"), "note": ("note", "36"), "warn": ("WARN", "33"), "fail": ("FAIL", "31")}
    lines: list[str] = []
    for finding in findings:
        mark, color = marks[finding.status]
        mark = f"\x1b[{color}m{mark}\x1b[0m" if is_colored else mark
        lines.append(f"{mark}  {finding.name:<12} {finding.text}")
        if finding.fix:
            lines.append(f"{'':<19} -> {finding.fix}")
    failed = sum(finding.status == "fail" for finding in findings)
    lines.append(f"\n{failed} of {len(findings)} checks failed." if failed else "\nEverything needed works.")
    return "\n".join(lines) + "\n"


def check_python() -> Finding:
    """The interpreter."""
    text = f"{platform.python_version()} in {sys.prefix}"
    if sys.version_info[:2] != (3, 12):
        return Finding("python", "fail", text, "Python 3.12 is needed; `make setup` finds one and makes .venv")
    return Finding("python", "ok", text)


def check_packages() -> Finding:
    """Versions of what is needed, read from metadata without importing anything."""
    versions = {name: _version(name) for name in PACKAGES}
    missing = [name for name, version in versions.items() if version is None]
    text = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    if missing:
        return Finding(
            "packages", "fail", f"missing: {', '.join(missing)}", "`make setup` installs the pinned versions"
        )
    return Finding("packages", "ok", text)


def check_optional_packages() -> list[Finding]:
    """Extras that some options need."""
    return [
        Finding(name, "ok", str(_version(name))) if _version(name) else Finding(name, "note", "not installed", use)
        for name, use in OPTIONAL.items()
    ]


def check_processor() -> Finding:
    """Cores this process may use, and the instructions that decide how fast matrices multiply."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    lines = _read("/proc/cpuinfo").splitlines()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", fields.get("Features", "")).split()
    fast = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "bf16") if name in flags]
    is_bf16 = any("bf16" in name for name in fast)
    text = f"{fields.get('model name', platform.machine())}, {cores} cores, {' '.join(fast) or 'no fast vector units'}"
    return Finding(
        "processor", "ok", f"{text}; bfloat16 {'in hardware' if is_bf16 else 'emulated, so training is in float32'}"
    )


def check_accelerator() -> Finding:
    """CUDA devices, as `nvidia-smi` names them."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return Finding("accelerator", "note", "none; everything runs on the CPU, larger presets slowly")
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("accelerator", "warn", f"nvidia-smi does not answer: {error}", "restart the NVIDIA driver")
    names = "; ".join(done.stdout.strip().splitlines())
    if done.returncode != 0 or not names:
        return Finding("accelerator", "warn", f"nvidia-smi fails: {names or done.stderr.strip()}", "mend the driver")
    if "+cpu" in (_version("torch") or ""):
        return Finding("accelerator", "warn", names, "this torch is a CPU build; `UNIFIED_TORCH=cuda make setup`")
    return Finding("accelerator", "ok", names)


def check_memory() -> Finding:
    """Memory that is free now."""
    fields = dict(line.split(":", 1) for line in _read("/proc/meminfo").splitlines() if ":" in line)
    if "MemAvailable" not in fields:
        return Finding("memory", "note", "unknown here")
    free, total = (int(fields[key].split()[0]) / 2**20 for key in ("MemAvailable", "MemTotal"))
    text = f"{free:.1f} of {total:.1f} GiB free"
    if free < MEMORY_NEEDED_GB:
        return Finding("memory", "warn", text, "use `--workers 1` and smaller batches, or close other programs")
    return Finding("memory", "ok", text)


def check_disk() -> Finding:
    """Room where results and caches go: the current folder."""
    free = shutil.disk_usage(".").free / 1e9
    if free < DISK_NEEDED_GB:
        return Finding(
            "disk", "warn", f"{free:.1f} GB free here", f"the demo wants {DISK_NEEDED_GB} GB; free some space"
        )
    return Finding("disk", "ok", f"{free:.0f} GB free here")


def check_rendering() -> Finding:
    """The renderer that commands would use."""
    rendering = choose_rendering()
    if rendering.backend == "raycast":
        fix = f"for shadows and textures install {rendering.advice}" if rendering.advice else None
        return Finding("rendering", "warn" if fix else "note", f"ray casting; {rendering.detail}", fix)
    return Finding("rendering", "ok", f"{rendering.backend}: {rendering.detail}", rendering.advice)


def check_codecs() -> Finding:
    """PyAV, which brings its own FFmpeg with x264."""
    if util.find_spec("av") is None:
        return Finding("video", "fail", "PyAV is missing: no film can be read or written", "`make setup`")
    return Finding("video", "ok", f"PyAV {_version('av')} with its own FFmpeg (`--full` encodes a film)")


def check_writing() -> Finding:
    """Whether results and temporary files can be written."""
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        if not os.access(folder, os.W_OK):
            return Finding("writing", "warn", f"{folder} is read-only", "run elsewhere, or pass --output; set TMPDIR")
    return Finding("writing", "ok", "the current folder and the temporary folder")


def check_hub() -> Finding:
    """Hugging Face Hub: only optional parts download anything."""
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        return Finding("hub", "note", "offline (HF_HUB_OFFLINE is set): Hub names work only if cached")
    return Finding("hub", "note", "used only for names you give; HF_HUB_OFFLINE=1 forbids it")


def check_picture() -> Finding:
    """Draw one picture in a simulator, in a process of its own."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", TEST_FRAME], capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding("picture", "fail", "no picture within 120 s", "UNIFIED_RENDERER=raycast draws without drivers")
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        return Finding("picture", "fail", reason, "UNIFIED_RENDERER=raycast draws without drivers")
    return Finding("picture", "ok", "a simulator was built and drawn")


def check_film() -> Finding:
    """Encode and decode a second of film in memory."""
    import io

    import av
    import numpy as np

    memory, count = io.BytesIO(), 0
    try:
        with av.open(memory, "w", format="mp4") as output:
            stream: Any = output.add_stream("libx264", rate=10)
            stream.width = stream.height = 64
            for shade in range(10):
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), shade * 20, np.uint8))
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        memory.seek(0)
        with av.open(memory, "r") as film:
            count = sum(1 for _ in film.decode(video=0))
    except (av.FFmpegError, ValueError) as error:
        return Finding("film", "fail", str(error), "reinstall PyAV: `pip install --force-reinstall av`")
    if count != 10:
        return Finding("film", "fail", f"{count} of 10 frames came back", "reinstall PyAV")
    return Finding("film", "ok", "x264 encodes and decodes")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
