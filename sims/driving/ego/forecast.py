"""What the others will do if the ego drives a given way: the world itself, run ahead and put back."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64

from sims.driving.ego.vehicle import CONTROL_DT_S, GRAVITY_MPS2
from sims.driving.scores.scene import VX
from sims.driving.traffic.verdict import ego_box
from sims.driving.world import World


@dataclass(frozen=True, eq=False)
class Forecast:
    """Everybody else from now on, one entry a control step, the present first.

    Attributes:
        boxes: x, y, heading, length, width.
        colours: of the lights at each step.
    """

    boxes: Float64[np.ndarray, " time actors 5"]
    speed: Float64[np.ndarray, " time actors"]
    present: Bool[np.ndarray, " time actors"]
    colours: tuple[dict[str, str], ...]

    def __len__(self) -> int:
        return len(self.boxes)


def forecast(world: World, ego: Float[np.ndarray, " time 11"]) -> Forecast:
    """Run everybody but the ego ahead while the ego passes through the given states; the world is left as it was."""
    crowd, kept = world.crowd, world.crowd.table.copy()
    route = world.scenario.route
    boxes = np.concatenate([ego_box(ego, world.vehicle), ego[:, VX : VX + 1]], axis=1)
    places = route.project(ego[:, :2])[0]
    grip = world.weather.friction * GRAVITY_MPS2
    boxes_then, speeds, present, colours = [], [], [], []
    for step in range(len(ego)):
        now = world.time_step + step
        poses = crowd.poses(now)
        view = crowd.view(now, poses)
        boxes_then.append(view.boxes)
        speeds.append(view.speed)
        present.append(view.present)
        colours.append(world.scenario.lights.at(now * CONTROL_DT_S))
        arrival = world.arrivals(float(places[step]), float(ego[step, VX]))
        crowd.step(boxes[step], arrival, colours[-1], now, CONTROL_DT_S, grip, poses)
    crowd.table[:] = kept
    return Forecast(np.stack(boxes_then), np.stack(speeds), np.stack(present), tuple(colours))


def extrapolation(world: World, num_steps: int) -> Forecast:
    """Everybody goes on as now: same speed, same direction, lights as they are. The ego's own eyes could tell."""
    view, ahead = world.actors, np.arange(num_steps)[:, None] * CONTROL_DT_S
    boxes = np.repeat(view.boxes[None], num_steps, axis=0)
    boxes[..., 0] += ahead * view.speed * np.cos(view.boxes[:, 2])
    boxes[..., 1] += ahead * view.speed * np.sin(view.boxes[:, 2])
    speed, present = (np.repeat(values[None], num_steps, axis=0) for values in (view.speed, view.present))
    return Forecast(boxes, speed, present, (world.lights,) * num_steps)
