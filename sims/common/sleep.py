# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Which bodies are asleep, saved and restored: MuJoCo leaves it out of its state vectors and wakes everything.

Sleep makes scenes of many resting objects several times faster; a restored scene that woke up would drift from the
recorded one by micrometres.
"""

import mujoco
import numpy as np
from jaxtyping import Float64

_ARRAYS = ("tree_asleep", "tree_awake", "body_awake", "body_awake_ind", "parent_awake_ind", "dof_awake_ind")
_COUNTS = ("ntree_awake", "nbody_awake", "nparent_awake", "nv_awake")


def allow_sleep(spec: mujoco.MjSpec) -> None:
    """Let resting bodies of a scene sleep until something touches them."""
    spec.option.enableflags |= mujoco.mjtEnableBit.mjENBL_SLEEP
    if tuple(map(int, mujoco.__version__.split(".")[:2])) < (3, 11):
        spec.option.sleep_tolerance = 1e-3  # before 3.11 nothing ever fell asleep at the default


def can_sleep(model: mujoco.MjModel) -> bool:
    """Whether the model was compiled with sleep."""
    return bool(model.opt.enableflags & mujoco.mjtEnableBit.mjENBL_SLEEP)


def forward_awake(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """`mj_forward` that also looks at what never wakes: moved lights, cameras and fixed geoms of the world body."""
    flags = model.opt.enableflags
    model.opt.enableflags = flags & ~int(mujoco.mjtEnableBit.mjENBL_SLEEP)
    mujoco.mj_forward(model, data)
    model.opt.enableflags = flags


def get_sleep(model: mujoco.MjModel, data: mujoco.MjData) -> Float64[np.ndarray, " values"]:
    """Who sleeps and who is awake, as numbers; empty where nothing can sleep."""
    if not can_sleep(model):
        return np.empty(0)
    counts = [float(getattr(data, name)) for name in _COUNTS]
    return np.concatenate([counts, *(np.ravel(getattr(data, name)) for name in _ARRAYS)])


def set_sleep(model: mujoco.MjModel, data: mujoco.MjData, values: Float64[np.ndarray, " padded"]) -> None:
    """Take back what `get_sleep` gave, after the rest of the state."""
    if not can_sleep(model):
        return
    for name, count in zip(_COUNTS, values, strict=False):
        setattr(data, name, int(count))
    start = len(_COUNTS)
    for name in _ARRAYS:
        array = getattr(data, name)
        array[:] = values[start : start + array.size].reshape(array.shape)
        start += array.size
