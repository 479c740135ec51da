"""Traffic lights: groups that share a cycle of phases."""

from collections.abc import Mapping
from dataclasses import dataclass

GREEN, YELLOW, RED = "green", "yellow", "red"


@dataclass(frozen=True)
class LightPlan:
    """A cycle of phases, repeated for ever.

    Attributes:
        durations_s: of each phase.
        colours: for every group, its colour in each phase.
        offset_s: how far into the cycle time zero is.
    """

    durations_s: tuple[float, ...] = ()
    colours: Mapping[str, tuple[str, ...]] | None = None
    offset_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a plan that doesn't say the colour of every group in every phase.

        Raises:
            ValueError: a duration that is not positive, a missing phase or an unknown colour.
        """
        if any(duration <= 0 for duration in self.durations_s):
            raise ValueError(f"durations_s must be positive, got {self.durations_s}.")
        for group, colours in (self.colours or {}).items():
            if len(colours) != len(self.durations_s) or set(colours) - {GREEN, YELLOW, RED}:
                raise ValueError(f"Light {group!r} needs one colour for each of {len(self.durations_s)} phases.")

    def at(self, time_s: float) -> dict[str, str]:
        """Colour of every group."""
        if not self.colours:
            return {}
        position = (time_s + self.offset_s) % sum(self.durations_s)
        phase = 0
        while position >= self.durations_s[phase] and phase < len(self.durations_s) - 1:
            position -= self.durations_s[phase]
            phase += 1
        return {group: colours[phase] for group, colours in self.colours.items()}


def two_way_plan(
    first: tuple[str, ...], second: tuple[str, ...], green_s: float, yellow_s: float, clear_s: float, offset_s: float
) -> LightPlan:
    """Two sets of groups in turn: green, yellow, all red."""
    durations = (green_s, yellow_s, clear_s) * 2
    on, off = (GREEN, YELLOW, RED), (RED, RED, RED)
    colours = {**dict.fromkeys(first, on + off), **dict.fromkeys(second, off + on)}
    return LightPlan(durations, colours, offset_s)
