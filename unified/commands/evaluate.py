"""`unified evaluate`: a policy in a suite; success with intervals beside expert and random, films, one page."""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unified.commands.bar import progress_bar
from unified.errors import UserError, check_numbers
from unified.judging.results import EpisodeResult
from unified.report.tables import print_tables
from unified.rollout.builtin import BUILTIN_POLICIES, check_builtin, is_builtin, label, labels
from unified.rollout.episodes import Episode
from unified.rollout.suites import Suite

if TYPE_CHECKING:
    from unified.judging.open_loop import JudgedWindows
    from unified.model.model import UnifiedModel
    from unified.rollout.dreams.env import Dreams

HELP = "Run a policy in a suite: success with 95 % intervals beside expert and random, films, results.json, a page."
EXAMPLES = """
unified evaluate --policy expert --suite metaworld-demo --episodes 2 --films 1
unified evaluate --policy random --suite metaworld-demo --episodes 2 --films 0 --output runs/evaluate-random
unified evaluate --policy runs/tiny --suite metaworld-demo --episodes 2 --films 1 --data runs/record-demo
unified evaluate --policy runs/tiny --suite metaworld-demo --inside runs/tiny --output runs/evaluate-inside
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    names = ", ".join(BUILTIN_POLICIES)
    parser.add_argument(
        "--policy",
        required=True,
        help=f"{names}, a baseline of the suite's environments, or a checkpoint: pretrained folder, run folder, .ckpt "
        "or Hub id",
    )
    parser.add_argument(
        "--suite", help="name in configs/suites, or a YAML file; without one only --data is judged (real robots)"
    )
    parser.add_argument("--episodes", type=int, metavar="N", help="episodes a task (default: the suite's)")
    parser.add_argument(
        "--split", default="test", help="which seeds of the suite: test (default), validation to tune on, or train"
    )
    parser.add_argument("--env-kwargs", metavar="YAML", help="other arguments of the environments: '{latency_ms: 100}'")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: runs/evaluate-<policy>-<suite>")
    parser.add_argument("--seed", type=int, default=0, help="seed of the policy's own noise (default 0)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="simulation processes (default 2)")
    parser.add_argument("--envs", type=int, default=10, metavar="N", help="environments in each process (default 10)")
    parser.add_argument("--films", type=int, default=2, metavar="K", help="episodes to film, a task (default 2)")
    parser.add_argument(
        "--baselines",
        metavar="A,B",
        help="policies beside a checkpoint, on the same episodes: built-in ones and baselines that the suite's "
        "environments offer (default: expert, where there is one, and random; '' for none)",
    )
    parser.add_argument(
        "--inside",
        metavar="CHECKPOINT",
        help="also run the policy from the same starts in this checkpoint's imagination, which says what succeeds",
    )
    parser.add_argument("--watch", metavar="DIR", help="a drift watch, from `unified watch`, that ends bad dreams")
    model = parser.add_argument_group("checkpoints")
    model.add_argument("--num-steps", type=int, default=1, metavar="N", help="denoise steps (default 1)")
    model.add_argument(
        "--n-action-steps",
        type=int,
        default=4,
        metavar="N",
        help="actions executed before the next decision (default 4)",
    )
    model.add_argument("--guidance", type=float, default=1.0, help="above 1 the instruction counts more (default 1)")
    model.add_argument("--device", help="where the model runs (default: cuda where there is one, else cpu)")
    model.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="DATASET",
        help="also score all queries on the episodes that the checkpoint held out, or on all if it knows none of them",
    )
    model.add_argument(
        "--steps-ahead",
        type=int,
        default=8,
        metavar="N",
        help="env steps that films of held-out windows go on after what is known (default 8, where they are compared)",
    )
    model.add_argument("--windows", type=int, default=512, metavar="N", help="held-out windows a dataset (default 512)")
    model.add_argument(
        "--unseen", action="store_true", help="also judge episodes of --data that the checkpoint does not know"
    )
    model.add_argument(
        "--embodiment", metavar="NAME", help="the checkpoint's name of the body, where more than one fits"
    )
    model.add_argument("--plans", type=int, default=1, metavar="K", help="films of plans and what came (default 1)")


def run(args: argparse.Namespace) -> int:
    """Evaluate, write results.json and report.html, print the table.

    Raises:
        UserError: if the policy does not fit the suite, or an environment breaks.
    """
    with ExitStack() as stack:
        return _judge_recordings(args, stack) if args.suite is None else _judge_suite(args, stack)


def _judge_suite(args: argparse.Namespace, stack: ExitStack) -> int:
    """Everything is checked before the first rollout."""
    from unified.judging.evaluation import collect_results, new_evaluation, suite_episodes, with_films
    from unified.rollout.rendering import configure_rendering
    from unified.rollout.suites import load_suite, parse_env_kwargs, with_env_kwargs

    changes = parse_env_kwargs(args.env_kwargs or "{}")
    suite = with_env_kwargs(load_suite(args.suite), changes)
    episodes = suite_episodes(suite, args.split, args.episodes)
    for name, least in {"workers": 0, "films": 0, "plans": 0, "envs": 1}.items():
        if getattr(args, name) < least:
            raise UserError(f"--{name} must be at least {least}, got {getattr(args, name)}.")
    configure_rendering()
    env_ids = [task.env_id for task in suite.tasks]
    beside = _baselines(args, suite)
    for name in beside:
        check_builtin(name, env_ids)
    model = None if is_builtin(args.policy, env_ids) else _load(args)
    policies = [args.policy if model is None else _make_policy(model, part, args) for part in suite.leaves]
    recordings = {} if model is None else _open_recordings(model, args)
    dreams = _open_dreams(args, suite, policies)
    output = args.output or Path("runs") / f"evaluate-{label(args.policy)}-{suite.name}"
    folder = stack.enter_context(new_evaluation(output))
    filmed = with_films(episodes, args.films) if args.films else episodes
    started = time.perf_counter()
    results = _rollouts(filmed, policies, suite, args, folder, args.policy)
    more: dict[str, Any] = {"duration_s": round(time.perf_counter() - started, 2)}
    more |= {"env_kwargs": changes} if changes else {}
    baselines: dict[str, list[EpisodeResult]] = {}
    if dreams is not None:
        name = f"in dreams of {label(args.inside)}"
        baselines[name] = _rollouts(episodes, policies, suite, args, None, name, dreams)
        more["inside"] = {
            "checkpoint": args.inside,
            "watch": args.watch,
            "episodes": [result.to_dict() for result in baselines[name]],
        }
    if model is not None:
        for name in beside:
            baselines[name] = _rollouts(episodes, [name] * len(policies), suite, args, None, name)
        more |= _model_extras(model, suite, episodes, recordings, args, folder)
    command = shlex.join(["unified", *sys.argv[1:]])
    content = collect_results(suite, args.policy, results, args.seed, args.split, baselines, command, **more)
    page = _keep(content, folder, output, stack)
    print_tables(content)
    sys.stdout.write(f"{output / 'results.json'}\n{page}\n")
    return 0


def _keep(content: Mapping[str, Any], folder: Path, output: Path, stack: ExitStack) -> Path:
    """Put the new evaluation into its place, then write its page, which can be made again from the results."""
    from unified.judging.results import write_results
    from unified.report.page import write_report

    write_results(folder / "results.json", content)
    stack.close()
    return write_report(output)


def _judge_recordings(args: argparse.Namespace, stack: ExitStack) -> int:
    """Score a checkpoint on held-out recordings alone: for bodies that no simulator here moves."""
    from unified.judging.evaluation import collect_results, loss_curves, new_evaluation
    from unified.report.tables import print_scores

    if not args.data or is_builtin(args.policy, ()):
        raise UserError("Without --suite there must be a checkpoint as --policy and a recording as --data.")
    model = _load(args)
    recordings = _open_recordings(model, args)
    output = args.output or Path("runs") / f"evaluate-{label(args.policy)}-recordings"
    folder = stack.enter_context(new_evaluation(output))
    more = _query_scores(model, recordings, args, folder)
    suite = Suite(name="held-out recordings", tasks=())
    command = shlex.join(["unified", *sys.argv[1:]])
    curves = loss_curves(args.policy)
    content = collect_results(suite, args.policy, [], args.seed, args.split, {}, command, training=curves, queries=more)
    page = _keep(content, folder, output, stack)
    print_scores(more)
    sys.stdout.write(f"{output / 'results.json'}\n{page}\n")
    return 0


def _baselines(args: argparse.Namespace, suite: Suite) -> list[str]:
    """Policies that run beside a checkpoint.

    Raises:
        UserError: if the expert shall run where there is none.
    """
    without = suite.without_expert
    asked = ("random" if without else "expert,random") if args.baselines is None else args.baselines
    names = [name.strip() for name in asked.split(",") if name.strip()]
    if without and "expert" in (*names, args.policy):
        raise UserError(f"{', '.join(without)}: there is no expert, the adapter names none; choose another policy.")
    return names


def _load(args: argparse.Namespace) -> "UnifiedModel":
    import torch

    from unified.rollout.policies import load_on_device

    free = (os.cpu_count() or 1) - (args.workers if args.suite else 0)
    return load_on_device(args.policy, args.device, max(1, min(free, torch.get_num_threads())))


def _make_policy(model: "UnifiedModel", suite: Suite, args: argparse.Namespace) -> Any:
    from unified.judging.evaluation import check_cameras
    from unified.rollout.policies import ModelPolicy, PlanPolicy

    policy = ModelPolicy(
        model,
        _find_body(model, suite, args),
        num_steps=args.num_steps,
        n_action_steps=args.n_action_steps,
        guidance=args.guidance,
        seed=args.seed,
    )
    check_cameras(suite, policy.needs.cameras, model.spec.image_size[0])
    if _has_plans(model, args):
        PlanPolicy(model, policy.body.name)  # whether plans can be pictured
    return policy


def _open_dreams(args: argparse.Namespace, suite: Suite, policies: Sequence[Any]) -> "Dreams | None":
    """The checkpoint that is dreamt by, if it can dream of all of the suite."""
    if args.inside is None:
        if args.watch is not None:
            raise UserError("--watch looks on at dreams; say whose: --inside CHECKPOINT.")
        return None
    from unified.judging.evaluation import body_of
    from unified.rollout.dreams.env import Dreams
    from unified.rollout.dreams.watch import DriftWatch
    from unified.rollout.policies import load_on_device

    if args.policy in ("expert", "play"):
        raise UserError(f"The policy {args.policy!r} reads a simulator's state, which a dream has not.")
    watch = None if args.watch is None else DriftWatch.load(args.watch)
    dreams = Dreams(load_on_device(args.inside, args.device), watch=watch)
    for part, policy in zip(suite.leaves, policies, strict=True):
        dreams(part.tasks[0].env_id, part.env_kwargs).close()
        if not isinstance(policy, str):
            body = dreams.model.history.find_body(dreams.model.spec, body_of(part), f"Suite {part.name}")
            dreams.check(policy, body.name)
    return dreams


def _has_plans(model: "UnifiedModel", args: argparse.Namespace) -> bool:
    return bool(args.plans) and "video" in model.decoders and model.history.has_learned("joint")


def _find_body(model: "UnifiedModel", suite: Suite, args: argparse.Namespace) -> str:
    """The model's name of the body that a plain suite moves."""
    from unified.judging.evaluation import body_of

    return model.history.find_body(model.spec, body_of(suite), f"Suite {suite.name}", args.embodiment).name


def _model_extras(
    model: "UnifiedModel",
    suite: Suite,
    episodes: Sequence[Episode],
    recordings: dict[str, "JudgedWindows"],
    args: argparse.Namespace,
    folder: Path,
) -> dict[str, Any]:
    """Scores of all queries, films of plans, and the settings, for results.json."""
    from unified.judging.evaluation import loss_curves
    from unified.judging.open_loop import make_plans

    settings = {name: getattr(args, name) for name in ("num_steps", "n_action_steps", "guidance")}
    more: dict[str, Any] = {"policy_settings": settings}
    if _has_plans(model, args):
        with progress_bar("plans", 1) as show:
            more["plans"] = [
                plan
                for part in suite.leaves
                for plan in make_plans(
                    model, _find_body(model, part, args), part, episodes, folder, args.plans, args.num_steps, args.seed
                )
            ]
            show(1)
    return {**more, "training": loss_curves(args.policy), "queries": _query_scores(model, recordings, args, folder)}


def _open_recordings(model: "UnifiedModel", args: argparse.Namespace) -> dict[str, "JudgedWindows"]:
    """What of the recordings is judged, by a name for each."""
    from unified.judging.open_loop import open_recording

    numbers = {name.replace("_", "-"): getattr(args, name) for name in ("windows", "steps_ahead", "num_steps")}
    check_numbers(least=1, prefix="--", **numbers)
    return {
        name: open_recording(model, root, args.windows, args.embodiment, args.unseen, args.steps_ahead)
        for name, root in zip(labels(args.data), args.data, strict=True)
    }


def _query_scores(
    model: "UnifiedModel", recordings: dict[str, "JudgedWindows"], args: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    from unified.judging.open_loop import judge_queries

    scores: dict[str, Any] = {}
    for name, recording in recordings.items():
        with progress_bar(f"queries on {name}", 1) as show:
            scores[name] = judge_queries(model, recording, folder, args.num_steps, args.seed)
            show(1)
    return scores


def _rollouts(
    episodes: Sequence[Episode],
    policies: Sequence[Any],
    suite: Suite,
    args: argparse.Namespace,
    folder: Path | None,
    name: str,
    dreams: "Dreams | None" = None,
) -> list[EpisodeResult]:
    """Run all episodes, part by part, with one policy for each part of the suite; in this process if in dreams."""
    from unified.judging.evaluation import episodes_of, run_policy
    from unified.rollout.environments import make_env

    results: list[EpisodeResult] = []
    successes: list[bool] = []
    with progress_bar(label(name), len(episodes)) as show:

        def tell(result: EpisodeResult) -> None:
            successes.append(result.success)
            show(len(successes), f"{100 * sum(successes) / len(successes):.0f} % succeed")

        for part, policy in zip(suite.leaves, policies, strict=True):
            mine, steps = episodes_of(part, episodes), part.max_env_steps
            workers, make = (args.workers, make_env) if dreams is None else (0, dreams)
            results += run_policy(mine, policy, steps, folder, workers, args.envs, tell, make)
    return results
