"""What is judged besides success: all queries on held-out windows, and plans beside what then happened."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unified.data.heldout import HeldOutWindows, open_dataset
from unified.judging.actions import action_scores
from unified.judging.evaluation import episodes_of
from unified.judging.questions import action_queries, film_queries, judged_queries, learned_queries
from unified.judging.scores import STEPS_AHEAD, film_scores
from unified.model.model import UnifiedModel
from unified.report.strips import plan_film, strip
from unified.report.video import file_name, write_mp4, write_png
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


def open_recording(
    model: UnifiedModel,
    root: str,
    num_windows: int = 512,
    embodiment: str | None = None,
    unseen: bool = False,
    steps_ahead: int = STEPS_AHEAD,
) -> JudgedWindows:
    """Choose at most `num_windows` windows to judge; see `open_dataset`.

    Windows begin with as many known moments as the model saw in training, or fewer where episodes are shorter. Films go
    on for at least `steps_ahead` env steps after them.

    Raises:
        UserError: if the recording does not fit the model or has no episode that may be judged and is long enough.
    """
    recording = open_dataset(root, model.spec, model.history, embodiment, unseen)
    (source,) = recording.windows.sources
    model.text.check(source.cache.tasks)
    steps = -(-steps_ahead // source.frame_stride) if film_queries(model) else 1
    windows = recording.choose(num_windows, known=max(1, model.spec.num_moments - 1), steps=steps)
    return JudgedWindows(root, windows, recording.to_dict())


def judge_queries(
    model: UnifiedModel, recording: JudgedWindows, folder: Path, num_steps: int = 1, seed: int = 0
) -> dict[str, Any]:
    """Score every query that a model learned on episodes that it did not (see `unified.judging.scores` and `actions`).

    Args:
        model: answers.
        recording: what is judged.
        folder: of results.json; the picture goes to <folder>/films.
        num_steps: denoise steps.
        seed: of the noise and the shuffling.

    Returns:
        data; episodes (see `unified.data.heldout.Judged`); known_moments, frame_stride (env steps between them);
        not_trained, the queries that the model has streams for and never learned; not_scored, those that it learned and
        that no number here is about; film, action (the tables, where any of their queries was learned) and strip (a
        picture's path, relative to `folder`).
    """
    windows, learned = recording.windows, learned_queries(model)
    films, actions = film_queries(model), action_queries(model)
    scores: dict[str, Any] = {
        "data": recording.root,
        "episodes": recording.episodes,
        "known_moments": windows.known,
        "frame_stride": windows.stride,
        "not_trained": [name for name in judged_queries(model) if name not in learned],
        "not_scored": [name for name in learned if name not in {**films, **actions}],
    }
    if actions:
        scores["action"] = action_scores(model, windows, num_steps, seed)
    if films:
        scores["film"] = film_scores(model, windows, num_steps, seed)
        scores["strip"] = f"films/windows-{recording.root.strip('/').replace('/', '-')}.png"
        write_png(folder / scores["strip"], strip(model, windows, seed=seed))
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
        name = f"films/plan-{file_name(episode.env_id)}-{episode.seed}.mp4"
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
