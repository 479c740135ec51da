"""What the puzzles on the screen have in common: a drawing, answers to the mouse, a state, and the next thing to do."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float64
from PIL import Image, ImageDraw

from sims.screen.desk import SCREEN_SIZE
from sims.screen.theme import Theme

MAX_WRONG_CLICKS = 1
Point = Float[np.ndarray, " 2"]
Box = tuple[float, float, float, float]  # left, top, right, bottom, pixels


@dataclass(frozen=True)
class Goal:
    """The next thing to do with the mouse, for experts and for measuring how near a click came.

    Attributes:
        point: where the cursor should be, pixels.
        is_held: whether the button is to be down on the way there and let go there, which drags; otherwise it is to be
            pushed there.
        click: whether the button is to be used at all; False only follows the point.
        tolerance: pixels within which the point counts as reached.
    """

    point: Point
    is_held: bool = False
    click: bool = True
    tolerance: float = 3.0


class Puzzle:
    """One drawn puzzle; everything about its start comes from `rng`, everything later is in `marks`.

    Attributes:
        instruction: what to do, in words.
        marks: the state in numbers (what was clicked, where the slider is, ...); of fixed length for a class.
        wrong_clicks: clicks that were mistakes; after more than `MAX_WRONG_CLICKS` the puzzle is locked.
    """

    num_marks: ClassVar[int]
    instruction: str

    def __init__(self, rng: np.random.Generator, is_unseen: bool):
        self.theme = Theme.draw(rng, is_unseen)
        self.marks = np.zeros(self.num_marks)
        self.wrong_clicks = 0
        self._drawn: tuple[bytes, int] | None = None
        self._picture = Image.new("RGB", (SCREEN_SIZE, SCREEN_SIZE))

    @property
    def progress(self) -> float:
        """Solved share, 0 to 1; 1 is solved."""
        raise NotImplementedError

    def goal(self) -> Goal | None:
        """The next thing to do; None if nothing is left."""
        raise NotImplementedError

    def press(self, point: Point) -> bool:
        """The button goes down at a point; returns whether that was right."""
        raise NotImplementedError

    def release(self, point: Point) -> bool:
        """The button comes up; returns whether that was right."""
        return True

    def tick(self, point: Point, is_pressed: bool) -> None:
        """One control step passes with the cursor at a point."""

    def hovered(self, point: Point) -> Box | None:
        """What a click at a point would hit, to be framed while the cursor is over it; None if nothing."""
        raise NotImplementedError

    def draw(self, draw: ImageDraw.ImageDraw) -> None:
        """Paint everything but the cursor on the theme's background."""
        raise NotImplementedError

    @property
    def is_locked(self) -> bool:
        """Whether too many mistakes were made."""
        return self.wrong_clicks > MAX_WRONG_CLICKS

    @property
    def is_solved(self) -> bool:
        """Whether everything asked for was done, without too many mistakes."""
        return self.progress >= 1.0 and not self.is_locked

    def picture(self) -> Image.Image:
        """The screen without the cursor, painted anew only if something changed."""
        state = (self.marks.tobytes(), self.wrong_clicks)
        if state != self._drawn:
            self._picture = self.theme.background.copy()
            draw = ImageDraw.Draw(self._picture)
            self.draw(draw)
            if self.is_locked:
                draw.rectangle((0, 0, SCREEN_SIZE - 1, SCREEN_SIZE - 1), outline=(220, 30, 30), width=6)
            self._drawn = state
        return self._picture

    def get_state(self) -> Float64[np.ndarray, " state"]:
        """Everything that changes, as numbers."""
        return np.append(self.marks, self.wrong_clicks)

    def set_state(self, state: Float64[np.ndarray, " padded"]) -> None:
        """Take back what `get_state` gave."""
        self.marks = state[: self.num_marks].copy()
        self.wrong_clicks = int(state[self.num_marks])


def is_inside(point: Point, centre: Point, half: float) -> bool:
    """Whether a point is in the square around a centre."""
    return bool(np.abs(point - centre).max() <= half)


def square(centre: Point, half: float) -> Box:
    """The square around a centre."""
    x, y = (float(place) for place in centre)
    return x - half, y - half, x + half, y + half


def scatter(
    rng: np.random.Generator, count: int, low: tuple[float, float], high: tuple[float, float], apart: float
) -> Float[np.ndarray, " count 2"]:
    """Random points in a box, no two nearer than `apart`; the distance shrinks if they do not fit."""
    while True:
        points: list[Point] = []
        for _ in range(200):
            point = rng.uniform(low, high)
            if all(np.abs(point - other).max() >= apart for other in points):
                points.append(point)
            if len(points) == count:
                return np.array(points)
        apart *= 0.95
