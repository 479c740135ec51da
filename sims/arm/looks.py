# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""How a scene looks, drawn per episode: light, colours of materials, small turns of the cameras."""

import colorsys

import mujoco
import numpy as np
from jaxtyping import Float

Colour = tuple[float, float, float]


class Looks:
    """Remembers the compiled looks of a model, so that every episode varies them and not the episode before."""

    def __init__(self, model: mujoco.MjModel):
        self._model = model
        self._light_pos, self._light_dir = model.light_pos.copy(), model.light_dir.copy()
        self._cam_pos, self._cam_quat = model.cam_pos.copy(), model.cam_quat.copy()

    def light(self, rng: np.random.Generator, is_unseen: bool = False) -> None:
        """Brightness, warmth and place of the lights; unseen ones are darker or brighter and come from further aside.

        Args:
            rng: the episode's stream.
            is_unseen: draw from outside of what training shows.
        """
        model = self._model
        low, high = ((0.55, 0.7), (1.25, 1.4))[int(rng.integers(2))] if is_unseen else (0.75, 1.2)
        brightness, warmth = rng.uniform(low, high), rng.uniform(-0.06, 0.06)
        tint = brightness * np.array([1 + warmth, 1.0, 1 - warmth])
        model.vis.headlight.ambient[:] = np.clip(0.4 * tint, 0, 1)
        model.vis.headlight.diffuse[:] = np.clip(0.4 * tint, 0, 1)
        model.light_diffuse[:] = np.clip(rng.uniform(0.35, 0.6) * tint, 0, 1)
        reach = 1.2 if is_unseen else 0.5
        shift = rng.uniform(-reach, reach, 3) * (1, 1, 0.3)
        model.light_pos[:] = self._light_pos + shift
        model.light_dir[:] = self._light_dir - 0.5 * shift / np.maximum(self._light_pos[:, 2:], 0.5)
        model.light_dir[:] /= np.linalg.norm(model.light_dir, axis=1, keepdims=True)

    def paint(self, material: str, colour: Colour) -> None:
        """Give a material a colour, red, green, blue in [0, 1]."""
        self._model.mat_rgba[self._model.material(material).id, :3] = colour

    def shake_camera(self, camera: str, rng: np.random.Generator, metres: float, radians: float) -> None:
        """Move and turn a camera a little from where the scene has it."""
        index = self._model.camera(camera).id
        self._model.cam_pos[index] = self._cam_pos[index] + rng.uniform(-metres, metres, 3)
        turn, turned = np.empty(4), np.empty(4)
        mujoco.mju_axisAngle2Quat(turn, _unit(rng), rng.uniform(-radians, radians))
        mujoco.mju_mulQuat(turned, turn, self._cam_quat[index])
        self._model.cam_quat[index] = turned


def draw_colour(
    rng: np.random.Generator,
    hue: tuple[float, float] = (0.0, 1.0),
    saturation: tuple[float, float] = (0.2, 0.6),
    value: tuple[float, float] = (0.4, 0.8),
) -> Colour:
    """A colour from a box of hue, saturation and value, each in [0, 1]; hue may run past 1 (red again)."""
    return colorsys.hsv_to_rgb(rng.uniform(*hue) % 1.0, rng.uniform(*saturation), rng.uniform(*value))


def _unit(rng: np.random.Generator) -> Float[np.ndarray, " 3"]:
    direction = rng.normal(size=3)
    return direction / np.linalg.norm(direction)
