"""What a score gives back: the terms, their product computed from them and from nothing else, and what caused each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self


@dataclass(frozen=True)
class Event:
    """One thing that took a point away.

    Attributes:
        term: name of the term it changed.
        step: index of the time step; negative in the history before the plan.
        time_s: the same in seconds after the plan's first state.
        actor: id of the track, lane or connector involved; None where the ego alone is.
        detail: what happened, with the number and the bound.
    """

    term: str
    step: int
    time_s: float
    actor: str | None
    detail: str

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class ScoreResult:
    """Terms of a score and what they come to: product of the multipliers times weighted mean of the others.

    The score is a property of the terms, so that the two can never disagree.

    Attributes:
        name: the score and its version.
        multipliers: terms that multiply.
        weighted: terms that are averaged.
        weights: weight of each averaged term.
        events: everything that took a point away, by time.
        details: measured values behind the terms (metres of progress, seconds to collision, ...).
    """

    name: str
    multipliers: Mapping[str, float]
    weighted: Mapping[str, float]
    weights: Mapping[str, float]
    events: tuple[Event, ...] = ()
    details: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if set(self.weighted) != set(self.weights):
            wanted, got = sorted(self.weighted), sorted(self.weights)
            raise ValueError(
                f"{self.name}: each averaged term needs a weight; the terms are {wanted}, the weights {got}."
            )
        for group in ("multipliers", "weighted", "weights", "details"):
            object.__setattr__(self, group, {key: float(value) for key, value in getattr(self, group).items()})

    @property
    def terms(self) -> dict[str, float]:
        """Every term by name."""
        return {**self.multipliers, **self.weighted}

    @property
    def score(self) -> float:
        product = 1.0
        for value in self.multipliers.values():
            product *= value
        total = sum(self.weights.values())
        return product * sum(self.weights[term] * value for term, value in self.weighted.items()) / total

    def first_bad_step(self) -> int | None:
        """The earliest step that took a point away; None for a flawless run."""
        return min((event.step for event in self.events), default=None)

    def replaced(self, terms: Mapping[str, float], events: Iterable[Event] = ()) -> Self:
        """The same result with some terms changed; the score follows."""
        unknown = set(terms) - set(self.terms)
        if unknown:
            raise ValueError(f"{self.name} has no term {sorted(unknown)}; it has {sorted(self.terms)}.")
        return replace(
            self,
            multipliers={term: terms.get(term, value) for term, value in self.multipliers.items()},
            weighted={term: terms.get(term, value) for term, value in self.weighted.items()},
            events=sorted_events([*self.events, *events]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts, ready for JSON."""
        return {
            "name": self.name,
            "score": self.score,
            "terms": self.terms,
            "multipliers": list(self.multipliers),
            "weights": dict(self.weights),
            "details": dict(self.details),
            "events": [event.to_dict() for event in self.events],
        }


def sorted_events(events: Iterable[Event]) -> tuple[Event, ...]:
    """Events by time, then by term and actor."""
    return tuple(sorted(events, key=lambda event: (event.step, event.term, event.actor or "")))
