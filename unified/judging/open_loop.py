"""What is judged besides success: all queries on held-out windows, and plans beside what then happened."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unified.atomic import atomic_path
from unified.data.heldout import choose_windows, open_dataset
from unified.judging.evaluation import embodiment_of, episodes_of
from unified.judging.scores import action_scores, film_scores
from unified.model.model import UnifiedModel
from unified.report.strips import plan_film, strip
from unified.report.video import encode_png, write_mp4
from unified.rollout.episodes import Episode
from unified.rollout.policies import PlanPolicy
from unified.rollout.rollout import run_episodes
from unified.rollout.suites import Suite


def judge_queries(
    model: UnifiedModel,
    root: str | Path,
    folder: Path,
    num_windows: int = 512,
    num_steps: int = 1,
    seed: int = 0,
    holdout: float = 0.1,
    data_seed: int = 0,
) -> dict[str, Any]:
    """Score every query of a model on a recording's held-out episodes (see `unified.judging.scores`).

    Args:
        model: whose `spec` says how windows are cut.
        root: the recording.
        folder: of results.json; the picture goes to <folder>/films.
        num_windows: at most so many, evenly spread.
        num_steps: denoise steps.
        seed: of the noise and the shuffling.
        holdout, data_seed: the split that training used.

    Returns:
        data, steps_ahead (env steps to the first future frame), film, action (the tables of `unified.judging.scores`,
        where the model has the stream) and strip (a picture's path, relative to `folder`).

    Raises:
        UserError: if the recording does not fit the model or has no held-out episode that is long enough.
    """
    spec = model.spec
    dataset = open_dataset(root, spec, holdout, data_seed)
    stride = dataset.sources[0].frame_stride
    windows = choose_windows(dataset, num_windows, max(stride * spec.num_frames, spec.action_horizon - 1))
    scores: dict[str, Any] = {"data": str(root), "steps_ahead": stride}
    if "action" in model.decoders:
        scores["action"] = action_scores(model, windows, num_steps, seed)
    if {"video", "action"} <= set(model.decoders):
        scores["film"] = film_scores(model, windows, num_steps, seed)
        scores["strip"] = f"films/windows-{Path(root).name}.png"
        with atomic_path(folder / scores["strip"]) as temporary:
            temporary.write_bytes(encode_png(strip(model, windows, seed=seed)))
    return scores


def make_plans(
    model: UnifiedModel,
    suite: Suite,
    episodes: Sequence[Episode],
    folder: Path,
    per_task: int = 1,
    num_steps: int = 1,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Films of the joint query: the picture that came with a plan beside what the plan then did.

    Args:
        suite: a plain one; of `episodes`, those in its environments are used.

    Returns:
        For the first `per_task` episodes of each environment: env_id, seed, success, steps_ahead, psnr and copy_psnr in
        dB, film (a path relative to `folder`).
    """
    policy = PlanPolicy(model, embodiment_of(suite), num_steps=num_steps, seed=seed)
    chosen: list[Episode] = []
    for episode in episodes_of(suite, episodes):
        if sum(other.env_id == episode.env_id for other in chosen) < per_task:
            chosen.append(replace(episode, film=None))
    results = run_episodes(chosen, policy, num_workers=0, envs_per_worker=4, max_env_steps=suite.max_env_steps)
    plans: list[dict[str, Any]] = []
    for episode, result in zip(chosen, results, strict=True):
        pictures = policy.pictures.get(episode.key)
        if not pictures:
            continue
        film, numbers = plan_film(pictures)
        name = f"films/plan-{episode.env_id.replace(':', '-').replace('/', '-')}-{episode.seed}.mp4"
        steps = policy.needs.n_action_steps
        write_mp4(folder / name, film, fps=max(2.0, 0.5 / (steps * policy.body.control_dt)))
        plans.append(
            {
                "env_id": episode.env_id,
                "seed": episode.seed,
                "success": result.success,
                "steps_ahead": steps,
                **numbers,
                "film": name,
            }
        )
    return plans
