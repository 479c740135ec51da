"""How fast a dream streams: frames a second on one core, by network, denoise steps, cameras and pixels.

    python -m tests.benchmarks.dreams [--json FILE]

A frame is a whole step of `Dream`: the commands told, pictures and proprio denoised, decoded, and shown to the model
again. Weights are random, the network is the demo's or a size of configs/sizes, the window is full. Beside
it stands the denoiser of DIAMOND (arXiv:2405.12399), written from its paper: a U-Net at full resolution, four past
frames in, three denoise steps a frame by default, without anything around it. Processor time, one thread, in turn.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks.model import build, demo_spec, matmul_peak, size_of
from tests.worlds import random_batch
from unified.model.model import UnifiedModel
from unified.rollout.dreams.dream import Dream

FRAMES = 24


class ConditionedBlock(nn.Module):
    """Two 3x3 convolutions behind group norms that the condition scales and shifts."""

    def __init__(self, inputs: int, outputs: int, condition: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(width // 32, width) for width in (inputs, outputs))
        self.scales = nn.ModuleList(nn.Linear(condition, 2 * width) for width in (inputs, outputs))
        self.convolutions = nn.ModuleList(nn.Conv2d(width, outputs, 3, padding=1) for width in (inputs, outputs))
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, picture: Tensor, condition: Tensor) -> Tensor:
        hidden = picture
        for norm, scale, convolution in zip(self.norms, self.scales, self.convolutions, strict=True):
            factor, offset = scale(condition)[:, :, None, None].chunk(2, dim=1)
            hidden = convolution(F.silu(norm(hidden) * (1 + factor) + offset))
        return self.shortcut(picture) + hidden


class DiamondUNet(nn.Module):
    """DIAMOND's denoiser with its defaults: four levels of 64 channels, two blocks a level, no attention."""

    WIDTH, LEVELS, BLOCKS, CONDITION, PAST = 64, 4, 2, 256, 4

    def __init__(self) -> None:
        super().__init__()
        width, condition = self.WIDTH, self.CONDITION
        self.first = nn.Conv2d(3 * (self.PAST + 1), width, 3, padding=1)
        levels = range(self.LEVELS)
        self.down = nn.ModuleList(
            nn.ModuleList(ConditionedBlock(width, width, condition) for _ in range(self.BLOCKS)) for _ in levels
        )
        self.middle = nn.ModuleList(ConditionedBlock(width, width, condition) for _ in range(2))
        self.up = nn.ModuleList(
            nn.ModuleList(ConditionedBlock(2 * width, width, condition) for _ in range(self.BLOCKS + 1)) for _ in levels
        )
        self.shrink = nn.ModuleList(nn.Conv2d(width, width, 3, stride=2, padding=1) for _ in levels[1:])
        self.grow = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in levels[1:])
        self.last = nn.Sequential(nn.GroupNorm(2, width), nn.SiLU(), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, noisy: Tensor, past: Tensor, condition: Tensor) -> Tensor:
        hidden = self.first(torch.cat([past, noisy], dim=1))
        skips = [hidden]
        for number, blocks in enumerate(self.down):
            if number:
                hidden = self.shrink[number - 1](hidden)
                skips.append(hidden)
            for block in blocks:  # pyright: ignore[reportGeneralTypeIssues]
                hidden = block(hidden, condition)
                skips.append(hidden)
        for block in self.middle:
            hidden = block(hidden, condition)
        for number, blocks in enumerate(self.up):
            if number:
                hidden = self.grow[number - 1](F.interpolate(hidden, scale_factor=2.0, mode="nearest"))
            for block in blocks:  # pyright: ignore[reportGeneralTypeIssues]
                hidden = block(torch.cat([hidden, skips.pop()], dim=1), condition)
        return self.last(hidden)


def diamond(pixels: int, steps: int) -> Callable[[], object]:
    """A frame of DIAMOND: as many passes of its denoiser."""
    network, condition = DiamondUNet().eval(), torch.randn(1, DiamondUNet.CONDITION)
    past, noisy = torch.randn(1, 3 * DiamondUNet.PAST, pixels, pixels), torch.randn(1, 3, pixels, pixels)

    @torch.no_grad()
    def frame() -> None:
        for _ in range(steps):
            network(noisy, past, condition)

    return frame


def dream(model: UnifiedModel, steps: int) -> Callable[[], object]:
    """A frame of a dream of ours that has filled its window."""
    start = replace(random_batch(model.spec, 1, moments=1), ahead={}, ahead_is_pad=None, between={})
    imagined = Dream(model, start, num_steps=steps)
    commands = torch.zeros(1, model.spec.frame_stride, model.spec.action_dim)
    for _ in range(8):
        imagined.step(commands)
    return lambda: imagined.step(commands)


def measure(frames: dict[str, Callable[[], object]]) -> dict[str, dict[str, float]]:
    """Median seconds and FLOP of a frame of each, called in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in frames}
    for _ in range(FRAMES):
        for name, frame in frames.items():
            started = time.process_time()
            frame()
            seconds[name].append(time.process_time() - started)
    rows = {}
    for name, frame in frames.items():
        with FlopCounterMode(display=False) as counter:
            frame()
        rows[name] = {"seconds": statistics.median(seconds[name]), "gflop": counter.get_total_flops() / 1e9}
    return rows


def main() -> int:
    """Print a table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    frames: dict[str, Callable[[], object]] = {}
    for name, size, pixels, cameras in (
        ("demo", {}, 64, 1),
        ("demo", {}, 96, 1),
        ("demo", {}, 64, 3),
        ("demo", {}, 64, 6),
        ("256x7", {"dim": 256, "depth": 7, "num_heads": 4}, 64, 1),
        ("base", size_of("base"), 64, 1),
    ):
        model = build(spec=demo_spec(pixels, cameras), **size).eval()
        for steps in (1, 2, 4):
            frames[f"{name}, {pixels} px, {cameras} camera{'s' * (cameras > 1)}, {steps} steps"] = dream(model, steps)
    frames |= {f"DIAMOND's U-Net, {pixels} px, 1 camera, 3 steps": diamond(pixels, 3) for pixels in (64, 96)}
    rows, peak = measure(frames), matmul_peak(torch.float32, time.process_time)
    table: dict[str, Any] = {}
    for name, row in rows.items():
        share = row["gflop"] * 1e9 / row["seconds"] / peak
        table[name] = {"frames_per_s": 1 / row["seconds"], "gflop": row["gflop"], "share_of_matmul_peak": share}
        sys.stdout.write(
            f"{name:<46}{1 / row['seconds']:>8.1f} frames/s{row['gflop']:>8.2f} GFLOP{share:>7.0%} of peak\n"
        )
    if args.json:
        whole = {"torch": torch.__version__, "fp32_matmul_peak_gflops": peak / 1e9, "rows": table}
        args.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
