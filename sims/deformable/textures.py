# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Patterns of cloths and skins, drawn here; held-out episodes wear others than training."""

import mujoco
import numpy as np
from jaxtyping import UInt8

from sims.arm.looks import Colour, draw_colour

_SIZE = 64
TRAIN_HUES = (0.55, 1.03)  # blue over purple to red
UNSEEN_HUES = (0.18, 0.45)  # yellow-green to turquoise
_PATTERNS = (("border", "checker"), ("stripes", "dots"))  # of training, of held-out episodes


def draw_pattern(name: str) -> UInt8[np.ndarray, " size size 3"]:
    """A bright pattern in grey tones, which the material's colour tints."""
    row, column = np.mgrid[:_SIZE, :_SIZE]
    edge = np.minimum(np.minimum(row, column), _SIZE - 1 - np.maximum(row, column))
    dark = {
        "border": edge < 5,
        "checker": (row // 16 + column // 16) % 2 == 0,
        "stripes": (row + column) // 10 % 2 == 0,
        "dots": (row % 16 - 8) ** 2 + (column % 16 - 8) ** 2 < 25,
    }[name]
    return np.repeat(np.where(dark, 130, 255).astype(np.uint8)[..., None], 3, axis=2)


def add_patterns(spec: mujoco.MjSpec, is_unseen: bool) -> str:
    """Add the materials of training or of held-out episodes; returns the first, to be worn until one is drawn."""
    for name in _PATTERNS[is_unseen]:
        texture = spec.add_texture(
            name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=_SIZE, height=_SIZE, nchannel=3
        )
        texture.data = draw_pattern(name).tobytes()
        material = spec.add_material(name=name, specular=0.1)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    return _PATTERNS[is_unseen][0]


def dress(model: mujoco.MjModel, is_unseen: bool, rng: np.random.Generator) -> None:
    """Draw the pattern and the colour of every flex for this episode."""
    name = str(rng.choice(_PATTERNS[is_unseen]))
    model.flex_matid[:] = model.material(name).id
    model.mat_rgba[model.material(name).id, :3] = thing_colour(is_unseen, rng)


def mark_colour(rng: np.random.Generator) -> Colour:
    """The yellow that marks where a thing is to be grasped, like nothing else in the scene."""
    return draw_colour(rng, (0.14, 0.17), (0.8, 0.95), (0.95, 1.0))


def thing_colour(is_unseen: bool, rng: np.random.Generator) -> Colour:
    """A saturated colour, unlike any table's."""
    hues = UNSEEN_HUES if is_unseen else TRAIN_HUES
    return draw_colour(rng, hues, (0.6, 0.95), (0.65, 0.95))


def goal_colour(is_unseen: bool, rng: np.random.Generator) -> Colour:
    """The green of what a thing is brought to, unlike the hand; white in held-out episodes."""
    if is_unseen:
        return draw_colour(rng, (0.0, 1.0), (0.0, 0.1), (0.85, 1.0))
    return draw_colour(rng, (0.36, 0.42), (0.7, 0.95), (0.6, 0.9))
