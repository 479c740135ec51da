"""Type a code on an on-screen keypad."""

import numpy as np
from PIL import ImageDraw

from sims.screen.lettering import draw_hand, draw_letter
from sims.screen.puzzle import Box, Goal, Point, Puzzle

_LENGTH = 3
_TOP = 34.0  # pixels; the keys are below
_LAYOUTS = ("123456789", "789456123")  # of telephones and of calculators


class TypeCode(Puzzle):
    """Nine keys and a code of three digits above; a digit turns green when typed. Unseen: the keys are shuffled."""

    num_marks = 1  # how many digits were typed

    def __init__(self, rng: np.random.Generator, is_unseen: bool):
        super().__init__(rng, is_unseen)
        self._keys = "".join(rng.permutation(list("123456789"))) if is_unseen else str(rng.choice(_LAYOUTS))
        self._code = "".join(rng.permutation(list("123456789"))[:_LENGTH])
        self._hand = draw_hand(rng, is_unseen)
        self._round = bool(rng.integers(2))
        self.instruction = f"Type the code {' '.join(self._code)} on the keypad"

    @property
    def progress(self) -> float:
        return float(self.marks[0]) / _LENGTH

    def goal(self) -> Goal | None:
        done = int(self.marks[0])
        return None if done == _LENGTH else Goal(self._centre(self._keys.index(self._code[done])), tolerance=5.0)

    def press(self, point: Point) -> bool:
        done = int(self.marks[0])
        index = self._index(point)
        if done == _LENGTH or index is None:
            return False
        is_right = self._keys[index] == self._code[done]
        self.marks[0] += is_right
        return is_right

    def hovered(self, point: Point) -> Box | None:
        index = self._index(point)
        return None if index is None else self._box(index)

    def draw(self, draw: ImageDraw.ImageDraw) -> None:
        theme, done = self.theme, int(self.marks[0])
        draw.rectangle((0, 0, 128, _TOP - 2), fill=theme.panel)
        for index, digit in enumerate(self._code):
            x = 64 + 36 * (index - 1)
            fill = (70, 200, 110) if index < done else (250, 250, 250)
            draw.rectangle((x - 14, 2, x + 14, _TOP - 5), fill=fill)
            draw_letter(draw, digit, (x, _TOP / 2 - 1), 20, self._hand, (15, 15, 20))
        radius = 8 if self._round else 2
        for index, digit in enumerate(self._keys):
            draw.rounded_rectangle(self._box(index), radius=radius, fill=(235, 235, 240), outline=theme.ink)
            draw_letter(draw, digit, tuple(self._centre(index)), 18, self._hand, theme.ink)

    @property
    def _key(self) -> tuple[float, float]:
        return 128 / 3, (128 - _TOP) / 3

    def _index(self, point: Point) -> int | None:
        """The key under a point."""
        width, height = self._key
        return None if point[1] < _TOP else 3 * int((point[1] - _TOP) // height) + int(point[0] // width)

    def _box(self, index: int) -> Box:
        width, height = self._key
        x, y = self._centre(index)
        return x - width / 2 + 2, y - height / 2 + 1, x + width / 2 - 3, y + height / 2 - 2

    def _centre(self, index: int) -> Point:
        width, height = self._key
        row, column = divmod(index, 3)
        return np.array([(column + 0.5) * width, _TOP + (row + 0.5) * height])
