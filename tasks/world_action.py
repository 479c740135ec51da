"""World and action together: every query at once, in one network, in every batch."""

from typing import Any

from tasks.base import GenerativeTask


class WorldAction(GenerativeTask):
    """Learns all five queries; each row of a batch is asked one of them.

    Args:
        queries: share of each batch by query.
        options: see `tasks.base.GenerativeTask`.
    """

    def __init__(self, queries: dict[str, float] | None = None, **options: Any):
        mix = {"policy": 0.5, "world_model": 0.15, "inverse_dynamics": 0.1, "video": 0.05, "joint": 0.2}
        super().__init__(queries=queries or mix, **options)
