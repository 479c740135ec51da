"""Judge a policy on a suite: episodes with films, baselines beside it, everything in one results.json and one page."""

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from unified.atomic import atomic_path, remove_leftovers
from unified.errors import UserError
from unified.judging.results import SCHEMA_VERSION, EpisodeResult, provenance, summarise
from unified.model.spec import Embodiment
from unified.report.video import file_name, write_mp4
from unified.rollout.environments import MakeEnv, make_env
from unified.rollout.episodes import Episode, FilmRequest, Finished, describe_body
from unified.rollout.rollout import Policy, run_episodes
from unified.rollout.suites import Suite

Pictures = UInt8[np.ndarray, " frame height width 3"]
_OWN_NAMES, _OWN_SUFFIXES = ("results.json", "report.html", "films"), (".mp4", ".png")
OnEpisode = Callable[[EpisodeResult], None]


def suite_episodes(suite: Suite, split: str = "test", episodes_per_task: int | None = None) -> list[Episode]:
    """The episodes of a suite, task by task.

    Raises:
        UserError: for an unknown split or no episodes.
    """
    return [
        Episode(task.env_id, seed, part.env_kwargs)
        for part in suite.leaves
        for task in part.tasks
        for seed in part.seeds(split, episodes_per_task)
    ]


def episodes_of(part: Suite, episodes: Sequence[Episode]) -> list[Episode]:
    """Those that run in the environments of one part of a suite."""
    return [episode for episode in episodes if episode.env_id in part.groups]


def with_films(episodes: Sequence[Episode], per_task: int, size: int = 192) -> list[Episode]:
    """The same episodes, the first `per_task` of each environment filmed from its first camera.

    Raises:
        UserError: if an environment was given no cameras.
    """
    counts: dict[str, int] = {}
    marked: list[Episode] = []
    for episode in episodes:
        counts[episode.env_id] = counts.get(episode.env_id, 0) + 1
        wanted = counts[episode.env_id] <= per_task
        marked.append(replace(episode, film=FilmRequest(_film_camera(episode), size)) if wanted else episode)
    return marked


def _film_camera(episode: Episode) -> str:
    cameras = episode.env_kwargs.get("cameras") or ()
    if not cameras:
        raise UserError(f"{episode.env_id}: the suite names no cameras in env_kwargs; ask for no films (--films 0).")
    return str(cameras[0])


def run_policy(
    episodes: Sequence[Episode],
    policy: Policy | str,
    max_env_steps: int,
    folder: Path | None = None,
    num_workers: int = 2,
    envs_per_worker: int = 10,
    on_episode: OnEpisode | None = None,
    make_env: MakeEnv = make_env,
) -> list[EpisodeResult]:
    """Run episodes and keep the films that they ask for as <folder>/films/<env>-<seed>-<success or failure>.mp4.

    Raises:
        UserError: see `unified.rollout.rollout.run_episodes`.
    """
    films: dict[int, dict[str, Any]] = {}

    def keep(index: int, finished: Finished) -> None:
        result = finished.result
        if finished.film is not None and folder is not None:
            name = file_name(result.env_id)
            how = "success" if result.success else "failure"
            path = f"films/{name}-{result.seed}-{how}.mp4"
            films[index] = {"film": path, "film_stride": finished.stride}
            write_mp4(folder / path, finished.film, finished.fps, quality=26)
            moment = around_failure(finished)
            if moment is not None:
                result.facts["moment"] = path.removesuffix(".mp4") + "-moment.mp4"
                write_mp4(folder / result.facts["moment"], moment, finished.fps, quality=26)
        if on_episode is not None:
            on_episode(result)

    results = run_episodes(episodes, policy, num_workers, envs_per_worker, max_env_steps, keep, make_env)
    return [replace(result, **films.get(index, {})) for index, result in enumerate(results)]


def around_failure(finished: Finished, before_s: float = 2.5, after_s: float = 1.0) -> Pictures | None:
    """The part of a film around the step that the environment calls bad (`bad_step` among its facts), if it does."""
    step, film, result = finished.result.facts.get("bad_step"), finished.film, finished.result
    if step is None or film is None or result.length == 0:
        return None
    at = min(-(-step // finished.stride), len(film) - 1)
    return film[max(0, at - round(before_s * finished.fps)) : at + round(after_s * finished.fps) + 1]


def loss_curves(checkpoint: str, points: int = 200) -> dict[str, list[tuple[int, float]]]:
    """Training and held-out loss of the run that a checkpoint lies in, as (step, loss); empty if it is not there."""
    folders = [Path(checkpoint), *Path(checkpoint).parents[:2]]
    log = next((folder / "metrics.jsonl" for folder in folders if (folder / "metrics.jsonl").is_file()), None)
    curves: dict[str, list[tuple[int, float]]] = {}
    try:
        lines = [] if log is None else log.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.endswith("}")]  # a killed run's last line may be cut
        for name, key in (("training", "train/loss"), ("held-out", "val/loss")):
            losses = {int(row["step"]): float(row[key]) for row in rows if row.get(key) is not None}
            curve = sorted(losses.items())
            curves |= {name: curve[:: -(-len(curve) // points)]} if curve else {}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}  # a damaged log costs the page its curve, not the verdict its numbers
    return curves


def collect_results(
    suite: Suite,
    policy: str,
    episodes: Sequence[EpisodeResult],
    seed: int = 0,
    split: str = "test",
    baselines: Mapping[str, Sequence[EpisodeResult]] | None = None,
    command: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The content of results.json (see `unified.judging.results`); `more` are its optional fields."""
    others = {
        name: {"summary": summarise(results, suite.groups), "episodes": len(results)}
        for name, results in (baselines or {}).items()
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "suite": suite.name,
        "split": split,
        "policy": policy,
        "seed": seed,
        "max_env_steps": suite.max_env_steps,
        "environments": [_conditions(part) for part in suite.leaves],
        "created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **provenance(command),
        "summary": summarise(episodes, suite.groups),
        "baselines": others,
        **more,
        "episodes": [episode.to_dict() for episode in episodes],
    }


def _conditions(part: Suite) -> dict[str, Any]:
    env_ids = [task.env_id for task in part.tasks]
    return {"env_ids": env_ids, "env_kwargs": dict(part.env_kwargs), "max_env_steps": part.max_env_steps}


@contextmanager
def new_evaluation(folder: Path, own_names: Sequence[str] = _OWN_NAMES) -> Generator[Path]:
    """A folder to evaluate into; when all is in it, it takes the place of an earlier evaluation as a whole.

    Args:
        own_names: what such a folder holds: the file that makes it one, its page, its films.

    Raises:
        UserError: if there is something that is no evaluation, before anything is written.
    """
    folder = folder.resolve()
    check_replaceable(folder, own_names)
    with atomic_path(folder, replaces_folder=True) as new:
        new.mkdir()
        yield new
        check_replaceable(folder, own_names)  # what came there meanwhile is not removed


def check_replaceable(folder: Path, own_names: Sequence[str] = _OWN_NAMES) -> None:
    """Refuse a place that holds anything but an evaluation: all in it would be removed.

    Raises:
        UserError: naming what is there.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; give another --output.")
    results, page, films = own_names
    remove_leftovers(folder / page)
    held = sorted(folder.iterdir()) if folder.is_dir() else []
    strangers = [path for path in held if path.name not in own_names or path.is_symlink()]
    if not strangers and (folder / films).is_dir():
        inside = sorted((folder / films).iterdir())
        strangers = [path for path in inside if path.suffix not in _OWN_SUFFIXES or path.is_symlink()]
    if strangers:
        raise UserError(
            f"{strangers[0]} is no part of an evaluation, and a new one replaces the whole folder; move it, or give "
            "another --output."
        )
    if held and not (folder / results).is_file():
        raise UserError(f"{folder} is not empty and holds no {results}; give another --output.")


def body_of(suite: Suite) -> Embodiment:
    """The body that a plain suite moves.

    Raises:
        UserError: if its first environment cannot be made.
    """
    env = make_env(suite.tasks[0].env_id, {**suite.env_kwargs, "cameras": ()})
    try:
        return describe_body(env)
    finally:
        env.close()


def check_cameras(suite: Suite, cameras: Sequence[str], image_size: int) -> None:
    """Whether the environments of a suite can draw what a policy looks at.

    Raises:
        UserError: if not, with the way out.
    """
    wanted = {**suite.env_kwargs, "cameras": tuple(cameras), "image_size": image_size}
    try:
        make_env(suite.tasks[0].env_id, wanted).close()
    except UserError as error:
        looks = f"this checkpoint looks through {', '.join(cameras)} at {image_size} pixels"
        raise UserError(f"{looks}; {suite.name}: {error}") from error
