"""Recording datasets in environments: worker processes act and encode, this process alone writes.

Which episodes are in a dataset, and in which order, follows from the plan alone, not from the number of workers, their
speed or interruptions. Each task takes its seeds in order; a failed episode makes room for the next seed. Episodes are
saved in rounds over the tasks (`_BLOCK` episodes of one task, then the next task).
"""

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from unified.data.lerobot3.writer import EpisodeWriter
from unified.errors import UserError
from unified.rollout.recording.crew import Worker, start_workers
from unified.rollout.recording.episode import Description
from unified.rollout.recording.plan import Job, Plan, check_plan
from unified.rollout.recording.worker import Recorded

_BLOCK = 5  # episodes of one task in a row: an environment is built once for them, yet a short recording has all tasks


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
) -> Progress:
    """Record a dataset, or the episodes that are missing from it.

    Args:
        root: the dataset's folder; must not hold anything unless `resume`.
        workers: processes that act.
        command: stored with the dataset.
        on_progress: called after every saved or discarded episode, in this process.

    Raises:
        UserError: a wrong environment or setting, a worker that failed or died (the message names its episode), a
            full disk, a folder that holds something else. Episodes that were saved are kept in any case.
    """
    root = Path(root)
    check_request(plan, root, workers, resume)
    tasks = [_Task(env_id, plan.seed) for env_id in plan.env_ids]
    with ExitStack() as stack, start_workers(min(workers, plan.episodes * len(tasks)), plan.rules) as crew:
        description = _first_description(crew, plan.env_ids)
        writer = EpisodeWriter.open(root) if resume else _create(plan, root, description, command)
        stack.enter_context(writer)  # left after the workers have ended: they write into its scratch folder
        return _Recording(plan, tasks, writer, description, on_progress).run(crew)


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


class _Task:
    """How far one environment's seeds are: `results` hold what is finished but has to wait for its turn."""

    def __init__(self, env_id: str, seed: int) -> None:
        self.env_id = env_id
        self.next_seed = self.cursor = seed  # next to hand out; next to save
        self.saved = 0
        self.promised = 0  # saved, in work, or waiting to be saved
        self.failures = 0
        self.results: dict[int, Recorded] = {}


class _Recording:
    """The bookkeeping of one run of `record`."""

    def __init__(
        self, plan: Plan, tasks: list[_Task], writer: EpisodeWriter, description: Description, on_progress: OnProgress
    ) -> None:
        self.plan, self.tasks, self.writer, self.description = plan, tasks, writer, description
        self.on_progress = on_progress
        self.progress = Progress(total=plan.episodes * len(tasks))
        self._folders = 0
        self._take_over_saved()

    def run(self, crew: Sequence[Worker]) -> Progress:
        self.on_progress(self.progress)
        idle, busy = list(crew), dict[Any, Worker]()
        while True:
            while idle and (job := self._next_job()) is not None:
                worker = idle.pop()
                worker.ask((job, self._new_folder()), str(job))
                busy[worker.connection] = worker
            if not busy:
                return self.progress
            for connection in wait(list(busy)):
                worker = busy.pop(connection)
                recorded, description = worker.answer()
                self._check_fits(description)
                self._take(recorded)
                idle.append(worker)
            self._save_what_is_due()

    def _next_job(self) -> Job | None:
        """The earliest place in the dataset that nobody works on yet."""
        open_tasks = [(self._turn(task.promised, j), task) for j, task in enumerate(self.tasks) if self._lacks(task)]
        if not open_tasks:
            return None
        task = min(open_tasks, key=lambda item: item[0])[1]
        plan, seed = self.plan, task.next_seed
        if plan.stop_seed is not None and seed >= plan.stop_seed:
            raise UserError(
                f"{task.env_id}: seeds from {plan.stop_seed} on are kept for judging, and {plan.seed} to "
                f"{seed - 1} gave only {task.saved} episodes; record fewer episodes or start at a smaller --seed."
            )
        task.next_seed += 1
        task.promised += 1
        return Job(task.env_id, seed, plan.noise[(seed - plan.seed) % len(plan.noise)])

    def _lacks(self, task: _Task) -> bool:
        return task.promised < self.plan.episodes

    @staticmethod
    def _turn(count: int, number: int) -> tuple[int, int, int]:
        return count // _BLOCK, number, count % _BLOCK

    def _take(self, recorded: Recorded) -> None:
        task = next(task for task in self.tasks if task.env_id == recorded.job.env_id)
        task.results[recorded.job.seed] = recorded
        if recorded.success or self.plan.keeps_all:
            return
        task.promised -= 1
        task.failures += 1
        self.progress.discarded[task.env_id] = task.failures
        self.on_progress(self.progress)
        if task.failures > 10 + 3 * self.plan.episodes:
            raise UserError(
                f"{task.env_id}: {task.failures} episodes of {self.plan.rules.policy!r} failed (noise "
                f"{', '.join(f'{level:g}' for level in self.plan.noise)}); use less --noise, or --keep-failures."
            )

    def _save_what_is_due(self) -> None:
        while True:
            due = [
                (self._turn(task.saved, j), task)
                for j, task in enumerate(self.tasks)
                if task.saved < self.plan.episodes
            ]
            if not due:
                return
            task = min(due, key=lambda item: item[0])[1]
            recorded = self._next_result(task)
            if recorded is None:
                return
            self._save(task, recorded)

    def _next_result(self, task: _Task) -> Recorded | None:
        while (recorded := task.results.pop(task.cursor, None)) is not None:
            task.cursor += 1
            if recorded.success or self.plan.keeps_all:
                return recorded
            _remove_films(recorded)
        return None

    def _save(self, task: _Task, recorded: Recorded) -> None:
        job = recorded.job
        details = {"env_id": job.env_id, "seed": job.seed, "noise": job.noise, "success": recorded.success}
        if recorded.facts:
            details["facts"] = recorded.facts
        self.writer.commit(recorded.episode, recorded.task, details)
        _remove_films(recorded)
        task.saved += 1
        self._count(recorded.success)

    def _count(self, success: bool) -> None:
        self.progress.episodes += 1
        self.progress.frames = self.writer.num_frames
        self.progress.solved += success
        self.on_progress(self.progress)

    def _new_folder(self) -> Path:
        self._folders += 1
        return self.writer.scratch / f"{self._folders:06d}"

    def _take_over_saved(self) -> None:
        by_env = {task.env_id: task for task in self.tasks}
        for details in self.writer.episodes:
            task = by_env[details["env_id"]]
            task.saved = task.promised = task.saved + 1
            task.failures += details["seed"] - task.cursor  # seeds that were tried and are not here
            task.cursor = task.next_seed = details["seed"] + 1
            self.progress.episodes += 1
            self.progress.solved += details["success"]
        self.progress.frames = self.writer.num_frames
        self.progress.discarded = {task.env_id: task.failures for task in self.tasks if task.failures}
        self._check_fits(self.description)

    def _check_fits(self, description: Description) -> None:
        """All environments of a dataset are alike, and it is continued with the simulator that began it."""
        stored = self.writer.provenance["versions"]
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
    with EpisodeWriter.open(root) as writer:
        before, now = writer.provenance.get("plan"), plan.to_dict()
    if before is None:
        raise UserError(f"{root} was not made by `unified record`; it cannot be resumed.")
    flat_before, flat_now = before | before["rules"], now | now["rules"]
    for key, value in flat_now.items():
        if key not in ("episodes", "rules") and flat_before.get(key) != value:
            raise UserError(
                f"{root} was recorded with {key} {flat_before.get(key)}, now it is {value}; "
                "resume with the same settings, or choose another --output."
            )
    if plan.episodes < before["episodes"]:
        raise UserError(
            f"{root} was planned with {before['episodes']} episodes a task; --episodes {plan.episodes} is less."
        )


def _create(plan: Plan, root: Path, description: Description, command: str) -> EpisodeWriter:
    provenance = {
        "embodiment": description.embodiment,
        "is_demonstration": plan.rules.policy == "expert",
        "env_ids": list(plan.env_ids),
        "policy": plan.rules.policy,
        "noise": list(plan.noise),
        "versions": description.versions,
        "command": command,
        "plan": plan.to_dict(),
    }
    return EpisodeWriter.create(root, description.fps, description.features, description.embodiment, provenance)


def _first_description(crew: Sequence[Worker], env_ids: Sequence[str]) -> Description:
    for worker in crew:
        worker.ask(env_ids[0], f"the first frame of {env_ids[0]}")
    descriptions = [worker.answer() for worker in crew]
    return descriptions[0]


def _remove_films(recorded: Recorded) -> None:
    for film in recorded.episode.films.values():
        shutil.rmtree(film.parent, ignore_errors=True)
