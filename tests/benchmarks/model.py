"""What the model costs: matmul peak, training throughput and its share of the peak, latency, left-out streams.

A window of training is asked for plans alone, or for all: plans, films and commands of every moment at once.

    python -m tests.benchmarks.model [--threads 1] [--size base] [--json FILE]

Alternatives are timed in turn, A B A B, and compared within a run: on a shared machine only ratios last.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tests.worlds import random_batch
from unified.model.batch import Batch
from unified.model.config import ModelConfig
from unified.model.model import UnifiedModel
from unified.model.network.backbone import UViT
from unified.model.queries import Query
from unified.model.spec import DataSpec, Embodiment

ALL = ("policy", "world_model", "inverse_dynamics")
DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"


def demo_spec(image_size: int = 64, num_cameras: int = 1) -> DataSpec:
    """The demo's data: windows of five moments from one camera of 64 pixels; or more and larger pictures."""
    cameras = tuple(f"camera{number}" for number in range(num_cameras))
    brings = {"next.reward": 1, "next.success": 1}
    return DataSpec((Embodiment("metaworld", 4, 4, cameras, 0.0125, brings),), cameras, (image_size, image_size))


def build(with_video: bool = True, spec: DataSpec | None = None, **changes: Any) -> UnifiedModel:
    """The demo's model as its config has it, with changes; or the same network without a video stream."""
    torch.manual_seed(0)
    network = yaml.safe_load(DEMO.read_text())["model"]["init_args"]["network"]
    config = ModelConfig.from_dict({**network, **changes})
    decoders = {name: decoder for name, decoder in config.decoders.items() if with_video or name != "video"}
    return UnifiedModel(replace(config, decoders=decoders), spec or demo_spec())


def mix_of(model: UnifiedModel, queries: Sequence[str]) -> tuple[Query, ...]:
    """Queries that a window is asked at once."""
    return tuple(model.query(name) for name in queries)


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
    """Time of the whole model's decision over that of the same network built without a video stream."""
    whole, alone = (build(with_video, **changes).eval() for with_video in (True, False))
    batch = random_batch(demo_spec(), 1, moments=1)
    answer = {"whole": lambda: whole.sample(batch, "policy"), "alone": lambda: alone.sample(batch, "policy")}
    seconds = alternate(answer, rounds, time.process_time)
    return seconds["whole"] / seconds["alone"]


def size_of(name: str) -> dict[str, int]:
    """The network options of a size preset."""
    return yaml.safe_load((DEMO.parent / "sizes" / f"{name}.yaml").read_text())["model"]["init_args"]["network"]


def backbone_speed(config: ModelConfig, num_tokens: int, batch: int, clock: Callable[[], float]) -> float:
    """FLOP/s of the backbone alone, forward and backward in bf16; matrix products only are counted."""
    backbone = UViT(config.dim, config.depth, config.num_heads)
    tokens = torch.randn(batch, num_tokens, config.dim)
    with FlopCounterMode(display=False) as counter:
        backbone(tokens)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            backbone(tokens).float().square().mean().backward()

    return 3 * counter.get_total_flops() / alternate({"step": step}, 6, clock)["step"]


def num_tokens(model: UnifiedModel, queries: Sequence[str]) -> int:
    """Tokens of a window that is asked these queries."""
    lengths: list[int] = []
    handle = model.backbone.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    window_loss(model, random_batch(model.spec, 1), queries)
    handle.remove()
    return lengths[0]


def window_loss(model: UnifiedModel, batch: Batch, queries: Sequence[str]) -> Tensor:
    """What a task would minimise: all streams of all moments of windows that are asked these queries at once."""
    asked, draws = torch.zeros(len(batch), dtype=torch.long), model.draw([(row,) for row in range(len(batch))])
    return torch.stack([e.mean() for e, _ in model.loss(batch, [mix_of(model, queries)], asked, draws).values()]).sum()


def training_speed(model: UnifiedModel, queries: Sequence[str], batch_size: int, clock: Callable[[], float]) -> float:
    """Windows/s of loss, gradient and AdamW update in bf16."""
    batch = random_batch(model.spec, batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = window_loss(model, batch, queries)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return batch_size / alternate({"step": step}, 6, clock)["step"]


def main() -> int:
    """Print a table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", help="a preset of configs/sizes, such as base; default: the demo's")
    parser.add_argument("--batch-size", type=int, default=24, help="windows")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    # One thread: CPU time, which a busy neighbour disturbs least. Several: wall time is what counts.
    clock = time.process_time if args.threads == 1 else time.perf_counter
    size = size_of(args.size) if args.size else {}
    model = build(**size)
    config = model.config
    peak = matmul_peak(torch.bfloat16, clock)
    tokens = {queries: num_tokens(model, queries) for queries in (("policy",), ALL)}
    shares = {queries: backbone_speed(config, count, args.batch_size, clock) for queries, count in tokens.items()}
    peak = max(peak, matmul_peak(torch.bfloat16, clock))
    speeds = {queries: training_speed(model, queries, args.batch_size, clock) for queries in tokens}
    present, window = random_batch(model.spec, 1, moments=1), random_batch(model.spec, 1)
    answers = {
        "policy": lambda: model.sample(present, "policy"),
        "world_model": lambda: model.sample(window, "world_model"),
    }
    latency = alternate(answers, 60, clock)
    rows = {
        "parameters (M)": sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        "threads": args.threads,
        "bf16 matmul peak (GFLOP/s)": peak / 1e9,
        "fp32 matmul peak (GFLOP/s)": matmul_peak(torch.float32, clock) / 1e9,
        "tokens of a window asked for plans": tokens["policy",],
        "tokens of a window asked for all": tokens[ALL],
        "backbone share of peak, plans": shares["policy",] / peak,
        "backbone share of peak, all": shares[ALL] / peak,
        "training windows/s, plans": speeds["policy",],
        "training windows/s, all": speeds[ALL],
        "policy decision, batch 1 (ms)": 1e3 * latency["policy"],
        "next moment after a whole window, batch 1 (ms)": 1e3 * latency["world_model"],
        "policy query with video left out / built without video": left_out_ratio(**size),
    }
    for name, value in rows.items():
        sys.stdout.write(f"{name:<58}{value:>10.3f}\n")
    if args.json:
        args.json.write_text(json.dumps({"torch": torch.__version__, **rows}, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
