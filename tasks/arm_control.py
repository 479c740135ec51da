"""Arm control: observation and instruction given, action chunk wanted; no video."""

from collections.abc import Mapping

from tasks.base import GenerativeTask


class ArmControl(GenerativeTask):
    """Learns the `policy` query only, from demonstrations; the network needs no video decoder."""

    default_queries: Mapping[str, float] = {"policy": 1.0}
