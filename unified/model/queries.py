"""The questions one model answers: which streams are given, which are wanted. All others are left out."""

from dataclasses import dataclass
from functools import cached_property

from unified.errors import unknown_name


@dataclass(frozen=True)
class Query:
    """A question to the model. The observation and the task text are always given.

    Attributes:
        name: what users call it.
        given: streams that are known (clean).
        wanted: streams to be generated.
        imitates: the action asked for is the expert's, learned from demonstrations only, rather than the executed one.
    """

    name: str
    given: tuple[str, ...]
    wanted: tuple[str, ...]
    imitates: bool = False

    @cached_property
    def streams(self) -> tuple[str, ...]:
        """The streams that take part, given ones first."""
        return self.given + self.wanted


QUERIES = {
    query.name: query
    for query in (
        Query("policy", given=(), wanted=("action",), imitates=True),
        Query("world_model", given=("action",), wanted=("video",)),
        Query("inverse_dynamics", given=("video",), wanted=("action",)),
        Query("video", given=(), wanted=("video",)),
        Query("joint", given=(), wanted=("video", "action")),
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
