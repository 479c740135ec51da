"""World and action together: every query at once, in one network, in every batch."""

from collections.abc import Mapping

from tasks.base import GenerativeTask


class WorldAction(GenerativeTask):
    """Learns every query: each row is asked for a plan, and for the film and the commands in one of three ways."""

    default_queries: Mapping[str, float] = {
        "policy": 1.0,
        "world_model": 0.8,
        "inverse_dynamics": 0.6,
        "inverse_by_sight": 0.3,
        "video": 0.1,
        "joint": 0.1,
    }
