"""Arm control: observation and instruction given, action chunk wanted; no video."""

from typing import Any

from tasks.base import GenerativeTask


class ArmControl(GenerativeTask):
    """Learns the `policy` query only, from demonstrations; the network needs no video decoder.

    Args:
        queries: share of each batch by query; here all of it is `policy`.
        options: see `tasks.base.GenerativeTask`.
    """

    def __init__(self, queries: dict[str, float] | None = None, **options: Any):
        super().__init__(queries=queries or {"policy": 1.0}, **options)
