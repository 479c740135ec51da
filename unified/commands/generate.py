"""`unified generate`: dream on from a recording, an environment or a picture, beside the truth where it is known."""

import argparse
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unified.errors import UserError, check_numbers

if TYPE_CHECKING:
    from unified.model.model import UnifiedModel
    from unified.report.strips import DreamPictures
    from unified.rollout.dreams.dream import Dream
    from unified.rollout.dreams.starts import Start
    from unified.rollout.dreams.told import Commander

HELP = "Dream on from a recording, an environment or a picture: a film beside the truth, and its numbers as JSON."
EXAMPLES = """
unified generate --checkpoint runs/tiny --data runs/record-demo --episode 1 --frame 8 --steps 6
unified generate --checkpoint runs/tiny --data runs/record-demo --actions shuffled --output runs/generate-shuffled
unified generate --checkpoint runs/tiny --env sims:MetaWorld-reach-v3 --seed 7 --actions expert --steps 20
"""
QUERIES = ("world_model", "video", "joint")
IMAGINED, RECORDED = "imagined", "recorded"
DEFAULT_STEPS = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--checkpoint", required=True, help="pretrained folder, run folder, .ckpt or Hub id")
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--data", metavar="DATASET", help="start in a recording: LeRobot v3 folder or Hub id")
    start.add_argument(
        "--env", metavar="ID", help="start where this environment is reset to; it goes on beside the dream"
    )
    start.add_argument(
        "--picture", action="append", metavar="[CAMERA=]FILE", help="start from a picture, one for each camera"
    )
    parser.add_argument("--episode", type=int, metavar="I", help="of the recording (default 0)")
    parser.add_argument("--frame", type=int, metavar="J", help="of the episode, the present (default 0)")
    parser.add_argument("--env-kwargs", metavar="YAML", help="other arguments of the environment: '{latency_ms: 100}'")
    parser.add_argument(
        "--task", metavar="TEXT", help="the instruction (default: the recording's or the environment's)"
    )
    parser.add_argument(
        "--start-proprio", metavar="V,V,...", help="what the body of a picture measures (default: the mean)"
    )
    parser.add_argument("--embodiment", metavar="NAME", help="the checkpoint's name of the body (default: as trained)")
    parser.add_argument("--steps", type=int, metavar="N", help=f"moments to imagine (default {DEFAULT_STEPS})")
    parser.add_argument("--query", default="world_model", choices=QUERIES, help="default world_model")
    parser.add_argument(
        "--actions",
        metavar="SOURCE",
        help="what the world model is told: recorded (default with --data), shuffled (executed in another episode), "
        "plan (the model's own, default otherwise), FILE.npy or FILE.json (a row of numbers for every env step), "
        "numbers such as =-0.5,0,0,1 (at every env step), expert, random and the like (with --env), or a checkpoint",
    )
    parser.add_argument(
        "--proprio",
        default=IMAGINED,
        choices=(IMAGINED, RECORDED),
        help="what the model is shown of the body after the start: its own imagination (default), or what was measured",
    )
    parser.add_argument("--known", type=int, metavar="N", help="moments known at the start (default: all it can see)")
    parser.add_argument("--window", type=int, metavar="N", help="most moments seen at once (default: as in training)")
    parser.add_argument("--anchor", type=int, default=0, metavar="N", help="first moments kept for good (default 0)")
    parser.add_argument("--num-steps", type=int, default=4, metavar="N", help="denoise steps (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="of the environment's reset and of the noise (default 0)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: runs/generate-<query>-<where it starts>")
    parser.add_argument("--size", type=int, default=256, metavar="PIXELS", help="about the film's height (default 256)")


def run(args: argparse.Namespace) -> int:
    """Dream, write film.mp4, strip.png and generate.json, print the numbers.

    Raises:
        UserError: for a start that does not fit the checkpoint, or options that do not go together.
    """
    _check(args)
    from unified.rollout.policies import load_on_device

    model = load_on_device(args.checkpoint)
    model.history.check_learned(args.query)
    start = _start(args, model)
    try:
        dream, tell = _begin(args, model, start)
        pictures, seconds = _roll(args, dream, start, tell)
    finally:
        if start.reality is not None:
            start.reality.close()
    _write(args, dream, start, pictures, seconds)
    return 0


def _check(args: argparse.Namespace) -> None:
    check_numbers(
        least=1, prefix="--", steps=args.steps, known=args.known, window=args.window, num_steps=args.num_steps
    )
    check_numbers(least=0, prefix="--", seed=args.seed, anchor=args.anchor, frame=args.frame)
    check_numbers(least=1, most=2048, prefix="--", size=args.size)
    given = {"data": args.data, "env": args.env, "picture": args.picture}
    belongs = {
        "data": {"--episode": args.episode, "--frame": args.frame, "--known": args.known},
        "env": {"--env-kwargs": args.env_kwargs},
        "picture": {"--start-proprio": args.start_proprio},
    }
    for start, options in belongs.items():
        for option, value in options.items():
            if value is not None and given[start] is None:
                raise UserError(f"{option} says where to start with --{start}, and there is none.")
    if args.actions is not None and args.query != "world_model":
        raise UserError(f"--actions tells the world model what is done; the query {args.query!r} is told nothing.")
    if args.picture is not None and args.task is None:
        raise UserError("A picture says nothing of the task; say it in words: --task 'reach the goal'.")
    if args.picture is not None and args.proprio == RECORDED:
        raise UserError(
            "--proprio recorded needs a recording or an environment; of a picture nothing more is measured."
        )


def _start(args: argparse.Namespace, model: "UnifiedModel") -> "Start":
    from dataclasses import replace

    from unified.rollout.dreams.starts import RecordedStarts, SimulatedStarts, pictured_start
    from unified.rollout.suites import parse_env_kwargs

    if args.data is not None:
        where = (args.episode or 0, args.frame or 0, args.steps or DEFAULT_STEPS, args.known)
        start = RecordedStarts(model, args.data, args.embodiment).begin(*where)
    elif args.env is not None:
        from unified.rollout.rendering import configure_rendering

        configure_rendering()
        kwargs = {} if args.env_kwargs is None else parse_env_kwargs(args.env_kwargs)
        start = SimulatedStarts(model, args.env, kwargs, args.embodiment).draw(args.seed)
    else:
        proprio = None if args.start_proprio is None else _numbers(args.start_proprio)
        start = pictured_start(model, args.picture, args.task, args.embodiment, proprio)
    if args.task is None:
        return start
    model.text.check([args.task])
    return replace(start, batch=replace(start.batch, task=(args.task,)))


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UserError(f"--start-proprio must be numbers with commas between, got {text!r}.") from error


def _begin(args: argparse.Namespace, model: "UnifiedModel", start: "Start") -> "tuple[Dream, Commander | None]":
    """The dream at its start, and who tells it what to do."""
    from unified.rollout.dreams.dream import Dream
    from unified.rollout.dreams.starts import Recorded
    from unified.rollout.dreams.told import PLAN, commander

    recorded = len(start.reality.commands) if isinstance(start.reality, Recorded) else None
    if args.actions is None and args.query == "world_model":
        args.actions = PLAN if recorded is None else RECORDED
    if args.steps is None:  # as far as the recording goes, if that is less
        args.steps = DEFAULT_STEPS if recorded is None else min(DEFAULT_STEPS, recorded)
    if not args.steps:
        raise UserError("The recording ends at this frame; start earlier, or say how far to go: --steps.")
    _check_memory(args.steps, start, model)
    tell = None
    if args.actions is not None:
        env_ids = () if args.env is None else (args.env,)
        tell = commander(args.actions, start, model.spec, args.steps, args.seed, env_ids)
    options = {"window": args.window, "anchor": args.anchor, "num_steps": args.num_steps, "seed": args.seed}
    return Dream(model, start.batch, **options), tell


def _check_memory(steps: int, start: "Start", model: "UnifiedModel") -> None:
    height, width = model.spec.image_size
    moment = 2 * len(start.body.cameras) * height * width * 3
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") // 2
    if steps * moment > free:
        raise UserError(
            f"--steps {steps} would take {steps * moment / 1e9:.0f} GB of pictures; this machine has memory for "
            f"{free // moment} moments now."
        )


def _roll(
    args: argparse.Namespace, dream: "Dream", start: "Start", tell: "Commander | None"
) -> "tuple[DreamPictures, float]":
    """What was dreamt, and the seconds that it took."""
    import numpy as np

    from unified.model.spec import ACTION, PROPRIO
    from unified.report.strips import DreamPictures, to_film

    slots = [dream.model.spec.cameras.index(camera) for camera in start.body.cameras]
    imagined = [to_film(dream.present.images[0, 0, slots])]
    truth, seconds, real = [imagined[0]], 0.0, start.reality
    for number in range(args.steps):
        commands = None if tell is None else tell(dream)
        began = time.perf_counter()
        answer = dream.step(commands, args.query)
        imagined.append(to_film(dream.present.images[0, 0, slots]))
        seconds += time.perf_counter() - began
        done = answer.get(ACTION) if commands is None else commands
        moment = None if real is None else real.step(None if done is None else done[0])
        if moment is not None:
            truth.append(to_film(moment.images[0, 0, slots]))
        else:
            real = None
        if args.proprio == RECORDED:
            if moment is None:
                raise UserError(
                    f"What the body measures is known for {number} moments after the start, then the episode is over; "
                    f"ask for at most --steps {number}, or --proprio imagined."
                )
            dream.measure(moment.at[PROPRIO][:, 0])
    is_true = args.env is not None or args.actions in (RECORDED, None)  # of what the dream was told
    names = "truth" if is_true else "recorded", "dream, proprio recorded" if args.proprio == RECORDED else "dream"
    return DreamPictures(np.stack(imagined), np.stack(truth), start.body.cameras, names), seconds


def _write(args: argparse.Namespace, dream: "Dream", start: "Start", pictures: "DreamPictures", seconds: float) -> None:
    from unified.atomic import write_text
    from unified.report.video import write_mp4, write_png

    folder = args.output or Path("runs") / f"generate-{args.query}-{_place(args)}"
    numbers = _numbers_of(args, dream, start, pictures, seconds)
    (folder / "generate.json").unlink(missing_ok=True)  # it would speak of another film
    write_mp4(folder / "film.mp4", pictures.film(args.size), max(2.0, numbers["fps"]), quality=18)
    write_png(folder / "strip.png", pictures.strip(start.stride))
    write_text(folder / "generate.json", json.dumps(numbers, indent=1) + "\n")
    sys.stdout.write(f"{args.steps} moments, {args.steps / seconds:.0f} a second\n")
    if numbers["psnr"] is not None:
        sys.stdout.write(
            f"{len(numbers['psnr_per_frame'])} of them beside the {pictures.names[0]}: {numbers['psnr']:.2f} dB, "
            f"copying the first frame {numbers['copy_psnr']:.2f} dB\n"
        )
    sys.stdout.write("".join(f"{folder / name}\n" for name in ("film.mp4", "strip.png", "generate.json")))


def _place(args: argparse.Namespace) -> str:
    name = args.data or args.env or args.picture[0].rpartition("=")[2]
    return Path(name).stem.replace(":", "-")


def _numbers_of(
    args: argparse.Namespace, dream: "Dream", start: "Start", pictures: "DreamPictures", seconds: float
) -> dict[str, Any]:
    from unified.judging.results import provenance

    imagined = "held" if dream.is_proprio_held else IMAGINED
    return {
        **{name: getattr(args, name) for name in ("checkpoint", "query", "actions", "steps", "num_steps", "seed")},
        **start.about,
        "task": start.batch.task[0],
        "known_moments": start.batch.num_moments,
        "window": dream.window,
        "anchor": dream.anchor,
        "frame_stride": start.stride,
        "fps": 1 / (start.stride * start.body.control_dt),
        "cameras": list(pictures.cameras),
        "proprio": RECORDED if args.proprio == RECORDED else imagined,
        "truth": pictures.names[0] if len(pictures.truth) > 1 else None,
        **pictures.psnr(),
        "moments_a_second": args.steps / seconds,
        **provenance(shlex.join(["unified", *sys.argv[1:]])),
    }
