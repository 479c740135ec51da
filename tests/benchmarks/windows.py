"""Random training windows a second: our decoded cache against LeRobotDataset as it comes; memory as data grow.

    python -m tests.benchmarks.windows [--output windows.json]

Both read the same random windows of the same data set into float batches; every pixel, number, mask and text is
compared first. Times are CPU seconds of one process, so that a busy machine does not matter much.
"""

import argparse
import json
import logging
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from tests.data.recordings import record
from unified.data.module import WindowDataModule
from unified.data.source import Source
from unified.data.windows import WindowDataset, WindowSampler
from unified.model.batch import Batch, images_to_uint8

SHAPES: dict[str, dict[str, Any]] = {
    "demo: 1 camera, 5 moments": {"cameras": ("front",), "size": 64, "num_moments": 5},
    "film: 2 cameras, 8 moments": {"cameras": ("front", "wrist"), "size": 96, "num_moments": 8},
}
FPS, FRAME_STRIDE, ACTION_HORIZON, BATCH_SIZE = 20, 4, 8, 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--output", type=Path, help="write the numbers as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            {"windows": name, **compare(Path(folder) / str(number), arguments.episodes, arguments.length, **shape)}
            for number, (name, shape) in enumerate(SHAPES.items())
        ]
        memory = [reading_memory(Path(folder) / f"memory{factor}", 5 * factor, 400) for factor in (1, 10)]
    results = {"machine": machine(), "speed": rows, "memory": memory}
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1))
    show(results)


def compare(
    root: Path,
    episodes: int,
    length: int,
    cameras: tuple[str, ...],
    size: int,
    num_moments: int,
    lerobot_batches: int = 4,
) -> dict[str, float]:
    """Windows a CPU second of both readers on one data set, after checking that they read the same."""
    record(root, [length] * episodes, cameras, (size, size), 4, 4, FPS, rests=False)
    started = time.process_time()
    data = WindowDataModule(
        [Source(str(root))],
        image_size=size,
        num_moments=num_moments,
        frame_stride=FRAME_STRIDE,
        action_horizon=ACTION_HORIZON,
        batch_size=BATCH_SIZE,
        holdout=0.0,
    )
    data.setup()
    building = time.process_time() - started
    assert data.train_windows is not None
    dataset, sampler = data.train_windows, WindowSampler(data.train_windows.sources, BATCH_SIZE, seed=0)
    peer = open_lerobot(root, cameras, num_moments)
    for batch in range(lerobot_batches):
        check_equal(dataset.fetch(sampler.rows(batch)), [peer[int(row)] for row in sampler.rows(batch)[1]], cameras)
    theirs = measure_lerobot(peer, sampler, lerobot_batches)
    ours = measure(lambda index: dataset.fetch(sampler.rows(index)))
    return {
        "build_cache_s": building,
        "lerobot_per_s": theirs,
        "ours_per_s": ours,
        "uint8_per_s": measure(lambda index: dataset.read(sampler.rows(index))),
        "times": ours / theirs,
    }


def open_lerobot(root: Path, cameras: tuple[str, ...], num_moments: int) -> Any:
    """LeRobotDataset giving the same windows; its complaint about torchcodec is muted, nothing else is changed."""
    logging.disable(logging.WARNING)
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    moments = [moment * FRAME_STRIDE / FPS for moment in range(num_moments)]
    steps = (num_moments - 1) * FRAME_STRIDE + ACTION_HORIZON
    deltas = dict.fromkeys((*(f"observation.images.{camera}" for camera in cameras), "observation.state"), moments)
    deltas["action"] = [step / FPS for step in range(steps)]
    return LeRobotDataset("local/set", root=root, delta_timestamps=deltas)


def check_equal(batch: Batch, items: list[dict[str, Any]], cameras: tuple[str, ...]) -> None:
    """Refuse to compare speeds of readers that read different things."""
    assert batch.moment_is_pad is not None
    assert batch.ahead_is_pad is not None
    images = images_to_uint8(batch.images)
    for row, item in enumerate(items):
        for slot, camera in enumerate(cameras):
            key = f"observation.images.{camera}"
            assert torch.equal(images[row, :, slot], (item[key] * 255).round().to(torch.uint8))
            assert torch.equal(batch.moment_is_pad[row], item[f"{key}_is_pad"])
        for moment, ahead in enumerate(batch.ahead["action"][row]):
            rows = slice(moment * FRAME_STRIDE, moment * FRAME_STRIDE + ACTION_HORIZON)
            assert torch.equal(ahead, item["action"][rows])
            assert torch.equal(batch.ahead_is_pad[row, moment], item["action_is_pad"][rows])
        executed = batch.between["action"][row].flatten(0, 1)
        assert torch.equal(executed, item["action"][: len(executed)])
        assert torch.equal(batch.at["observation.state"][row], item["observation.state"])
        assert batch.task[row] == item["task"]


def measure(read: Any, seconds: float = 1.0) -> float:
    """Windows a CPU second of a function of the batch number."""
    for index in range(5):
        read(index)
    started, batches = time.process_time(), 0
    while time.process_time() - started < seconds:
        read(100 + batches)
        batches += 1
    return batches * BATCH_SIZE / (time.process_time() - started)


def measure_lerobot(peer: Any, sampler: WindowSampler, batches: int) -> float:
    """Windows a CPU second of LeRobotDataset, collated as torch's DataLoader does."""
    started = time.process_time()
    for index in range(batches):
        torch.utils.data.default_collate([peer[int(row)] for row in sampler.rows(index)[1]])
    return batches * BATCH_SIZE / (time.process_time() - started)


def reading_memory(root: Path, episodes: int, length: int) -> dict[str, float]:
    """Megabytes that reading random windows adds to a fresh process, for a data set of this many frames."""
    record(root, [length] * episodes, size=(64, 64))
    code = "import sys; from tests.benchmarks.windows import read_and_weigh; read_and_weigh(sys.argv[1])"
    answer = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True)
    return {"frames": episodes * length, "cache_mb": episodes * length * 64 * 64 * 3 / 1e6, **json.loads(answer.stdout)}


def read_and_weigh(root: str, batches: int = 300) -> None:
    """Write the resident memory of this process, before and after reading, to standard output as JSON."""
    torch.set_num_threads(1)
    data = WindowDataModule([Source(root)], batch_size=BATCH_SIZE, holdout=0.0)
    data.setup()
    assert data.train_windows is not None
    dataset: WindowDataset = data.train_windows
    sampler = WindowSampler(dataset.sources, BATCH_SIZE, seed=0)
    dataset.fetch(sampler.rows(0))
    before = resident_mb()
    after = [resident_mb() for index in range(batches) if len(dataset.fetch(sampler.rows(index)))]
    sys.stdout.write(json.dumps({"before_mb": before, "highest_mb": max(after), "added_mb": max(after) - before}))


def resident_mb() -> float:
    """Resident memory of this process, mapped files included."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1000


def machine() -> dict[str, str]:
    """Where the numbers come from."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {"cpu": name} | {package: version(package) for package in ("torch", "numpy", "lerobot", "av")}


def show(results: dict[str, Any]) -> None:
    """Print both tables."""
    console = Console()
    console.print(" ".join(f"{key} {value}" for key, value in results["machine"].items()))
    table = Table("windows", "LeRobotDataset /s", "cache /s", "of it uint8 /s", "times", "building the cache, CPU s")
    for row in results["speed"]:
        numbers = [f"{row[key]:,.0f}" for key in ("lerobot_per_s", "ours_per_s", "uint8_per_s", "times")]
        table.add_row(row["windows"], *numbers, f"{row['build_cache_s']:.1f}")
    console.print(table)
    table = Table("frames", "pixels in the cache, MB", "memory added by reading, MB")
    for row in results["memory"]:
        table.add_row(f"{row['frames']:,}", f"{row['cache_mb']:.0f}", f"{row['added_mb']:.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
