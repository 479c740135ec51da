"""What to record, as plain data, checked before anything runs."""

import dataclasses
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium

from unified.data.lerobot3.mp4 import find_encoding
from unified.errors import UserError, unknown_name
from unified.rollout.recording.actors import BUILTIN_POLICIES, EXPLORING


@dataclass(frozen=True)
class Job:
    """One episode to record: `noise` is the standard deviation added to the expert's actions."""

    env_id: str
    seed: int
    noise: float = 0.0

    def __str__(self) -> str:
        return f"{self.env_id} seed {self.seed}"


@dataclass(frozen=True)
class Rules:
    """How episodes are recorded, the same for all of a dataset.

    Attributes:
        policy: "expert", "play", "random", or the path of a checkpoint.
        env_kwargs: for `gymnasium.make`.
        hold_steps: env steps kept after the first success.
        play_steps: length of an episode of play or random actions.
        encoding: name in `unified.data.lerobot3.mp4.ENCODINGS`.
        shoves: chance at every env step of episodes with noise that a shove begins, see `actors.ActionNoise`.
    """

    policy: str
    env_kwargs: dict[str, Any]
    hold_steps: int = 9
    play_steps: int = 150
    encoding: str = "lossless"
    shoves: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What to record.

    Attributes:
        env_ids: environments, all of one embodiment and with the same cameras.
        rules: how an episode is recorded.
        episodes: number a task.
        noise: standard deviations of the noise added to the expert's actions; they take turns over the episodes.
        seed: first environment seed of every task.
        stop_seed: seeds from here on are kept for judging; None: no such limit.
        keep_failures: store episodes in which the task was not solved, too.
    """

    env_ids: tuple[str, ...]
    rules: Rules
    episodes: int
    noise: tuple[float, ...] = (0.0,)
    seed: int = 0
    stop_seed: int | None = None
    keep_failures: bool = False

    @property
    def keeps_all(self) -> bool:
        """Whether an episode without success is stored."""
        return self.keep_failures or self.rules.policy in EXPLORING

    def to_dict(self) -> dict[str, Any]:
        """What decides the contents of the dataset, as plain values."""
        plain = dataclasses.asdict(self)
        plain |= {"env_ids": list(self.env_ids), "noise": list(self.noise)}
        return {key: value for key, value in plain.items() if key != "stop_seed"}


def find_environments(env_ids: Sequence[str]) -> None:
    """Refuse ids that no package registers.

    Raises:
        UserError: with the nearest right id.
    """
    for env_id in env_ids:
        module, _, name = env_id.rpartition(":")
        if module:
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise UserError(f"Environment {env_id!r}: there is no package {module!r} ({error}).") from error
        if name not in gymnasium.registry:
            known = [key for key, spec in gymnasium.registry.items() if str(spec.entry_point).startswith(module)]
            prefix = f"{module}:" if module else ""
            raise unknown_name("environment", env_id, [prefix + key for key in known])


def check_plan(plan: Plan, workers: int) -> None:
    """Refuse what cannot be recorded before a process is started.

    Raises:
        UserError: naming the option as the command line spells it.
    """
    if plan.episodes < 1 or workers < 1:
        raise UserError(f"--episodes and --workers must be at least 1, got {plan.episodes} and {workers}.")
    policy = plan.rules.policy
    if policy not in BUILTIN_POLICIES and not Path(policy).exists():
        hint = str(unknown_name("policy", policy, BUILTIN_POLICIES))
        raise UserError(f"{hint} And there is no checkpoint at that path.")
    find_encoding(plan.rules.encoding)
    if not plan.noise or min(plan.noise) < 0:
        raise UserError(f"--noise must be one or more numbers from 0 up, got {plan.noise}.")
    if not 0 <= plan.rules.shoves < 1 or (plan.rules.shoves and not any(plan.noise)):
        raise UserError(
            f"--shoves must be a chance from 0 to below 1, and needs episodes with --noise, got {plan.rules.shoves:g}."
        )
    if plan.rules.policy != "expert" and any(plan.noise):
        raise UserError(f"--noise is added to the expert's actions; the policy is {plan.rules.policy!r}. Leave it out.")
    if len(set(plan.env_ids)) != len(plan.env_ids) or not plan.env_ids:
        raise UserError(f"Name at least one environment, each once; got {list(plan.env_ids)}.")
    find_environments(plan.env_ids)
