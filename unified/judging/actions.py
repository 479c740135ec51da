"""How well a model finds the commands of the step after the present, beside what costs nothing.

Errors are squared, in units of the commands' variance in training, over the commands that were executed from the
present to the next moment (and no further than a plan reaches). Intervals resample whole episodes.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unified.data.heldout import HeldOutWindows
from unified.judging.intervals import bootstrap
from unified.judging.questions import action_queries
from unified.model.batch import Batch
from unified.model.model import UnifiedModel
from unified.model.queries import Query
from unified.model.spec import ACTION, EXPERT_ACTION, PROPRIO

RATIOS = {
    "inverse_over_policy": ("inverse_dynamics", "policy"),
    "inverse_over_linear": ("inverse_dynamics", "linear_proprio"),
    "sight_over_mean": ("inverse_by_sight", "mean_predictor"),
}
"""Errors that are compared: of which arm with which."""

MOST_ROWS = 50_000
"""The linear regression is fitted on at most so many steps, evenly spread."""


@torch.no_grad()
def action_scores(
    model: UnifiedModel, windows: HeldOutWindows, num_steps: int = 1, seed: int = 0, batch_size: int = 64
) -> dict[str, Any]:
    """Squared error of commands in units of their variance, against those that were executed.

    An inverse-dynamics error means little beside the mean predictor alone, since most commands can be guessed from the
    observation: the policy query's error stands there to show what the film adds, and a line through the measured
    states to show what needs no film at all.

    Returns:
        windows, episodes, num_steps; commands: how many of the step are compared.
        arms: name -> {mse, mse_ci95, mse_per_action} for mean_predictor; hold_action (the command right before the
            present, where there is one); hold_state (the measured state as command) where it beats the mean, that is
            where commands are positions; linear_proprio, see `linear_guesses`; and every query that was learned and
            wants commands. `trained` is False for one that is asked though it was not learned.
        linear_steps: from how many steps of training episodes the regression was fitted.
        inverse_over_policy (below 1: the film helps), inverse_over_linear, sight_over_mean: {value, ci95}, ratios of
            two errors.
        on_expert: name -> {mse, mse_ci95, mse_per_action} of queries that imitate, against the expert's commands, where
            they were recorded.
    """
    queries = action_queries(model)
    step = _Step(model, windows)
    has_expert = all(EXPERT_ACTION in source.cache.columns for source in windows.dataset.sources)
    linear, linear_steps = linear_guesses(windows)
    guesses = {"linear_proprio": linear} if linear_steps else {}
    last, has_last = windows.last_commands()
    errors: dict[str, list[Tensor]] = {}
    expert: dict[str, list[Tensor]] = {}
    for number, held_out in enumerate(windows.batches(batch_size)):
        rows = slice(number * batch_size, (number + 1) * batch_size)
        batch = held_out.to(step.device)
        known = torch.from_numpy(has_last[rows]).to(step.device)
        proprio = batch.column("at", PROPRIO)[:, step.now, None]
        made = {"hold_action": torch.from_numpy(last[rows]).to(step.device)[:, None]}
        made |= {"hold_state": proprio} if proprio.shape[2] == last.shape[1] else {}
        made |= {name: torch.from_numpy(guess[rows]).to(step.device) for name, guess in guesses.items()}
        made |= {name: step.ask(batch, query, num_steps, seed) for name, query in queries.items()}
        errors.setdefault("mean_predictor", []).append(step.sums(batch, None))
        for name, commands in made.items():
            errors.setdefault(name, []).append(step.sums(batch, commands, known if name == "hold_action" else None))
            if has_expert and name in queries and "plan" in queries[name].wanted:
                expert.setdefault(name, []).append(step.sums(batch, commands, target=batch.ahead[ACTION][:, step.now]))
    pooled, on_expert = ({n: torch.cat(parts).cpu().numpy() for n, parts in all_.items()} for all_ in (errors, expert))
    if "hold_state" in pooled and _pooled_mse(pooled["hold_state"]) >= _pooled_mse(pooled["mean_predictor"]):
        del pooled["hold_state"]
    if not _counts(pooled["hold_action"]).any():  # every present begins its episode
        del pooled["hold_action"]
    untrained = {name for name in queries if not model.history.has_learned(name)}
    return {
        "windows": len(windows),
        "episodes": len(np.unique(windows.episode)),
        "num_steps": num_steps,
        "commands": step.length,
        "linear_steps": linear_steps,
        **_action_table(pooled, on_expert, untrained, windows.episode, seed),
    }


class _Step:
    """The step from the present to the next moment, as a model that is asked for its commands sees it."""

    def __init__(self, model: UnifiedModel, windows: HeldOutWindows):
        self.model, self.now = model, windows.known - 1
        self.device = next(model.parameters()).device
        spec = model.spec
        self._is_step = "action" in model.decoders
        self._decoder = model.decoder("action" if self._is_step else "plan")
        self._size = spec.frame_stride if self._is_step else spec.action_horizon
        self.length = min(spec.frame_stride, spec.action_horizon) if "plan" in model.decoders else spec.frame_stride

    def ask(self, batch: Batch, query: Query, num_steps: int, seed: int) -> Tensor:
        """The commands that the model answers with."""
        generator = torch.Generator().manual_seed(seed)
        known = batch.window(0, self.now + 1)
        answer = self.model.sample(known, query, now=self.now, num_steps=num_steps, generator=generator)
        return answer["action" if "action" in answer else "plan"]

    def sums(
        self,
        batch: Batch,
        commands: Float[Tensor, " batch command action_dim"] | None,
        is_known: Bool[Tensor, " batch"] | None = None,
        target: Float[Tensor, " batch env_step action_dim"] | None = None,
    ) -> Float[Tensor, " batch sum"]:
        """Sums of squared errors of each action, then counts; one command stands for all, None for their mean."""
        if target is None:
            target = batch.column("between", ACTION)[:, self.now]
        wanted = self._encode(batch, target)
        keep = ~self._is_pad(batch).expand_as(wanted)
        if batch.stride is not None:
            keep = keep & (torch.arange(self.length, device=self.device) < batch.stride[:, None])[..., None]
        if is_known is not None:
            keep = keep & is_known[:, None, None]
        error = wanted if commands is None else self._encode(batch, commands) - wanted
        squared = error.square().double() * keep
        return torch.cat([squared.sum(1), keep.sum(1).double()], dim=1)

    def _encode(self, batch: Batch, commands: Tensor) -> Float[Tensor, " batch command action_dim"]:
        whole = commands.new_zeros(len(batch), self._size, commands.shape[2])
        some = commands.expand(-1, self._size, -1) if commands.shape[1] == 1 else commands[:, : self._size]
        whole[:, : some.shape[1]] = some
        told = self._window(batch).with_columns("between" if self._is_step else "ahead", {ACTION: whole[:, None]})
        return self._decoder.encode(told)[:, 0, : self.length]

    def _is_pad(self, batch: Batch) -> Bool[Tensor, " batch #command action_dim"]:
        """True for what a body lacks; whatever was executed counts, in play too."""
        window = replace(self._window(batch), is_demonstration=None, ahead_is_pad=None)
        return self._decoder.is_pad(window)[:, 0, : self.length]

    def _window(self, batch: Batch) -> Batch:
        return batch.window(self.now, self.now + self._is_step)


def linear_guesses(
    windows: HeldOutWindows,
) -> tuple[Float[np.ndarray, " window env_step action_dim"], int]:
    """Commands of the step as least squares finds them in the measured states of the moments around it.

    These are the moments that inverse dynamics sees: the present, the next, and the one before where it is known.
    Fitted on the episodes of the same recording that the model was trained on.

    Returns:
        The guesses and the number of steps that the regression was fitted on, 0 where there are none.
    """
    spec = windows.dataset.spec
    guesses = np.zeros((len(windows), spec.frame_stride, spec.action_dim), np.float32)
    fitted = 0
    for number, (source, trained) in enumerate(zip(windows.dataset.sources, windows.trained, strict=False)):
        stride, bounds = source.frame_stride, source.cache.bounds
        around = stride * np.arange(-1 if windows.known > 1 else 0, 2)
        episode = np.searchsorted(bounds, trained, side="right") - 1
        inside = (trained + around[0] >= bounds[episode]) & (trained + around[-1] < bounds[episode + 1])
        rows = trained[inside]
        rows = rows[:: -(-len(rows) // MOST_ROWS) or 1]
        if not len(rows):
            continue
        proprio, action = source.cache.columns[PROPRIO], source.cache.columns[ACTION]
        commands = action[rows[:, None] + np.arange(stride)]
        line = np.linalg.lstsq(_states(proprio, rows, around), commands.reshape(len(rows), -1), rcond=None)[0]
        judged = np.flatnonzero(windows.source == number)
        made = _states(proprio, windows.present[judged], around) @ line
        guesses[judged, :stride, : action.shape[1]] = made.reshape(len(judged), stride, -1)
        fitted += len(rows)
    return guesses, fitted


def _states(proprio: Any, rows: Any, around: Any) -> Float[np.ndarray, " row feature"]:
    states = proprio[rows[:, None] + around].reshape(len(rows), -1).astype(np.float64)
    return np.concatenate([states, np.ones((len(rows), 1))], axis=1)


def _mse(sums: Float[np.ndarray, " resample sum"]) -> Float[np.ndarray, " resample"]:
    squares, counts = np.split(sums, 2, axis=1)
    return squares.sum(axis=1) / counts.sum(axis=1)


def _pooled_mse(sums: Float[np.ndarray, " window sum"]) -> float:
    return float(_mse(sums.sum(axis=0, keepdims=True))[0])


def _counts(sums: Float[np.ndarray, " window sum"]) -> Float[np.ndarray, " window"]:
    return np.split(sums, 2, axis=1)[1].sum(axis=1)


def _action_table(
    errors: Mapping[str, Any], on_expert: Mapping[str, Any], untrained: set[str], episodes: Any, seed: int
) -> dict[str, Any]:
    def level(sums: Any) -> dict[str, Any]:
        used = _counts(sums) > 0  # a resample of episodes in which nothing counts would have no value
        made = bootstrap(_mse, sums[used], episodes[used], seed)
        squares, counts = np.split(sums.sum(axis=0), 2)
        per_action = [float(square / count) if count else None for square, count in zip(squares, counts, strict=True)]
        return {"mse": made["value"], "mse_ci95": made["ci95"], "mse_per_action": per_action}

    arms = {name: level(sums) | ({"trained": False} if name in untrained else {}) for name, sums in errors.items()}
    table: dict[str, Any] = {"arms": arms}
    for name, pair in RATIOS.items():
        if set(pair) <= set(errors):
            both = np.concatenate([errors[arm] for arm in pair], axis=1)
            half = both.shape[1] // 2
            table[name] = bootstrap(lambda t, h=half: _mse(t[:, :h]) / _mse(t[:, h:]), both, episodes, seed)
    if on_expert:
        table["on_expert"] = {name: level(sums) for name, sums in on_expert.items()}
    return table
