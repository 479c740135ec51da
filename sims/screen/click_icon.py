"""Click the described icon among distractors."""

import numpy as np
from PIL import ImageDraw

from sims.screen.icons import draw_icon, names
from sims.screen.puzzle import Box, Goal, Point, Puzzle, is_inside, scatter, square
from sims.screen.theme import NAMED

_HALF = 13.0  # pixels
_HIT = 14.0  # half of what counts as a hit
_PANEL = 26


class ClickIcon(Puzzle):
    """Icons of different shapes and colours lie scattered; the strip shows the wanted one small and has its colour."""

    num_marks = 1  # whether it was clicked

    def __init__(self, rng: np.random.Generator, is_unseen: bool):
        super().__init__(rng, is_unseen)
        count = int(rng.integers(6, 8)) if is_unseen else int(rng.integers(3, 6))
        shapes = rng.permutation(names(is_unseen))
        colours = rng.permutation(list(NAMED))
        self._icons = [(str(shapes[i % len(shapes)]), str(colours[i % len(colours)])) for i in range(count)]
        self._panel_top = 128 - _PANEL if is_unseen else 0
        low, high = (15.0, 41.0 - self._panel_low), (113.0, 113.0 - self._panel_low)
        self._points = scatter(rng, count, low, high, 2 * _HALF + 4)
        self._turns = rng.uniform(-0.3, 0.3, count)
        shape, colour = self._icons[0]
        self.instruction = f"Click the {colour} {shape}"

    @property
    def _panel_low(self) -> float:
        return float(_PANEL) if self._panel_top else 0.0

    @property
    def progress(self) -> float:
        return float(self.marks[0])

    def goal(self) -> Goal | None:
        return None if self.marks[0] else Goal(self._points[0], tolerance=4.0)

    def press(self, point: Point) -> bool:
        hit = is_inside(point, self._points[0], _HIT)
        self.marks[0] = max(self.marks[0], float(hit))
        return hit

    def hovered(self, point: Point) -> Box | None:
        return next((square(icon, _HIT) for icon in self._points if is_inside(point, icon, _HIT)), None)

    def draw(self, draw: ImageDraw.ImageDraw) -> None:
        theme = self.theme
        shape, colour = self._icons[0]
        draw.rectangle((0, self._panel_top, 128, self._panel_top + _PANEL), fill=NAMED[colour])
        middle = (64, self._panel_top + _PANEL / 2)
        draw.rectangle((50, middle[1] - 12, 78, middle[1] + 12), fill=(250, 250, 250))
        draw_icon(draw, shape, middle, 10, NAMED[colour])
        if self.marks[0]:
            x, y = self._points[0]
            draw.rectangle((x - 16, y - 16, x + 16, y + 16), outline=theme.accent, width=4)
        for (shape, colour), point, turn in zip(self._icons, self._points, self._turns, strict=True):
            draw_icon(draw, shape, point, _HALF, NAMED[colour], turn=float(turn))
