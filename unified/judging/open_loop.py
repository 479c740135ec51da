"""What is judged besides success: all queries on held-out windows, and plans beside what then happened."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unified.atomic import atomic_path
from unified.data.heldout import HeldOutWindows, choose_windows, open_dataset
from unified.judging.evaluation import episodes_of
from unified.judging.scores import ACTION_QUERIES, FILM_QUERIES, action_scores, film_scores, learned_queries
from unified.model.model import UnifiedModel
from unified.report.strips import plan_film, strip
from unified.report.video import encode_png, write_mp4
from unified.rollout.episodes import Episode
from unified.rollout.policies import PlanPolicy
from unified.rollout.rollout import run_episodes
from unified.rollout.suites import Suite


@dataclass(frozen=True)
class JudgedWindows:
    """What of a recording is judged.

    Attributes:
        root: the recording, as the user named it.
        windows: evenly spread over the episodes that may be judged.
        episodes: how many of the recording's are known to the model, and how (`unified.data.heldout.Judged`).
    """

    root: str
    windows: HeldOutWindows
    episodes: dict[str, Any]

    @property
    def stride(self) -> int:
        """Env steps between future frames."""
        return self.windows.dataset.sources[0].frame_stride


def open_recording(
    model: UnifiedModel, root: str, num_windows: int = 512, embodiment: str | None = None, unseen: bool = False
) -> JudgedWindows:
    """Choose at most `num_windows` windows to judge; see `open_dataset`.

    Raises:
        UserError: if the recording does not fit the model or has no episode that may be judged and is long enough.
    """
    spec = model.spec
    recording = open_dataset(root, spec, model.history, embodiment, unseen)
    model.text.check(recording.windows.sources[0].cache.tasks)
    stride = recording.windows.sources[0].frame_stride
    windows = choose_windows(recording.windows, num_windows, max(stride * spec.num_frames, spec.action_horizon - 1))
    return JudgedWindows(root, windows, recording.to_dict())


def judge_queries(
    model: UnifiedModel, recording: JudgedWindows, folder: Path, num_steps: int = 1, seed: int = 0
) -> dict[str, Any]:
    """Score every query that a model learned on episodes that it did not (see `unified.judging.scores`).

    Args:
        recording: what is judged.
        folder: of results.json; the picture goes to <folder>/films.
        num_steps: denoise steps.
        seed: of the noise and the shuffling.

    Returns:
        data; episodes (see `unified.data.heldout.Judged`); steps_ahead (env steps to the first future frame);
        not_trained, the queries that the model has streams for and never learned; film, action (the tables of
        `unified.judging.scores`, where any of their queries was learned) and strip (a picture's path, relative to
        `folder`).
    """
    windows, is_learned = recording.windows, learned_queries(model)
    scores: dict[str, Any] = {
        "data": recording.root,
        "episodes": recording.episodes,
        "steps_ahead": recording.stride,
        "not_trained": [name for name, was_trained in is_learned.items() if not was_trained],
    }
    if any(is_learned.get(name) for name in ACTION_QUERIES):
        scores["action"] = action_scores(model, windows, num_steps, seed)
    if any(is_learned.get(name) for name in FILM_QUERIES.values()):
        scores["film"] = film_scores(model, windows, num_steps, seed)
        scores["strip"] = f"films/windows-{recording.root.strip('/').replace('/', '-')}.png"
        with atomic_path(folder / scores["strip"]) as temporary:
            temporary.write_bytes(encode_png(strip(model, windows, seed=seed)))
    return scores


def make_plans(
    model: UnifiedModel,
    embodiment: str,
    suite: Suite,
    episodes: Sequence[Episode],
    folder: Path,
    per_task: int = 1,
    num_steps: int = 1,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Films of the joint query: the picture that came with a plan beside what the plan then did.

    Args:
        embodiment: the model's name of the body.
        suite: a plain one; of `episodes`, those in its environments are used.

    Returns:
        For the first `per_task` episodes of each environment: env_id, seed, success, steps_ahead, psnr and copy_psnr in
        dB, film (a path relative to `folder`).
    """
    policy = PlanPolicy(model, embodiment, num_steps=num_steps, seed=seed)
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
