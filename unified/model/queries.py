"""The questions one model answers: what is given, what is wanted, what is left out, and from which moments."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from unified.errors import UserError, unknown_name
from unified.model.plain import conform

NEXT = "next"
"""In `given` or `wanted`: every stream of the next moment that a model has: all that an environment returns."""


@dataclass(frozen=True)
class Query:
    """A question about the step from one moment, the present, to the next. The instruction is always given.

    Attributes:
        name: what users call it.
        given: streams that are known of this step: "action", the commands executed in it, or streams of the next
            moment, such as "video".
        wanted: streams to be generated.
        history: how many moments before the present are seen; None: as many as there are.
        past_actions: the commands executed between the moments seen are seen too.
        observed: streams seen of the moments; None: all.
        changes: what changed between two moments that are seen is seen as such too, if the model shows it.
        share: share of the training rows that are asked this; see `tasks.mixing`.
    """

    name: str
    given: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    history: int | None = None
    past_actions: bool = True
    observed: tuple[str, ...] | None = None
    changes: bool = False
    share: float = 1.0

    def __post_init__(self) -> None:
        if not self.wanted:
            raise UserError(f"queries.{self.name}.wanted must name at least one stream.")
        both = set(self.given) & set(self.wanted)
        if both:
            raise UserError(f"queries.{self.name}: {', '.join(sorted(both))} cannot be both given and wanted.")
        if self.history is not None and self.history < 0:
            raise UserError(f"queries.{self.name}.history must be 0 (the present alone) or more, got {self.history}.")
        if not 0 < self.share <= 1:
            raise UserError(
                f"queries.{self.name}.share is a share of the rows, above 0 and at most 1, got {self.share}."
            )

    @property
    def imitates(self) -> bool:
        """Whether it asks for what an expert would do; play teaches nothing of that."""
        return "plan" in self.wanted

    @classmethod
    def from_dict(cls, name: str, values: Mapping[str, Any]) -> "Query":
        """From YAML: a query of that name as in `QUERIES`, with these attributes changed, or one of its own.

        Raises:
            UserError: for an attribute that does not exist, or a value that it does not take.
        """
        known = [field.name for field in fields(cls) if field.name != "name"]
        for key in values:
            if key not in known:
                raise unknown_name(f"attribute of queries.{name}", key, known)
        if name not in QUERIES and "wanted" not in values:
            raise unknown_name("query (one of your own says what is `wanted`)", name, QUERIES)
        start = {key: getattr(QUERIES[name], key) for key in known} if name in QUERIES else {}
        return conform({"name": name, **start, **values}, cls, f"queries.{name}")


QUERIES = {
    query.name: query
    for query in (
        # The past's own commands tell a policy what it will do next better than any picture; it learns to copy them.
        Query("policy", wanted=("plan",), history=0, past_actions=False),
        # Told what changed last, a film goes on with that instead of with the commands.
        Query("world_model", given=("action",), wanted=(NEXT,)),
        Query("inverse_dynamics", given=(NEXT,), wanted=("action",), history=1, past_actions=False, changes=True),
        # By sight alone: what a film shows of the body, without what the body measured.
        Query(
            "inverse_by_sight",
            given=("video",),
            wanted=("action",),
            history=1,
            past_actions=False,
            observed=("video",),
            changes=True,
        ),
        Query("video", wanted=(NEXT,)),
        Query("joint", wanted=("action", NEXT)),
    )
}


def get_query(name: str) -> Query:
    """Look a query up by name.

    Raises:
        UserError: if there is no such query, with the nearest right name.
    """
    if name not in QUERIES:
        raise unknown_name("query", name, QUERIES)
    return QUERIES[name]
