"""Which queries a model is judged on: those that everybody knows and those of its own, as it learned them."""

from dataclasses import replace

from unified.errors import UserError
from unified.model.model import UnifiedModel
from unified.model.queries import QUERIES, Query

SIGHT = "inverse_by_sight"


def judged_queries(model: UnifiedModel) -> dict[str, Query]:
    """By name, in the model's own streams, those that it has the streams for.

    A query that it learned under another name is not among them a second time.
    """
    own = model.history.queries or {}
    found = {name: _in_own_streams(model, query) for name, query in {**QUERIES, **own}.items()}
    known = {name: query for name, query in found.items() if query is not None}
    learned = [_what(query) for name, query in known.items() if name in own]
    return {name: query for name, query in known.items() if name in own or _what(query) not in learned}


def learned_queries(model: UnifiedModel) -> dict[str, Query]:
    """Of those, the ones that the model learned, as far as is known."""
    return {name: query for name, query in judged_queries(model).items() if model.history.has_learned(name)}


def film_queries(model: UnifiedModel) -> dict[str, Query]:
    """Of the learned ones, those that a film can be made with, step by step: given commands or nothing."""
    return {
        name: query
        for name, query in learned_queries(model).items()
        if "video" in query.wanted and set(query.given) <= {"action"}
    }


def action_queries(model: UnifiedModel) -> dict[str, Query]:
    """Of the learned ones, those that want commands.

    Where inverse dynamics was learned it is also asked by sight alone, in training or not: nothing but attention
    decides what it sees.
    """
    asked = {name for name, query in learned_queries(model).items() if {"plan", "action"} & set(query.wanted)}
    if "inverse_dynamics" in asked:
        asked.add(SIGHT)
    return {name: query for name, query in judged_queries(model).items() if name in asked}


def _in_own_streams(model: UnifiedModel, query: Query) -> Query | None:
    try:
        return model.query(query)
    except UserError:
        return None


def _what(query: Query) -> Query:
    return replace(query, name="", share=1.0)
