"""World and action together: every query at once, in one network, in every batch."""

from collections.abc import Mapping

from tasks.base import GenerativeTask


class WorldAction(GenerativeTask):
    """Learns all five queries; each row of a batch is asked one of them."""

    default_queries: Mapping[str, float] = {
        "policy": 0.5,
        "world_model": 0.15,
        "inverse_dynamics": 0.1,
        "video": 0.05,
        "joint": 0.2,
    }
