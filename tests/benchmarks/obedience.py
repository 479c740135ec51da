"""Does a dream do as it is told? Pairs of actions in forked simulator states, and which film is which.

    python -m tests.benchmarks.obedience CHECKPOINT --env ID --data DATASET [--pairs 200] [--moments 4] [--json FILE]

The environment plays for a while. From where it then stands, two stretches of recorded actions are executed, each from
the same state: two true films. The dream is told each of them: two imagined films. It obeys if the right assignment of
imagined to true films is nearer, in squared error, than the wrong one. Pairs whose true films differ by more than the
median are counted apart, since there is something to see. Beside it the same model asked without actions (the query
`video`), which draws two films and cannot know which is which.
"""

import argparse
import json
import sys
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unified.judging.intervals import wilson
from unified.model.batch import Batch, join_moments
from unified.model.model import UnifiedModel
from unified.model.spec import ACTION
from unified.rollout.builtin import make_builtin
from unified.rollout.dreams.dream import dream_film
from unified.rollout.dreams.starts import RecordedStarts, SimulatedStarts
from unified.rollout.policies import load_on_device
from unified.rollout.rendering import configure_rendering

Film = Float[Tensor, " step camera channel height width"]


def is_obeyed(dreams: tuple[Film, Film], truths: tuple[Film, Film]) -> bool:
    """Whether the right assignment is nearer than the wrong one."""
    errors = [[float((dream - truth).square().mean()) for truth in truths] for dream in dreams]
    return errors[0][0] + errors[1][1] < errors[0][1] + errors[1][0]


class World:
    """An environment that is played into a state, and goes on from there as often as one likes."""

    def __init__(self, model: UnifiedModel, env_id: str, env_kwargs: dict[str, Any]):
        self.model, self.starts = model, SimulatedStarts(model, env_id, env_kwargs)

    def play(self, seed: int, steps: int) -> tuple[Batch, Any]:
        """The last moments that the model can see at once, and the state that they end in."""
        start = self.starts.draw(seed)
        self._real: Any = start.reality
        acting = make_builtin("play", self._real.env, np.random.default_rng(seed))
        moments, executed = [start.batch], []
        for _ in range(steps):
            executed.append(self._real.act(acting))
            moments.append(self._real.step(None))
        known = min(self.model.spec.num_moments - 1, len(moments))
        seen = reduce(join_moments, moments[-known:])
        told = torch.stack(executed)[len(executed) - known + 1 :]
        return replace(seen, between={ACTION: told[None]} if known > 1 else {}), self._real.get_state()

    def film(self, state: Any, commands: Float[Tensor, " step env_step action_dim"]) -> Film:
        """What these commands do from a state."""
        self._real.set_state(state)
        return torch.cat([self._real.step(chunk).images[0] for chunk in commands])


def measure(model: UnifiedModel, world: World, data: str, pairs: int, moments: int, seed: int) -> dict[str, Any]:
    """Shares of pairs that are obeyed: all, and those whose true films differ by more than the median."""
    recorded, rng = RecordedStarts(model, data), np.random.default_rng(seed)
    rows = []
    for number in range(pairs):
        start, state = world.play(seed=50_000 + number, steps=int(rng.integers(4, 20)))
        told = []
        for episode in rng.choice(recorded.episodes, 2, replace=len(recorded.episodes) < 2):
            first = int(rng.integers(max(1, recorded.recorded(int(episode)) - moments)))
            told.append(recorded.commands(int(episode), first, moments))
        truths = tuple(world.film(state, commands) for commands in told)
        answers = {"told": model.query("world_model")}
        if model.history.has_learned("video"):
            answers["not told"] = model.query("video")
        obeyed = {}
        for name, query in answers.items():
            dreams = tuple(
                dream_film(model, start, commands[None], query, seed=place)[0] for place, commands in enumerate(told)
            )
            obeyed[name] = is_obeyed(dreams, truths)  # pyright: ignore[reportArgumentType]
        rows.append({"differ": float((truths[0] - truths[1]).square().mean()), **obeyed})
    middle = float(np.median([row["differ"] for row in rows]))
    apart = [row for row in rows if row["differ"] > middle]
    return {name: {"all": _share(rows, name), "differing": _share(apart, name)} for name in rows[0] if name != "differ"}


def _share(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    count = sum(row[name] for row in rows)
    return {"share": count / len(rows), "ci95": [*wilson(count, len(rows))], "pairs": len(rows)}


def main() -> int:
    """Print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--env", action="append", required=True, metavar="ID")
    parser.add_argument("--env-kwargs", type=json.loads, default={}, metavar="JSON")
    parser.add_argument("--data", required=True, metavar="DATASET", help="whose actions are executed")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--moments", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    configure_rendering()
    model, found = load_on_device(args.checkpoint), {}
    for env_id in args.env:
        world = World(model, env_id, args.env_kwargs)
        found[env_id] = measure(model, world, args.data, args.pairs, args.moments, args.seed)
        for name, shares in found[env_id].items():
            words = [f"{key} {s['share']:.0%} [{s['ci95'][0]:.0%} to {s['ci95'][1]:.0%}]" for key, s in shares.items()]
            sys.stdout.write(f"{env_id:<44}{name:<10}{', '.join(words)}\n")
    if args.json:
        args.json.write_text(json.dumps({"moments": args.moments, "envs": found}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
