# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Driving as a Gymnasium environment: one family of scenarios, a camera rig, and a wheel with pedals or whole plans."""

from collections.abc import Mapping, Sequence
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from sims.common.base import FILM_SIZE, Observation, Policy, SimEnv
from sims.common.camera import CameraView, Size
from sims.common.errors import unknown_name
from sims.common.renderer import Renderer
from sims.driving.ego.controls import CONTROLS
from sims.driving.ego.latency import Latency
from sims.driving.ego.planners import PLANNERS, make_planner
from sims.driving.ego.play import Player
from sims.driving.ego.vehicle import CONTROL_DT_S, step_bicycle
from sims.driving.ego.wheels import Wheels
from sims.driving.judge import Judge, facts, so_far
from sims.driving.looks.scene import ABOVE, CHASE, EGOS, Scene
from sims.driving.looks.weather import Weather, weather_of
from sims.driving.scenarios.library import FAMILIES, build_scenario, scenario_ids, topologies
from sims.driving.scores.scene import HEADING, VX, YAW_ACC, YAW_RATE, VehicleParameters, X, Y
from sims.driving.sensors.lidar import Lidar
from sims.driving.sensors.rigs import rig as rig_of
from sims.driving.sensors.suite import Sensors, Truth, camera_view
from sims.driving.world import STATE_VECTOR_SIZE, World

TEST_SEEDS = range(10_000, 20_000)  # their episodes take place on held-out topologies, all others never
ROUTE_AHEAD_M = (5.0, 10.0, 15.0, 25.0, 40.0)
_IDS = 2  # topology and seed, in front of the world's state
_CONDITIONS = "_conditions"
_LIDAR = Lidar()
_State = mujoco.mjtState


class DrivingEnv(SimEnv):
    """A car in traffic, 10 actions a second: (steer, pedal) in [-1, 1], left and gas positive, or plans.

    With `control="trajectory"` an action is the next 4 s, see `controls.Trajectories`.

    `agent_pos` holds the speed (m/s), then the route: x and y in the vehicle frame of points 5, 10, 15, 25 and 40 m
    ahead.

    Attributes:
        world: everything but the physics of `wheels`; its record gives `world.scored_scene()` to the scores.
        scenario_id: of this episode.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium declares it so
    proprio_size = 1 + 2 * len(ROUTE_AHEAD_M)
    sim_state_size = 512
    baselines = tuple(PLANNERS)
    sim_state_spec = int(_State.mjSTATE_FULLPHYSICS) | int(_State.mjSTATE_WARMSTART)

    def __init__(
        self,
        family: str,
        rig: str = "front1",
        cameras: Sequence[str] | None = None,
        image_size: int = 64,
        max_env_steps: int = 500,
        render_mode: str | None = None,
        scenario: str | None = None,
        ego: str = "bicycle",
        weather: Weather | Mapping[str, float] | None = None,
        latency_ms: int = 0,
        control: str = "pedals",
        calm: bool = False,
    ):
        """Choose what is driven, and with which car and cameras.

        Args:
            family: of scenarios; the seed of `reset` chooses topology and details, in `TEST_SEEDS` a held-out one.
            rig: name in `rigs.RIGS`.
            cameras: of the rig, in the observation; all of them by default, empty for no pictures. `front_conditions`
                shows the map's lines and everybody's boxes as `front` would see them.
            image_size: height and width of the pictures.
            max_env_steps: the episode is truncated after so many actions.
            render_mode: `rgb_array` makes `render()` give pictures.
            scenario: id of the one scenario to drive whatever the seed.
            ego: `bicycle` or `wheels`.
            weather: instead of each scenario's own; as a mapping, what is not named is as on a clear day, and the grip
                follows from the rain.
            latency_ms: after which a command takes effect, a multiple of 20.
            calm: drive each scenario's twin without the hazard.
            control: `pedals`, or `trajectory`: an action is the plan for the next four seconds.

        Raises:
            ValueError: an unknown name, a scenario of another family, a latency that can't be had.
        """
        known = (("scenario family", family, FAMILIES), ("ego", ego, EGOS), ("control", control, CONTROLS))
        for what, name, names in known:
            if name not in names:
                raise unknown_name(what, name, names)
        self.control, self._twin = CONTROLS[control](), "/calm" if calm else ""
        self.embodiment = self.control.embodiment
        self.family, self.rig, self._ego, self._weather = family, rig_of(rig), ego, weather_of(weather)
        self._fixed_scenario, self._latency = scenario, Latency(latency_ms)
        self._latency_ms, self._vehicle = latency_ms, VehicleParameters()
        if scenario is not None and build_scenario(scenario).family != family:
            raise ValueError(f"Scenario {scenario!r} is not of the family {family!r}.")
        self._build(World(build_scenario(scenario or self._scenario_of(0)), self._weather))
        super().__init__(
            model=self.model,
            data=self.data,
            views=self._views(),
            action_space=self.control.space,
            task_name=(family if ego == "bicycle" else f"{family}-{ego}") + self._twin,
            task=self.world.instruction,
            control_dt=CONTROL_DT_S,
            cameras=[camera.name for camera in self.rig] if cameras is None else cameras,
            image_size=image_size,
            max_env_steps=max_env_steps,
            render_mode=render_mode,
        )

    @property
    def scenario_id(self) -> str:
        """Family, topology and seed of the present scenario."""
        return self.world.scenario.id

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin the scenario of the seed; info names it."""
        observation, info = super().reset(seed=seed, options=options)
        return observation, {**info, **so_far(self.world)}

    def render_frame(self, camera: str, size: int = FILM_SIZE) -> UInt8[np.ndarray, " size size 3"]:
        """A square picture from a camera of the rig, or from `chase` or `above`, which show the own car.

        `<camera>_conditions` is what `conditions` gives for that camera; it may be among the observation's cameras.
        """
        if camera in self.views and camera.endswith(_CONDITIONS):
            return self.conditions(camera.removesuffix(_CONDITIONS), size)
        frame = super().render_frame(camera, size)
        is_film = self.views[camera].fixed in (CHASE, ABOVE)
        return frame if is_film else self.sensors.through_the_lens(frame, camera, self.world.time_step)

    def picture(self, camera: str, size: Size | None = None) -> UInt8[np.ndarray, " height width 3"]:
        """A picture of any shape from a camera of the rig; its own resolution by default."""
        return self.sensors.picture(camera, size or self._resolution(camera), self.world.time_step)

    def truth(self, camera: str, size: Size | None = None) -> Truth:
        """Depth, classes and actors in a picture."""
        return self.sensors.truth(camera, size or self._resolution(camera))

    def conditions(self, camera: str, size: Size | None = None) -> UInt8[np.ndarray, " height width 3"]:
        """Map lines and wireframes of boxes in a picture."""
        return self.sensors.conditions(camera, size or self._resolution(camera), self.world.actors)

    def scan(self, lidar: Lidar = _LIDAR) -> Float32[np.ndarray, " rows columns"]:
        """A range image in metres; inf where nothing came back."""
        return self.sensors.scan(lidar)[0]

    def episode_metrics(self) -> dict[str, float]:
        """The scores of `judge`; PDMS and EPDMS take about a tenth of a second for every four that were driven."""
        return self._judge.metrics(self.world)

    def episode_scores(self) -> dict[str, Any]:
        """Terms and events behind PDMS, EPDMS, AlpaSim's and nuPlan's score."""
        return self._judge.scores(self.world)

    def measurements(self) -> dict[str, Float64[np.ndarray, " size"]]:
        """The ego's motion: its state in the map's frame, columns of `scores.scene`."""
        return {"ego_motion": self.world.ego.copy()}

    def episode_facts(self) -> dict[str, Any]:
        """Scenario, topology, and the first thing that went wrong."""
        return facts(self.world)

    def close(self) -> None:
        """Free the graphics buffers."""
        self._renderer = None  # it belongs to the sensors
        self.sensors.close()

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """The privileged planner, which sees the world and not the pictures."""
        return self.make_baseline("privileged")

    def make_baseline(self, name: str) -> Policy:
        """A planner of `planners.PLANNERS`."""
        planner = make_planner(name)
        return lambda observation: self.control.action_of(planner, self.world)

    def make_play(self, rng: np.random.Generator) -> Policy:
        """Driving that wanders within and a little beyond the road, speeds up and brakes at will."""
        player = Player(rng)
        return lambda observation: self.control.action_of(player, self.world)

    @property
    def noise_size(self) -> int:
        """Numbers that disturb an action."""
        return self.control.noise_size

    def perturbed(
        self, action: Float32[np.ndarray, " action"], noise: Float32[np.ndarray, " noise"]
    ) -> Float32[np.ndarray, " action"]:
        """An action that drives a little elsewhere; see `controls`."""
        return self.control.perturbed(action, noise)

    def _take(self, world: World) -> None:
        """Leave the present world for another one."""
        self.close()
        self._build(world)

    def _build(self, world: World) -> None:
        """Make a model for a world, and sensors in it."""
        self.world, self._judge = world, Judge()
        self._scene = Scene(world.scenario, self._vehicle, self.rig, self._ego)
        self.model, self.data = self._scene.model, self._scene.data
        self.sensors = Sensors(self._scene, world.road_map, self.rig, self.supersample)
        self._wheels = Wheels(self.model, self.data, self._vehicle) if self._ego == "wheels" else None
        self.task = self.task_description = world.instruction

    def _new_renderer(self) -> Renderer:
        return self.sensors.renderer

    def _reset_world(self, seed: int) -> None:
        self._take(World(build_scenario(self._fixed_scenario or self._scenario_of(seed)), self._weather))
        self._latency = Latency(self._latency_ms)
        if self._wheels is not None:
            self._wheels.place(self.world.ego)
        self._show()

    def _scenario_of(self, seed: int) -> str:
        split = "test" if seed in TEST_SEEDS and topologies(self.family, "test") else "train"
        return scenario_ids(self.family, split, [seed])[0] + self._twin

    def _checked_action(self, action: np.ndarray) -> Float32[np.ndarray, " action"]:
        self.control.check(action)
        return super()._checked_action(action)

    def _step_world(self, action: Float32[np.ndarray, " action"]) -> tuple[float, bool, dict[str, Any]]:
        self._judge.note(self.world)
        progress, failure = self.world.progress, self.world.failure
        self.world.step(self._next_ego(self.control.command(action, self.world.ego)))
        self._show()
        reward = self.world.progress - progress - float(failure is None and self.world.failure is not None)
        is_in_time = self.world.time_s <= self.world.scenario.duration_s or self._is_success
        return reward, self.world.is_success and is_in_time, so_far(self.world)

    def _next_ego(self, wanted: Float64[np.ndarray, " 2"]) -> Float64[np.ndarray, " 11"]:
        """State of the car after a control step."""
        before = ego = self.world.ego
        friction = self.world.friction_here
        for command, seconds in self._latency.delayed(wanted):
            if self._wheels is not None:
                ego = self._wheels.drive(ego, command, friction, seconds)
            else:
                ego = step_bicycle(ego, command, friction, self._vehicle.wheelbase_m, seconds)
        ego[YAW_ACC] = (ego[YAW_RATE] - before[YAW_RATE]) / CONTROL_DT_S
        return ego

    def _show(self) -> None:
        """Bring the scene to what the world is now."""
        ego = self.world.ego
        self._scene.place_actors(self.world.actors)
        self._scene.show_signals(self.world.lights)
        if self._wheels is None:
            self._scene.place_ego(ego[X], ego[Y], ego[HEADING])
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def _proprio(self) -> Float[np.ndarray, " proprio"]:
        """Speed and the route ahead; not what the last action was, which whoever imitates would learn to repeat."""
        ego, route = self.world.ego, self.world.scenario.route
        ahead = route.at(self.world.route_m + np.array(ROUTE_AHEAD_M))[:, :2] - ego[[X, Y]]
        cos, sin = np.cos(ego[HEADING]), np.sin(ego[HEADING])
        in_vehicle = ahead @ np.array([[cos, -sin], [sin, cos]])
        values = np.concatenate([ego[[VX]], in_vehicle.ravel()])
        return np.clip(values, -100.0, 100.0)

    def _get_extra_state(self) -> Float64[np.ndarray, " extra"]:
        scenario = self.world.scenario
        place = FAMILIES[self.family].topologies.index(scenario.topology)
        return np.concatenate([[place, scenario.seed], self._latency.commands.ravel(), self.world.get_state()])

    def _set_extra_state(self, extra: Float64[np.ndarray, " extra"]) -> None:
        commands, state = np.split(extra[_IDS:][: Latency.size + STATE_VECTOR_SIZE], [Latency.size])
        scenario = f"{self.family}/{FAMILIES[self.family].topologies[int(extra[0])]}/{int(extra[1])}{self._twin}"
        world = World(build_scenario(scenario), self._weather)
        world.set_state(state)
        self._take(world)
        self._latency.commands = commands.reshape(-1, 2).copy()

    def _after_restore(self) -> None:
        self._show()

    def _views(self) -> dict[str, CameraView]:
        square = {camera.name: camera_view(camera, 1) for camera in self.rig}
        lines = {f"{name}{_CONDITIONS}": view for name, view in square.items()}
        return {**square, **lines, CHASE: CameraView(fixed=CHASE), ABOVE: CameraView(fixed=ABOVE)}

    def _resolution(self, camera: str) -> tuple[int, int]:
        found = [mounted.resolution for mounted in self.rig if mounted.name == camera]
        if not found:
            raise unknown_name("camera", camera, [mounted.name for mounted in self.rig])
        return found[0]
