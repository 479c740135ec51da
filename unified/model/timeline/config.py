"""What a timeline model is made of, as plain data."""

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from unified.model.config import ClassSpec, ModelConfig


@dataclass(frozen=True)
class TimelineConfig(ModelConfig):
    """The architecture of a `TimelineModel`: that of `ModelConfig`, and what moments need.

    Attributes:
        history_noise: in half of the windows, the pictures of each moment are up to this noisy, as a share of their
            range, and the model is told how much; what it imagines is never quite right either.
        time_shifts: by stream; above 1, more training and denoise steps near noise (SD3's shift of the diffusion time).
    """

    observation: ClassSpec = field(default_factory=lambda: ClassSpec("decoders.timeline.observation.MomentEncoder"))
    decoders: dict[str, ClassSpec] = field(
        default_factory=lambda: {
            "plan": ClassSpec("decoders.timeline.actions.PlanDecoder"),
            "action": ClassSpec("decoders.timeline.actions.ActionDecoder"),
            "video": ClassSpec("decoders.timeline.pixels.PixelDecoder"),
            "proprio": ClassSpec("decoders.timeline.proprio.ProprioDecoder"),
        }
    )
    history_noise: Annotated[float, Meta(ge=0, le=1)] = 0.0
    time_shifts: dict[str, float] = field(default_factory=lambda: {"plan": 10.0, "action": 10.0, "video": 3.0})
