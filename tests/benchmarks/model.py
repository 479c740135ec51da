"""What the model costs: matmul peak, training throughput and its share of the peak, latency, left-out streams.

    python -m tests.benchmarks.model [--threads 1] [--size base] [--json FILE]

Alternatives are timed in turn, A B A B, and compared within a run: on a shared machine only ratios last.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from tests.worlds import random_batch
from unified.model.config import ModelConfig
from unified.model.model import UnifiedModel
from unified.model.network.backbone import UViT
from unified.model.spec import DataSpec, Embodiment

DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"


def demo_spec(image_size: int = 64, num_cameras: int = 1) -> DataSpec:
    """The demo's data: one camera of 64 pixels, one future frame, eight actions; or more and larger pictures."""
    cameras = tuple(f"camera{number}" for number in range(num_cameras))
    return DataSpec((Embodiment("metaworld", 4, 4, cameras, 0.0125),), cameras, (image_size, image_size))


def build(with_video: bool = True, spec: DataSpec | None = None, **changes: Any) -> UnifiedModel:
    """The demo's model as its config has it, with changes; or the same network without a video stream."""
    torch.manual_seed(0)
    network = yaml.safe_load(DEMO.read_text())["model"]["init_args"]["network"]
    if not with_video:
        del network["decoders"]["video"]
    return UnifiedModel(ModelConfig.from_dict({**network, **changes}), spec or demo_spec())


def alternate(functions: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """Median seconds of each function, called in turn `rounds` times after two calls to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds + 2):
        for name, function in functions.items():
            started = clock()
            function()
            if turn >= 2:
                seconds[name].append(clock() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def matmul_peak(dtype: torch.dtype, clock: Callable[[], float]) -> float:
    """FLOP/s of a large linear layer: the machine's practical ceiling."""
    a, b = torch.randn(2048, 1024).to(dtype), torch.randn(1024, 1024).to(dtype)
    seconds = alternate({"matmul": lambda: torch.nn.functional.linear(a, b)}, 20, clock)["matmul"]
    return 2 * 2048 * 1024 * 1024 / seconds


def left_out_ratio(rounds: int = 60, **changes: Any) -> float:
    """Time of the joint model's policy query over that of the same network built without a video stream."""
    joint, alone = (build(with_video, **changes).eval() for with_video in (True, False))
    batch = random_batch(demo_spec(), 1)
    answer = {"joint": lambda: joint.sample(batch, "policy"), "alone": lambda: alone.sample(batch, "policy")}
    seconds = alternate(answer, rounds, time.process_time)
    return seconds["joint"] / seconds["alone"]


def size_of(name: str) -> dict[str, int]:
    """The network options of a size preset."""
    return yaml.safe_load((DEMO.parent / "sizes" / f"{name}.yaml").read_text())["model"]["init_args"]["network"]


def backbone_speed(config: ModelConfig, num_tokens: int, batch: int, clock: Callable[[], float]) -> float:
    """FLOP/s of the backbone alone, forward and backward in bf16; matrix products only are counted."""
    backbone = UViT(config.dim, config.depth, config.num_heads, config.num_registers)
    tokens = torch.randn(batch, num_tokens, config.dim)
    with FlopCounterMode(display=False) as counter:
        backbone(tokens)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            backbone(tokens).float().square().mean().backward()

    return 3 * counter.get_total_flops() / alternate({"step": step}, 6, clock)["step"]


def training_speed(model: UnifiedModel, query: str, batch_size: int, clock: Callable[[], float]) -> float:
    """Samples/s of one query's loss, gradient and AdamW update in bf16."""
    batch = random_batch(model.spec, batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = torch.stack([part.mean() for part in model.loss(batch, query).values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return batch_size / alternate({"step": step}, 6, clock)["step"]


def main() -> int:
    """Print a table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", help="a preset of configs/sizes, such as base; default: the demo's")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    # One thread: CPU time, which a busy neighbour disturbs least. Several: wall time is what counts.
    clock = time.process_time if args.threads == 1 else time.perf_counter
    size = size_of(args.size) if args.size else {}
    model = build(**size)
    config = model.config
    batch = random_batch(model.spec, 1)
    peak = matmul_peak(torch.bfloat16, clock)
    policy_backbone = backbone_speed(config, model.layout(("action",)).num_tokens, args.batch_size, clock)
    joint_backbone = backbone_speed(
        config, model.layout(model.ordered(("video", "action"))).num_tokens, args.batch_size, clock
    )
    peak = max(peak, matmul_peak(torch.bfloat16, clock))
    latency = alternate({"policy": lambda: model.eval().sample(batch, "policy")}, 60, clock)["policy"]
    rows = {
        "parameters (M)": sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        "threads": args.threads,
        "bf16 matmul peak (GFLOP/s)": peak / 1e9,
        "fp32 matmul peak (GFLOP/s)": matmul_peak(torch.float32, clock) / 1e9,
        "backbone share of peak, policy tokens": policy_backbone / peak,
        "backbone share of peak, joint tokens": joint_backbone / peak,
        "training samples/s, policy query": training_speed(model.train(), "policy", args.batch_size, clock),
        "training samples/s, joint query": training_speed(model.train(), "joint", args.batch_size, clock),
        "policy decision, batch 1 (ms)": 1e3 * latency,
        "policy query with video left out / built without video": left_out_ratio(**size),
    }
    for name, value in rows.items():
        sys.stdout.write(f"{name:<58}{value:>10.3f}\n")
    if args.json:
        args.json.write_text(json.dumps({"torch": torch.__version__, **rows}, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
