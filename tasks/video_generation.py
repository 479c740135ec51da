"""Video generation: future frames wanted, with the actions that lead there given (a world model) or not."""

from typing import Any

from tasks.base import GenerativeTask


class VideoGeneration(GenerativeTask):
    """Learns the queries `video` and `world_model`; actions are only ever given, never learned.

    Args:
        queries: share of each batch by query.
        options: see `tasks.base.GenerativeTask`.
    """

    def __init__(self, queries: dict[str, float] | None = None, **options: Any):
        super().__init__(queries=queries or {"world_model": 0.6, "video": 0.4}, **options)
