"""Gymnasium's CarRacing without the picture that it draws in every step, wanted or not."""

import warnings
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import UInt8

from sims.common.optional import optional_package


def make_world() -> Any:
    """A new CarRacing whose steps draw nothing; see `picture`."""
    return _world_class()()


def picture(world: Any, size: int) -> UInt8[np.ndarray, " size size 3"]:
    """What Gymnasium shows to policies at 96 pixels, at any size."""
    points, world.reward = world.reward, world.shown_reward
    super(_world_class(), world)._render("state_pixels")
    world.reward = points
    return np.ascontiguousarray(world._create_image_array(world.surf, (size, size)))


@cache
def _world_class() -> Any:
    with warnings.catch_warnings():
        # SWIG's generated code warns of itself while it is imported; where warnings are errors the interpreter crashes.
        warnings.simplefilter("ignore", DeprecationWarning)
        for module, distribution in (("Box2D", "box2d"), ("pygame", "pygame-ce")):
            optional_package(module, "this environment", distribution, "worlds")
        racing: Any = optional_package("gymnasium.envs.box2d.car_racing", "this environment", "gymnasium", "worlds")

    class QuietCarRacing(racing.CarRacing):
        """Steps without drawing.

        Attributes:
            shown_reward: the points that its picture would show; the step then takes a tenth of one off.
        """

        shown_reward = 0.0

        def _render(self, mode: str) -> None:
            """Nothing: ten milliseconds of a step that takes half of one."""
            self.shown_reward = self.reward

    return QuietCarRacing
