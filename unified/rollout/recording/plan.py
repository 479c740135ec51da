"""What to record, as plain data, checked before anything runs."""

import dataclasses
import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium

from unified.data.lerobot3.mp4 import find_encoding
from unified.errors import UserError, unknown_name
from unified.rollout.builtin import is_builtin
from unified.rollout.episodes import Episode, Recording, Rules

LABELS = ("own", "expert")


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
        """Whether an episode without success is stored: if asked for, if none is expected, or to be learned from."""
        rules = self.rules
        return self.keep_failures or rules.explores or (rules.label == "expert" and rules.policy != "expert")

    def episode(self, env_id: str, seed: int, folder: Path) -> Episode:
        """The episode of a seed, its films encoded in `folder`."""
        recording = Recording(folder, self.rules, self.noise_of(seed))
        return Episode(env_id, seed, self.rules.env_kwargs, recording=recording)

    def noise_of(self, seed: int) -> float:
        """Standard deviation of the noise in a seed's episode."""
        return self.noise[(seed - self.seed) % len(self.noise)]

    def to_dict(self) -> dict[str, Any]:
        """What decides the contents of the dataset, as plain values."""
        plain = dataclasses.asdict(self)
        plain |= {"env_ids": list(self.env_ids), "noise": list(self.noise)}
        return {key: value for key, value in plain.items() if key != "stop_seed"}


_WORLDS = "sims"  # where an id without a package is looked for


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
        ours = module or _WORLDS
        found = gymnasium.registry.get(name)
        # A worker knows ours only by their full id, though this process may have imported them.
        if found is None or (not module and str(found.entry_point).startswith(f"{ours}.")):
            importlib.import_module(ours)
            entries = {key: str(spec.entry_point) for key, spec in gymnasium.registry.items()}
            known = [f"{ours}:{key}" for key, entry in entries.items() if entry.startswith(f"{ours}.")]
            theirs = [key for key, entry in entries.items() if entry.startswith("gymnasium.")]
            raise unknown_name("environment", env_id, [*known, *([] if module else theirs)])


def check_plan(plan: Plan, workers: int) -> None:
    """Refuse what cannot be recorded before a process is started.

    Raises:
        UserError: naming the option as the command line spells it.
    """
    if plan.episodes < 1 or workers < 1:
        raise UserError(f"--episodes and --workers must be at least 1, got {plan.episodes} and {workers}.")
    if plan.seed < 0:
        raise UserError(f"--seed must be 0 or more, got {plan.seed}.")
    if plan.stop_seed is not None and plan.seed + plan.episodes > plan.stop_seed:
        raise UserError(
            f"--episodes {plan.episodes} from seed {plan.seed} on would take seeds that are kept for judging, those "
            f"from {plan.stop_seed} on; record fewer episodes or start at a smaller --seed."
        )
    rules = plan.rules
    if len(set(plan.env_ids)) != len(plan.env_ids) or not plan.env_ids:
        raise UserError(f"Name at least one environment, each once; got {list(plan.env_ids)}.")
    find_environments(plan.env_ids)
    is_builtin(rules.policy, plan.env_ids)
    find_encoding(rules.encoding)
    if not plan.noise or not all(0 <= level < math.inf for level in plan.noise):
        raise UserError(f"--noise must be one or more numbers from 0 up, got {plan.noise}.")
    if not 0 <= rules.shoves < 1 or (rules.shoves and not any(plan.noise)):
        raise UserError(
            f"--shoves must be a chance from 0 to below 1, and needs episodes with --noise, got {rules.shoves:g}."
        )
    if rules.policy != "expert" and any(plan.noise):
        raise UserError(f"--noise is added to the expert's actions; the policy is {rules.policy!r}. Leave it out.")
    if rules.label not in LABELS:
        raise unknown_name("--label", rules.label, LABELS)
    if not 0 <= rules.expert_share <= 1:
        raise UserError(f"--expert-share must be a share from 0 to 1, got {rules.expert_share:g}.")
    if rules.play_steps < 1:
        raise UserError(f"--play-steps must be at least 1, got {rules.play_steps}.")
