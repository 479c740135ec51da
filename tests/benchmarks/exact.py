"""Streamed equals recomputed, with trained weights: a dream of 100 steps whose window has moved on, in float32.

    python -m tests.benchmarks.exact CHECKPOINT --data DATASET [--window 8] [--anchor 1] [--json FILE]

Rows start from held-out moments and are told random commands. Every eleventh step the next moment is also computed from
all that is still seen, at once and numbered anew; and, to see that the check can fail, with moments one place off.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from tests.rollout.dreams.recomputing import Film
from unified.judging.open_loop import open_recording
from unified.model.model import UnifiedModel
from unified.rollout.dreams.dream import Dream


def main() -> int:
    """Print the largest differences; the exit status says whether streaming is within 1e-5."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--window", type=int, default=8)
    parser.add_argument("--anchor", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = UnifiedModel.from_pretrained(args.checkpoint).eval()
    windows = open_recording(model, args.data, num_windows=4).windows
    model.spec = replace(model.spec, num_moments=max(model.spec.num_moments, args.window + args.anchor + 1))
    start = replace(next(windows.batches(4)).window(0, windows.known - 1), ahead={}, ahead_is_pad=None)
    film, dream = Film(model, start), Dream(model, start, window=args.window, anchor=args.anchor)
    generator = torch.Generator().manual_seed(0)
    largest = {"streamed": 0.0, "one place off": 0.0}
    for step in range(args.steps):
        shape = (len(start), model.spec.frame_stride, model.spec.action_dim)
        commands = torch.rand(shape, generator=generator) * 2 - 1
        checked = step % 11 == 0
        ways = {"streamed": False, "one place off": True} if checked else {}
        expected = {name: film.recomputed(commands, args.window, args.anchor, off) for name, off in ways.items()}
        answer = dream.step(commands)
        for name, values in expected.items():
            distance = max(float((answer[stream] - value).abs().max()) for stream, value in values.items())
            largest[name] = max(largest[name], distance)
        film.append(dream, commands)
    for name, distance in largest.items():
        sys.stdout.write(f"{name:<16}{distance:.1e}\n")
    if args.json:
        args.json.write_text(json.dumps({**vars(args), "json": None, "largest_difference": largest}, indent=1) + "\n")
    return int(largest["streamed"] > 1e-5)


if __name__ == "__main__":
    sys.exit(main())
