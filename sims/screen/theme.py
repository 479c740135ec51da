"""Colours of one screen: bright paper in training, greyer and differently patterned among the unseen."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw

from sims.arm.looks import draw_colour
from sims.screen.desk import SCREEN_SIZE

Colour = tuple[int, int, int]

# The colours that instructions name.
NAMED: dict[str, Colour] = {
    "red": (215, 40, 40),
    "blue": (40, 80, 220),
    "green": (30, 150, 60),
    "orange": (240, 140, 20),
    "purple": (140, 50, 190),
    "black": (30, 30, 35),
}


@dataclass(frozen=True)
class Theme:
    """What one screen is painted with.

    Attributes:
        paper, ink, panel, accent: background, text and outlines, the strip with the question, what is selected.
        pattern: faint texture of the background: 0 none, 1 lines, 2 dots, 3 diagonals.
    """

    paper: Colour
    ink: Colour
    panel: Colour
    accent: Colour
    pattern: int

    @classmethod
    def draw(cls, rng: np.random.Generator, is_unseen: bool) -> "Theme":
        """Random colours; unseen themes are dimmer, of another pattern, and never those of training."""
        low, high = (0.72, 0.82) if is_unseen else (0.9, 1.0)
        paper = _to_bytes(draw_colour(rng, saturation=(0.0, 0.12), value=(low, high)))
        panel = _to_bytes(draw_colour(rng, saturation=(0.2, 0.5), value=(0.6, 0.85)))
        accent = _to_bytes(draw_colour(rng, hue=(0.28, 0.5), saturation=(0.7, 0.9), value=(0.6, 0.8)))
        pattern = 3 if is_unseen else int(rng.integers(3))
        return cls(paper, (20, 20, 25), panel, accent, pattern)

    @cached_property
    def background(self) -> Image.Image:
        """An empty screen, to be copied before painting."""
        picture = Image.new("RGB", (SCREEN_SIZE, SCREEN_SIZE), self.paper)
        faint = tuple(max(0, channel - 12) for channel in self.paper)
        draw = ImageDraw.Draw(picture)
        if self.pattern == 1:
            for y in range(0, SCREEN_SIZE, 8):
                draw.line((0, y, SCREEN_SIZE, y), fill=faint)
        elif self.pattern == 2:
            draw.point([(x, y) for x in range(4, SCREEN_SIZE, 8) for y in range(4, SCREEN_SIZE, 8)], fill=faint)
        elif self.pattern == 3:
            for x in range(-SCREEN_SIZE, SCREEN_SIZE, 10):
                draw.line((x, 0, x + SCREEN_SIZE, SCREEN_SIZE), fill=faint)
        return picture


def _to_bytes(colour: tuple[float, float, float]) -> Colour:
    red, green, blue = (round(255 * channel) for channel in colour)
    return red, green, blue
