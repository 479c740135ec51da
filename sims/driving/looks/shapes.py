"""What road users look like: meshes that fill their box exactly, so that truth and picture have one size.

Frame of an actor: origin on the ground under the middle of its box, x forward, y left, z up. Every shape lies in
[-length/2, length/2] x [-width/2, width/2] x [0, height] and touches all six sides.
"""

from collections.abc import Callable

import numpy as np

from sims.driving.looks.meshes import Mesh, ball, block, joined, prism, regular

Parts = dict[str, Mesh]  # by material
_WHEEL_SIDES = 8
_LAMP_M = 0.04


def actor_parts(kind: str, length: float, width: float, height: float) -> Parts:
    """The meshes of a road user (`actors.KINDS`) by material."""
    return _SHAPES[kind](length, width, height)


def box_part(length: float, width: float, height: float) -> Parts:
    """The bounding box itself."""
    return {"paint": block((-length / 2, -width / 2, 0.0), (length / 2, width / 2, height))}


def _car(length: float, width: float, height: float) -> Parts:
    """A car with a bonnet."""
    return _bodywork(length, width, height, bonnet=0.58, base=(-0.80, 0.42), roof=(-0.58, 0.12))


def _van(length: float, width: float, height: float) -> Parts:
    """A car without one."""
    return _bodywork(length, width, height, bonnet=0.52, base=(-0.96, 0.80), roof=(-0.94, 0.50))


def _bodywork(
    length: float, width: float, height: float, bonnet: float, base: tuple[float, float], roof: tuple[float, float]
) -> Parts:
    """Body, cabin with dark windows, roof, wheels, lamps; a dark patch on the ground for a shadow.

    Args:
        length, width, height: of the box, metres.
        bonnet: height of the body below the windows, as a share.
        base, roof: rear and front end of the cabin below and above, as shares of half the length.
    """
    x, y = length / 2 - _LAMP_M, width / 2
    waist, top = bonnet * height, 0.94 * height
    body = block((-x, -y, 0.16 * height), (x, y, 0.45 * height))
    hood = block((-x, -y, 0.45 * height), (x, y, waist), (-0.97 * x, 0.94 * x, -0.92 * y, 0.92 * y))
    glass = block(
        (base[0] * x, -0.90 * y, waist), (base[1] * x, 0.90 * y, top), (roof[0] * x, roof[1] * x, -0.72 * y, 0.72 * y)
    )
    cover = block((roof[0] * x, -0.72 * y, top), (roof[1] * x, 0.72 * y, height))
    dark = joined([glass, _shadow(length, width), *_wheels(0.62 * x, y, min(0.36, 0.22 * height))])
    return {"paint": joined([body, hood, cover]), "dark": dark, **_lamps(length, width, 0.36 * height, 0.54 * height)}


def _truck(length: float, width: float, height: float) -> Parts:
    """A cab and a box behind it."""
    x, y = length / 2 - _LAMP_M, width / 2
    cab = min(2.2, 0.3 * length)
    load = block((-x, -y, 0.25 * height), (x - cab - 0.4, y, height))
    nose = block((x - cab, -y, 0.18 * height), (x, y, 0.48 * height))
    window = block((x - cab, -0.97 * y, 0.48 * height), (x - 0.02, 0.97 * y, 0.72 * height))
    roof = block((x - cab, -0.97 * y, 0.72 * height), (x - 0.1, 0.97 * y, 0.8 * height))
    frame = block((-x, -0.6 * y, 0.14 * height), (x - cab, 0.6 * y, 0.25 * height))
    dark = joined([window, frame, _shadow(length, width), *_wheels(0.72 * x, y, min(0.5, 0.16 * height))])
    return {"paint": joined([load, nose, roof]), "dark": dark, **_lamps(length, width, 0.2 * height, 0.3 * height)}


def _wheels(x: float, y: float, radius: float) -> list[Mesh]:
    tyre = prism(regular(_WHEEL_SIDES, radius), 1, 0.0, 0.22)
    places = [(along, across) for along in (x, -x) for across in (-y, y - 0.22)]
    return [tyre.moved(along, across, radius) for along, across in places]


def _shadow(length: float, width: float) -> Mesh:
    low = 0.03
    return block((-length / 2, -width / 2, 0.0), (length / 2, width / 2, low))


def _lamps(length: float, width: float, low: float, high: float) -> Parts:
    """Two lamps behind (they show braking) and two in front; they are the ends of the box."""
    x, inner, outer = length / 2, 0.22 * width, 0.5 * width
    pairs = {"tail": (-x, -x + _LAMP_M), "head": (x - _LAMP_M, x)}
    return {
        name: joined(
            [block((a, outer * s - inner * (s > 0), low), (b, outer * s + inner * (s < 0), high)) for s in (-1, 1)]
        )
        for name, (a, b) in pairs.items()
    }


def _pedestrian(length: float, width: float, height: float) -> Parts:
    """Legs, a trunk as wide as the box, a head."""
    x, y = length / 2, width / 2
    legs = [
        block((-0.6 * x, s * 0.45 * y - 0.35 * y, 0.0), (0.6 * x, s * 0.45 * y + 0.35 * y, 0.48 * height))
        for s in (-1, 1)
    ]
    trunk = block((-x, -y, 0.48 * height), (x, y, 0.84 * height), (-0.7 * x, 0.7 * x, -0.8 * y, 0.8 * y))
    head = ball((0.1 * height, 0.07 * height, 0.08 * height), 0.92 * height)
    return {"paint": trunk, "dark": joined(legs), "skin": head}


def _cyclist(length: float, width: float, height: float) -> Parts:
    """Two wheels, a frame, a rider with a handlebar as wide as the box."""
    x, y = length / 2, width / 2
    radius = min(0.35, 0.24 * length)
    wheel = prism(regular(12, radius), 1, -0.04, 0.04)
    wheels = [wheel.moved(s * (x - radius), 0.0, radius) for s in (-1, 1)]
    frame = block((-x + radius, -0.04, 0.9 * radius), (x - radius, 0.04, 0.52 * height))
    bar = block((0.3 * x, -y, 0.56 * height), (0.4 * x, y, 0.6 * height))
    ends = [
        block((s * x - 0.01 * (s > 0), -0.04, radius - 0.03), (s * x + 0.01 * (s < 0), 0.04, radius + 0.03))
        for s in (-1, 1)
    ]
    rider = block(
        (-0.35 * x, -0.6 * y, 0.5 * height), (0.1 * x, 0.6 * y, 0.85 * height), (-0.1 * x, 0.3 * x, -0.75 * y, 0.75 * y)
    )
    head = ball((0.11, 0.08, 0.075 * height), 0.925 * height).moved(0.15 * x, 0.0)
    return {"paint": rider, "dark": joined([*wheels, frame, bar, *ends]), "skin": head}


def _cone(length: float, width: float, height: float) -> Parts:
    foot = block((-length / 2, -width / 2, 0.0), (length / 2, width / 2, 0.08 * height))
    radius = 0.38 * min(length, width)
    outline = np.column_stack([np.cos(_angles(8)), np.sin(_angles(8))]) * radius
    body = prism(outline, 2, 0.08 * height, height, top_scale=0.15)
    return {"orange": joined([foot, body])}


def _barrier(length: float, width: float, height: float) -> Parts:
    """Red and white boards across."""
    x, y = length / 2, width / 2
    count = max(2, round(max(length, width) / 0.5))
    along_y = width >= length
    size = (width if along_y else length) / count
    boards: dict[str, list[Mesh]] = {"red": [], "white": []}
    for k in range(count):
        low, high = -count * size / 2 + k * size, -count * size / 2 + (k + 1) * size
        corner = ((-x, low, 0.0), (x, high, height)) if along_y else ((low, -y, 0.0), (high, y, height))
        boards["red" if k % 2 else "white"].append(block(*corner))
    return {name: joined(parts) for name, parts in boards.items()}


def _debris(length: float, width: float, height: float) -> Parts:
    """Something that lies about: a box of cardboard."""
    return {"brown": box_part(length, width, height)["paint"]}


def _angles(count: int) -> np.ndarray:
    return np.arange(count) * 2 * np.pi / count


_SHAPES: dict[str, Callable[[float, float, float], Parts]] = {
    "car": _car,
    "van": _van,
    "truck": _truck,
    "pedestrian": _pedestrian,
    "cyclist": _cyclist,
    "cone": _cone,
    "barrier": _barrier,
    "debris": _debris,
}
