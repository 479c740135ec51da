"""What a model was trained on: every checkpoint carries it, so that no episode is judged that was learned."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified.errors import UserError, unknown_name
from unified.model.plain import conform
from unified.model.queries import Query
from unified.model.spec import DataSpec, Embodiment

TRAINED, HELD_OUT, NEW = "trained on", "held out", "never seen"

Fingerprints = tuple[str, ...]
"""What an episode is known by (see `unified.data.fingerprint.episode_fingerprints`); one in common is enough."""


@dataclass(frozen=True)
class SourceHistory:
    """One data set of a training.

    Attributes:
        root: as the config named it.
        recorded_as, embodiment: what the data set calls its body, and what the model calls it.
        cameras: names, in the order of use.
        frame_stride: env steps between its future frames.
        trained, held_out: number of the episode in the data set, by fingerprint.
    """

    root: str
    recorded_as: str
    embodiment: str
    cameras: tuple[str, ...]
    frame_stride: int
    trained: dict[str, int]
    held_out: dict[str, int]


@dataclass(frozen=True)
class History:
    """What a model was trained on.

    Attributes:
        queries: those that it learned to answer; None: nobody says.
        sources: the data sets; no episode is held out in one and trained on in another.
    """

    queries: dict[str, Query] | None = None
    sources: tuple[SourceHistory, ...] = ()

    def has_learned(self, query: str) -> bool:
        """Whether the model learned to answer it, as far as is known."""
        return self.queries is None or query in self.queries

    def check_learned(self, query: str) -> None:
        """Refuse a query whose answers would be noise.

        Raises:
            UserError: naming those that were learned.
        """
        if self.queries is not None and query not in self.queries:
            raise UserError(
                f"The query {query!r} was not trained: this checkpoint learned {', '.join(self.queries) or 'none'}."
            )

    def find_body(self, spec: DataSpec, asked: Embodiment, where: str, own_name: str | None = None) -> Embodiment:
        """The model's body that a recording or an environment describes.

        Args:
            spec: of the model.
            asked: its name there, sizes and rate; a name may stand for several of the model's bodies.
            where: what describes it.
            own_name: the model's name of the body, if the user gave it.

        Raises:
            UserError: if there is none that fits, or more than one.
        """
        called = [body for body in spec.embodiments if asked.name in self.names(body)]
        if own_name is not None:
            called = [spec.embodiments[spec.index(own_name)]]
        if not called:
            names = [name for body in spec.embodiments for name in self.names(body)]
            raise unknown_name(f"embodiment of {where} (this checkpoint moves others)", asked.name, names)
        fitting = [body for body in called if not _misfit(asked, body)]
        if not fitting:
            raise UserError(f"{where} has {_misfit(asked, called[0])}.")
        if len(fitting) > 1:
            names = " and ".join(body.name for body in fitting)
            raise UserError(f"{where}: this checkpoint knows {asked.name!r} as {names}; say which: --embodiment.")
        return fitting[0]

    def names(self, body: Embodiment) -> set[str]:
        """What the model, recordings and environments call a body."""
        return {body.name, *(source.recorded_as for source in self.sources if source.embodiment == body.name)}

    def frame_stride(self, spec: DataSpec, embodiment: str) -> int:
        """Env steps between future frames of a body."""
        strides = [source.frame_stride for source in self.sources if source.embodiment == embodiment]
        return strides[0] if strides else spec.frame_stride

    def then(self, later: "History") -> "History":
        """Both trainings, one after the other."""
        queries = {**(self.queries or {}), **(later.queries or {})}
        return History(queries, join_sources([*self.sources, *later.sources]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> "History":
        """The inverse of `to_dict`, from JSON too.

        Raises:
            UserError: naming `where` the values stood, if they are not a history.
        """
        return conform(values, cls, where)


def _misfit(asked: Embodiment, body: Embodiment) -> str:
    """How a body differs from the model's; empty if it does not."""
    if (asked.action_dim, asked.proprio_dim) != (body.action_dim, body.proprio_dim):
        return (
            f"{asked.action_dim} actions and {asked.proprio_dim} measurements a step; this checkpoint's {body.name!r} "
            f"has {body.action_dim} and {body.proprio_dim}"
        )
    rates = [1 / one.control_dt for one in (asked, body)]
    if round(rates[0]) != round(rates[1]) and abs(rates[0] / rates[1] - 1) > 0.02:  # data sets hold whole rates
        return f"{rates[0]:g} steps a second; this checkpoint's {body.name!r} was trained at {rates[1]:g}"
    return ""


def join_sources(sources: Iterable[SourceHistory]) -> tuple[SourceHistory, ...]:
    """Data sets that were used alike become one, and what any of them trained on is held out by none."""
    joined: dict[Any, SourceHistory] = {}
    for source in sources:
        use = (source.root, source.recorded_as, source.embodiment, source.cameras, source.frame_stride)
        other = joined.get(use, source)
        both = {"trained": {**other.trained, **source.trained}, "held_out": {**other.held_out, **source.held_out}}
        joined[use] = dataclasses.replace(source, **both)
    trained = {one for source in joined.values() for one in source.trained}
    return tuple(
        dataclasses.replace(source, held_out={one: n for one, n in source.held_out.items() if one not in trained})
        for source in joined.values()
    )


def status(sources: Iterable[SourceHistory], fingerprints: Fingerprints) -> str:
    """Whether an episode was TRAINED on, HELD_OUT or is NEW to a model of that history."""
    sources = tuple(sources)
    if any(one in source.trained for source in sources for one in fingerprints):
        return TRAINED
    return HELD_OUT if any(one in source.held_out for source in sources for one in fingerprints) else NEW


def check_not_changed(root: str, statuses: Sequence[str], sources: Iterable[SourceHistory]) -> None:
    """Refuse a folder that was trained on and now holds other episodes.

    Raises:
        UserError: with the way out.
    """
    places = {Path(source.root).resolve() for source in sources}
    if set(statuses) == {NEW} and Path(root).resolve() in places:
        raise UserError(
            f"{root} was trained on, and none of its episodes is what it was then: it was recorded or imported again "
            "since. If it shares none with the training data, give it another name."
        )


def judged(statuses: Sequence[str], unseen: bool = False) -> list[bool]:
    """Which episodes of a data set a model may be judged on.

    Those that were held out; all of them if the model knows none; with `unseen` whatever it never trained on.
    """
    allowed = {HELD_OUT, NEW} if unseen or set(statuses) == {NEW} else {HELD_OUT}
    return [one in allowed for one in statuses]
