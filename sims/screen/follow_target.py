"""Follow a moving target and click it."""

import numpy as np
from PIL import ImageDraw

from sims.screen.icons import draw_icon, names
from sims.screen.puzzle import Box, Goal, Point, Puzzle, square
from sims.screen.theme import NAMED

_RADIUS = 15.0  # pixels
_FOLLOW_STEPS = 8  # 0.4 s with the cursor on it before it opens
_LOW, _HIGH = 18.0, 110.0
_SPEEDS = (0.6, 1.6)  # pixels per control step
_UNSEEN_SPEEDS = (1.7, 2.2)


class FollowTarget(Puzzle):
    """A disc wanders about and bounces off the edges; it turns from grey to its colour while followed, then is clicked.

    A click off the disc, or before it has opened, is a mistake.
    """

    num_marks = 6  # place (2), velocity (2), steps followed, clicked

    def __init__(self, rng: np.random.Generator, is_unseen: bool):
        super().__init__(rng, is_unseen)
        speed, direction = rng.uniform(*(_UNSEEN_SPEEDS if is_unseen else _SPEEDS)), rng.uniform(0, 2 * np.pi)
        self.marks[:2] = rng.uniform(_LOW, _HIGH, 2)
        self.marks[2:4] = speed * np.cos(direction), speed * np.sin(direction)
        self._name = str(rng.choice(list(NAMED)[:-1]))
        self._shape = str(rng.choice(names(is_unseen)))
        self.instruction = "Follow the moving target until it opens, then click it"

    @property
    def progress(self) -> float:
        return 0.5 * min(1.0, float(self.marks[4]) / _FOLLOW_STEPS) + 0.5 * float(self.marks[5])

    @property
    def _is_open(self) -> bool:
        return bool(self.marks[4] >= _FOLLOW_STEPS)

    def goal(self) -> Goal | None:
        """A little ahead of the target, as a hand would aim."""
        if self.marks[5]:
            return None
        return Goal(self.marks[:2] + 2 * self.marks[2:4], click=self._is_open, tolerance=6.0)

    def press(self, point: Point) -> bool:
        hit = self._is_open and self._is_over(point)
        self.marks[5] = max(self.marks[5], float(hit))
        return hit

    def tick(self, point: Point, is_pressed: bool) -> None:
        if self.marks[5]:
            return
        place, velocity = self.marks[:2] + self.marks[2:4], self.marks[2:4]
        velocity = np.where((place < _LOW) | (place > _HIGH), -velocity, velocity)
        self.marks[:2], self.marks[2:4] = np.clip(place, _LOW, _HIGH), velocity
        if not self._is_open:
            self.marks[4] = self.marks[4] + 1 if self._is_over(point) else max(0.0, self.marks[4] - 1)

    def hovered(self, point: Point) -> Box | None:
        return square(self.marks[:2], _RADIUS + 2) if self._is_over(point) else None

    def draw(self, draw: ImageDraw.ImageDraw) -> None:
        x, y = self.marks[:2]
        box = (x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS)
        draw.ellipse(box, fill=NAMED[self._name] if self._is_open else (150, 150, 150), outline=self.theme.ink)
        draw_icon(draw, self._shape, (x, y), 7, (250, 250, 250))
        if not self._is_open and self.marks[4]:
            draw.pieslice(box, -90, -90 + 360 * float(self.marks[4]) / _FOLLOW_STEPS, fill=NAMED[self._name])
        if self.marks[5]:
            draw.ellipse(box, outline=self.theme.accent, width=5)

    def _is_over(self, point: Point) -> bool:
        return bool(np.linalg.norm(point - self.marks[:2]) <= _RADIUS)
