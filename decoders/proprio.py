"""The body's own measurements at the next moment, so that a dream needs none from outside."""

from decoders.columns import ColumnDecoder
from unified.model.spec import PROPRIO, DataSpec


class ProprioDecoder(ColumnDecoder):
    """Proprio as one token; predicts it clean, since what a body measures follows from what it was told.

    Args:
        dim: width of a token.
        spec: the bodies.
    """

    def __init__(self, dim: int, spec: DataSpec):
        super().__init__(dim, spec, PROPRIO)
