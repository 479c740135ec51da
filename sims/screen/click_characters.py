"""Click characters in the given order."""

import numpy as np
from PIL import ImageDraw

from sims.screen.lettering import DIGITS, LETTERS, draw_hand, draw_letter
from sims.screen.puzzle import Box, Goal, Point, Puzzle, is_inside, scatter, square
from sims.screen.theme import NAMED

_HALF = 14.0  # pixels, half of what counts as a hit
_PANEL = 28
_ASKED = 3
_KNOWN = sorted(set(DIGITS + LETTERS) - set("01EMNY"))  # those that stay apart at 64 pixels


class ClickCharacters(Puzzle):
    """Characters of several hands lie scattered on coloured badges; the strip shows three in the order of clicking.

    The strip has the colour of the next one's badge.
    """

    num_marks = 1  # how many were clicked

    def __init__(self, rng: np.random.Generator, is_unseen: bool):
        super().__init__(rng, is_unseen)
        count = _ASKED + (2 if is_unseen else int(rng.integers(2)))
        self._letters = [str(letter) for letter in rng.permutation(_KNOWN)[:count]]
        self._colours = [NAMED[str(name)] for name in rng.permutation(list(NAMED))[:count]]
        self._hand = draw_hand(rng, is_unseen)
        self._panel_top = 128 - _PANEL if is_unseen else 0
        shift = float(_PANEL) if is_unseen else 0.0
        self._points = scatter(rng, count, (17.0, 46.0 - shift), (111.0, 111.0 - shift), 2 * _HALF + 3)
        self._turns = rng.uniform(-0.25, 0.25, count)
        self.instruction = f"Click the characters in this order: {', '.join(self._letters[:_ASKED])}"

    @property
    def progress(self) -> float:
        return float(self.marks[0]) / _ASKED

    def goal(self) -> Goal | None:
        done = int(self.marks[0])
        return None if done == _ASKED else Goal(self._points[done], tolerance=4.5)

    def press(self, point: Point) -> bool:
        done = int(self.marks[0])
        hit = done < _ASKED and is_inside(point, self._points[done], _HALF)
        self.marks[0] += hit
        return hit

    def hovered(self, point: Point) -> Box | None:
        return next((square(place, _HALF) for place in self._points if is_inside(point, place, _HALF)), None)

    def draw(self, draw: ImageDraw.ImageDraw) -> None:
        done, theme = int(self.marks[0]), self.theme
        draw.rectangle((0, self._panel_top, 128, self._panel_top + _PANEL), fill=self._colours[min(done, _ASKED - 1)])
        for index in range(_ASKED):
            x, y = 28 + 36 * index, self._panel_top + _PANEL / 2
            draw.rectangle((x - 13, y - 13, x + 13, y + 13), fill=theme.accent if index < done else (250, 250, 250))
            draw_letter(draw, self._letters[index], (x, y), 18, self._hand, self._colours[index])
        for index, (x, y) in enumerate(self._points):
            fill, ink = (None, theme.accent) if index < done else (self._colours[index], (250, 250, 250))
            draw.ellipse((x - 13, y - 13, x + 13, y + 13), fill=fill, outline=ink, width=2)
            draw_letter(draw, self._letters[index], (x, y), 15, self._hand, ink, float(self._turns[index]))
