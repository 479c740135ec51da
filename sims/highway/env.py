"""A world of highway-env behind the interface of all environments here: from above, by wheel and pedal or decisions."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float, Float32, UInt8

from sims.common.arguments import checked_cameras, checked_integer
from sims.common.episodes import FILM_SIZE, Observation, Policy
from sims.common.errors import unknown_name
from sims.common.optional import optional_package
from sims.common.renderer import MAX_IMAGE_SIZE
from sims.common.replay import ReplayEnv
from sims.common.versions import package_version
from sims.common.wander import Wander
from sims.highway.controls import CONTROLS
from sims.highway.drivers import make_driver
from sims.highway.pictures import draw
from sims.highway.pursuit import wrapped
from sims.highway.worlds import WORLD_INFO

_VIEW = "top"
_MAX_MPS = 50.0


class HighwayEnv(ReplayEnv):
    """A car seen from above, in a world that others wrote; rewards, traffic and rate of decisions are theirs.

    An action is (steer, pedal), each in [-1, 1], left and gas positive. On the racetrack the pedal does nothing, since
    that world keeps its speed; where the package asks for decisions, once a second, the greater of the two decides (see
    `controls.Decisions`).

    `agent_pos`: speed (m/s), yaw rate (rad/s, to the left), wheel angle (rad), cosine and sine of the heading in the
    picture.

    The episode is over, in `info["is_over"]`, when it is over in that world; until then there is no success, so that
    the sum of rewards is what others publish (`metrics["world_return"]`).
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}  # noqa: RUF012 - Gymnasium declares it so
    proprio_size = 5
    main_views = (_VIEW,)
    baselines = ("always-slower", "do-nothing")

    def __init__(
        self,
        world: str,
        cameras: Sequence[str] = (_VIEW,),
        image_size: int = 64,
        max_env_steps: int | None = None,
        render_mode: str | None = None,
    ):
        """Make the world.

        Args:
            world: name in `worlds.WORLD_INFO`.
            cameras: `top` (also called `main`), or none for no pictures.
            image_size: height and width of the pictures.
            max_env_steps: the episode is truncated after so many actions, or somewhat after its own end.
            render_mode: `rgb_array` makes `render()` give pictures.

        Raises:
            ValueError: an unknown world, and what `EpisodeEnv` refuses.
            ModuleNotFoundError: highway-env is not installed.
        """
        if world not in WORLD_INFO:
            raise unknown_name("world of highway-env", world, WORLD_INFO)
        self._info = info = WORLD_INFO[world]
        self._idm = _package("highway_env.vehicle.behavior").IDMVehicle
        self.world = self._make_world()
        self.control = CONTROLS["wheel" if info.steers else "decisions"](self.world)
        self.embodiment = self.control.embodiment
        self.longest = info.longest
        super().__init__(
            max_env_steps=max_env_steps,
            views={_VIEW: _VIEW},
            action_space=gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32),
            task_name=world,
            task=info.task,
            control_dt=1 / self.world.config["policy_frequency"],
            cameras=cameras,
            image_size=image_size,
            render_mode=render_mode,
        )

    @property
    def versions(self) -> dict[str, str]:
        """Roads, traffic and pictures are the package's."""
        return {**super().versions, **{name: package_version(name) for name in ("highway-env", "pygame-ce")}}

    def render_frame(self, camera: str, size: int = FILM_SIZE) -> UInt8[np.ndarray, " size size 3"]:
        """A square picture from above, the own car in a fixed place of it, north up.

        Raises:
            ValueError: unknown camera, or size out of range.
        """
        checked_cameras([camera], self.views)
        size = checked_integer("size", size, 1, MAX_IMAGE_SIZE)
        return draw(self.world, self._info.span_m, self._info.centre, size)

    def close(self) -> None:
        """There is no window to be closed."""

    def episode_facts(self) -> dict[str, Any]:
        """The step at which it crashed or left the road, if it did."""
        return {} if self._bad_step is None else {"failure": self._failure, "bad_step": self._bad_step}

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """A driver that reads the world; see `drivers`."""
        driver = make_driver(self.task_name)

        def drive(_observation: Observation) -> np.ndarray:
            with self._traffic():  # it may look ahead in a copy of the world
                return self.control.action_of(driver(self.world))

        return drive

    def make_play(self, rng: np.random.Generator) -> Policy:
        """Steers and pedals at will, for a while each, between stretches of the expert."""
        return Wander(self.make_expert(), rng)

    def make_baseline(self, name: str) -> Policy:
        """`always-slower`, which the package's rewards often favour, or `do-nothing`."""
        if name not in self.baselines:
            raise unknown_name("baseline", name, self.baselines)
        if name == "do-nothing":
            return lambda observation: np.zeros(2, np.float32)
        return lambda observation: self.control.slower(self.world)

    def _make_world(self) -> Any:
        """Without `gymnasium.make`, which advises other versions than those that results were published for."""
        module, name = self._info.upstream.split(":")
        world_class = getattr(_package(f"highway_env.envs.{module}"), name)
        with self._traffic():
            return world_class(config=dict(self._info.config))

    def _begin(self, seed: int) -> None:
        with self._traffic():
            self.world.reset(seed=seed)
        self._yaw_rate, self._return = 0.0, 0.0
        self._failure, self._bad_step = "", None
        self._ended: dict[str, Any] | None = None

    def _advance(self, action: Float32[np.ndarray, " 2"]) -> tuple[float, bool, dict[str, Any]]:
        heading = self.world.vehicle.heading
        with self._traffic():
            _, reward, terminated, truncated, _ = self.world.step(self.control.command(action))
        self._yaw_rate = -wrapped(self.world.vehicle.heading - heading) / self.control_dt
        self._note_failure()
        if self._ended is not None:
            return float(reward), self._ended["is_success"], self._ended
        self._return += float(reward)
        is_over = bool(terminated or truncated)
        is_success = is_over and self._info.is_success(self.world)
        now = {"is_over": is_over, "is_success": is_success, "metrics": self._metrics()}
        self._ended = now if is_over else None
        return float(reward), is_success, now

    def _note_failure(self) -> None:
        vehicle = self.world.vehicle
        is_off_road = self._info.has_edges and not vehicle.on_road
        failure = "collision" if vehicle.crashed else "off_road" if is_off_road else ""
        if failure and not self._failure:
            self._failure, self._bad_step = failure, len(self._actions) - 1

    def _metrics(self) -> dict[str, float]:
        return {
            "world_return": self._return,
            "collision": float(self._failure == "collision"),
            "off_road": float(self._failure == "off_road"),
            "speed_mps": float(self.world.vehicle.speed),
        }

    def _proprio(self) -> Float[np.ndarray, " 5"]:
        vehicle = self.world.vehicle
        steer = -float(np.squeeze(vehicle.action["steering"]))
        speed = np.clip(vehicle.speed, -_MAX_MPS, _MAX_MPS)
        return np.array([speed, self._yaw_rate, steer, np.cos(vehicle.heading), -np.sin(vehicle.heading)])

    @contextmanager
    def _traffic(self) -> Generator[None, None, None]:
        """Inside, the other cars have this world's constants; afterwards those from before."""
        before = {name: getattr(self._idm, name) for name in self._info.traffic}
        _set(self._idm, self._info.traffic)
        try:
            yield
        finally:
            _set(self._idm, before)


def _set(target: Any, values: Mapping[str, float]) -> None:
    for name, value in values.items():
        setattr(target, name, value)


def _package(module: str) -> Any:
    return optional_package(module, "this environment", "highway-env", "worlds")
