"""What our environments cost on top of the same MuJoCo calls made by hand.

    python tests/benchmarks/sims.py

Every row is measured in alternation with its raw counterpart, in CPU seconds of this process, so that a busy machine
slows both alike. "Raw" is upstream's own step (the same physics, success test and reward) and, for pictures, the same
`mjr_render` calls on a scene that stands still.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from sims.common.renderer import GLRenderer

CAMERAS = ("corner2", "left")


def cpu_ms(first: Callable[[], Any], second: Callable[[], Any], rounds: int, calls: int) -> tuple[float, float]:
    """Milliseconds of CPU per call of two functions, by turns; the median over the rounds."""
    spent: list[list[float]] = [[], []]
    for _ in range(rounds):
        for index, function in enumerate((first, second)):
            start = time.process_time()
            for _ in range(calls):
                function()
            spent[index].append((time.process_time() - start) / calls * 1e3)
    return float(np.median(spent[0])), float(np.median(spent[1]))


def make(task: str, cameras: tuple[str, ...], size: int) -> Any:
    """An environment that never ends, at the start of an episode."""
    env = gymnasium.make(f"sims:MetaWorld-{task}", cameras=cameras, image_size=size, max_env_steps=10**9).unwrapped
    env.reset(seed=0)
    return env


def stepper(env: Any) -> Callable[[], Any]:
    """A function that takes one smooth random step."""
    actions = np.random.default_rng(0).uniform(-0.3, 0.3, (1000, 4)).astype(np.float32)
    count = iter(range(10**9))
    return lambda: env.step(actions[next(count) % 1000])


def raw_frame(env: Any, size: int) -> Callable[[], Any]:
    """The bare MuJoCo calls that draw one camera at the size our renderer draws at, without anything around them."""
    renderer = GLRenderer(env.model)
    drawn = size * renderer.supersample
    context = renderer._activated(is_detailed=False, size=(drawn, drawn))
    camera, option = env.views["corner2"].to_mujoco(env.model), mujoco.MjvOption()
    scene = mujoco.MjvScene(env.model, maxgeom=1000)
    rect, pixels = mujoco.MjrRect(0, 0, drawn, drawn), np.empty((drawn, drawn, 3), np.uint8)

    def draw() -> None:
        mujoco.mjv_updateScene(env.model, env.data, option, None, camera, mujoco.mjtCatBit.mjCAT_ALL, scene)
        scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        mujoco.mjr_render(rect, scene, context)
        mujoco.mjr_readPixels(pixels, None, rect, context)

    return draw


def rows(task: str, rounds: int) -> list[tuple[str, float, float]]:
    """(what, raw ms, our ms) for one task."""
    bare, upstream = make(task, (), 64), make(task, (), 64)
    ours, raw = cpu_ms(stepper(bare), stepper(upstream._world), rounds, 200)
    bare_mujoco, _ = cpu_ms(
        lambda: (mujoco.mj_step(upstream.model, upstream.data, 5), mujoco.mj_forward(upstream.model, upstream.data)),
        lambda: None,
        rounds,
        200,
    )
    table = [
        ("state only, against upstream's step", raw, ours),
        ("  (mj_step x 5 + mj_forward alone)", bare_mujoco, ours),
    ]
    for size in (64, 96, 128):
        for count in (1, 2):
            env = make(task, CAMERAS[:count], size)
            draw, world_step = raw_frame(env, size), stepper(upstream._world)

            def by_hand(draw: Any = draw, world_step: Any = world_step, count: int = count) -> None:
                world_step()
                for _ in range(count):
                    draw()

            ours, raw = cpu_ms(stepper(env), by_hand, rounds, 20)
            table.append((f"{count} camera{'s' * (count > 1)} at {size} px", raw, ours))
    return table


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=["pick-place-v3", "door-open-v3"])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    print(
        f"mujoco {mujoco.__version__}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, CPU time"
    )
    for task in arguments.tasks:
        print(f"\n{task:36s} {'raw ms':>8s} {'our ms':>8s} {'steps/s':>8s} {'on top':>7s}")
        for name, raw, ours in rows(task, arguments.rounds):
            print(f"{name:36s} {raw:8.3f} {ours:8.3f} {1000 / ours:8.0f} {ours / raw - 1:7.1%}")


if __name__ == "__main__":
    main()
