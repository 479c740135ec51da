"""What the worlds of the arm cost on top of the same MuJoCo calls made by hand.

    python tests/benchmarks/arm_worlds.py --envs Screen-TypeCode-v0 Screen-FollowTarget-v0

"Raw" is one `mj_step` call over the same substeps with the same controls, followed by the same `mjr_render` and
`mjr_readPixels` calls on the same scene, and `mjr_uploadTexture` where the world has a live texture. Both take turns,
measured in CPU seconds of this process, so that a busy machine slows both alike. Ours has on top: inverse
kinematics, checks, the puzzle or game and its drawing, averaging of the pictures, the observation.
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from sims.renderer import GLRenderer
from tests.benchmarks.sims import cpu_ms

STEPS = 400


def make(env_id: str, cameras: tuple[str, ...], size: int) -> Any:
    """An environment that never ends, at the start of an episode."""
    return gymnasium.make(f"sims:{env_id}", cameras=cameras, image_size=size, max_env_steps=10**9).unwrapped


def gentle_actions(env: Any) -> np.ndarray:
    """What the expert does in one episode, repeated from the start: contacts as in real use."""
    observation, _ = env.reset(seed=0)
    expert, actions = env.make_expert(), []
    info = {"is_success": False}
    while not info["is_success"] and len(actions) < STEPS:
        actions.append(expert(observation))
        observation, _, _, _, info = env.step(actions[-1])
    return np.array(actions, np.float32)


def stepper(env: Any, actions: np.ndarray) -> Callable[[], None]:
    """A function that takes the next step; the episode begins again when it is over."""
    start = _state(env)
    count = iter(range(10**9))

    def step() -> None:
        index = next(count) % len(actions)
        if index == 0:
            env.set_sim_state(start)
        env.step(actions[index])

    return step


def _state(env: Any) -> np.ndarray:
    env.reset(seed=0)
    return env.get_sim_state()


def by_hand(env: Any, actions: np.ndarray, draw: Callable[[], None] | None, count: int) -> Callable[[], None]:
    """The same controls through bare MuJoCo, and the bare drawing calls."""
    start, controls = _state(env), []
    for action in actions:
        env.step(action)
        controls.append(env.data.ctrl.copy())
    substeps = round(env.control_dt / env.model.opt.timestep)
    index = iter(range(10**9))

    def step() -> None:
        now = next(index) % len(controls)
        if now == 0:
            env.set_sim_state(start)
        env.data.ctrl[:] = controls[now]
        mujoco.mj_step(env.model, env.data, substeps)
        for _ in range(count):
            assert draw is not None
            draw()

    return step


def raw_frame(env: Any, camera: str, size: int) -> Callable[[], None]:
    """The bare MuJoCo calls that draw one camera at the size our renderer draws at."""
    renderer = GLRenderer(env.model)
    drawn = size * renderer.supersample
    context = renderer._activated(is_detailed=False, size=drawn)
    view, option = env.views[camera].to_mujoco(env.model), mujoco.MjvOption()
    scene = mujoco.MjvScene(env.model, maxgeom=2000)
    rect, pixels = mujoco.MjrRect(0, 0, drawn, drawn), np.empty((drawn, drawn, 3), np.uint8)
    live = [env.model.texture(name).id for name in env.live_textures]

    def draw() -> None:
        for texture in live:
            mujoco.mjr_uploadTexture(env.model, context, texture)
        mujoco.mjv_updateScene(env.model, env.data, option, None, view, mujoco.mjtCatBit.mjCAT_ALL, scene)
        scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        mujoco.mjr_render(rect, scene, context)
        mujoco.mjr_readPixels(pixels, None, rect, context)

    return draw


def rows(env_id: str, sizes: list[int], rounds: int) -> list[tuple[str, float, float]]:
    """(what, raw ms, our ms) for one environment."""
    ours, other = make(env_id, (), 64), make(env_id, (), 64)
    actions = gentle_actions(ours)
    mine, raw = cpu_ms(stepper(ours, actions), by_hand(other, actions, None, 0), rounds, 2 * len(actions))
    table = [("state only", raw, mine)]
    camera = gymnasium.make(f"sims:{env_id}").unwrapped.cameras[0]
    for size in sizes:
        env, hand = make(env_id, (camera,), size), make(env_id, (camera,), size)
        hand.render_pixels = False
        raw_step = by_hand(hand, actions, raw_frame(hand, camera, size), 1)
        mine, raw = cpu_ms(stepper(env, actions), raw_step, rounds, len(actions))
        table.append((f"camera {camera!r} at {size} px", raw, mine))
        env.close()
    return table


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", default=["Screen-TypeCode-v0", "Screen-FollowTarget-v0"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 96])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    print(
        f"mujoco {mujoco.__version__}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, CPU time"
    )
    for env_id in arguments.envs:
        print(f"\n{env_id:36s} {'raw ms':>8s} {'our ms':>8s} {'steps/s':>8s} {'on top':>7s}")
        for name, raw, ours in rows(env_id, arguments.sizes, arguments.rounds):
            print(f"{name:36s} {raw:8.3f} {ours:8.3f} {1000 / ours:8.0f} {ours / raw - 1:7.1%}")


if __name__ == "__main__":
    main()
