"""Does an imagined drive turn the way the steering says, and as late as the real car does?

    python -m tests.benchmarks.steering --checkpoint runs/car-model/pretrained --data runs/car

On held-out windows, the sideways shift of the picture between imagined frames (phase correlation of the upper quarter,
which is far away and so moves by turning alone) is held against the steering command `lag` rows earlier, and so is the
shift between the true frames: the lag at which the correlation peaks is the car's dead time as the film shows it. Then
the same windows are imagined twice, steering to the left and to the right: a film that obeys shows the scene moving to
the right in the first and to the left in the second.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from unified.data.heldout import HeldOutWindows, open_dataset
from unified.judging.questions import film_queries
from unified.model.model import UnifiedModel
from unified.model.spec import ACTION
from unified.rollout.dreams.dream import dream_film

STEERING = 0
LAGS = range(0, 9)


def main() -> int:
    """Imagine, measure shifts, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--windows", type=int, default=256)
    parser.add_argument("--steps", type=int, default=2, help="moments imagined after those that are known")
    parser.add_argument("--turn", type=float, default=0.7, help="steering of the two counterfactual films")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    model = UnifiedModel.from_pretrained(args.checkpoint).eval()
    spec = model.spec
    recording = open_dataset(args.data, spec, model.history)
    windows = recording.choose(args.windows, known=max(1, spec.num_moments - 1), steps=args.steps)
    true, imagined, left, right = films(model, windows, args.turn)
    commands = {lag: steering_before(windows, true.shape[1], lag) for lag in LAGS}
    difference = shifts(left).sum(1) - shifts(right).sum(1)
    results: dict[str, Any] = {
        "windows": len(windows),
        "episodes": len(np.unique(windows.episode)),
        "correlation_true": {lag: correlation(shifts(true), command) for lag, command in commands.items()},
        "correlation_imagined": {lag: correlation(shifts(imagined), command) for lag, command in commands.items()},
        "turned_the_right_way": float((difference > 0).mean()),
        "median_shift_left_minus_right_px": float(np.median(difference)),
    }
    sys.stdout.write("lag (rows)   true   imagined\n")
    for lag in LAGS:
        row = (results["correlation_true"][lag], results["correlation_imagined"][lag])
        sys.stdout.write(f"{lag:>10} {row[0]:>6.2f} {row[1]:>10.2f}\n")
    sys.stdout.write(f"imagined films that turn the right way: {results['turned_the_right_way']:.1%}\n")
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


@torch.no_grad()
def films(model: UnifiedModel, windows: HeldOutWindows, turn: float) -> list[np.ndarray]:
    """Grey films (window, frame, height, width), now and what follows: true, imagined, steered left, steered right."""
    parts: list[list[Tensor]] = [[], [], [], []]
    query = film_queries(model)["world_model"]
    for batch in windows.batches(64):
        start = batch.window(0, windows.known - 1)
        answers = [batch.images[:, windows.known :]]
        for steering in (None, -turn, turn):
            commands = batch.between[ACTION][:, windows.known - 1 :].clone()
            if steering is not None:
                commands[..., STEERING] = steering
            answers.append(dream_film(model, start, commands, query))
        for part, film in zip(parts, answers, strict=True):
            part.append(torch.cat([start.images[:, -1:], film], dim=1)[:, :, 0].mean(dim=2))
    return [torch.cat(part).numpy() for part in parts]


def shifts(film: np.ndarray) -> np.ndarray:
    """Pixels by which the scene moves to the right from each frame to the next (window, frame - 1)."""
    film = np.ascontiguousarray(film[:, :, : film.shape[2] // 4], np.float32)
    window = cv2.createHanningWindow((film.shape[3], film.shape[2]), cv2.CV_32F)
    moved = [[cv2.phaseCorrelate(a, b, window)[0][0] for a, b in zip(f[:-1], f[1:], strict=True)] for f in film]
    return np.array(moved)


def steering_before(windows: HeldOutWindows, num_frames: int, lag: int) -> np.ndarray:
    """The command `lag` rows before the middle of each step between frames (window, frame - 1); NaN where unknown."""
    commands = np.full((len(windows), num_frames - 1), np.nan)
    for place, (number, now) in enumerate(zip(windows.source, windows.present, strict=True)):
        cache, stride = windows.dataset.sources[number].cache, windows.stride
        first = cache.bounds[np.searchsorted(cache.bounds, now, side="right") - 1]
        rows = now + stride * np.arange(num_frames - 1) + stride // 2 - lag
        known = rows >= first
        commands[place, known] = cache.columns[ACTION][rows[known], STEERING]
    return commands


def correlation(moved: np.ndarray, command: np.ndarray) -> float:
    """Pearson's r of the scene's shift to the left with the command, where there is one."""
    known = np.isfinite(command)
    return float(np.corrcoef(-moved[known], command[known])[0, 1])


if __name__ == "__main__":
    sys.exit(main())
