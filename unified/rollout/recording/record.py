"""Recording datasets in environments: workers act and encode (see `rollout`), this process alone writes.

Which episodes are in a dataset, and in which order, follows from the plan alone, not from the number of workers, their
speed or interruptions. Each task takes its seeds in order; a failed episode makes room for the next seed. Episodes are
saved in rounds over the tasks (`_BLOCK` episodes of one task, then the next task).
"""

import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unified.data.lerobot3.layout import PROVENANCE
from unified.data.lerobot3.writer import EpisodeWriter, read_provenance
from unified.errors import DataError, UserError
from unified.model.spec import ACTION, PROPRIO, Embodiment
from unified.rollout.builtin import is_builtin
from unified.rollout.environments import make_env
from unified.rollout.episodes import Description, Episode, Finished
from unified.rollout.recording.plan import Plan, check_plan
from unified.rollout.recording.recorder import describe
from unified.rollout.rollout import LATER, Policy, perform

_BLOCK = 5  # episodes of one task in a row: an environment is built once for them, yet a short recording has all tasks
_ACTION_STEPS = 4  # that a checkpoint executes before it looks again, if it predicts so many


@dataclass
class Progress:
    """Where a recording stands; `discarded` counts failed episodes that were not stored, by environment."""

    total: int
    episodes: int = 0
    frames: int = 0
    solved: int = 0
    discarded: dict[str, int] = field(default_factory=dict[str, int])


OnProgress = Callable[[Progress], None]


def record(
    plan: Plan,
    root: Path | str,
    workers: int = 2,
    resume: bool = False,
    command: str = "",
    on_progress: OnProgress = lambda _: None,
    device: str | None = None,
) -> Progress:
    """Record a dataset, or the episodes that are missing from it.

    Args:
        root: the dataset's folder; must not hold anything unless `resume`.
        workers: processes that step environments.
        command: stored with the dataset.
        on_progress: called after every saved or discarded episode, in this process.
        device: where a checkpoint runs.

    Raises:
        UserError: a wrong environment or setting, a worker that failed or died (the message names its episode), a
            full disk, a folder that holds something else. Episodes that were saved are kept in any case.
    """
    root = Path(root)
    check_request(plan, root, workers, resume)
    description = _describe_first(plan)
    policy = plan.rules.policy
    acting = policy if is_builtin(policy, plan.env_ids) else _load_policy(plan, description, device)
    with EpisodeWriter.open(root) if resume else _create(plan, root, description, command) as writer:
        recording = _Recording(plan, writer, description, on_progress)
        missing = recording.progress.total - recording.progress.episodes
        steps = plan.rules.play_steps if plan.rules.explores else None
        if missing:
            count = min(workers, missing)
            perform(recording.next_episode, acting, recording.take, count, 1, steps)
    return recording.progress


def check_request(plan: Plan, root: Path, workers: int, resume: bool) -> None:
    """Refuse what cannot work before any process is started.

    Raises:
        UserError: a wrong environment or setting; a folder that holds something, or nothing to resume.
    """
    check_plan(plan, workers)
    if resume:
        _check_same_plan(plan, root)
    elif root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"{root} exists; add --resume to continue a recording there, or choose another --output.")


@dataclass
class _Task:
    """How far one environment's seeds are.

    Attributes:
        next_seed, cursor: the next to hand out, the next to save.
        promised: episodes that are saved, in work, or waiting to be saved.
        results: what is finished but has to wait for its turn, by seed.
    """

    env_id: str
    next_seed: int
    cursor: int
    saved: int = 0
    promised: int = 0
    failures: int = 0
    results: dict[int, Finished] = field(default_factory=dict[int, Finished])


class _Recording:
    """The bookkeeping of one run of `record`."""

    def __init__(self, plan: Plan, writer: EpisodeWriter, description: Description, on_progress: OnProgress) -> None:
        self.plan, self.writer, self.on_progress = plan, writer, on_progress
        self.tasks = {env_id: _Task(env_id, plan.seed, plan.seed) for env_id in plan.env_ids}
        self.progress = Progress(total=plan.episodes * len(self.tasks))
        self._numbers = itertools.count()
        self._take_over_saved()
        self._check_fits(description)
        self._tell()

    def next_episode(self, _worker: int, _env_id: str | None) -> tuple[int, Episode] | str | None:
        """The earliest place in the dataset that nobody works on yet."""
        task = self._earliest("promised")
        if task is None:
            return LATER if self.progress.episodes < self.progress.total else None
        plan, seed, number = self.plan, task.next_seed, next(self._numbers)
        if plan.stop_seed is not None and seed >= plan.stop_seed:
            raise UserError(
                f"{task.env_id}: seeds from {plan.stop_seed} on are kept for judging, and {plan.seed} to "
                f"{seed - 1} gave only {task.saved} episodes; record fewer episodes or start at a smaller --seed."
            )
        task.next_seed += 1
        task.promised += 1
        return number, plan.episode(task.env_id, seed, self.writer.scratch / f"{number:06d}")

    def take(self, _number: int, finished: Finished) -> None:
        """Save what has become due with an episode that is over."""
        assert finished.recorded is not None
        self._check_fits(finished.recorded.description)
        task = self.tasks[finished.result.env_id]
        task.results[finished.result.seed] = finished
        if not self._is_kept(finished):
            task.promised -= 1
            self._count_failure(task)
        while (task := self._earliest("saved")) is not None and (due := self._next_result(task)) is not None:
            self._save(task, due)

    def _earliest(self, count: str) -> _Task | None:
        """The task whose next episode, after so many that are saved or promised, is the earliest in the dataset."""
        incomplete = [task for task in self.tasks.values() if getattr(task, count) < self.plan.episodes]
        return min(incomplete, key=lambda task: getattr(task, count) // _BLOCK, default=None)

    def _is_kept(self, finished: Finished) -> bool:
        return finished.result.success or self.plan.keeps_all

    def _count_failure(self, task: _Task) -> None:
        task.failures += 1
        self._tell()
        if task.failures > 10 + 3 * self.plan.episodes:
            raise UserError(
                f"{task.env_id}: {task.failures} episodes of {self.plan.rules.policy!r} failed (noise "
                f"{', '.join(f'{level:g}' for level in self.plan.noise)}); use less --noise, or --keep-failures."
            )

    def _next_result(self, task: _Task) -> Finished | None:
        while (finished := task.results.pop(task.cursor, None)) is not None:
            task.cursor += 1
            if self._is_kept(finished):
                return finished
            _remove_films(finished)
        return None

    def _save(self, task: _Task, finished: Finished) -> None:
        assert finished.recorded is not None
        result, noise = finished.result, self.plan.noise_of(finished.result.seed)
        details = {"env_id": task.env_id, "seed": result.seed, "noise": noise, "success": result.success}
        details |= {"facts": result.facts} if result.facts else {}
        self.writer.commit(finished.recorded.episode, result.task, details)
        _remove_films(finished)
        task.saved += 1
        self.progress.solved += result.success
        self._tell()

    def _tell(self) -> None:
        self.progress.episodes, self.progress.frames = self.writer.num_episodes, self.writer.num_frames
        self.progress.discarded = {env_id: task.failures for env_id, task in self.tasks.items() if task.failures}
        self.on_progress(self.progress)

    def _take_over_saved(self) -> None:
        for number, details in enumerate(self.writer.episodes):
            try:
                task, seed, success = self.tasks[details["env_id"]], int(details["seed"]), bool(details["success"])
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(
                    f"{self.writer.root}/{PROVENANCE}: episode {number} is {details!r}, not one of this recording."
                ) from error
            task.saved = task.promised = task.saved + 1
            task.failures += seed - task.cursor  # seeds that were tried and are not here
            task.cursor = task.next_seed = seed + 1
            self.progress.solved += success

    def _check_fits(self, description: Description) -> None:
        """All environments of a dataset are alike, and it is continued with the simulator that began it."""
        stored = self.writer.provenance.get("versions") or {}
        if description.versions != stored:
            differing = {name: (stored.get(name), now) for name, now in description.versions.items()}
            text = ", ".join(f"{name} {old} then, {now} now" for name, (old, now) in differing.items() if old != now)
            raise UserError(f"{self.writer.root} was begun with other versions ({text}); record into another folder.")
        for key, feature in description.features.items():
            there = self.writer.info["features"].get(key, {}).get("shape")
            if there is None or tuple(there) != tuple(feature["shape"]):
                raise UserError(
                    f"{description.env_id}: {key} has shape {feature['shape']}, the dataset's is {there}; environments "
                    "of one dataset need the same cameras, actions and states."
                )


def _check_same_plan(plan: Plan, root: Path) -> None:
    before, now = read_provenance(root).get("plan"), plan.to_dict()
    if not isinstance(before, dict) or not isinstance(before.get("rules"), dict):
        raise UserError(f"{root} was not made by `unified record`; it cannot be resumed.")
    flat_before, flat_now = before | before["rules"], now | now["rules"]
    for key, value in flat_now.items():
        if key not in ("episodes", "rules") and flat_before.get(key) != value:
            raise UserError(
                f"{root} was recorded with {key} {flat_before.get(key)}, now it is {value}; "
                "resume with the same settings, or choose another --output."
            )
    if plan.episodes < before.get("episodes", 0):
        raise UserError(
            f"{root} was planned with {before['episodes']} episodes a task; --episodes {plan.episodes} is less."
        )


def _create(plan: Plan, root: Path, description: Description, command: str) -> EpisodeWriter:
    provenance = {
        "embodiment": description.embodiment,
        "is_demonstration": "expert" in (plan.rules.policy, plan.rules.label),  # whose labels may be imitated
        "env_ids": list(plan.env_ids),
        "policy": plan.rules.policy,
        "noise": list(plan.noise),
        "versions": description.versions,
        "command": command,
        "plan": plan.to_dict(),
    }
    return EpisodeWriter.create(root, description.fps, description.features, description.embodiment, provenance)


def _describe_first(plan: Plan) -> Description:
    """What the first environment says about itself; no picture is drawn."""
    env = make_env(plan.env_ids[0], plan.rules.env_kwargs)
    try:
        inner: Any = env.unwrapped
        inner.render_pixels = False
        env.reset(seed=0)
        return describe(inner, plan.env_ids[0])
    finally:
        env.close()


def _load_policy(plan: Plan, description: Description, device: str | None) -> Policy:
    """The checkpoint as a policy. Every decision is answered alone: batches would depend on the number of workers."""
    from unified.rollout.policies import ModelPolicy, load_on_device

    path = plan.rules.policy
    model = load_on_device(path, device, threads=1)
    steps = min(_ACTION_STEPS, model.spec.action_horizon)
    action_dim, proprio_dim = (description.features[key]["shape"][0] for key in (ACTION, PROPRIO))
    asked = Embodiment(description.embodiment, action_dim, proprio_dim, (), 1 / description.fps)
    body = model.history.find_body(model.spec, asked, description.env_id)
    policy = ModelPolicy(model, body.name, n_action_steps=steps)
    needs, size = policy.needs, policy.needs.image_size
    for camera in needs.cameras:
        feature = description.features.get(f"observation.images.{camera}")
        if feature is None or feature["shape"] != (size, size, 3):
            raise UserError(
                f"{path} looks through {', '.join(needs.cameras)} at {size} pixels; record these "
                f"(--cameras {','.join(needs.cameras)} --image-size {size})."
            )
    return policy


def _remove_films(finished: Finished) -> None:
    assert finished.recorded is not None
    for film in finished.recorded.episode.films.values():
        shutil.rmtree(film.parent, ignore_errors=True)
