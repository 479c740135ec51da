"""What a dataset mixture looks like to a model: bodies, cameras, window lengths. Plain data, no torch."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta

from unified.errors import unknown_name
from unified.model.plain import Count, conform

# Names of features in data sets, LeRobot's where it has one.
IMAGES = "observation.images."
PROPRIO = "observation.state"
SIM_STATE = "observation.sim_state"
ACTION = "action"
EXPERT_ACTION = "expert_action"


@dataclass(frozen=True)
class Embodiment:
    """A body with its action space.

    Attributes:
        name: what datasets and checkpoints call it, for example "metaworld".
        action_dim, proprio_dim: sizes of the vectors in the data.
        cameras: camera names in the data (without "observation.images."), a subset of `DataSpec.cameras`.
        control_dt: seconds per action.
        columns: size of each further column of its data, such as "next.reward".
    """

    name: str
    action_dim: Count
    proprio_dim: Count
    cameras: tuple[str, ...]
    control_dt: Annotated[float, Meta(gt=0, le=1e6)]
    columns: Mapping[str, Count] = field(default_factory=dict)

    def size(self, column: str) -> int:
        """Numbers a row of a column; 0 if the body's data has none."""
        return {PROPRIO: self.proprio_dim, ACTION: self.action_dim, **self.columns}.get(column, 0)


@dataclass(frozen=True)
class DataSpec:
    """Everything about the data that decides the shape of a model.

    Attributes:
        embodiments: the bodies, in the order of `Batch.embodiment` indices.
        cameras: camera slots of a batch, in order; an embodiment without one has that slot masked.
        image_size: height and width in pixels of every frame.
        num_moments: moments of a window, `frame_stride` env steps apart; 1 for a policy that imagines nothing.
        frame_stride: env steps from one moment to the next; a source may have its own, at most this.
        action_horizon: actions of a plan, the first is the one to execute now; may be longer than `frame_stride`.
    """

    embodiments: tuple[Embodiment, ...]
    cameras: tuple[str, ...]
    image_size: tuple[Count, Count]
    num_moments: Count = 5
    frame_stride: Count = 4
    action_horizon: Count = 8

    @property
    def action_dim(self) -> int:
        """Widest action vector; narrower ones are padded with zeros."""
        return self.width(ACTION)

    @property
    def proprio_dim(self) -> int:
        """Widest proprio vector; narrower ones are padded with zeros."""
        return self.width(PROPRIO)

    @property
    def columns(self) -> tuple[str, ...]:
        """Further columns of any body's data."""
        return tuple(dict.fromkeys(name for body in self.embodiments for name in body.columns))

    def width(self, column: str) -> int:
        """Most numbers a row of a column; bodies with fewer are padded with zeros."""
        return max(body.size(column) for body in self.embodiments)

    def index(self, embodiment: str) -> int:
        """Position of an embodiment by name.

        Raises:
            UserError: if it is not one of this spec's, with the nearest right name.
        """
        names = [body.name for body in self.embodiments]
        if embodiment not in names:
            raise unknown_name("embodiment", embodiment, names)
        return names.index(embodiment)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, for YAML, JSON and checkpoints."""
        return _plain(dataclasses.asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DataSpec":
        """The inverse of `to_dict`.

        Raises:
            UserError: for a key that does not exist, or a value that it does not take.
        """
        known = {item.name for item in dataclasses.fields(cls)}
        for key in values if isinstance(values, Mapping) else ():
            if key not in known:
                raise unknown_name("part of the data spec", str(key), known)
        return conform(values, cls, "data spec")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
