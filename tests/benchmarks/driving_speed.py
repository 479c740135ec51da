"""Env steps and camera frames per second of the driving world, beside the same MuJoCo calls made by hand.

    python tests/benchmarks/driving_speed.py

Every row is measured in alternation with its raw counterpart, in CPU seconds of this process, so that a busy machine
slows both alike. "Raw" is `mj_step` or the `mjr_render` calls at the size we draw at (twice the picture's, averaged
down), with the step of the traffic where an env step is compared.
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from sims.common.camera import Size, height_and_width
from sims.driving.environment import DrivingEnv
from sims.driving.scenarios.library import build_scenario, scenario_ids
from sims.driving.sensors.rigs import RIGS
from sims.driving.sensors.suite import camera_view
from tests.benchmarks.sims import cpu_ms

SIZES: tuple[Size, ...] = (64, (128, 256), (240, 427))
_SEARCHED = ("jam", "merge", "left-turn", "pedestrian-dart")


def crowded(actors: int) -> str:
    """The scenario whose number of actors is nearest to the wanted one."""
    ids = [name for family in _SEARCHED for name in scenario_ids(family, "train", range(20))]
    return min(ids, key=lambda name: abs(len(build_scenario(name).actors) - actors))


def make(scenario: str, **kwargs: Any) -> DrivingEnv:
    """An environment that never ends, at the start of a scenario."""
    env = DrivingEnv(scenario.split("/")[0], scenario=scenario, max_env_steps=10**9, **kwargs)
    env.reset(seed=0)
    return env


def stepper(env: DrivingEnv) -> Callable[[], Any]:
    """A function that takes one gentle step, and begins anew before the road ends."""
    action, start, count = np.array([0.0, -0.02], np.float32), env.get_sim_state(), [0]

    def step() -> None:
        count[0] += 1
        if count[0] % 50 == 0:  # measured with it: 1 step in 50
            env.world.set_state(start[4 + _offset(env) :][: len(env.world.get_state())])
        env.step(action)

    return step


def _offset(env: DrivingEnv) -> int:
    """Where the world's part begins in the environment's state."""
    physics = mujoco.mj_stateSize(env.model, env.sim_state_spec)
    return physics + len(env._get_extra_state()) - len(env.world.get_state())


def raw_frames(env: DrivingEnv, size: Size) -> Callable[[], Any]:
    """The bare MuJoCo calls for all cameras of the rig."""
    height, width = (2 * side for side in height_and_width(size))
    renderer: Any = env.sensors.renderer
    context = renderer._activated(is_detailed=True, size=(height, width))
    option, scene = mujoco.MjvOption(), mujoco.MjvScene(env.model, maxgeom=1000)
    rect, pixels = mujoco.MjrRect(0, 0, width, height), np.empty((height, width, 3), np.uint8)
    cameras = [camera_view(camera, size).to_mujoco(env.model) for camera in env.rig]
    option.geomgroup[2] = 0

    def draw() -> None:
        for camera in cameras:
            mujoco.mjv_updateScene(env.model, env.data, option, None, camera, mujoco.mjtCatBit.mjCAT_ALL, scene)
            scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
            mujoco.mjr_render(rect, scene, context)
            mujoco.mjr_readPixels(pixels, None, rect, context)

    return draw


def step_rows(scenario: str, rounds: int) -> list[tuple[str, float, float]]:
    """(what, raw ms, our ms) of env steps."""
    table, control = [], np.array([0.0, -0.02])
    for ego, substeps in (("bicycle", 1), ("wheels", 50)):
        env, other = make(scenario, cameras=(), ego=ego), make(scenario, cameras=(), ego=ego)
        state = other.world.get_state()

        def raw(other: DrivingEnv = other, substeps: int = substeps) -> None:
            mujoco.mj_step(other.model, other.data, substeps)

        def raw_with_traffic(
            other: DrivingEnv = other, state: Any = state, substeps: int = substeps, raw: Callable[[], None] = raw
        ) -> None:
            raw()
            other.world.step(control if substeps == 1 else other.world.ego)
            if other.world.time_step >= 50:
                other.world.set_state(state)

        ours, alone = cpu_ms(stepper(env), raw, rounds, 40)
        table.append((f"{ego}: step, against mj_step x {substeps} alone", alone, ours))
        ours, together = cpu_ms(stepper(env), raw_with_traffic, rounds, 40)
        table.append((f"{ego}: step, against mj_step and traffic", together, ours))
        seeing = make(scenario, ego=ego)
        draw = raw_frames(make(scenario, ego=ego), 64)

        def raw_and_seeing(step: Callable[[], None] = raw_with_traffic, draw: Callable[[], Any] = draw) -> None:
            step()
            draw()

        ours, together = cpu_ms(stepper(seeing), raw_and_seeing, rounds, 20)
        table.append((f"{ego}: step with one camera of 64x64", together, ours))
    return table


def frame_rows(scenario: str, rigs: Sequence[str], rounds: int) -> list[tuple[str, int, float, float]]:
    """(what, cameras, raw ms, our ms) for one set of pictures of each rig and size."""
    table = []
    for rig in rigs:
        env = make(scenario, rig=rig, cameras=())
        for size in SIZES:
            height, width = height_and_width(size)
            draw = raw_frames(env, size)

            def ours(env: DrivingEnv = env, size: Size = size) -> None:
                for camera in env.rig:
                    env.picture(camera.name, size)

            spent, raw = cpu_ms(ours, draw, rounds, 2)
            table.append((f"{rig} at {height}x{width}", len(env.rig), raw, spent))
        env.close()
    return table


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actors", type=int, default=20)
    parser.add_argument("--rigs", nargs="+", default=list(RIGS))
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    scenario = crowded(arguments.actors)
    actors = len(build_scenario(scenario).actors)
    machine = platform.processor() or platform.machine()
    print(f"mujoco {mujoco.__version__}, {machine}, {os.cpu_count()} cores, CPU time; {scenario}, {actors} actors")
    print(f"\n{'one env step (0.1 s)':48s} {'raw ms':>8s} {'our ms':>8s} {'steps/s':>8s} {'on top':>7s}")
    for name, raw, ours in step_rows(scenario, arguments.rounds):
        print(f"{name:48s} {raw:8.3f} {ours:8.3f} {1000 / ours:8.0f} {ours / raw - 1:7.1%}")
    print(f"\n{'pictures of a rig':48s} {'raw ms':>8s} {'our ms':>8s} {'frames/s':>8s} {'on top':>7s}")
    for name, count, raw, ours in frame_rows(scenario, arguments.rigs, arguments.rounds):
        print(f"{name:48s} {raw:8.3f} {ours:8.3f} {1000 * count / ours:8.0f} {ours / raw - 1:7.1%}")


if __name__ == "__main__":
    main()
