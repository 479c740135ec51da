"""The package's own drawing, square, at any size, without a window."""

from typing import Any

import numpy as np
from jaxtyping import UInt8

from sims.common.optional import optional_package
from sims.common.renderer import box_average

_FACTOR = 2  # drawn larger and averaged; by more, and lines that are drawn one pixel wide would fade away


def draw(world: Any, span_m: float, centre: tuple[float, float], size: int) -> UInt8[np.ndarray, " size size 3"]:
    """What is around the own car, north up.

    Args:
        world: highway-env's environment.
        span_m: metres from edge to edge.
        centre: where the own car is, shares of width and height.
        size: height and width in pixels.
    """
    pygame = optional_package("pygame", "drawing highway-env's worlds", "pygame", "worlds")
    graphics = optional_package("highway_env.road.graphics", "this environment", "highway-env", "worlds")
    shape = (size * _FACTOR, size * _FACTOR)
    surface = graphics.WorldSurface(shape, 0, pygame.Surface(shape))
    surface.scaling = size * _FACTOR / span_m
    surface.centering_position = list(centre)
    surface.move_display_window_to(world.vehicle.position)
    road_graphics = graphics.RoadGraphics
    road_graphics.display(world.road, surface)
    road_graphics.display_road_objects(world.road, surface, offscreen=True)
    frequency = world.config["simulation_frequency"]
    road_graphics.display_traffic(world.road, surface, simulation_frequency=frequency, offscreen=True)
    drawn = np.ascontiguousarray(np.swapaxes(pygame.surfarray.array3d(surface), 0, 1))
    return box_average(drawn, _FACTOR)
