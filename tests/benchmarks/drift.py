"""How long a dream deserves belief: PSNR moment by moment, by window, anchor, noise on its own pictures, denoise steps.

    python -m tests.benchmarks.drift CHECKPOINT --data DATASET [--steps 20] [--json FILE]

Held-out windows begin with as many known moments as the model was trained on less one. Copying the present stands
beside, and the same dream told the commands of another episode of the same task.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unified.data.heldout import HeldOutWindows
from unified.judging.open_loop import open_recording
from unified.judging.scores import film_errors, partners, psnr
from unified.model.model import UnifiedModel
from unified.model.spec import ACTION
from unified.rollout.dreams.dream import dream_film


def arms(model: UnifiedModel) -> dict[str, dict[str, Any]]:
    """Options of `Dream` by the name of the row."""
    rows: dict[str, dict[str, Any]] = {f"{count} denoise steps": {"num_steps": count} for count in (1, 2, 4)}
    if model.spec.num_moments > 3:
        rows["window of 2"] = {"window": 2}
        rows["anchor of 1"] = {"anchor": 1}
    if model.config.history_noise:
        rows |= {f"told {level:g} noisy": {"history": level} for level in (0.02, 0.05, 0.1)}
    return rows


def measure(
    model: UnifiedModel, windows: HeldOutWindows, options: Mapping[str, Any], shuffled: bool = False, size: int = 64
) -> list[float]:
    """PSNR of every imagined moment, squared errors pooled over the windows."""
    partner = partners(windows, 0)
    lent = torch.from_numpy(windows.commands_from(np.where(partner >= 0, partner, windows.present))).split(size)
    sums = []
    for number, (batch, others) in enumerate(zip(windows.batches(size), lent, strict=True)):
        told = others if shuffled else batch.column("between", ACTION)[:, windows.known - 1 :]
        keys = [(number * size + row,) for row in range(len(batch))]
        start = replace(batch.window(0, windows.known - 1), ahead={}, ahead_is_pad=None)
        film = dream_film(model, start, told, model.query("world_model"), keys=keys, **options)
        sums.append(film_errors(film, batch, windows.known).sum(0))
    total = torch.stack(sums).sum(0).numpy()
    return psnr(total[:, 0], total[:, 1]).tolist()


def copying(windows: HeldOutWindows, size: int = 64) -> list[float]:
    """The present again and again."""
    sums = []
    for batch in windows.batches(size):
        film = batch.images[:, windows.known - 1 : windows.known].expand_as(batch.images[:, windows.known :])
        sums.append(film_errors(film, batch, windows.known).sum(0))
    total = torch.stack(sums).sum(0).numpy()
    return psnr(total[:, 0], total[:, 1]).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--data", action="append", required=True)
    parser.add_argument("--steps", type=int, default=20, help="moments imagined (default 20)")
    parser.add_argument("--windows", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = UnifiedModel.from_pretrained(args.checkpoint).eval()
    results: dict[str, Any] = {}
    for root in args.data:
        recording = open_recording(model, root, args.windows, steps_ahead=args.steps * model.spec.frame_stride)
        windows = recording.windows
        rows = {"copying": copying(windows)}
        rows["another episode's commands"] = measure(model, windows, {}, shuffled=True)
        rows |= {name: measure(model, windows, options) for name, options in arms(model).items()}
        results[root] = {"windows": len(windows), "stride": windows.stride, "psnr_per_moment": rows}
        shown = [step for step in (1, 2, 3, 5, 8, 12, 20, 50) if step <= windows.steps]
        sys.stdout.write(f"{root}: {len(windows)} windows, moments of {windows.stride} env steps\n")
        for name, values in rows.items():
            sys.stdout.write(f"  {name:<28}" + "".join(f"{values[step - 1]:7.2f}" for step in shown) + "\n")
    if args.json:
        args.json.write_text(json.dumps({"checkpoint": args.checkpoint, "data": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
