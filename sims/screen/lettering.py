"""Letters and digits without any font of the machine: Pillow's own, and a font of strokes in several hands."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import ImageDraw, ImageFont

from sims.screen.theme import Colour

# Polylines through points of a grid 4 wide and 6 high, written as pairs of digits, y down.
_STROKES = {
    "0": "10 30 41 45 36 16 05 01 10", "1": "02 20 26;06 46", "2": "01 10 30 41 42 06 46",
    "3": "00 40 22 43 45 36 16 05", "4": "36 30 04 44", "5": "40 00 03 33 44 45 36 06",
    "6": "40 10 02 05 16 36 45 44 33 04", "7": "00 40 16",
    "8": "10 30 41 42 33 13 02 01 10;13 04 05 16 36 45 44 33", "9": "42 33 13 02 01 10 30 41 44 36 06",
    "A": "06 20 46;14 34", "C": "41 30 10 01 05 16 36 45", "E": "40 00 06 46;03 33", "F": "40 00 06;03 33",
    "H": "00 06;40 46;03 43", "K": "00 06;40 03 46", "L": "00 06 46", "M": "06 00 23 40 46", "N": "06 00 46 40",
    "P": "06 00 30 41 42 33 03", "R": "06 00 30 41 42 33 03;23 46", "T": "00 40;20 26", "U": "00 05 16 36 45 40",
    "X": "00 46;40 06", "Y": "00 23 40;23 26", "Z": "00 40 06 46",
}  # fmt: skip
LETTERS = "ACEFHKLMNPRTUXYZ"
DIGITS = "0123456789"
TRAIN_HANDS = ("plain", "stroke", "bold")
UNSEEN_HANDS = ("slanted", "narrow")
_SLANT = {"slanted": 0.3}
_WIDTH = {"narrow": 0.5, "bold": 0.75, "stroke": 0.62, "slanted": 0.6}
_WEIGHT = {"narrow": 0.13, "bold": 0.22, "stroke": 0.13, "slanted": 0.16}


def draw_hand(rng: np.random.Generator, is_unseen: bool) -> str:
    """A style of writing; the two sets share none."""
    hands = UNSEEN_HANDS if is_unseen else TRAIN_HANDS
    return hands[int(rng.integers(len(hands)))]


def draw_letter(
    draw: ImageDraw.ImageDraw,
    letter: str,
    centre: Sequence[float],
    height: float,
    hand: str,
    fill: Colour,
    turn: float = 0.0,
) -> None:
    """Paint one letter or digit around a point; `height` in pixels, `turn` in radians (strokes only)."""
    if hand == "plain":
        draw.text((centre[0], centre[1]), letter, fill=fill, font=_font(round(height * 1.35)), anchor="mm")
        return
    width, slant = _WIDTH[hand] * height, _SLANT.get(hand, 0.0)
    weight = max(1, round(_WEIGHT[hand] * height))
    cos, sin = np.cos(turn), np.sin(turn)
    for stroke in _STROKES[letter].split(";"):
        points: list[tuple[float, float]] = []
        for pair in stroke.split():
            x, y = (int(pair[0]) / 4 - 0.5) * width, (int(pair[1]) / 6 - 0.5) * height
            x -= slant * y
            points.append((centre[0] + cos * x - sin * y, centre[1] + sin * x + cos * y))
        draw.line(points, fill=fill, width=weight, joint="curve")


def write(
    draw: ImageDraw.ImageDraw, text: str, centre: Sequence[float], height: float, hand: str, fill: Colour
) -> None:
    """Paint a line of letters, digits and spaces around a point."""
    step = 0.95 * height
    for index, letter in enumerate(text):
        if letter != " ":
            x = centre[0] + (index - (len(text) - 1) / 2) * step
            draw_letter(draw, letter, (x, centre[1]), height, hand, fill)


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
