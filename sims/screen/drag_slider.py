"""Drag a slider until the piece fits its gap."""

import numpy as np
from PIL import ImageDraw

from sims.arm.looks import draw_colour
from sims.screen.puzzle import Box, Goal, Point, Puzzle, is_inside, square

_PIECE = 13.0  # pixels, half the piece
_HANDLE = 11.0
_LEFT, _RIGHT = 18.0, 110.0  # where the middles of handle and piece may be
_FIT = 6.0  # pixels by which the piece may be off
_WAY = 35.0  # pixels, the shortest way to the gap


class DragSlider(Puzzle):
    """The piece over the picture moves with the handle; letting go off the gap is a mistake, and it slides back.

    While the piece is near enough to fit, a frame shows it.

    Unseen: the slider is above the picture, and the piece round.
    """

    num_marks = 3  # where the handle is, where it was gripped (from its middle), phase: 0 idle, 1 dragged, 2 fits

    def __init__(self, rng: np.random.Generator, is_unseen: bool):
        super().__init__(rng, is_unseen)
        self._gap = float(rng.uniform(_LEFT + _WAY + 5, _RIGHT))
        self.marks[0] = self._start = float(rng.uniform(_LEFT, self._gap - _WAY))
        self._track = 14.0 if is_unseen else 114.0
        self._picture_top = 28.0 if is_unseen else 0.0
        self._height = self._picture_top + float(rng.uniform(22, 78))
        self._is_round = is_unseen
        self._colour = tuple(round(255 * c) for c in draw_colour(rng, saturation=(0.6, 0.9), value=(0.5, 0.9)))
        hills = rng.uniform(10, 60, 9)
        self._hills = list(zip(np.linspace(0, 128, 9), self._picture_top + 100 - hills, strict=True))
        self._land = tuple(round(255 * c) for c in draw_colour(rng, saturation=(0.1, 0.25), value=(0.75, 0.9)))
        self.instruction = "Drag the slider until the piece fits its gap"

    @property
    def progress(self) -> float:
        return float(self.marks[2] == 2)

    def goal(self) -> Goal | None:
        if self.marks[2] == 2:
            return None
        if self.marks[2] == 0:
            return Goal(np.array([self.marks[0], self._track]), tolerance=4.0)
        return Goal(np.array([self._gap + self.marks[1], self._track]), is_held=True, tolerance=4.0)

    def press(self, point: Point) -> bool:
        if not is_inside(point, np.array([self.marks[0], self._track]), _HANDLE):
            return False
        self.marks[1], self.marks[2] = point[0] - self.marks[0], 1.0
        return True

    def release(self, point: Point) -> bool:
        if self.marks[2] != 1:
            return True
        fits = self._fits
        self.marks[2] = 2.0 if fits else 0.0
        if not fits:
            self.marks[0] = self._start
        return fits

    def tick(self, point: Point, is_pressed: bool) -> None:
        if self.marks[2] == 1:
            self.marks[0] = np.clip(point[0] - self.marks[1], _LEFT, _RIGHT)

    def hovered(self, point: Point) -> Box | None:
        handle = np.array([self.marks[0], self._track])
        return square(handle, _HANDLE) if is_inside(point, handle, _HANDLE) else None

    def draw(self, draw: ImageDraw.ImageDraw) -> None:
        theme, top = self.theme, self._picture_top
        draw.polygon([(0, top + 100), *self._hills, (128, top + 100)], fill=self._land)
        self._shape(draw, self._gap, (60, 60, 65))
        self._shape(draw, float(self.marks[0]), self._colour)
        if self._fits:
            draw.rectangle(square(np.array([self._gap, self._height]), _PIECE + 5), outline=theme.accent, width=4)
        y = self._track
        draw.rectangle((_LEFT - 8, y - 4, _RIGHT + 8, y + 4), fill=theme.panel)
        x, half = float(self.marks[0]), _HANDLE
        fill = (255, 170, 30) if self.marks[2] == 1 else theme.accent
        draw.ellipse((x - half, y - half, x + half, y + half), fill=fill, outline=theme.ink)

    @property
    def _fits(self) -> bool:
        return bool(abs(self.marks[0] - self._gap) <= _FIT)

    def _shape(self, draw: ImageDraw.ImageDraw, x: float, fill: tuple[int, ...]) -> None:
        y, half = self._height, _PIECE
        box = (x - half, y - half, x + half, y + half)
        if self._is_round:
            draw.ellipse(box, fill=fill)
        else:
            draw.rectangle(box, fill=fill)
            draw.ellipse((x - 5, y - half - 6, x + 5, y - half + 4), fill=fill)
