"""A world as strangers write them: it walks a corridor, and can be told to be faulty in one way."""

from typing import Any

import gymnasium
import numpy as np

LENGTH = 6


class Corridor(gymnasium.Env):
    """Forward, stay or back (actions 5, 6, 7); the end of the corridor is the goal, and ends the episode."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium declares it so

    def __init__(self, fault: str = "", render_mode: str | None = None, space: Any = None):
        if fault == "constructor":
            raise RuntimeError("no such corridor")
        self.fault, self.render_mode = fault, render_mode
        lacks = {"blind": "render_modes", "timeless": "render_fps"}.get(fault)
        self.metadata = {key: value for key, value in Corridor.metadata.items() if key != lacks}
        self.action_space = space or gymnasium.spaces.Discrete(3, start=5)
        self.observation_space = gymnasium.spaces.Dict({})

    def reset(self, *, seed=None, options=None) -> Any:
        super().reset(seed=seed)
        self.place, self.count = int(self.np_random.integers(2)), 0
        return self._observe(), {}

    def step(self, action) -> Any:
        assert self.action_space.contains(action), action
        self.place, self.count = max(0, self.place + 6 - int(action)), self.count + 1
        at_end = self.place >= LENGTH
        info = {"at_end": at_end, "left": float(LENGTH - self.place), "word": "far"}
        return self._observe(), float(at_end), at_end, False, {} if self.fault == "silent" else info

    def render(self) -> Any:
        if self.fault == "undrawn":
            return None
        return self._picture(40, 20)

    def _picture(self, height: int, width: int) -> np.ndarray:
        return np.full((height, width, 3), 10 * self.place, np.uint8)

    def _observe(self) -> Any:
        picture = self._picture(20, 30)
        picture = {"float": picture / 255, "planes": np.moveaxis(picture, 2, 0), "grey": picture[..., 0]}.get(
            self.fault, picture
        )
        place = np.array([self.place, np.nan if self.fault == "nan" else 0.0])
        place = np.arange(2 + self.count) if self.fault == "grows" else place
        body: Any = {"place": "here" if self.fault == "words" else place, "dotted.key": np.ones((2, 2))}
        return {"image": picture, "body": body}


gymnasium.register("Corridor-v0", f"{__name__}:Corridor", max_episode_steps=15)


def expert(world: Corridor, observation: Any) -> int:
    """Forward."""
    return 5
