"""The part of a Meta-World episode that lives in Python attributes and in the model, as a flat vector.

Upstream places objects by writing `model.body_pos` and `model.site_pos`, and keeps goals, initial positions and reward
constants as attributes whose names differ between tasks. They are found by looking, so that no task can be forgotten.
"""

from typing import Any

import numpy as np
from jaxtyping import Float64
from metaworld.sawyer_xyz_env import SawyerXYZEnv

# Attributes that are the same in every episode, or that nothing reads.
_CONSTANT = frozenset(
    {
        "_did_see_sim_exception",
        "_freeze_rand_vec",
        "_last_stable_obs",
        "_np_random_seed",
        "_obs_obj_max_len",
        "_partially_observable",
        "_set_task_called",
        "action_rot_scale",
        "action_scale",
        "active_discrete_goal",
        "camera_id",
        "camera_name",
        "current_seed",
        "discrete_goal_space",
        "frame_skip",
        "hand_high",
        "hand_init_pos",
        "hand_low",
        "height",
        "init_qpos",
        "init_qvel",
        "max_path_length",
        "mocap_high",
        "mocap_low",
        "num_resets",
        "render_mode",
        "seeded_rand_vec",
        "width",
    }
)
_NONE = -1e300  # finite, because recordings refuse NaN


class PythonState:
    """Reads and writes those attributes of one world."""

    def __init__(self, world: SawyerXYZEnv):
        self._world = world
        self._sizes: dict[str, int] = {}

    @property
    def is_described(self) -> bool:
        """Whether an episode has shown which attributes this task keeps."""
        return bool(self._sizes)

    def describe(self) -> None:
        """Note names and sizes of the attributes, after a reset."""
        if not self._sizes:
            self._sizes = {name: np.size(value) for name, value in sorted(self._attributes().items())}

    def get(self) -> Float64[np.ndarray, " values"]:
        """All values in one vector; None is written as a number that nothing else has."""
        model, values = self._world.model, self._world.__dict__
        parts = [np.ravel(_number(values[name])) for name in self._sizes]
        return np.concatenate([model.body_pos.ravel(), model.site_pos.ravel(), *parts])

    def set(self, vector: Float64[np.ndarray, " padded"]) -> None:
        """Write the values back in the types they have; what follows them in the vector is padding."""
        model = self._world.model
        start = 0
        for positions in (model.body_pos, model.site_pos):
            positions[:] = vector[start : start + positions.size].reshape(positions.shape)
            start += positions.size
        for name, size in self._sizes.items():
            setattr(self._world, name, _restored(self._world.__dict__[name], vector[start : start + size]))
            start += size

    def _attributes(self) -> dict[str, Any]:
        """Numbers, arrays and Nones that may change between or within episodes.

        Arrays that are views of mjData follow the physics by themselves and must stay views.
        """
        found = {}
        for name, value in self._world.__dict__.items():
            is_number = value is None or isinstance(value, (bool, int, float, np.number))
            is_array = isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and not self._is_view(value)
            if name not in _CONSTANT and (is_number or is_array):
                found[name] = value
        return found

    def _is_view(self, value: np.ndarray) -> bool:
        """Whether the array shows memory of the physics (a body's or site's position)."""
        data = self._world.data
        return any(np.shares_memory(value, array) for array in (data.xpos, data.site_xpos, data.geom_xpos, data.qpos))


def _number(value: Any) -> Any:
    return _NONE if value is None else value


def _restored(current: Any, values: Float64[np.ndarray, " size"]) -> Any:
    """The stored values in the type of the attribute's current value."""
    if isinstance(current, np.ndarray):
        return values.reshape(current.shape).astype(current.dtype)
    if values[0] == _NONE:
        return None
    return float(values[0]) if current is None else type(current)(values[0])
