"""What a stream is to the model: its data, its tokens and its prediction. `decoders/` holds one a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor

from unified.model.batch import Batch
from unified.model.network.sequence import Segment

NEXT_MOMENT, STEP, PLAN = "next", "step", "plan"
"""Where a stream's elements lie: at the end of each step, within each step, or from each moment on."""

VIDEO = "video"
"""The stream whose data are the next moment's pictures."""


@dataclass(frozen=True)
class Present:
    """What is known at the beginning of each step that a stream is asked about, one row a step."""

    images: Float[Tensor, " row camera channel height width"]
    embodiment: Int[Tensor, " row"]
    camera_is_pad: Bool[Tensor, " row camera"] | None = None


@runtime_checkable
class Decoder(Protocol):
    """One stream: how its data becomes noisy tokens and how tokens become a prediction.

    Attributes:
        where: NEXT_MOMENT, STEP or PLAN: which moments its elements belong to. There is one fewer step than moments.
        predicts: "velocity" or "clean".
        columns: what it reads of a batch: for each of "at", "between" and "ahead" the columns.
    """

    where: str
    predicts: str
    columns: Mapping[str, tuple[str, ...]]

    def segment(self, name: str) -> Segment:
        """The tokens of one element."""
        ...

    def event_shape(self) -> tuple[int, ...]:
        """Shape of one element in the space where noise is added."""
        ...

    def encode(self, batch: Batch) -> Float[Tensor, " batch element *event"]:
        """All elements of a batch, clean, in the space where noise is added."""
        ...

    def is_pad(self, batch: Batch) -> Bool[Tensor, " batch element *event"]:
        """True where there is nothing to learn."""
        ...

    def embed(
        self, noisy: Float[Tensor, " row *event"], embodiment: Int[Tensor, " row"]
    ) -> Float[Tensor, " row token dim"]:
        """Elements to tokens."""
        ...

    def decode(self, tokens: Float[Tensor, " row token dim"], present: Present) -> Float[Tensor, " row *event"]:
        """Tokens to what they predict."""
        ...

    def to_data(self, clean: Float[Tensor, " row *event"], present: Present) -> Float[Tensor, " row *data"]:
        """Elements in the data's own units, as `encode` took them."""
        ...

    def set_stats(self, stats: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> None:
        """Normalise with these statistics of the data from now on."""
        ...


DECODER_PARTS = {"where", "predicts", "columns", *(name for name in vars(Decoder) if not name.startswith("_"))}
