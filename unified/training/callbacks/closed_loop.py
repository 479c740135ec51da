"""Judging in closed loop while training runs: the success rate that the losses only hint at."""

import re
from collections import defaultdict
from contextlib import nullcontext
from typing import Any

import pytorch_lightning as pl

from unified.errors import check_numbers, unknown_name
from unified.judging.evaluation import body_of, check_cameras, episodes_of, with_films
from unified.judging.results import EpisodeResult
from unified.rollout.episodes import Episode, Finished
from unified.rollout.policies import ModelPolicy
from unified.rollout.rollout import run_episodes
from unified.rollout.suites import Suite, load_suite
from unified.training.callbacks.average import averaged_weights
from unified.training.callbacks.dashboard import add_film


class ClosedLoopEvaluation(pl.Callback):
    """Every so many steps, lets the averaged model act in a suite and logs `sim/success_rate` and one rate a task.

    The seeds are those of the suite's split `validation`. Training waits meanwhile.

    Args:
        suite: name or path, see configs/suites.
        every_n_steps: optimiser steps between evaluations.
        episodes_per_task: how many seeds of every task.
        tasks: only these environment ids; default: all of the suite.
        num_workers: processes that step environments.
        n_action_steps: actions executed before the model is asked again.
        num_steps: denoise steps.
        film: also log a film of every task's first episode, where the suite names cameras.
    """

    def __init__(
        self,
        suite: str,
        every_n_steps: int = 1000,
        episodes_per_task: int = 4,
        tasks: list[str] | None = None,
        num_workers: int = 2,
        n_action_steps: int = 4,
        num_steps: int = 1,
        film: bool = True,
    ):
        check_numbers(
            least=1, every_n_steps=every_n_steps, episodes_per_task=episodes_per_task, num_workers=num_workers,
            n_action_steps=n_action_steps, num_steps=num_steps, prefix="ClosedLoopEvaluation.",
        )  # fmt: skip
        self.suite = load_suite(suite)
        self.every_n_steps = every_n_steps
        self.num_workers, self.n_action_steps, self.num_steps = num_workers, n_action_steps, num_steps
        for env_id in tasks or ():
            if env_id not in self.suite.groups:
                raise unknown_name(f"task of suite {suite}", env_id, self.suite.groups)
        self._episodes: list[Episode] = []
        for part in self.suite.leaves:
            chosen = [task.env_id for task in part.tasks if tasks is None or task.env_id in tasks]
            seeds = part.seeds("validation", episodes_per_task)
            episodes = [Episode(env_id, seed, part.env_kwargs) for env_id in chosen for seed in seeds]
            can_film = film and part.env_kwargs.get("cameras")
            self._episodes += with_films(episodes, per_task=1) if can_film else episodes

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """See that the model can act in the suite before anything is trained.

        Raises:
            UserError: for another body or camera, or where no policy is learned.
        """
        model: Any = pl_module.model
        is_too_short = 0 <= trainer.max_steps < self.every_n_steps
        for part in () if is_too_short or not trainer.is_global_zero else self.suite.leaves:
            check_cameras(part, self._policy(model, part).needs.cameras, model.spec.image_size[0])

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        is_due = step > 0 and step % self.every_n_steps == 0 and (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if is_due:
            if trainer.is_global_zero:
                self._evaluate(trainer, pl_module)
            trainer.strategy.barrier("closed_loop")

    def _evaluate(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        average = averaged_weights(trainer)
        model: Any = pl_module.model
        films: dict[str, Finished] = {}
        results: list[EpisodeResult] = []
        was_training = pl_module.training
        with average.averaged(pl_module) if average else nullcontext():
            for part in self.suite.leaves:
                mine = episodes_of(part, self._episodes)
                if mine:
                    results += self._run(model, part, mine, films)
        pl_module.train(was_training)
        self._log(trainer, [bool(result.success) for result in results], films)

    def _run(self, model: Any, part: Suite, episodes: list[Episode], films: dict[str, Finished]) -> list[EpisodeResult]:
        policy = self._policy(model, part)

        def note(index: int, event: Finished) -> None:
            if event.film is not None:
                films[episodes[index].env_id] = event

        return run_episodes(episodes, policy, self.num_workers, max_env_steps=part.max_env_steps, on_result=note)

    def _policy(self, model: Any, part: Suite) -> ModelPolicy:
        body = model.history.find_body(model.spec, body_of(part), f"Suite {part.name}")
        return ModelPolicy(model, body.name, num_steps=self.num_steps, n_action_steps=self.n_action_steps)

    def _log(self, trainer: pl.Trainer, successes: list[bool], films: dict[str, Finished]) -> None:
        by_task: dict[str, list[bool]] = defaultdict(list)
        for episode, success in zip(self._episodes, successes, strict=True):
            by_task[_short(episode.env_id)].append(success)
        values = {f"sim/success_rate/{task}": sum(wins) / len(wins) for task, wins in by_task.items()}
        values["sim/success_rate"] = sum(successes) / len(successes)
        for logger in trainer.loggers:
            logger.log_metrics(values, trainer.global_step)
        for env_id, event in films.items():
            if event.film is not None:
                add_film(trainer, f"sim/{_short(env_id)}", event.film, 10.0, trainer.global_step)


def _short(env_id: str) -> str:
    """Write "sims:MetaWorld-reach-v3" as "MetaWorld-reach"."""
    return re.sub(r"^.*:|-v\d+$", "", env_id)
