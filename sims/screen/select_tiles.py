"""Select all tiles that show something."""

import numpy as np
from PIL import ImageDraw

from sims.arm.looks import draw_colour
from sims.screen.icons import draw_icon, names
from sims.screen.puzzle import Box, Goal, Point, Puzzle
from sims.screen.theme import NAMED, Colour

_PANEL = 26


class SelectTiles(Puzzle):
    """A grid of pictures on coloured tiles; every one with the wanted thing is to be clicked, in any order.

    A click on another tile is a mistake and selects nothing.
    """

    num_marks = 12  # which tiles are selected

    def __init__(self, rng: np.random.Generator, is_unseen: bool):
        super().__init__(rng, is_unseen)
        self._rows, self._columns = (2, 4) if is_unseen else (3, 3)
        count = self._rows * self._columns
        shapes = rng.permutation(names(is_unseen))
        self._wanted = str(shapes[0])
        targets = int(rng.integers(2, 4))
        others = rng.choice(shapes[1:], count - targets)
        self._shapes = [str(shape) for shape in rng.permutation([self._wanted] * targets + list(others))]
        self._inks = [NAMED[str(rng.choice(list(NAMED)))] for _ in range(count)]
        self._papers = [_pale(rng) for _ in range(count)]
        self._turns = rng.uniform(-0.3, 0.3, count)
        self.instruction = f"Select all tiles that show a {self._wanted}"

    @property
    def _targets(self) -> list[int]:
        return [index for index, shape in enumerate(self._shapes) if shape == self._wanted]

    @property
    def progress(self) -> float:
        return float(np.mean([self.marks[index] for index in self._targets]))

    def goal(self) -> Goal | None:
        """The first wanted tile, in reading order, that is not selected."""
        left = [index for index in self._targets if not self.marks[index]]
        return Goal(self._centre(left[0]), tolerance=5.0) if left else None

    def press(self, point: Point) -> bool:
        index = self._index(point)
        if index is None or index not in self._targets or self.marks[index]:
            return False
        self.marks[index] = 1.0
        return True

    def hovered(self, point: Point) -> Box | None:
        index = self._index(point)
        return None if index is None else self._box(index)

    def draw(self, draw: ImageDraw.ImageDraw) -> None:
        draw.rectangle((0, 0, 128, _PANEL), fill=self.theme.panel)
        draw.rectangle((50, 1, 78, _PANEL - 2), fill=(250, 250, 250))
        draw_icon(draw, self._wanted, (64, _PANEL / 2), 10, self.theme.ink)
        for index, shape in enumerate(self._shapes):
            x, y = self._centre(index)
            box = self._box(index)
            draw.rectangle(box, fill=self._papers[index])
            draw_icon(draw, shape, (x, y), 12, self._inks[index], turn=float(self._turns[index]))
            if self.marks[index]:
                draw.rectangle(box, outline=self.theme.accent, width=5)

    @property
    def _tile(self) -> tuple[float, float]:
        return 128 / self._columns, (128 - _PANEL) / self._rows

    def _index(self, point: Point) -> int | None:
        """The tile under a point."""
        width, height = self._tile
        if point[1] < _PANEL:
            return None
        return int((point[1] - _PANEL) // height) * self._columns + int(point[0] // width)

    def _box(self, index: int) -> Box:
        width, height = self._tile
        x, y = self._centre(index)
        return x - width / 2 + 1, y - height / 2 + 1, x + width / 2 - 2, y + height / 2 - 2

    def _centre(self, index: int) -> Point:
        width, height = self._tile
        row, column = divmod(index, self._columns)
        return np.array([(column + 0.5) * width, _PANEL + (row + 0.5) * height])


def _pale(rng: np.random.Generator) -> Colour:
    red, green, blue = draw_colour(rng, saturation=(0.05, 0.25), value=(0.85, 1.0))
    return round(255 * red), round(255 * green), round(255 * blue)
