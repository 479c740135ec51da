"""Gymnasium's CarRacing-v3 behind the interface of all environments here: one lap, seen from above."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float, Float32, UInt8

from sims.box2d.driver import RaceDriver
from sims.box2d.quiet_world import make_world, picture
from sims.common.arguments import checked_cameras, checked_integer
from sims.common.episodes import FILM_SIZE, Policy
from sims.common.errors import unknown_name
from sims.common.renderer import MAX_IMAGE_SIZE
from sims.common.replay import ReplayEnv
from sims.common.versions import package_version
from sims.common.wander import Wander

_VIEW = "top"
_SOLVED_SHARE = 0.9  # of the tiles; "solved" is 900 points, of which a tile is worth 1000 / tiles and a step -0.1


class CarRacingEnv(ReplayEnv):
    """A lap on a track that no other seed has; track, car, rewards and picture are Gymnasium's.

    An action is (steer, pedal), each in [-1, 1], left and gas positive; there it is (steer to the right, gas, brake).

    `agent_pos`: speed (m/s), yaw rate (rad/s, to the left), angle of the front wheels (rad), how fast the rear wheels
    turn (rad/s, in tens): what the bar under Gymnasium's picture shows.

    The episode is over when it is there: after a lap, far off the track, or after 1000 steps. It is a success if nine
    tenths of the tiles were driven over. Every reset makes a new Box2D world, so that no trace of the last can remain.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012 - Gymnasium declares it so
    embodiment = "box2d_car"
    proprio_size = 4
    longest = 1000
    main_views = (_VIEW,)
    baselines = ("always-slower", "do-nothing")

    def __init__(
        self,
        cameras: Sequence[str] = (_VIEW,),
        image_size: int = 64,
        max_env_steps: int | None = None,
        render_mode: str | None = None,
    ):
        """Find the packages; the track is made by `reset`.

        Args:
            cameras: `top` (also called `main`), or none for no pictures.
            image_size: height and width of the pictures; Gymnasium's are of 96 pixels.
            max_env_steps: the episode is truncated after so many actions, or after the world's own 1000.
            render_mode: `rgb_array` makes `render()` give pictures.

        Raises:
            ValueError: what `EpisodeEnv` refuses.
            ModuleNotFoundError: Box2D or pygame is not installed.
        """
        super().__init__(
            max_env_steps=max_env_steps,
            views={_VIEW: _VIEW},
            action_space=gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32),
            task_name="car-racing",
            task="Drive one lap of the race track",
            control_dt=0.02,
            cameras=cameras,
            image_size=image_size,
            render_mode=render_mode,
        )
        self.world = make_world()

    @property
    def versions(self) -> dict[str, str]:
        """Physics and pictures."""
        return {**super().versions, **{name: package_version(name) for name in ("box2d", "pygame-ce")}}

    def render_frame(self, camera: str, size: int = FILM_SIZE) -> UInt8[np.ndarray, " size size 3"]:
        """Gymnasium's picture for policies, bar and points included, at any size.

        Raises:
            ValueError: unknown camera, or size out of range.
        """
        checked_cameras([camera], self.views)
        return picture(self.world, checked_integer("size", size, 1, MAX_IMAGE_SIZE))

    def close(self) -> None:
        """There is no window to be closed."""

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """Pure pursuit of the middle of the track, as fast as the bends ahead allow."""
        driver = RaceDriver()
        return lambda observation: driver(self.world)

    def make_play(self, rng: np.random.Generator) -> Policy:
        """Steers and pedals at will, for a while each, between stretches of the expert."""
        return Wander(self.make_expert(), rng)

    def make_baseline(self, name: str) -> Policy:
        """`always-slower` stands on the brake; `do-nothing`."""
        if name not in self.baselines:
            raise unknown_name("baseline", name, self.baselines)
        action = np.array([0.0, -1.0 if name == "always-slower" else 0.0], np.float32)
        return lambda observation: action.copy()

    def _begin(self, seed: int) -> None:
        self.world = make_world()
        self.world.reset(seed=seed)
        self._return = 0.0
        self._ended: dict[str, Any] | None = None

    def _advance(self, action: Float32[np.ndarray, " 2"]) -> tuple[float, bool, dict[str, Any]]:
        steer, pedal = (float(value) for value in action)
        command = np.array([-steer, max(pedal, 0.0), max(-pedal, 0.0)])
        _, reward, terminated, _, _ = self.world.step(command)
        if self._ended is not None:
            return float(reward), self._ended["is_success"], self._ended
        self._return += float(reward)
        is_over = bool(terminated) or len(self._actions) >= self.longest
        share = self.world.tile_visited_count / len(self.world.track)
        is_success = is_over and share >= _SOLVED_SHARE
        metrics = {"world_return": self._return, "tiles": share}
        now = {"is_over": is_over, "is_success": is_success, "metrics": metrics}
        self._ended = now if is_over else None
        return float(reward), is_success, now

    def _proprio(self) -> Float[np.ndarray, " 4"]:
        car = self.world.car
        speed = float(np.hypot(*car.hull.linearVelocity))
        values = [speed, car.hull.angularVelocity, car.wheels[0].joint.angle, car.wheels[2].omega / 10]
        return np.clip(np.array(values, np.float64), -100.0, 100.0)
