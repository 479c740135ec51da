"""`unified generate`: imagine the film that follows an observation, beside the truth where it is known."""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unified.errors import UserError

if TYPE_CHECKING:
    import torch

    from unified.data.heldout import HeldOutWindows
    from unified.model.model import UnifiedModel

HELP = "Imagine the film that follows a recorded frame: an mp4 beside the truth, and its numbers as JSON."
EXAMPLES = """
unified generate --checkpoint runs/tiny --data runs/record-demo --episode 1 --rollout 6
unified generate --checkpoint runs/tiny --data runs/record-demo --actions shuffled --output runs/generate-shuffled
unified generate --checkpoint runs/tiny --data runs/record-demo --query joint --frame 20
"""
QUERIES = ("world_model", "video", "joint")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--checkpoint", required=True, help="pretrained folder, run folder, .ckpt or Hub id")
    parser.add_argument("--data", required=True, metavar="DATASET", help="LeRobot v3 folder or Hub id to start from")
    parser.add_argument("--embodiment", metavar="NAME", help="the checkpoint's name of the body (default: as trained)")
    parser.add_argument("--episode", type=int, default=0, metavar="I", help="episode of the dataset (default 0)")
    parser.add_argument("--frame", type=int, default=0, metavar="J", help="frame of the episode (default 0)")
    parser.add_argument("--query", default="world_model", choices=QUERIES, help="default world_model")
    parser.add_argument(
        "--actions",
        default="true",
        metavar="true|shuffled|FILE.npy",
        help="what the world model is told: the executed actions (default), those of another place of the dataset, or "
        "an array of (steps, action size)",
    )
    parser.add_argument("--rollout", type=int, default=1, metavar="N", help="windows imagined in a row (default 1)")
    parser.add_argument("--num-steps", type=int, default=4, metavar="N", help="denoise steps (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise and of shuffled actions (default 0)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: runs/generate-<query>-<dataset>")
    parser.add_argument("--size", type=int, default=256, metavar="PIXELS", help="about the film's height (default 256)")


def run(args: argparse.Namespace) -> int:
    """Imagine, write film.mp4 and generate.json, print the numbers.

    Raises:
        UserError: if the dataset does not fit the checkpoint, or has no such frame.
    """
    if args.actions != "true" and args.query != "world_model":
        raise UserError(f"--actions tells the world model what is done; the query {args.query!r} is told nothing.")
    if args.rollout < 1 or args.num_steps < 1:
        raise UserError(f"--rollout and --num-steps must be at least 1, got {args.rollout} and {args.num_steps}.")
    if args.actions not in ("true", "shuffled") and not Path(args.actions).is_file():
        raise UserError(f"--actions must be true, shuffled or an .npy file; there is no {args.actions}.")
    films, numbers, fps = _imagine(args)
    _write(films, numbers, fps, args)
    return 0


def _imagine(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any], float]:
    """Films "truth" and "imagined", what is to be said of them, and their pictures a second in real time."""
    from unified.data.heldout import open_dataset, pick_window
    from unified.judging.results import provenance
    from unified.report.strips import film_psnr, imagined_film
    from unified.rollout.policies import load_on_device

    model = load_on_device(args.checkpoint)
    _check_query(model, args)
    recording = open_dataset(args.data, model.spec, model.history, args.embodiment, every=True)
    dataset = recording.windows
    stride = dataset.sources[0].frame_stride
    ahead = _horizon(model, stride, args)
    starts = [args.frame + number * ahead for number in range(args.rollout)]
    batches = [pick_window(dataset, args.episode, start, ahead).fetch() for start in starts]
    actions = None if args.actions == "true" else _actions(args, model, pick_window(dataset, args.episode, 0, 0), ahead)
    is_recorded = args.query == "world_model" and args.actions == "true"
    imagined, truth = imagined_film(model, batches, args.query, args.num_steps, args.seed, actions, not is_recorded)
    asked = {
        name: getattr(args, name) for name in ("checkpoint", "data", "episode", "frame", "query", "num_steps", "seed")
    }
    numbers = {
        **{name: getattr(args, name) for name in asked},
        "episode_was": recording.status[args.episode],
        "task": batches[0].observation.task[0],
        "actions": args.actions if args.query == "world_model" else None,
        "proprio": "recorded" if is_recorded else "held",
        "windows": args.rollout,
        "frame_stride": stride,
        "psnr": film_psnr(imagined[1:], truth[1:]),
        "copy_psnr": film_psnr(truth[:1].repeat(len(truth) - 1, axis=0), truth[1:]),
        "psnr_per_frame": [film_psnr(imagined[[i]], truth[[i]]) for i in range(1, len(truth))],
        **provenance(shlex.join(["unified", *sys.argv[1:]])),
    }
    body = model.spec.embodiments[int(batches[0].observation.embodiment[0])]
    return {"truth": truth, "imagined": imagined}, numbers, 1 / (stride * body.control_dt)


def _write(films: dict[str, Any], numbers: dict[str, Any], fps: float, args: argparse.Namespace) -> None:
    import numpy as np

    from unified.atomic import write_text
    from unified.report.strips import comparison
    from unified.report.video import write_mp4

    folder = args.output or Path("runs") / f"generate-{args.query}-{Path(args.data).name}"
    film = comparison(films, args.size)
    held = np.concatenate([film, film[-1:].repeat(4, axis=0)])  # so that a loop shows where it ends
    (folder / "generate.json").unlink(missing_ok=True)  # it would speak of another film
    write_mp4(folder / "film.mp4", held, max(2.0, fps), quality=18)
    write_text(folder / "generate.json", json.dumps(numbers, indent=1) + "\n")
    sys.stdout.write(
        f"{len(numbers['psnr_per_frame'])} imagined frames: {numbers['psnr']:.2f} dB, copying the first frame "
        f"{numbers['copy_psnr']:.2f} dB (episode {args.episode}: {numbers['episode_was']})\n"
        f"{folder / 'film.mp4'}\n{folder / 'generate.json'}\n"
    )


def _check_query(model: "UnifiedModel", args: argparse.Namespace) -> None:
    if "video" not in model.decoders:
        raise UserError(f"{args.checkpoint} was built without a video stream; it cannot imagine films.")
    model.history.check_learned(args.query)


def _horizon(model: "UnifiedModel", stride: int, args: argparse.Namespace) -> int:
    """Env steps that a window reaches ahead."""
    spec = model.spec
    ahead = stride * spec.num_frames
    if args.rollout > 1 and spec.n_obs_steps > 1:
        raise UserError(
            f"--rollout needs a model that sees one frame; this one sees {spec.n_obs_steps}, and "
            "the frames between imagined ones are not known."
        )
    if args.rollout > 1 and args.query == "world_model" and spec.action_horizon < ahead:
        raise UserError(
            f"--rollout needs actions up to the last frame: action_horizon is {spec.action_horizon}, the last frame is "
            f"{ahead} env steps ahead."
        )
    return ahead


def _actions(
    args: argparse.Namespace, model: "UnifiedModel", window: "HeldOutWindows", ahead: int
) -> "list[torch.Tensor]":
    """A chunk for every window: from a file, or those executed elsewhere in the dataset (other episodes first)."""
    import numpy as np
    import torch

    spec, dataset = model.spec, window.dataset
    if args.actions != "shuffled":
        every = _read_actions(Path(args.actions), (args.rollout - 1) * ahead + spec.action_horizon, window)
    else:
        cache = dataset.sources[0].cache
        lengths = np.diff(cache.bounds)
        needed = (args.rollout - 1) * ahead + spec.action_horizon
        fitting = [place for place in np.flatnonzero(lengths >= needed) if place != window.episode[0]]
        if not fitting:
            raise UserError(f"{args.data} has no other episode of at least {needed} frames to take actions from.")
        rng = np.random.default_rng(args.seed)
        place = int(rng.choice(fitting))
        first = int(cache.bounds[place]) + int(rng.integers(lengths[place] - needed + 1))
        every = np.asarray(cache.action[first : first + needed])
    padded = np.zeros((len(every), spec.action_dim), np.float32)
    padded[:, : every.shape[1]] = every
    starts = [number * ahead for number in range(args.rollout)]
    return [torch.from_numpy(padded[start : start + spec.action_horizon])[None] for start in starts]


def _read_actions(path: Path, steps: int, window: "HeldOutWindows") -> Any:
    import numpy as np

    width = window.dataset.sources[0].cache.action.shape[1]
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError) as error:
        raise UserError(f"{path} is no array that numpy can read: {error}") from error
    if values.ndim != 2 or values.shape[1] != width or len(values) < steps or not np.isfinite(values).all():
        raise UserError(
            f"{path} must hold finite actions, an array of at least ({steps}, {width}); got {values.shape}."
        )
    return values[:steps].astype(np.float32)
