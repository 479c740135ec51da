"""The world from above, for people: what the planner sees, and what went wrong."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from sims.driving.scores.geometry import box_corners
from sims.driving.traffic.verdict import ego_box
from sims.driving.world import World

_PAINT = ((200, 60, 60), (70, 110, 200), (230, 230, 230), (90, 90, 95), (220, 170, 60), (60, 150, 90), (150, 90, 160))
_KIND_PAINT = {"pedestrian": (255, 90, 200), "cyclist": (255, 140, 0), "cone": (255, 110, 20), "barrier": (255, 80, 20)}
_LIGHT_PAINT = {"green": (40, 220, 80), "yellow": (250, 210, 40), "red": (250, 40, 40)}
_SUPERSAMPLE = 2


def draw_bird_view(
    world: World, size: int = 320, range_m: float = 45.0, plan: Float[np.ndarray, " points 2"] | None = None
) -> UInt8[np.ndarray, " size size 3"]:
    """A square picture around the ego, which drives up; `plan` is drawn as a line.

    Args:
        world: what to draw.
        size: pixels.
        range_m: from the middle to the edge.
        plan: points in metres.
    """
    pixels = size * _SUPERSAMPLE
    image = Image.new("RGB", (pixels, pixels), (58, 92, 58))
    draw = ImageDraw.Draw(image)
    box = ego_box(world.ego, world.vehicle)
    to_picture = _Projection(box[:3], pixels, range_m)
    _draw_map(draw, to_picture, world)
    view = world.actors
    for index in np.flatnonzero(view.present):
        paint = _KIND_PAINT.get(view.kind[index], _PAINT[int(view.colour[index]) % len(_PAINT)])
        corners = to_picture(box_corners(view.boxes[index]))
        draw.polygon(corners, fill=paint, outline=(255, 0, 0) if view.braking[index] else (0, 0, 0), width=2)
    if plan is not None:
        draw.line(to_picture(plan), fill=(255, 255, 0), width=2 * _SUPERSAMPLE)
    draw.polygon(to_picture(box_corners(box)), fill=(0, 220, 220), outline=(0, 0, 0))
    text = f"{world.scenario.id}  {world.time_s:.1f} s  {world.ego[3]:.1f} m/s  {world.failure or ''}"
    image = image.resize((size, size), Image.Resampling.BOX)
    ImageDraw.Draw(image).text((4, 2), text, fill=(255, 255, 255))
    return np.asarray(image)


class _Projection:
    def __init__(self, pose: np.ndarray, pixels: int, range_m: float):
        self._origin, self._scale = pose[:2], pixels / (2 * range_m)
        angle = np.pi / 2 - pose[2]
        self._turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self._middle = np.array([pixels / 2, pixels * 0.68])

    def __call__(self, points: Float[np.ndarray, " n 2"]) -> list[tuple[float, float]]:
        turned = (points - self._origin) @ self._turn.T * self._scale
        return [tuple(point) for point in (self._middle + turned * [1, -1]).tolist()]


def _draw_map(draw: ImageDraw.ImageDraw, to_picture: _Projection, world: World) -> None:
    scenario = world.scenario
    road_map = scenario.road_map
    for surface in road_map.carparks:
        draw.polygon(to_picture(surface), fill=(90, 90, 100))
    for surface in [*road_map.drivable, *road_map.intersections]:
        draw.polygon(to_picture(surface), fill=(70, 70, 74))
    for crosswalk in road_map.crosswalks:
        draw.polygon(to_picture(crosswalk), fill=(130, 130, 130))
    for patch in scenario.patches:
        s = np.arange(patch.begin_m, patch.end_m, 1.0)
        draw.line(to_picture(scenario.route.at(s)[:, :2]), fill=(150, 190, 230), width=14)
    lights = world.lights
    for lane in road_map.lanes.values():
        for edge, marking in ((lane.left_edge, lane.left_marking), (lane.right_edge, lane.right_marking)):
            if marking != "none":
                shade = 210 if marking == "solid" else 130
                draw.line(to_picture(edge), fill=(shade, shade, shade), width=2)
        if lane.signal in lights:
            line = np.stack([lane.left_edge[0], lane.right_edge[0]])
            draw.line(to_picture(line), fill=_LIGHT_PAINT[lights[str(lane.signal)]], width=6)
    draw.line(to_picture(scenario.route.points[:, :2]), fill=(60, 140, 160), width=2)
    goal = scenario.route.at(np.array([scenario.goal_m]))[0]
    side = 2.0 * np.array([-np.sin(goal[2]), np.cos(goal[2])])
    draw.line(to_picture(np.stack([goal[:2] - side, goal[:2] + side])), fill=(0, 255, 0), width=4)
