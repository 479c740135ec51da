"""Video generation: future frames wanted, with the actions that lead there given (a world model) or not."""

from collections.abc import Mapping

from tasks.base import GenerativeTask


class VideoGeneration(GenerativeTask):
    """Learns the queries `video` and `world_model`; actions are only ever given, never learned."""

    default_queries: Mapping[str, float] = {"world_model": 0.6, "video": 0.4}
