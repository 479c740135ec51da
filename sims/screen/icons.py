"""Icons drawn as vector shapes: each is a list of polygons and discs in a square from -1 to 1, y down."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import ImageDraw

from sims.screen.theme import Colour

Shape = Sequence[tuple[float, float]]
Shapes = Sequence[Shape]


def _regular(corners: int, turn: float = -90.0, inner: float | None = None) -> Shapes:
    """A regular polygon, or a star if an inner radius is given."""
    radii = [1.0] if inner is None else [1.0, inner]
    count = corners * len(radii)
    angles = np.radians(turn + 360 * np.arange(count) / count)
    return [[(radii[i % len(radii)] * np.cos(a), radii[i % len(radii)] * np.sin(a)) for i, a in enumerate(angles)]]


def _heart() -> Shapes:
    t = np.linspace(0, 2 * np.pi, 30)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return [list(zip(x / 17, y / 17, strict=True))]


def _moon() -> Shapes:
    outer, inner = np.radians(np.linspace(50, 310, 24)), np.radians(np.linspace(290, 70, 18))
    points = [(np.cos(a), np.sin(a)) for a in outer]
    return [points + [(0.45 + 0.75 * np.cos(a), 0.8 * np.sin(a)) for a in inner]]


def _drop() -> Shapes:
    return [
        [(0.0, -1.0)] + [(0.65 * np.cos(a), 0.35 + 0.65 * np.sin(a)) for a in np.radians(np.linspace(-25, 205, 20))]
    ]


def _ring() -> Shapes:
    angles = np.radians(np.linspace(0, 360, 25))
    edge = [(np.cos(a), np.sin(a)) for a in angles]
    return [edge + [(0.5 * x, 0.5 * y) for x, y in reversed(edge)]]


_CROSS = [[(-0.35, -1), (0.35, -1), (0.35, -0.35), (1, -0.35), (1, 0.35), (0.35, 0.35), (0.35, 1), (-0.35, 1),
           (-0.35, 0.35), (-1, 0.35), (-1, -0.35), (-0.35, -0.35)]]  # fmt: skip
_HOUSE = [[(-1, -0.1), (0, -1), (1, -0.1), (0.7, -0.1), (0.7, 0.9), (0.2, 0.9), (0.2, 0.3), (-0.2, 0.3), (-0.2, 0.9),
           (-0.7, 0.9), (-0.7, -0.1)]]  # fmt: skip
_ARROW = [[(-1, -0.3), (0.1, -0.3), (0.1, -0.85), (1, 0), (0.1, 0.85), (0.1, 0.3), (-1, 0.3)]]
_BOLT = [[(0.3, -1), (-0.7, 0.15), (-0.05, 0.15), (-0.35, 1), (0.7, -0.25), (0.05, -0.25)]]
_FLAG = [[(-0.8, -1), (-0.55, -1), (-0.55, -0.85), (0.9, -0.4), (-0.55, 0.15), (-0.55, 1), (-0.8, 1)]]
_TREE = [[(0, -1), (0.5, -0.3), (0.25, -0.3), (0.8, 0.5), (0.18, 0.5), (0.18, 1), (-0.18, 1), (-0.18, 0.5), (-0.8, 0.5),
          (-0.25, -0.3), (-0.5, -0.3)]]  # fmt: skip
_FISH = [[(-1, -0.6), (-0.5, -0.1), (-0.1, -0.5), (0.4, -0.6), (0.8, -0.3), (1, 0), (0.8, 0.3), (0.4, 0.6), (-0.1, 0.5),
          (-0.5, 0.1), (-1, 0.6)]]  # fmt: skip
_KEY = [[(-1, -0.45), (-0.55, -0.65), (-0.1, -0.45), (0, -0.18), (1, -0.18), (1, 0.5), (0.72, 0.5), (0.72, 0.18),
         (0.5, 0.18), (0.5, 0.45), (0.25, 0.45), (0.25, 0.18), (0, 0.18), (-0.1, 0.45), (-0.55, 0.65),
         (-1, 0.45)]]  # fmt: skip
_SQUARE = [[(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]]
_CUP = [[(-0.8, -0.8), (0.5, -0.8), (0.5, -0.5), (1, -0.5), (1, 0.3), (0.45, 0.3), (0.3, 0.8), (-0.6, 0.8)]]

_BUILDERS: dict[str, Callable[[], Shapes]] = {
    "circle": lambda: _regular(28),
    "square": lambda: _SQUARE,
    "triangle": lambda: _regular(3),
    "star": lambda: _regular(5, inner=0.42),
    "heart": _heart,
    "cross": lambda: _CROSS,
    "diamond": lambda: [[(0, -1), (0.7, 0), (0, 1), (-0.7, 0)]],
    "moon": _moon,
    "house": lambda: _HOUSE,
    "arrow": lambda: _ARROW,
    "drop": _drop,
    "ring": _ring,
    "tree": lambda: _TREE,
    "key": lambda: _KEY,
    "hexagon": lambda: _regular(6, 0.0),
    "bolt": lambda: _BOLT,
    "flag": lambda: _FLAG,
    "fish": lambda: _FISH,
    "cup": lambda: _CUP,
    "gear": lambda: _regular(8, inner=0.7),
}
UNSEEN = ("hexagon", "bolt", "flag", "fish", "cup", "gear")
TRAIN = tuple(name for name in _BUILDERS if name not in UNSEEN)
_SHAPES = {name: build() for name, build in _BUILDERS.items()}


def names(is_unseen: bool) -> tuple[str, ...]:
    """The icons of a variant; the two sets share none."""
    return UNSEEN if is_unseen else TRAIN


def draw_icon(
    draw: ImageDraw.ImageDraw,
    name: str,
    centre: Sequence[float],
    radius: float,
    fill: Colour,
    outline: Colour | None = None,
    turn: float = 0.0,
) -> None:
    """Paint an icon; `radius` in pixels, `turn` in radians."""
    cos, sin = np.cos(turn) * radius, np.sin(turn) * radius
    for shape in _SHAPES[name]:
        points = [(centre[0] + cos * x - sin * y, centre[1] + sin * x + cos * y) for x, y in shape]
        draw.polygon(points, fill=fill, outline=outline)
