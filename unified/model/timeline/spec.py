"""What a dataset mixture looks like to a timeline model. Plain data, no torch."""

from dataclasses import dataclass

from unified.model.spec import DataSpec


@dataclass(frozen=True)
class TimelineSpec(DataSpec):
    """As `DataSpec`, with moments in the place of observed and future frames.

    Attributes:
        num_moments: moments of a training window; 1 for a policy that imagines nothing.
        frame_stride: env steps from one moment to the next; a source may have its own, at most this.
        action_horizon: actions of a plan, the first is the one to execute now; may be longer than `frame_stride`.
    """

    num_moments: int = 5
    frame_stride: int = 4
