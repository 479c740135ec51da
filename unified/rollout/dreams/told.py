"""What a dream is told to do: what was recorded, a file, a constant, the model's own plan, or a policy's actions."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unified.errors import UserError, first_line
from unified.model.spec import ACTION, DataSpec
from unified.rollout.builtin import is_builtin, make_builtin
from unified.rollout.dreams.dream import Dream
from unified.rollout.dreams.starts import Recorded, Simulated, Start, observation_of
from unified.rollout.episodes import Decision, Observations
from unified.rollout.policies import ModelPolicy, load_on_device

RECORDED, SHUFFLED, PLAN = "recorded", "shuffled", "plan"
FILES = (".npy", ".json")

Commander = Callable[[Dream], Float[Tensor, " 1 frame_stride action_dim"]]
"""The commands of the step from a dream's present."""


def commander(source: str, start: Start, spec: DataSpec, steps: int, seed: int, env_ids: Sequence[str]) -> Commander:
    """Where a dream's commands come from.

    Args:
        source: "recorded"; "shuffled", those of another episode; "plan", the model's own; a file; numbers with commas
            between, the same at every env step; the name of a policy beside the environment, or a checkpoint.
        start: of the dream.
        spec: of the model that dreams.
        steps: moments to be imagined.
        seed: of what is drawn.
        env_ids: the environment, if the dream starts in one.

    Raises:
        UserError: for a source that is not there, or holds too few actions or those of another body.
    """
    if source == PLAN:
        if spec.action_horizon < start.stride:
            raise UserError(
                f"The model plans {spec.action_horizon} actions, and its moments are {start.stride} env steps apart; "
                "tell the dream what to do: --actions."
            )
        return lambda dream: _padded(dream.ask("policy")["plan"][0], start, spec)[None]
    if (every := _all_actions(source, start, steps, seed)) is not None:
        chunks = (_padded(chunk, start, spec)[None] for chunk in every.split(start.stride))
        return lambda dream: next(chunks)
    if is_builtin(source, env_ids):
        if not isinstance(start.reality, Simulated):
            raise UserError(f"The policy {source!r} acts in an environment: start the dream there (--env).")
        reality, acting = start.reality, make_builtin(source, start.reality.env, np.random.default_rng(seed))
        return lambda dream: reality.act(acting)[None]
    return _Dreaming(source, start, seed)


def _padded(actions: Tensor, start: Start, spec: DataSpec) -> Tensor:
    """The actions of a step as a model takes them."""
    padded = torch.zeros(spec.frame_stride, spec.action_dim)
    padded[: start.stride, : actions.shape[1]] = actions[: start.stride]
    return padded


def _all_actions(source: str, start: Start, steps: int, seed: int) -> Tensor | None:
    """Every env step's action, where they are known beforehand."""
    if source in (RECORDED, SHUFFLED):
        if not isinstance(start.reality, Recorded):
            raise UserError(f"--actions {source} are those of a recording: start the dream in one (--data).")
        return (
            _recorded(start.reality, start, steps)
            if source == RECORDED
            else _elsewhere(start.reality, start, steps, seed)
        )
    if source.endswith(FILES):
        return _of_file(Path(source), start, steps)
    try:
        constant = [float(number) for number in source.split(",")]
    except ValueError:
        return None
    return _checked(
        np.tile(np.array(constant, np.float32), (steps * start.stride, 1)), f"--actions {source}", start, steps
    )


def _recorded(recorded: Recorded, start: Start, steps: int) -> Tensor:
    if len(recorded.commands) < steps:
        raise UserError(
            f"The episode goes on for {len(recorded.commands)} moments, {start.stride} env steps apart; ask for at "
            "most so many --steps, or tell the dream what to do: --actions."
        )
    return recorded.commands[:steps, : start.stride].flatten(0, 1)


def _elsewhere(recorded: Recorded, start: Start, steps: int, seed: int) -> Tensor:
    """Actions executed in another episode of the recording."""
    bounds, needed = recorded.cache.bounds, steps * start.stride
    lengths = np.diff(bounds)
    fitting = [place for place in np.flatnonzero(lengths >= needed).tolist() if place != recorded.episode]
    if not fitting:
        raise UserError(f"The recording has no other episode of at least {needed} frames to take actions from.")
    rng = np.random.default_rng(seed)
    place = int(rng.choice(fitting))
    first = int(bounds[place]) + int(rng.integers(lengths[place] - needed + 1))
    return torch.from_numpy(np.array(recorded.cache.columns[ACTION][first : first + needed]))


def _of_file(path: Path, start: Start, steps: int) -> Tensor:
    try:
        if path.suffix == ".npy":
            values = np.asarray(np.load(path, allow_pickle=False))
        else:
            values = np.array(json.loads(path.read_text(encoding="utf-8")), np.float32)
    except (ValueError, TypeError, OSError, EOFError, RecursionError) as error:
        reason = first_line(error)
        raise UserError(f"{path} holds no actions that can be read, one row an env step: {reason}") from error
    return _checked(values, str(path), start, steps)


def _checked(values: Any, where: str, start: Start, steps: int) -> Tensor:
    needed, width = steps * start.stride, start.body.action_dim
    is_numeric = values.ndim == 2 and values.dtype.kind in "fiu"
    if is_numeric:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
            values = values.astype(np.float32)
    if not is_numeric or values.shape[1] != width or len(values) < needed or not np.isfinite(values).all():
        raise UserError(
            f"{where} must hold finite actions of {start.body.name!r}, {width} numbers for each of at least {needed} "
            f"env steps ({steps} moments, {start.stride} apart); got {values.dtype} of shape {values.shape}."
        )
    return torch.from_numpy(values[:needed])


class _Dreaming:
    """A checkpoint's policy that acts in the dream: it sees what was imagined, as if it were real."""

    def __init__(self, path: str, start: Start, seed: int):
        model, body = load_on_device(path), start.body
        self._policy = ModelPolicy(model, body.name, n_action_steps=start.stride, seed=seed)
        needs, spec = self._policy.needs, model.spec
        if needs.stride != start.stride or not set(needs.cameras) <= set(body.cameras):
            raise UserError(
                f"{path} sees {', '.join(needs.cameras)} every {needs.stride} env steps; the dream shows "
                f"{', '.join(body.cameras)} every {start.stride}."
            )
        self._start, self._size = start, spec.image_size
        self._moments: list[Observations] = []
        self._executed: list[np.ndarray] = []

    def __call__(self, dream: Dream) -> Tensor:
        body, spec, present = self._start.body, dream.model.spec, dream.present
        if spec.image_size != self._size:
            raise UserError(f"The policy sees pictures of {self._size}, the dream's are {spec.image_size}.")
        self._moments.append(observation_of(present, body, spec))
        seen = self._moments[-self._policy.needs.history - 1 :]
        observation = {
            "pixels": {camera: np.stack([one["pixels"][camera] for one in seen]) for camera in body.cameras},
            "agent_pos": np.stack([one["agent_pos"] for one in seen]),
        }
        none = np.zeros((0, self._start.stride, body.action_dim), np.float32)
        executed = np.concatenate([none, *(one[None] for one in self._executed[len(self._executed) - len(seen) + 1 :])])
        number = len(self._moments) - 1
        decision = Decision(0, number, observation, executed, present.task[0], body.name, body.action_dim)
        (chunk,) = self._policy.act([decision], [(0, number)])
        self._executed.append(np.asarray(chunk, np.float32))
        return _padded(torch.from_numpy(self._executed[-1]), self._start, spec)[None]
