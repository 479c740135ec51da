"""The smallest environment that meets the contract, written without what `sims` offers."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces


class Conforming(gymnasium.Env):
    """Black pictures; nothing ever succeeds."""

    task, embodiment, control_dt, noise_size, sim_state_size = "wait and see", "counter", 0.1, 2, 0
    versions: ClassVar[dict[str, str]] = {}
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, cameras=("front",), image_size=4, max_env_steps=None):
        self.cameras, self.image_size, self.render_pixels = cameras, image_size, True
        picture = spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)
        pixels = spaces.Dict(dict.fromkeys(cameras, picture))
        self.observation_space = spaces.Dict(
            {"pixels": pixels, "agent_pos": spaces.Box(-np.inf, np.inf, (1,), np.float32)}
        )

    def reset(self, *, seed=None, options=None) -> Any:
        return self.observe(), {}

    def step(self, action) -> Any:
        return self.observe(), 0.0, False, False, {"is_success": False}

    def observe(self) -> dict[str, Any]:
        return {"pixels": {name: self.render_frame(name) for name in self.cameras}, "agent_pos": np.zeros(1, "f4")}

    def render_frame(self, camera, size=None):
        return np.zeros((size or self.image_size, size or self.image_size, 3), np.uint8)

    def make_expert(self, rng=None):
        raise NotImplementedError

    make_play = make_expert

    def perturbed(self, action, noise):
        return action

    def measurements(self):
        return {}


gymnasium.register("Conforming-v0", f"{__name__}:Conforming")
